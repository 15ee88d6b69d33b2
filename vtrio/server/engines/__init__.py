"""The engines that do the work of the server.

Each is imported when it is chosen: the real one brings models and their libraries.
"""

from __future__ import annotations

import os

from ..._distributions import Durations
from ..logs import get_logger
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

_log = get_logger("vtrio.server.engines")

ENGINES = ("local", "simulated")


class EngineUnavailable(Exception):
    """The engine that was asked for cannot work here; the message says why."""


def choose_engine(
    name: str | None = None,
    *,
    durations: Durations | None = None,
    failure_rate: float | None = None,
    seed: int | None = None,
) -> Engine:
    """Make the engine of this name; by default the real one where it is installed.

    The settings are those of the simulated engine, which has to be asked for by name
    to have them.

    Raises:
        ValueError: there is no engine of this name, or a setting of it is wrong.
        EngineUnavailable: what the engine needs is not installed.
    """
    if name not in (None, *ENGINES):
        raise ValueError(
            f"engine={name!r} is not allowed: must be one of {', '.join(ENGINES)}"
        )
    if name == "simulated":
        return _chosen(_make_simulated(durations, failure_rate, seed))
    for setting, value in (
        *(("durations", durations), ("failure_rate", failure_rate)),
        ("seed", seed),
    ):
        if value is not None:
            raise ValueError(
                f"{setting}={value!r} is not allowed: must be asked of"
                " engine='simulated'"
            )
    missing = _missing_for_local()
    if missing is None:
        return _chosen(_make_local())
    if name == "local":
        raise EngineUnavailable(missing)
    return _chosen(_make_simulated(), because=missing)


def _chosen(engine: Engine, *, because: str | None = None) -> Engine:
    if because is None:
        _log.info("engine-chosen", engine=engine.name)
    else:
        _log.warning("engine-chosen", engine=engine.name, because=because)
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
    return local.available(local.LocalSettings.from_environment(os.environ))


def _make_local() -> Engine:
    from .local import LocalEngine, LocalSettings

    try:
        return LocalEngine(LocalSettings.from_environment(os.environ))
    except ImportError as error:  # installed, but damaged
        raise EngineUnavailable(str(error)) from error


def _make_simulated(
    durations: Durations | None = None,
    failure_rate: float | None = None,
    seed: int | None = None,
) -> Engine:
    from .simulated import DURATIONS, SimulatedEngine

    return SimulatedEngine(
        DURATIONS if durations is None else durations,
        failure_rate=0.0 if failure_rate is None else failure_rate,
        seed=seed,
    )
