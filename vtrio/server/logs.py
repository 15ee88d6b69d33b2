"""The log: events with fields, through structlog into the standard library's logging.

An event is a stable word; its fields go with it as the record's own attributes, so
whatever handlers a program has can use them. `configure` sets up what `vtrio serve`
prints: a JSON object a line, or words in columns for somebody who watches a terminal.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

_REQUEST = "request_id"


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger of events with fields."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


@contextmanager
def naming_the_request(request_id: str) -> Iterator[None]:
    """Have each event that is logged inside the block name the request."""
    with structlog.contextvars.bound_contextvars(**{_REQUEST: request_id}):
        yield


def configure(stream: TextIO | None = None) -> None:
    """Print what is logged, by us and by the libraries beneath, on a stream."""
    stream = stream or sys.stderr
    renderer: Any = structlog.processors.JSONRenderer()
    if stream.isatty():
        # With rich, its default would print every variable of every frame, and the
        # headers of a request with its key among them.
        renderer = structlog.dev.ConsoleRenderer(
            exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if stream.isatty() else [structlog.processors.format_exc_info]),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # It tells of each of its own parts.
    logging.getLogger("alembic").setLevel(logging.WARNING)
