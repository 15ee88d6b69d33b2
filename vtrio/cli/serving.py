"""`vtrio serve`, and the engine that a command asks for."""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import Exit
from .parser import UsageError

if TYPE_CHECKING:
    from ..server.engines import Engine

_log = logging.getLogger("vtrio.server.engines")


def run_serve(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        from ..server import ServeError, ServerSettings, run_server
    except ImportError as error:
        raise UsageError(str(error)) from None
    engine = engine_of(options)
    try:
        settings = ServerSettings(
            host=options.host,
            port=options.port,
            workers=options.workers,
            data_dir=None if options.data_dir is None else Path(options.data_dir),
        )
        received = run_server(engine, settings)
    except (ServeError, ValueError) as error:
        raise UsageError(str(error)) from None
    return Exit.INTERRUPTED if received is signal.SIGINT else Exit.COMPLETED


def engine_of(options: argparse.Namespace) -> Engine:
    """Make the engine that was asked for.

    Raises:
        UsageError: it is not installed, or its settings are wrong.
    """
    from ..server.engines import EngineUnavailable, choose_engine

    simulation = {
        name: value
        for name in ("durations", "failure_rate", "seed")
        if (value := getattr(options, name, None)) is not None
    }
    try:
        if options.engine == "simulated":
            from ..server.engines.simulated import SimulatedEngine

            engine = SimulatedEngine(**simulation)
            _log.info("engine-chosen engine=%s", engine.name)
            return engine
        if simulation:
            raise UsageError(
                f"--{next(iter(simulation)).replace('_', '-')} is for the simulated"
                " engine: add --engine simulated"
            )
        return choose_engine(options.engine)
    except (EngineUnavailable, ValueError) as error:
        raise UsageError(str(error)) from None
