"""Names that are imported when they are first touched (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def importer(
    package: str, homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], list[str]]:
    """Make a package's `__getattr__`, and the list of its names.

    Args:
        package: its `__name__`.
        homes: which names live in which of its modules.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{home}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, sorted(home_of)
