"""The feed of changes as a stream, or as the whole answer of who knows none."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import trio

from .._errors import BadAnswer
from .._source import Changes
from ._documents import parse_object
from ._events import EventReader
from ._http import STATUS_LIMIT
from ._lists import read_change
from ._reading import Reply, read_cursor

# What a server says nothing of: the text on server-sent events suggests 15 s.
_HEARTBEAT = 15.0
_APPLIED = re.compile(r"\bwait\s*=\s*\"?([0-9]{1,5})\b", re.IGNORECASE)


class WholeAnswer:
    """What has changed, all at once."""

    heartbeat: float | None = None

    def __init__(self, changes: Changes) -> None:
        self._left = [changes]

    async def receive(self) -> Changes:
        """Give it, once."""
        await trio.lowlevel.checkpoint()
        if not self._left:
            raise trio.EndOfChannel
        return self._left.pop()


class EventPieces:
    """What has changed, as it comes; see `ChangeStream`.

    Args:
        after: where it begins.
        reply: the head of the answer.
        pieces: its body.
    """

    def __init__(self, after: str, reply: Reply, pieces: AsyncIterator[bytes]) -> None:
        self._cursor = after
        self._reply = reply
        self._pieces = pieces
        self._reader = EventReader(STATUS_LIMIT)
        applied = _APPLIED.search(reply.headers.get("preference-applied", ""))
        self.heartbeat: float | None = _HEARTBEAT
        if applied is not None:
            self.heartbeat = max(1.0, float(applied[1]))
        encoding = reply.headers.get("content-encoding", "identity")
        if encoding.strip().lower() != "identity":
            raise BadAnswer("the stream is compressed, though identity was asked")

    async def receive(self) -> Changes:
        """Wait for the next piece; a change in it that cannot be read is left out."""
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise trio.EndOfChannel from None
        changes = []
        try:
            for event in self._reader.feed(piece):
                change = read_change(parse_object(event.data))
                if change is not None:
                    changes.append(change)
        except BadAnswer as error:
            error.status_code = self._reply.status
            raise
        # Where nothing changes, the cursor goes on all the same.
        self._cursor = _cursor_in(self._reader.last_id) or self._cursor
        return Changes(
            changes=tuple(changes), next=self._cursor, held=True, size=len(piece)
        )


def _cursor_in(last_id: bytes) -> str | None:
    return read_cursor(last_id.decode("ascii", "replace"))
