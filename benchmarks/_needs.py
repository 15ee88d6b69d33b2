"""What a scenario needs besides; what is missing is skipped, with a line that says so."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class Skipped(Exception):
    """A scenario cannot be run here; the message says what it lacks."""


def package(name: str) -> ModuleType | None:
    """Import a package of the extra `bench`, or say that it is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        print(f"skipped: what {name} is needed for, it is not installed (vtrio[bench])")
        return None


def need_linux() -> None:
    """Go on where there is a /proc to read figures of other processes from.

    Raises:
        Skipped: this is another system.
    """
    if sys.platform != "linux":
        raise Skipped("it reads figures of processes from /proc, as Linux has it")
