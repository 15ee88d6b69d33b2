"""Finding the scenarios: every module here whose name has no underscore in front."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path
from typing import Any, Protocol


class Scenario(Protocol):
    """What a scenario's module offers."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options that only this scenario has."""

    def run(self, options: argparse.Namespace) -> dict[str, Any]:
        """Measure, print a table, and return what was found."""
        ...


def find_scenarios() -> dict[str, Scenario]:
    """Import every scenario, by name."""
    here = Path(__file__).parent
    names = sorted(
        module.name
        for module in pkgutil.iter_modules([str(here)])
        if not module.name.startswith("_")
    )
    found: dict[str, Any] = {
        name: importlib.import_module(f".{name}", __package__) for name in names
    }
    return found
