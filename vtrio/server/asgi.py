"""What stands between hypercorn and Quart: an ASGI wrapper around every request.

It mends what no route can:

- Quart buffers all of a body that comes faster than it is consumed: `gate`.
- A route that answers before it has read the body would leave the client writing to
  a connection that is about to break, and hypercorn's reader waiting for ever. The
  rest is read and dropped for a moment before the answer ends.
- What Quart cannot parse fails below its error handlers. It is a 400 problem here,
  and what else comes up is a 500 problem. So is a WebSocket's handshake a problem.
- A client may leave between a route's return and the sending of its answer. What the
  request has opened is closed at its end, whatever that is.

And it is where each request has one line in the log, and an id that its answer, its
problem and all that is logged meanwhile name.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urlsplit

import trio

from .gate import BodyGate, Message, Receive
from .logs import get_logger, naming_the_request
from .problems import Problem, internal_problem
from .requests import FACTS, Facts, request_id

_log = get_logger("vtrio.server.http")

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers: TypeAlias = list[tuple[bytes, bytes]]

Shortcut: TypeAlias = Callable[[Scope, Facts], Headers | None]
"""Returns the headers of an answer 304 where that is one, and None otherwise."""

Count: TypeAlias = Callable[[str, str, int], None]
"""Told of each answered request: its method, its route and the status."""

# An answer to a body that was not read waits while that comes in without a pause,
# and then the connection can be kept; otherwise it gives the connection up, but reads
# on while it does, because a client may look for the answer only when it has written.
# Both together may take the longer time.
_PAUSE = 0.05
_LINGER = 2.0

_BAD_TARGET = Problem(
    status=400,
    kind="bad-target",
    title="The request target cannot be read",
    detail="it must be a path that begins with '/', or a whole URL",
)
_NO_WEBSOCKETS = Problem(
    status=403,
    kind="no-websockets",
    title="This server speaks no WebSocket",
    detail="ask by plain HTTP requests",
    headers={"Connection": "close"},
)


class _Answer:
    """The answer to one request on its way out."""

    def __init__(self, scope: Scope, send: Send, facts: Facts) -> None:
        self._send = send
        self._gate = facts.gate
        self._id = facts.id.encode()
        self._http_1 = scope.get("http_version", "1.1").startswith("1")
        names = {bytes(name).lower() for name, _ in scope["headers"]}
        self._has_body = bool(names & {b"content-length", b"transfer-encoding"})
        self._deadline: float | None = None
        self.status: int | None = None

    @property
    def started(self) -> bool:
        return self.status is not None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._body_is_left:
                await self._discard(pause=_PAUSE)
            headers = [*message["headers"], (b"x-request-id", self._id)]
            if self._body_is_left and self._http_1:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        ends = message["type"] == "http.response.body" and not message.get("more_body")
        if ends:
            if self._body_is_left:
                await self._send({**message, "more_body": True})
                await self._discard()
                message = {"type": "http.response.body", "body": b""}
            self._gate.answered()
        await self._send(message)

    async def _discard(self, pause: float = math.inf) -> None:
        if self._deadline is None:
            self._deadline = trio.current_time() + _LINGER
        await self._gate.discard(self._deadline, pause)

    @property
    def _body_is_left(self) -> bool:
        return self._has_body and not self._gate.over


class Boundary:
    """Wraps an ASGI app with the gate, and with answers to what it cannot answer."""

    def __init__(self, app: App, count: Count, shortcut: Shortcut) -> None:
        self._app = app
        self._count = count
        self._shortcut = shortcut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass on what is not HTTP."""
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "websocket":
                await _refuse_websocket(scope, send)
            case _:
                await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = Facts(request_id(scope["headers"]), BodyGate(receive))
        answer = _Answer(scope, send, facts)
        began = trio.current_time()
        with naming_the_request(facts.id):
            try:
                await self._answer(scope, facts, answer)
            finally:
                if answer.status is not None:
                    self._count(scope["method"], facts.route, answer.status)
                _log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=answer.status,
                    seconds=round(trio.current_time() - began, 6),
                    client=facts.client.name if facts.client else None,
                )

    async def _answer(self, scope: Scope, facts: Facts, answer: _Answer) -> None:
        if (headers := self._shortcut(scope, facts)) is not None:
            for message in _messages(304, headers):
                await answer.send(message)
            return
        if scope["path"] == "*" and scope["method"] == "OPTIONS":
            await _answer_itself(_abilities(), facts.gate, answer)
            return
        path = _path_of(scope["path"])
        if path is None:
            messages = _messages_of(_BAD_TARGET, facts.id)
            await _answer_itself(messages, facts.gate, answer)
            return
        try:
            with facts.closing:
                await self._app(
                    {**scope, "path": path, FACTS: facts},
                    facts.gate.receive,
                    answer.send,
                )
        except Exception as error:  # the outermost: nobody above can answer
            if facts.gate.left:
                # Quart drops what goes wrong then, or raises an error of its own.
                _log.info("client-left", error=repr(error))
                return
            problem = internal_problem(_log, facts.id)
            if answer.started:
                raise
            await _answer_itself(_messages_of(problem, facts.id), facts.gate, answer)


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


async def _answer_itself(
    messages: tuple[Message, ...], gate: BodyGate, answer: _Answer
) -> None:
    """Send an answer, and read the request meanwhile as Quart would.

    Otherwise hypercorn's reader would wait for ever with a body that nobody takes.
    """

    async def read_on() -> NoReturn:
        while True:
            await gate.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_on)
        for message in messages:
            await answer.send(message)
        nursery.cancel_scope.cancel("the request is answered")


def _abilities() -> tuple[Message, ...]:
    """Answer `OPTIONS *`, which asks about the server as a whole (RFC 9110, 9.3.7)."""
    return _messages(204, [(b"allow", b"DELETE, GET, HEAD, OPTIONS, POST")])


async def _refuse_websocket(scope: Scope, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    called = request_id(scope["headers"])
    start, body = _messages_of(_NO_WEBSOCKETS, called)
    headers = [*start["headers"], (b"x-request-id", called.encode())]
    for message in ({**start, "headers": headers}, body):
        await send({**message, "type": f"websocket.{message['type']}"})


def _messages_of(problem: Problem, request: str) -> tuple[Message, ...]:
    body = problem.body(request_id=request)
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in problem.all_headers().items()
    ]
    headers.append((b"content-length", str(len(body)).encode()))
    return _messages(problem.status, headers, body)


def _messages(status: int, headers: Headers, body: bytes = b"") -> tuple[Message, ...]:
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )
