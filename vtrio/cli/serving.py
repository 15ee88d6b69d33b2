"""`vtrio serve`, and the engine that a command asks for."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import Exit
from .parser import UsageError

if TYPE_CHECKING:
    from ..server.engines import Engine


def run_serve(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    try:
        from ..server import Limits, ServeError, ServerSettings, run_server
        from ..server.logs import configure
    except ImportError as error:
        raise UsageError(str(error)) from None
    configure()
    engine = engine_of(options)
    try:
        settings = ServerSettings(
            host=options.host,
            port=options.port,
            workers=options.workers,
            data_dir=None if options.data_dir is None else Path(options.data_dir),
            grace=options.grace,
            keep=options.keep,
            max_run_time=options.max_run_time,
            limits=Limits(
                upload=options.max_upload,
                upload_rate=options.min_upload_rate,
                json=options.max_json,
                json_depth=options.max_json_depth,
                ids=options.max_ids,
                page=options.max_page,
                held=options.max_held,
                waiting=options.max_waiting,
            ),
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
    if simulation and options.engine != "simulated":
        raise UsageError(
            f"--{next(iter(simulation)).replace('_', '-')} is for the simulated"
            " engine: add --engine simulated"
        )
    try:
        return choose_engine(options.engine, **simulation)
    except (EngineUnavailable, ValueError) as error:
        raise UsageError(str(error)) from None
