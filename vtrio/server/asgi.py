"""What stands between hypercorn and Quart: an ASGI wrapper around every request.

It mends three things that no route can:

- Quart's message task reads the body as fast as it comes and buffers all of it. A
  gate lets in no more than a window ahead of what the route has consumed, so that
  back-pressure reaches the client's socket.
- A route that answers before it has read the body would leave the client writing to
  a connection that is about to break, and hypercorn's reader waiting for ever. The
  rest is read and dropped for a moment before the answer ends.
- What Quart cannot parse fails below its error handlers. It is a 400 problem here,
  and what else comes up is a 500 problem.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import trio

from .errors import BadUpload
from .problems import Problem, internal_problem

_log = logging.getLogger("vtrio.server.http")

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

GATE = "vtrio.body_gate"
"""Where the scope of a request holds its `BodyGate`."""

# Four reads of hypercorn's: enough that the disk and the network overlap.
WINDOW = 256 * 1024
# An answer to a body that was not read waits while that comes in without a pause,
# and then the connection can be kept; otherwise it gives the connection up, but reads
# on while it does, because a client may look for the answer only when it has written.
_PAUSE = 0.05
_LINGER = 2.0


class BodyGate:
    """Lets the body of one request in no faster than it is consumed."""

    def __init__(self, receive: Receive, window: int = WINDOW) -> None:
        self._receive = receive
        self._window = window
        self._unconsumed = 0
        self._discarding: trio.CancelScope | None = None
        self._pause = math.inf
        self._answered = False
        self._opened = trio.Event()
        self._over = trio.Event()
        self.left = False
        """Whether the client has left."""

    @property
    def over(self) -> bool:
        """Tell whether all of the body has come in, or no more of it will."""
        return self._over.is_set()

    async def receive(self) -> Message:
        """Return the next message of the request, once there is room for it."""
        while self._unconsumed > self._window and self._discarding is None:
            await self._opened.wait()
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            self._over.set()
            if self._answered:
                # Quart would cancel the task that is sending the end of the answer,
                # and hypercorn would then neither close nor reuse the connection.
                await trio.sleep_forever()
            return message
        if not message.get("more_body", False):
            self._over.set()
        if self._discarding is not None:
            self._discarding.deadline = trio.current_time() + self._pause
            return {**message, "body": b""}
        self._unconsumed += len(message.get("body", b""))
        return message

    def consumed(self, size: int) -> None:
        """Make room for as many bytes: the route is done with them."""
        self._unconsumed -= size
        self._open()

    async def discard(self, patience: float, pause: float = math.inf) -> None:
        """Read and drop the rest of the body, until it pauses or patience ends."""
        self._pause = pause
        with (
            trio.move_on_after(patience),
            trio.move_on_after(pause) as self._discarding,
        ):
            self._open()
            await self._over.wait()

    def answered(self) -> None:
        """Take note that the answer is about to end."""
        self._answered = True

    def _open(self) -> None:
        self._opened.set()
        self._opened = trio.Event()


class GatedBody:
    """The body of a request in pieces; asking for one is being done with the last."""

    def __init__(self, body: AsyncIterator[bytes], gate: BodyGate) -> None:
        self._body = body
        self._gate = gate
        self._handed_out = 0

    def __aiter__(self) -> GatedBody:
        return self

    async def __anext__(self) -> bytes:
        self._gate.consumed(self._handed_out)
        self._handed_out = 0
        try:
            data = await anext(self._body)
        except StopAsyncIteration:
            raise
        except Exception as error:
            # Newer Quarts tell a route by an error of theirs that its client has left.
            if self._gate.left:
                raise BadUpload("the client left before its body was whole") from error
            raise
        self._handed_out = len(data)
        return data


class _Answer:
    """The answer to one request on its way out."""

    def __init__(self, scope: Scope, send: Send, gate: BodyGate) -> None:
        self._send = send
        self._gate = gate
        self._http_1 = scope.get("http_version", "1.1").startswith("1")
        names = {bytes(name).lower() for name, _ in scope["headers"]}
        self._has_body = bool(names & {b"content-length", b"transfer-encoding"})
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self._body_is_left:
                await self._gate.discard(_LINGER, pause=_PAUSE)
            if self._body_is_left and self._http_1:
                headers = [*message["headers"], (b"connection", b"close")]
                message = {**message, "headers": headers}
        ends = message["type"] == "http.response.body" and not message.get("more_body")
        if ends:
            if self._body_is_left:
                await self._send({**message, "more_body": True})
                await self._gate.discard(_LINGER)
                message = {"type": "http.response.body", "body": b""}
            self._gate.answered()
        await self._send(message)

    @property
    def _body_is_left(self) -> bool:
        return self._has_body and not self._gate.over


class Boundary:
    """Wraps an ASGI app with the gate, and with answers to what it cannot answer."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass on what is not HTTP."""
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "websocket":
                # hypercorn makes a 403 of it, with an empty body
                await send({"type": "websocket.close", "code": 1000})
            case _:
                await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _path_of(scope["path"])
        if path is None:
            problem = Problem(
                status=400,
                kind="bad-target",
                title="The request target cannot be read",
                detail="it must be a path that begins with '/', or a whole URL",
            )
            await _send_problem(problem, send)
            return
        gate = BodyGate(receive)
        answer = _Answer(scope, send, gate)
        try:
            await self._app(
                {**scope, "path": path, GATE: gate}, gate.receive, answer.send
            )
        except Exception as error:  # the outermost: nobody above can answer
            if gate.left:
                # Quart drops what goes wrong then, or raises an error of its own.
                _log.info("client-left request=%r error=%r", path, error)
                return
            problem = internal_problem(_log, f"{scope['method']} {path}")
            if answer.started:
                raise
            await _send_problem(problem, answer.send)


def _path_of(target: str) -> str | None:
    """Return the path of a request target in origin or absolute form."""
    if target.startswith("/"):
        return target
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    if not parts.scheme or not parts.netloc:
        return None
    return parts.path or "/"


async def _send_problem(problem: Problem, send: Send) -> None:
    body = problem.body()
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in problem.all_headers().items()
    ]
    headers.append((b"content-length", str(len(body)).encode()))
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": headers,
        }
    )
    await send({"type": "http.response.body", "body": body})
