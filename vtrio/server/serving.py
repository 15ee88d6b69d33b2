"""Serving: our nursery holds the job service and the connections, and ends them.

If either dies the other is cancelled and `serve` raises: a server that answers while
nobody works on its jobs would be worse than none. The order of stopping is: refuse
new work, let requests end, cut off what then still runs, put its jobs back, close the
store, remove the folder. All of it has the grace; what is left of the folder then, the
next server removes.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from typing import cast

import trio
from hypercorn.typing import ASGIFramework

from .._checks import check_count, check_number
from .app import create_app
from .connections import Connections
from .demonstration import Demonstration
from .engines import Engine
from .errors import ServeError
from .files import Patience
from .folders import folder_for_run
from .listener import open_listener, url_of
from .service import JobService
from .store import MemoryStore
from .uploads import LARGEST_UPLOAD

_log = logging.getLogger("vtrio.server")

# Of the grace, what is left for cleaning up after requests that were cut off, and for
# the process to end; half of a grace that is shorter than two of it.
_CLEANING_UP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How to serve.

    Attributes:
        host: the address to listen on; a loopback address.
        port: the port; 0 takes a free one.
        data_dir: where files go; by default a temporary folder. What a server puts
            there goes when it ends, because its store is in memory.
        workers: how many jobs are worked on at once.
        grace: seconds within which the server ends when it stops; requests have them
            but for half a second.
        largest_upload: bytes of the largest video that is taken.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    data_dir: Path | None = None
    workers: int = 1
    grace: float = 5.0
    largest_upload: int = LARGEST_UPLOAD

    def __post_init__(self) -> None:
        check_count("port", self.port, least=0)
        check_number("port", self.port, most=65_535)
        check_count("workers", self.workers)
        check_number("grace", self.grace, least=0)
        check_count("largest_upload", self.largest_upload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a server listens."""

    url: str
    host: str
    port: int


async def serve(  # noqa: ASYNC128 - handed on, and called where it listens
    engine: Engine,
    settings: ServerSettings | None = None,
    *,
    demonstration: Demonstration | None = None,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set, and then end in order; give the address back.

    Use it with `nursery.start`. Cancelling it ends it at once: requests are cut off,
    jobs that run are put back, nothing is left.

    Raises:
        ServeError: the address or the folder cannot be used.
    """
    settings = settings or ServerSettings()
    stop = trio.Event() if stop is None else stop
    patience = Patience()
    with await open_listener(settings.host, settings.port) as listener:
        async with folder_for_run(settings.data_dir, patience) as folder:
            store = MemoryStore()
            try:
                service = JobService(
                    store, engine, folder, workers=settings.workers, patience=patience
                )
                await _run(
                    service, listener, settings, demonstration, stop, task_status
                )
            finally:
                with trio.move_on_at(patience.deadline(), shield=True):
                    await store.close()
    _log.info("server-ended")


async def serve_until_signal(
    engine: Engine,
    settings: ServerSettings | None = None,
    *,
    announce: Callable[[Serving], None],
) -> signal.Signals:
    """Serve until SIGINT or SIGTERM, and return which it was.

    A second signal ends the server at once. `announce` is called when it listens.

    Raises:
        ServeError: the address or the folder cannot be used.
    """
    received: list[signal.Signals] = []
    refused: list[BaseException] = []
    try:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                stop = trio.Event()
                announce(
                    await nursery.start(
                        partial(_serve_then, nursery.cancel_scope, stop=stop),
                        engine,
                        settings,
                    )
                )
                async for number in signals:
                    received.append(signal.Signals(number))
                    _log.info("signal-received signal=%s", received[-1].name)
                    if stop.is_set():
                        nursery.cancel_scope.cancel("a second signal came")
                    stop.set()
    except* ServeError as group:
        refused.extend(group.exceptions)
    if refused:
        raise refused[0]
    return received[0]


def run_server(
    engine: Engine,
    settings: ServerSettings | None = None,
    *,
    announce: Callable[[Serving], None] | None = None,
) -> signal.Signals:
    """Run `serve_until_signal`; by default print `listening on URL` when ready.

    Raises:
        ServeError: the address or the folder cannot be used.
    """
    return trio.run(
        partial(
            serve_until_signal, engine, settings, announce=announce or print_address
        )
    )


def print_address(serving: Serving) -> None:
    """Print where the server listens, for whoever started it and waits for the line.

    Where nothing can be printed the log says so, and the server serves all the same.
    """
    try:
        if sys.stdout is None:  # it was closed when the process started
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.write(f"listening on {serving.url}\n")
        sys.stdout.flush()
    except OSError as error:
        _log.warning("address-not-printed url=%s error=%r", serving.url, error)
        # What is still in its buffer would be an error once more when Python ends.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for good


async def _serve_then(  # noqa: ASYNC128 - handed on
    scope: trio.CancelScope,
    engine: Engine,
    settings: ServerSettings | None,
    *,
    stop: trio.Event,
    task_status: trio.TaskStatus[Serving],
) -> None:
    await serve(engine, settings, stop=stop, task_status=task_status)
    scope.cancel("the server has ended")


async def _run(
    service: JobService,
    listener: socket,
    settings: ServerSettings,
    demonstration: Demonstration | None,
    stop: trio.Event,
    task_status: trio.TaskStatus[Serving],
) -> None:
    address = listener.getsockname()
    if demonstration is None:
        demonstration = Demonstration.draw(trio.current_time(), rng=random.Random())
    app = create_app(service, demonstration, largest_upload=settings.largest_upload)
    connections = Connections(cast("ASGIFramework", app), listener)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        await nursery.start(connections.serve)
        url = url_of(address)
        _log.info("server-listening url=%s", url)
        task_status.started(Serving(url=url, host=address[0], port=address[1]))

        await stop.wait()
        began = trio.current_time()
        _log.info("server-stopping grace=%g", settings.grace)
        cleaning_up = min(_CLEANING_UP, settings.grace / 2)
        service.patience.end_at(began + max(settings.grace, _CLEANING_UP))
        service.refuse_work()
        connections.refuse()
        with trio.move_on_at(began + settings.grace - cleaning_up):
            await connections.ended.wait()
        nursery.cancel_scope.cancel("the server stops")
