"""The connections: we accept them, and hypercorn speaks HTTP on each.

We do the accepting, and not `hypercorn.trio.serve`, for what cannot be mended from
outside of that (hypercorn 0.18):

- It keeps the socket of a client that has left for the rest of the keep-alive time,
  because the task which waits for that outlives the reading: `_Connection`.
- An error in one connection would end the server with all the others.
- It sends in a shield without a deadline. Here the connections are known, and can be
  broken so that the server ends: a client that does not read would hold it up.
- It goes over to HTTP/2 for whoever asks, which no limit of ours knows of, and fails
  where the settings in that request are none. It refuses a broken handshake for a
  WebSocket and then keeps the connection for ever, or fails: `_Protocol`.
- It runs the app's lifespan, of which ours has none.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from socket import SHUT_RDWR, socket

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed
from hypercorn.protocol.events import EndBody, Event
from hypercorn.protocol.h11 import H11Protocol, H11WSConnection
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from hypercorn.utils import parse_socket_addr

from .logs import get_logger

_log = get_logger("vtrio.server.connections")

# A client that polls every 20 to 30 s keeps its connection; hypercorn's 5 s would
# have it connect each time.
KEEP_ALIVE = 75.0
# hypercorn closes a connection after 1000 requests by default, for no need of ours.
_MOST_REQUESTS = 1_000_000
# It tells of requests that failed, as we do not.
_HYPERCORN_LOG = logging.getLogger("vtrio.server.hypercorn")
_HYPERCORN_LOG.setLevel(logging.WARNING)


class Connections:
    """Serves an app on every connection that comes in at a socket."""

    def __init__(self, app: ASGIFramework, listener: socket) -> None:
        self._app = ASGIWrapper(app)
        self._listener = listener
        self._config = _Config()
        self._context = WorkerContext(max_requests=None)
        self._accepting = trio.CancelScope()
        self._open: set[trio.SocketStream] = set()
        self.ended = trio.Event()
        """Set once `serve` has returned."""

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until `refuse` was called and the last request is answered.

        The socket, which listens already, is closed when no more are accepted.
        Cancelling it breaks every connection.
        """
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._break_when_cancelled)
            async with trio.open_nursery() as handlers:
                task_status.started()
                with self._accepting:
                    await trio.serve_listeners(
                        self._handle, [listener], handler_nursery=handlers
                    )
                # Those that are idle close now, the others after their answer.
                await self._context.terminated.set()
            nursery.cancel_scope.cancel("the last connection has ended")
        self.ended.set()

    def refuse(self) -> None:
        """Accept no more connections; those that are there get their answer."""
        self._accepting.cancel("the server stops")

    async def _handle(self, stream: trio.SocketStream) -> None:
        self._open.add(stream)
        try:
            await _Connection(
                self._app,
                self._config,
                self._context,
                ConnectionState({}),
                stream,  # type: ignore[arg-type] # it takes both kinds
            ).run()
        except* Exception:  # noqa: BLE001 - isolation: one must not end the others
            _log.exception("connection-failed")
        finally:
            self._open.discard(stream)

    async def _break_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for stream in self._open:
                with suppress(OSError):
                    stream.socket.shutdown(SHUT_RDWR)


class _Connection(TCPServer):
    """A connection that ends when its client has left.

    hypercorn stops the wait for the next request when one comes and when it closes
    the connection itself, and not when the client closes it in between.
    """

    _left = False

    async def run(self) -> None:
        """Speak HTTP/1 until either side leaves: TLS and HTTP/2 are left out."""
        own = self.stream.socket
        try:
            async with TaskGroup() as tasks:
                self._task_group = tasks
                self.protocol = _Protocol(  # type: ignore[assignment]
                    self.app,
                    self.config,
                    self.context,
                    tasks,
                    ConnectionState(self.state),
                    False,
                    parse_socket_addr(own.family, own.getpeername()),
                    parse_socket_addr(own.family, own.getsockname()),
                    self.protocol_send,
                )
                await self.idle_task.restart(tasks, self._idle_timeout)
                await self._read_data()
        except OSError:  # the client has left already
            pass
        finally:
            # Cancelled it gives up saying goodbye, and closes all the same.
            await self._close()  # noqa: ASYNC102 - hypercorn's own

    async def _read_data(self) -> None:
        await super()._read_data()
        self._left = True
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        # A request that is answered after its client has left starts the wait anew.
        if not self._left:
            await super()._idle_timeout()


class _Protocol(H11Protocol):
    """HTTP/1 on one connection."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Go on with HTTP/1: a server may ignore an `Upgrade` (RFC 9110, 7.8)."""

    async def _create_stream(self, request: h11.Request) -> None:
        try:
            await super()._create_stream(request)
        except UnicodeDecodeError:  # the headers of a handshake
            await self._send_error_response(400)
            await self.send(Closed())

    async def stream_send(self, event: Event) -> None:
        """Send a part of an answer, and close a connection that cannot go on."""
        await super().stream_send(event)
        if isinstance(event, EndBody) and isinstance(self.connection, H11WSConnection):
            await self.send(Closed())


class _Config(Config):
    """Hypercorn's settings."""

    accesslog = None
    errorlog = _HYPERCORN_LOG
    include_server_header = False
    keep_alive_timeout = KEEP_ALIVE
    keep_alive_max_requests = _MOST_REQUESTS
