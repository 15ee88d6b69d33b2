"""The deadlines of many waits, and how the last polls of a crowd get their turns."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter

from ._entry import Entry

# Deadlines this close together, in seconds, are those of a crowd.
_TOGETHER = 0.1
# Multiples of it, less their whole parts, are spread evenly, however many there are.
_GOLDEN = (5**0.5 - 1) / 2
# The first of a crowd is not asked about earlier for it than this.
_LONGEST_LEAD = 5.0


class Deadlines:
    """The waits that have a deadline, the soonest first.

    Attributes:
        asks_singly: whether each request is about one job, so that a crowd has turns.
    """

    def __init__(self) -> None:
        self._turns = 0.0
        self.asks_singly = False
        self._heap: list[tuple[float, int, Entry]] = []
        self._numbers = itertools.count()
        self._crowds: Counter[int] = Counter()
        self._waiting = 0

    def add(self, entry: Entry) -> None:
        """Take in a wait that has one."""
        deadline = entry.session.deadline
        heapq.heappush(self._heap, (deadline, next(self._numbers), entry))
        self._crowds[int(deadline / _TOGETHER)] += 1
        self._waiting += 1
        if len(self._heap) > 2 * self._waiting + 1000:
            self._heap = [place for place in self._heap if not place[2].is_over]
            heapq.heapify(self._heap)

    def leave(self, deadline: float) -> None:
        """Take in that a wait with this deadline is over."""
        crowd = int(deadline / _TOGETHER)
        self._waiting -= 1
        self._crowds[crowd] -= 1
        if not self._crowds[crowd]:
            del self._crowds[crowd]

    def pop_due(self, now: float) -> Entry | None:
        """Take out a wait whose deadline has come; None if there is none."""
        while self._heap and (self._heap[0][2].is_over or self._heap[0][0] <= now):
            _, _, entry = heapq.heappop(self._heap)
            if not entry.is_over:
                return entry
        return None

    def next_at(self) -> float:
        """Return the soonest deadline, after `pop_due` has found none."""
        return self._heap[0][0] if self._heap else float("inf")

    def in_turn(self, entry: Entry, poll_at: float, now: float) -> float:
        """Return when the last poll of a wait begins, if it was due at an instant.

        Polls of one job each that begin together take as long as all of them, and the
        last is answered too late. What each adds the quickest answer tells: in a slow one
        there may be the others'. So those of a crowd are spread over that time, and
        who was asked about in its turn is not asked about again.
        """
        if not self.asks_singly or poll_at == float("inf"):
            return poll_at
        others = self._crowds[int(entry.session.deadline / _TOGETHER)] - 1
        takes = min(_LONGEST_LEAD, others * entry.session.quickest_answer)
        if not takes:
            return poll_at
        if entry.turn_at <= entry.looked_at:
            return float("inf")
        if entry.turn_at == float("inf"):
            entry.turn_at = poll_at - self._next_turn() * takes
        if entry.turn_at > now:
            return entry.turn_at
        # It came while something else was asked for, or was missed: any time will do.
        return now + self._next_turn() * max(0.0, poll_at - now)

    def _next_turn(self) -> float:
        """Return a share of the time for all, far from those that were given before."""
        self._turns = (self._turns + _GOLDEN) % 1.0
        return self._turns
