"""The gate that a request's body comes in through, no faster than it is consumed.

Quart's message task reads the body as fast as it comes and buffers all of it. The gate
lets in no more than a window ahead of what the route has consumed, so that
back-pressure reaches the client's socket.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import trio

from .errors import BadUpload

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

# Four reads of hypercorn's: enough that the disk and the network overlap.
WINDOW = 256 * 1024


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

    async def discard(self, deadline: float, pause: float = math.inf) -> None:
        """Read and drop the rest of the body, until it pauses or the deadline comes."""
        self._pause = pause
        with (
            trio.move_on_at(deadline),
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
        except Exception as error:  # whichever it is: it goes on, or is told as ours
            # Newer Quarts tell a route by an error of theirs that its client has left.
            if self._gate.left:
                raise BadUpload("the client left before its body was whole") from error
            raise
        self._handed_out = len(data)
        return data
