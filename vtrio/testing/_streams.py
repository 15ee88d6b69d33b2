"""The feed as a stream of events: pieces that are known when they come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from . import _wire
from ._holding import FEED, Holding
from ._instants import Instants, wall
from ._replies import Coming, Cut, Piece, Reply

if TYPE_CHECKING:
    from ._faults import Fault
    from ._feed import Feed
    from ._timeline import Exchange

LONGEST_BEAT = 15
"""Seconds after which a stream with nothing to tell shows that it lives."""

_COMMENT = b":\n\n"
# As `vtrio serve` does: what comes soon after a piece goes together.
_GATHER = 0.02
_GATHER_EACH = 0.001
_LONGEST_GATHER = 0.1


class StreamedChanges(Coming):
    """The body of an answer that goes on: whoever reads it waits for each piece.

    Args:
        exchange: the request.
        feed: what is told.
        holding: where it waits.
        instants: the server's clock.
        after: the number of the event behind which it begins.
        limit: how many events a piece has at most.
        manner: how it is told; its `wait` is the beat in seconds.
        heard: whether the client hears the events.
        word: the status to tell instead of the right ones.
    """

    def __init__(
        self,
        exchange: Exchange,
        feed: Feed,
        holding: Holding,
        instants: Instants,
        *,
        after: int,
        limit: int,
        manner: _wire.Manner,
        heard: bool,
        word: str,
    ) -> None:
        self._exchange = exchange
        self._feed = feed
        self._holding = holding
        self._instants = instants
        self._after = after
        self._cursor = feed.cursor(after)
        self._limit = limit
        self._manner = manner
        self._beat = LONGEST_BEAT if manner.wait is None else manner.wait
        self._heard = heard
        self._word = word
        self._has_begun = False
        self._has_ended = False
        self._gathers_until = -math.inf

    def __iter__(self) -> Iterator[Coming]:
        """Give itself, for each piece that is to come."""
        while not self._has_ended:
            yield self

    async def come(self) -> Piece:
        """Wait for the next piece; an empty one is the end."""
        if self._has_begun and (fault := await self._wait()) is not None:
            return self._end_with(fault, wall(self._instants.now()))
        self._has_begun = True
        # A stream cannot say that its cursor is none any more: it ends.
        if self._has_expired():
            self._has_ended = True
            return b""
        return self._tell()

    async def _wait(self) -> Fault | None:
        return await self._holding.hold(
            self._exchange, self._beat, (FEED,), self._is_news, self._due_at
        )

    def _is_news(self, now: float) -> bool:
        self._feed.advance(now)
        if self._has_expired():
            return True
        return self._after < self._feed.last and now >= self._gathers_until

    def _due_at(self) -> float | None:
        due_at = self._feed.due_at
        if self._after < self._feed.last:
            return self._gathers_until
        return None if due_at is None else max(due_at, self._gathers_until)

    def _has_expired(self) -> bool:
        return self._feed.read_cursor(self._cursor) != self._after

    def _tell(self) -> bytes:
        now = self._instants.now()
        self._feed.advance(now)
        members = self._feed.members(
            self._after,
            self._limit,
            now=now,
            whole=self._manner.whole,
            heard=self._heard,
            word=self._word,
        )
        if not members:
            return _COMMENT
        self._after += len(members)
        self._cursor = self._feed.cursor(self._after)
        gather = min(_GATHER + _GATHER_EACH * len(members), _LONGEST_GATHER)
        self._gathers_until = now + gather
        return b"".join(
            b"id: %b\ndata: %b\n\n" % (member["cursor"].encode(), _wire.dump(member))
            for member in members
        )

    def _end_with(self, fault: Fault, at: datetime) -> Piece:
        """End as a fault has it: what is under way can but break off, or fall silent."""
        self._has_ended = True
        before = fault.spoil(Reply, at).before
        return before[0] if before else Cut.RESET


def streamed(body: StreamedChanges, manner: _wire.Manner) -> Reply:
    """Answer with a stream."""
    headers = manner.headers(runs=False)
    headers |= {"content-type": "text/event-stream", "x-accel-buffering": "no"}
    return _wire.stream_about_jobs(body, headers=headers)
