"""Serving: our nursery holds the job service and hypercorn, and ends them in order.

If either dies the other is cancelled and `serve` raises: a server that answers while
nobody works on its jobs would be worse than none. The order of stopping is: refuse
new work, let requests end within the grace, cut off what then still runs, put its
jobs back, close the store.
"""

from __future__ import annotations

import logging
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket

import hypercorn.trio
import trio
from hypercorn.config import Config, Sockets

from .._checks import check_count, check_number
from . import files
from .app import create_app
from .demonstration import Demonstration
from .engines import Engine
from .errors import ServeError
from .listener import cut_connections, open_listener, url_of
from .service import JobService
from .store import MemoryStore
from .uploads import LARGEST_UPLOAD

_log = logging.getLogger("vtrio.server")

# A client that polls every 20 to 30 s keeps its connection; hypercorn's 5 s would
# have it connect each time.
_KEEP_ALIVE = 75.0
# hypercorn closes a connection after 1000 requests by default, for no need of ours.
_MOST_REQUESTS = 1_000_000
# Many clients may come in the same instant.
_BACKLOG = 1024
# It announces the address, as we do, and tells of requests that failed, as we do not.
_HYPERCORN_LOG = logging.getLogger("vtrio.server.hypercorn")
_HYPERCORN_LOG.setLevel(logging.WARNING)
# Of the grace, what is left for requests that were cut off to clean up.
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
        grace: seconds that requests have to end when the server stops.
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
    with await open_listener(settings.host, settings.port) as listener:
        async with _folder_for_run(settings.data_dir) as folder:
            store = MemoryStore()
            try:
                service = JobService(store, engine, folder, workers=settings.workers)
                await _run(
                    service, listener, settings, demonstration, stop, task_status
                )
            finally:
                with trio.move_on_after(settings.grace, shield=True):
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
    """Print where the server listens, for whoever started it and waits for the line."""
    sys.stdout.write(f"listening on {serving.url}\n")
    sys.stdout.flush()


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
    config = _Config(listener, settings.grace)
    http = _Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_when_cancelled, address)
        await nursery.start(service.run)
        await nursery.start(
            http.run,
            partial(
                hypercorn.trio.serve,
                app,
                config,
                shutdown_trigger=http.told_to_end.wait,
                mode="asgi",
            ),
        )
        url = url_of(address)
        _log.info("server-listening url=%s", url)
        task_status.started(Serving(url=url, host=address[0], port=address[1]))

        await stop.wait()
        _log.info("server-stopping grace=%g", settings.grace)
        service.refuse_work()
        http.told_to_end.set()
        with trio.move_on_after(settings.grace):
            await http.ended.wait()
        nursery.cancel_scope.cancel("the server stops")


class _Stage:
    """Hypercorn as a step of the stopping order: told to end, then ended."""

    def __init__(self) -> None:
        self.told_to_end = trio.Event()
        self.ended = trio.Event()

    async def run(  # noqa: ASYNC128 - handed on
        self,
        serve_http: Callable[..., Awaitable[None]],
        *,
        task_status: trio.TaskStatus[list[str]],
    ) -> None:
        await serve_http(task_status=task_status)
        self.ended.set()


async def _cut_when_cancelled(address: tuple[str, int]) -> None:
    """Break the connections as soon as the nursery is cancelled.

    hypercorn sends in a shield without a deadline: a client that does not read
    would hold the server up until its TCP gives in.
    """
    try:
        await trio.sleep_forever()
    finally:
        cut_connections(address)


class _Config(Config):
    """Hypercorn's settings, with a socket that we have opened and keep."""

    accesslog = None
    errorlog = _HYPERCORN_LOG
    include_server_header = False
    keep_alive_timeout = _KEEP_ALIVE
    keep_alive_max_requests = _MOST_REQUESTS
    backlog = _BACKLOG

    def __init__(self, listener: socket, grace: float) -> None:
        super().__init__()
        self._listener = listener
        self.graceful_timeout = max(grace - _CLEANING_UP, 0.0)

    def create_sockets(self) -> Sockets:
        """Hand our socket over; by number (`fd://`) it would leak where starting fails."""
        return Sockets([], [self._listener], [])


@asynccontextmanager
async def _folder_for_run(data_dir: Path | None) -> AsyncIterator[Path]:
    """Make a folder for this run alone, and remove it: the store forgets its jobs."""

    def make() -> Path:
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="vtrio-run-", dir=data_dir))

    try:
        folder = await trio.to_thread.run_sync(make)
    except OSError as error:
        raise ServeError(
            f"the data directory {str(data_dir)!r} cannot be used"
            f" ({error.strerror}): pass another --data-dir"
        ) from error
    try:
        yield folder
    finally:
        with trio.move_on_after(files.PATIENCE, shield=True):
            await files.remove(folder)
