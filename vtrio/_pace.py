"""How fast to ask one server, all waits together: arithmetic on instants and tickets.

Free until the server objects: then whoever asks goes at once. A refusal (429, 503)
teaches what it allows (`_allowance`), a hint (`Retry-After`) stops everybody until
then, failures cap the load (`_outage`). Requests go evenly spread, one at a time:
whatever has gathered goes on as a row, not as a herd. And so does whatever has
gathered because there were not enough places for it.
"""

from __future__ import annotations

import math

from ._allowance import Allowance
from ._outage import Outage

# A slip of the server's pen must not stop all waits for a week.
LONGEST_PAUSE = 300.0
# Who waits for an instant wakes a little late; so much is made up for by the next.
# Idleness is not: it would become a burst.
MADE_UP = 0.02
# So many that wait for a place are a herd: jobs that were submitted together, or what
# has gathered while nothing was answered. It takes this many seconds at least. If it
# takes longer, because others join it all the time, it is hurried more and more.
HERD = 100
HERD_TIME = 1.0


class Pace:
    """The instants at which requests may go; durations in seconds.

    Args:
        max_rate: requests a second at most, whatever the server allows.
    """

    __slots__ = (
        "_allowance",
        "_herd",
        "_herd_since",
        "_latest",
        "_max_rate",
        "_outage",
        "_paused_until",
        "_row",
    )

    def __init__(self, *, max_rate: float | None = None) -> None:
        self._max_rate = math.inf if max_rate is None else max_rate
        self._allowance = Allowance()
        self._outage = Outage()
        self._paused_until = -math.inf
        self._row = -math.inf  # when the latest request went, as the row has it
        self._latest = 0
        self._herd = 0
        self._herd_since = math.inf

    def gather(self, waiting: int, *, now: float) -> None:
        """Take in how many wait for their turn now."""
        if waiting >= HERD > self._herd:
            self._herd_since = now
        self._herd = max(self._herd, waiting) if waiting else 0

    def rate(self, now: float) -> float:
        """Return how many requests a second may go; infinite for no limit."""
        rate = min(self._max_rate, self._allowance.rate, self._outage.cap(now))
        if self._herd < HERD:
            return rate
        overdue = min(max(0.0, now - self._herd_since - HERD_TIME), 30.0)
        return min(rate, self._herd / HERD_TIME * 2**overdue)

    def paused_until(self, now: float) -> float | None:
        """Return the instant until which nothing may go, if there is one."""
        return self._paused_until if self._paused_until > now else None

    def next_at(self, now: float, *, lone: bool = False) -> float:
        """Return the instant from which the next request may go, not before now.

        A lone one is that of the only wait there is: it keeps to its own schedule,
        and honours hints itself, but not beyond `max_rate`.
        """
        rate = self._max_rate if lone else self.rate(now)
        at = now if lone else max(now, self._paused_until)
        return at if rate == math.inf else max(at, self._row + 1 / rate)

    def take(self, now: float, *, waited: bool = False) -> int:
        """Let a request go, and return its ticket.

        `waited` tells that it was there before its instant, so that the row goes on
        from that instant even if it was woken late.
        """
        row = now
        if waited:
            rate = self.rate(now)
            due = max(self._paused_until, self._row + 1 / rate)
            row = min(now, max(due, now - MADE_UP))
        self._row = max(row, self._row)
        self._outage.sent(now)
        self._latest += 1
        return self._latest

    def answered(self, ticket: int, *, now: float, waiting: int = 0) -> None:
        """Take in a good answer, and how many wait for their turn meanwhile."""
        self._allowance.answered(ticket, now=now, is_busy=waiting > 0)
        self._outage.answered(now=now, waiting=waiting)

    def refused(self, ticket: int, *, now: float, hint: float | None) -> None:
        """Take in a refusal, and the pause that the server asked for, if it did."""
        if hint is not None:
            until = now + min(max(0.0, hint), LONGEST_PAUSE)
            self._paused_until = max(self._paused_until, until)
        self._allowance.refused(
            ticket, latest=self._latest, now=now, until=self._paused_until
        )
        # It has nothing left: what it gets in the time of one request is the next's.
        self._row = max(self._row, now)

    def failed(self, *, now: float) -> None:
        """Take in that a request had no good answer for another reason."""
        self._outage.failed(now=now)

    @property
    def has_credit(self) -> bool:
        """Tell whether a poll may be made early because the one before it failed."""
        return self._outage.credits >= 1

    def pay(self) -> None:
        """Take a credit for such a poll."""
        self._outage.credits -= 1
