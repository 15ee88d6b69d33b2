"""What is asked of a server that does not answer: no more than of one that does."""

from __future__ import annotations

import math

from ._counts import Counts

# Outcomes that are looked at, and how many of them must be failures, besides being
# most of them, for an outage.
OUTCOMES = 20
LEAST_FAILURES = 5
# The load in an outage is this many times the load of the last healthy seconds, of
# which so many requests are taken at least: a few waits do no harm.
LOAD = 1.05
HEALTHY_SECONDS = 30
LEAST_LOAD = 100
# Once the server answers again, what is asked grows by this factor a second; and whoever
# waits then is asked for within so many seconds.
GROWTH = 1.25
CATCHING_UP = 10.0
# A poll that comes early because one failed costs a credit. There are so many to
# begin with, and good answers earn them back up to that, or a tenth of the load.
FIRST_CREDITS = 10.0
EARNED = 0.1


class Outage:
    """Whether a server is out of order, and what it may be asked meanwhile."""

    __slots__ = (
        *(
            "_back_at",
            "_back_rate",
            "_healthy",
            "_is_out",
            "_most",
            "_outcomes",
            "_seen",
            "_sent",
        ),
        *("_cap", "_was_good", "credits"),
    )

    def __init__(self) -> None:
        self._sent = Counts(1.0, HEALTHY_SECONDS)
        self._outcomes = 0  # a bit each, the latest lowest; a failure is a 1
        self._seen = 0
        self._was_good = True
        self._healthy = 0  # the requests of the seconds before the first failure
        self._is_out = False
        self._cap = math.inf
        self._back_at: float | None = None  # when it answered again
        self._back_rate = math.inf  # what it was asked then
        self._most = FIRST_CREDITS
        self.credits = FIRST_CREDITS
        """Early polls that may be made for failed ones."""

    @property
    def is_out(self) -> bool:
        """Tell whether there is an outage, or the recovery from one."""
        return self._is_out

    def cap(self, now: float) -> float:
        """Return how many requests a second there may be; infinite for no limit."""
        if self._back_at is None:
            return self._cap
        return self._back_rate * math.pow(GROWTH, min(now - self._back_at, 60.0))

    def sent(self, now: float) -> None:
        """Count a request."""
        if self._sent.add(now):
            self._most = max(FIRST_CREDITS, EARNED * self._sent.total(now))

    def answered(self, *, now: float, waiting: int) -> None:
        """Take in a good answer, and how many have to wait meanwhile."""
        self._note(0)
        self._was_good = True
        self.credits = min(self.credits + EARNED, self._most)
        if not self._is_out:
            return
        if self._back_at is None:
            self._back_at = now
            self._back_rate = max(self._cap, waiting / CATCHING_UP)
        if not waiting and not self._most_fail:
            self._is_out = False
            self._cap = math.inf
            self._back_at = None

    def failed(self, *, now: float) -> None:
        """Take in a failure."""
        self._note(1)
        if self._was_good and not self._is_out:
            self._healthy = self._sent.total(now)
        self._was_good = False
        if not self._most_fail:
            return
        self._back_at = None
        if not self._is_out:
            self._is_out = True
            self._cap = LOAD * max(self._healthy, LEAST_LOAD) / HEALTHY_SECONDS

    @property
    def _most_fail(self) -> bool:
        failures = self._outcomes.bit_count()
        return failures >= LEAST_FAILURES and 2 * failures > self._seen

    def _note(self, bit: int) -> None:
        self._outcomes = (self._outcomes << 1 | bit) & ((1 << OUTCOMES) - 1)
        self._seen = min(self._seen + 1, OUTCOMES)
