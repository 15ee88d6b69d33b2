"""How many requests a second a server allows, learned from what it refuses.

A server that refuses has spent what it allows: its bucket of tokens is empty then. So
between two refusals it has given exactly as much as it allows in that time, and the
good answers in between, divided by the seconds, are the rate, however the bucket is
made; only where it was full for a while does that come out too low. From there on the
rate goes up to that limit, stays near it, and then feels its way beyond, as TCP does
with CUBIC (RFC 9438), but by good answers and not by seconds: so that at any rate a
refusal is paid for by some two hundred answers.
"""

from __future__ import annotations

import math

from ._counts import Counts

# The first refusal leaves this rate at least, requests a second: it may have been a
# mishap, and a lone wait does not ask any faster.
FIRST_RATE = 10.0
# The rate goes down to this part of the limit. A bucket fills up again, and one that
# is full wastes what comes: it must not take long until the limit is tried again.
STEP_DOWN = 0.95
# Good answers from a refusal until the rate is at the limit again. Twice as many, and
# it is as far beyond.
ANSWERS_TO_LIMIT = 100
# So many more for each request that is on its way when a refusal comes.
ANSWERS_FOR_EACH = 8
# What a server is asked where it refuses everything, and what it is at least where it
# does not: requests a second.
LEAST_TRIAL = 0.2
LEAST_RATE = 0.05
# A burst that the server had saved up inflates what the last second held.
BURST_SHARE = 0.9
# Seconds without a refusal, and without anybody waiting, until all is forgotten.
FORGET_AFTER = 60.0


class Allowance:
    """What a server lets through; infinite where it has not refused anything."""

    __slots__ = (
        *("rate", "_accepted", "_before", "_blamed", "_busy_at", "_good", "_grown_at"),
        *("_limit", "_probed", "_refused", "_refused_at", "_spent_at"),
    )

    def __init__(self) -> None:
        self.rate = math.inf
        """Requests a second."""
        self._limit = math.inf
        self._good = Counts(0.1, 10)
        self._accepted = 0  # good answers since the refusal that last lowered the rate
        self._probed = 0  # those of them that somebody had waited for
        self._spent_at = -math.inf  # when the server last had nothing left to give
        self._grown_at = -math.inf
        self._busy_at = -math.inf  # when somebody last had to wait
        self._refused_at = -math.inf
        self._refused = 0  # the ticket that the rate was last lowered for
        self._blamed = 0  # the last one that had been sent by then
        self._before = math.inf  # the rate before the server refused everything

    def answered(self, ticket: int, *, now: float, is_busy: bool) -> None:
        """Take in a good answer, and whether others have to wait meanwhile."""
        self._good.add(now)
        if self.rate == math.inf:
            return
        if ticket > self._refused:
            self._accepted += 1
        if ticket <= self._blamed and self._limit == math.inf:
            # It was on its way beside the first refusal, and is part of what was given.
            self.rate = max(self.rate, STEP_DOWN * self._good.rate(now))
        if self._before < math.inf:
            # It is back: no need to start where the trials were.
            self.rate = max(self.rate, self._before / 4)
            self._before = math.inf
            self._grown_at = now
        if is_busy:
            self._busy_at = now
            self._grow(now)
        elif now - max(self._busy_at, self._refused_at) >= FORGET_AFTER:
            self.rate = self._limit = math.inf

    def refused(self, ticket: int, *, latest: int, now: float, until: float) -> None:
        """Take in a refusal of a request; `latest` is the last that has been sent.

        `until` is the instant until which nothing will be sent. What was on its way
        when the rate was lowered says nothing of the new rate.
        """
        self._refused_at = now
        if ticket <= self._blamed:
            return
        self._refused, self._blamed = ticket, latest
        if self.rate == math.inf:
            self.rate = max(FIRST_RATE, STEP_DOWN * self._good.rate(now))
        elif self._accepted == 0:
            if self._before == math.inf:
                self._before = self.rate
            self.rate = max(self.rate / 2, min(self.rate, LEAST_TRIAL))
        else:
            self._limit = max(LEAST_RATE, min(self._estimate(now), self.rate))
            self.rate = STEP_DOWN * self._limit
        self._accepted = self._probed = 0
        self._spent_at = self._grown_at = max(now, until)

    def _estimate(self, now: float) -> float:
        """Say what the server allows, now that it has nothing left."""
        n = self._accepted
        between = n * n / (n + 1) / max(now - self._spent_at, 1e-9)
        return max(between, BURST_SHARE * self._good.rate(now))

    def _grow(self, now: float) -> None:
        base = STEP_DOWN * self._limit
        if self.rate < base:
            passed = min(max(0.0, now - self._grown_at), 1.0)
            self.rate = min(self.rate * 2**passed, base)
        else:
            self._probed += 1
            # A refusal is learned late: others that were sent meanwhile are refused too.
            on_their_way = self._blamed - self._refused
            stretch = ANSWERS_TO_LIMIT + ANSWERS_FOR_EACH * on_their_way
            beyond = min(self._probed / stretch - 1, 100.0)
            grown = self._limit * (1 + (1 - STEP_DOWN) * beyond**3)
            self.rate = max(self.rate, grown)
        self._grown_at = now
