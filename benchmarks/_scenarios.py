"""Finding the scenarios: every module here whose name has no underscore in front."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario's module offers.

    Attributes:
        name: the module's.
        summary: `SUMMARY`, one line.
        add_arguments: adds the options that only this scenario has.
        run: measures, prints a table, and returns what was found.
        quick: `QUICK`, if there is one: defaults of its options with which it takes a
            few seconds.
        draw_pictures: if there is one: draws what was found into a PNG file; more
            pictures go beside it, with a word added to its stem.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any]]
    quick: Mapping[str, Any]
    draw_pictures: Callable[[dict[str, Any], Path], None] | None


def find_scenarios() -> dict[str, Scenario]:
    """Import every scenario, by name."""
    here = Path(__file__).parent
    names = sorted(
        module.name
        for module in pkgutil.iter_modules([str(here)])
        if not module.name.startswith("_")
    )
    return {name: _load(name) for name in names}


def _load(name: str) -> Scenario:
    module: Any = importlib.import_module(f".{name}", __package__)
    return Scenario(
        name=name,
        summary=module.SUMMARY,
        add_arguments=module.add_arguments,
        run=module.run,
        quick=getattr(module, "QUICK", {}),
        draw_pictures=getattr(module, "draw_pictures", None),
    )
