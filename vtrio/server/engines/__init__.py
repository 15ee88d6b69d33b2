"""The engines that do the work of the server.

Each is imported when it is chosen: the real one brings models and their libraries.
"""

from __future__ import annotations

import logging
import os

from ._base import Engine, EngineError, Progress, Task, Translation

__all__ = [
    "ENGINES",
    "Engine",
    "EngineError",
    "EngineUnavailable",
    "Progress",
    "Task",
    "Translation",
    "choose_engine",
]

_log = logging.getLogger("vtrio.server.engines")

ENGINES = ("local", "simulated")


class EngineUnavailable(Exception):
    """The engine that was asked for cannot work here; the message says why."""


def choose_engine(name: str | None = None) -> Engine:
    """Make the engine of this name; by default the real one where it is installed.

    Raises:
        ValueError: there is no engine of this name, or a setting of it is wrong.
        EngineUnavailable: what the engine needs is not installed.
    """
    if name not in (None, *ENGINES):
        raise ValueError(
            f"engine={name!r} is not allowed: must be one of {', '.join(ENGINES)}"
        )
    missing = _missing_for_local() if name != "simulated" else None
    if name == "local" and missing is not None:
        raise EngineUnavailable(missing)
    engine = _make_simulated() if name == "simulated" or missing else _make_local()
    if name is None and missing is not None:
        _log.warning("engine-chosen engine=%s because=%s", engine.name, missing)
    else:
        _log.info("engine-chosen engine=%s", engine.name)
    return engine


def _missing_for_local() -> str | None:
    """Say in one sentence what the real engine lacks here, if it lacks anything."""
    try:
        from . import local
    except ImportError as error:
        return (
            f"the local engine cannot be imported ({error}): run"
            " pip install 'vtrio[local]'"
        )
    return local.available()


def _make_local() -> Engine:
    from .local import LocalEngine, LocalSettings

    return LocalEngine(LocalSettings.from_environment(os.environ))


def _make_simulated() -> Engine:
    from .simulated import SimulatedEngine

    return SimulatedEngine()
