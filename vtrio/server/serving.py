"""Serving: our nursery holds the job service and the connections, and ends them.

If either dies the other is cancelled and `serve` raises: a server that answers while
nobody works on its jobs would be worse than none. The order of stopping is: refuse
new work, release what is held, let requests end, cut off what then still runs, put its
jobs back, close the store. All of it has the grace.
"""

from __future__ import annotations

import errno
import gc
import os
import random
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import socket
from typing import cast

import trio
from hypercorn.typing import ASGIFramework

from .._checks import check_count, check_number
from .access import Access
from .app import create_app
from .connections import Connections
from .demonstration import Demonstration
from .engines import Engine
from .errors import ServeError, leaves
from .files import Patience
from .folders import default_data_dir, lock_folder
from .limits import Limits
from .listener import open_listener, url_of
from .logs import get_logger
from .service import KEEP, MAX_RUN_TIME, JobService
from .store import Instant, Store, StoreFailed, open_store, url_of_file

_log = get_logger("vtrio.server")

# Of the grace, what is left for cleaning up after requests that were cut off, and for
# the process to end; half of a grace that is shorter than two of it.
_CLEANING_UP = 0.5


# New objects before a look at those, and how many of such looks there are before one
# at older ones, and at all.
_COLLECTING = (50_000, 10, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How to serve.

    Attributes:
        host: the address to listen on; a loopback address unless the store has an
            API key.
        port: the port; 0 takes a free one.
        data_dir: where the store and the files are; one server has it at a time. By
            default a folder of the user's for each port, and for port 0 a temporary
            one, because nobody could find its jobs again.
        workers: how many jobs are worked on at once.
        grace: seconds within which the server ends when it stops; requests have them
            but for half a second.
        keep: seconds for which a job is kept after its end.
        max_run_time: seconds that an attempt at a job may take.
        limits: what is taken at most.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    data_dir: Path | None = None
    workers: int = 1
    grace: float = 5.0
    keep: float = KEEP
    max_run_time: float = MAX_RUN_TIME
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_count("port", self.port, least=0)
        check_number("port", self.port, most=65_535)
        check_count("workers", self.workers)
        check_number("grace", self.grace, least=0)
        check_number("keep", self.keep, above=0)
        check_number("max_run_time", self.max_run_time, above=0)


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
    async with open_data(settings, patience) as (folder, store):
        access = Access(store)
        await access.refresh()
        service = JobService(
            store,
            engine,
            folder,
            workers=settings.workers,
            limits=settings.limits,
            keep=settings.keep,
            max_run_time=settings.max_run_time,
            patience=patience,
        )
        listener = await open_listener(
            settings.host, settings.port, keys=access.has_valid_keys
        )
        with listener:
            _log.info(
                "keys-needed" if access.needs_keys else "no-keys-loopback-only",
                data_dir=str(folder),
            )
            await _run(
                service, listener, access, settings, demonstration, stop, task_status
            )
    _log.info("server-ended")


@asynccontextmanager
async def open_data(
    settings: ServerSettings, patience: Patience
) -> AsyncIterator[tuple[Path, Store]]:
    """Have the folder of a server, and the store in it, for the length of a block.

    Raises:
        ServeError: one of them cannot be used, or the store has failed.
    """
    data_dir = settings.data_dir
    if data_dir is None and settings.port:
        data_dir = default_data_dir(settings.port)
    now = Instant(trio.current_time(), datetime.now(UTC))
    failed: list[Exception] = []
    try:
        async with (
            lock_folder(data_dir, patience) as folder,
            open_store(url_of_file(folder), now) as store,
        ):
            yield folder, store
    except* (ServeError, StoreFailed) as group:
        failed.extend(leaves(group))
    match failed:
        case [StoreFailed() as error, *_]:
            raise ServeError(
                f"the store has failed ({error}): repair it or its disk, and start the"
                " server again"
            ) from error
        case [error, *_]:
            raise error


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
                    _log.info("signal-received", signal=received[-1].name)
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
    _collect_seldom()
    _open_many_files()
    return trio.run(
        partial(
            serve_until_signal, engine, settings, announce=announce or print_address
        )
    )


def _open_many_files() -> None:
    """Have the process open as many files as the system lets it.

    Each connection is one, and many systems begin at 1024: fewer than the requests that
    one client may hold by default, with the store's files and what is coming in.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # some systems say more than they allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _collect_seldom() -> None:
    """Have Python look less often for garbage that goes round in circles.

    A full look visits every object of every job and request that waits, and holds all
    of them up: for half a second at ten thousand jobs. Few of our objects are in such
    circles, and those that were there before the start never are garbage.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTING)


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
        _log.warning("address-not-printed", url=serving.url, error=str(error))
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
    access: Access,
    settings: ServerSettings,
    demonstration: Demonstration | None,
    stop: trio.Event,
    task_status: trio.TaskStatus[Serving],
) -> None:
    address = listener.getsockname()
    if demonstration is None:
        demonstration = Demonstration.draw(trio.current_time(), rng=random.Random())
    app = create_app(service, demonstration, access)
    connections = Connections(cast("ASGIFramework", app), listener)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        await nursery.start(connections.serve)
        url = url_of(address)
        _log.info("server-listening", url=url, workers=settings.workers)
        task_status.started(Serving(url=url, host=address[0], port=address[1]))

        await stop.wait()
        began = trio.current_time()
        _log.info("server-stopping", grace=settings.grace)
        cleaning_up = min(_CLEANING_UP, settings.grace / 2)
        service.patience.end_at(began + max(settings.grace, _CLEANING_UP))
        service.refuse_work()
        connections.refuse()
        with trio.move_on_at(began + settings.grace - cleaning_up):
            await connections.ended.wait()
        nursery.cancel_scope.cancel("the server stops")
