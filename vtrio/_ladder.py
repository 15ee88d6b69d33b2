"""Which way to learn of many jobs' ends: the best one that works, and when to try again.

From the best rung to the one that always works:

    feed    one request is held until any job of the client changes, or goes on telling
    held    one request about all jobs is held until one of them changes
    batch   each request asks about many jobs, when their schedules say so
    single  each request asks about one job, likewise

A rung that fails rests, and those below it do its work meanwhile. It may be tried again
after a pause that doubles with each failure in a row; a server that does not know the rung
at all is asked again after a long one, since it may have been brought up to date.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from ._errors import Refused, RemoteError, Unauthorized
from ._source import Capabilities


class Rung(StrEnum):
    """A way to learn how jobs stand."""

    FEED = "feed"
    HELD = "held"
    BATCH = "batch"
    SINGLE = "single"


LADDER = (Rung.FEED, Rung.HELD, Rung.BATCH, Rung.SINGLE)
LISTENING = frozenset({Rung.FEED, Rung.HELD})
"""Rungs that are told of a change; on the others somebody has to ask at the right time."""

# The pause after a failure: so many seconds, doubled with each one in a row.
FIRST_REST = 2.0
LONGEST_REST = 60.0
# A server that has no such rung gets it with a release, not within a minute.
ABSENT_REST = 300.0

# How long an answer is asked to be held: short at first, so that a rung which never
# answers is soon found out, and longer with each hold that came back. Most proxies cut
# what is silent for 30 s or a minute.
FIRST_HOLD = 5.0
LONGEST_HOLD = 25.0
# What an answer may take beyond that.
GRACE = 3.0


class Ladder:
    """Which rungs there are, which of them rest, and until when. Instants are given.

    Args:
        rungs: those that may be used; `SINGLE` always may.
    """

    def __init__(self, rungs: Iterable[Rung]) -> None:
        allowed = {*rungs, Rung.SINGLE}
        self.rungs = tuple(rung for rung in LADDER if rung in allowed)
        self._rests_until: dict[Rung, float] = {}
        self._failures: dict[Rung, int] = {}
        self._hold: dict[Rung, float] = {}
        self._proven: set[Rung] = set()
        self._absent: set[Rung] = set()

    def __repr__(self) -> str:
        resting = ", ".join(self._rests_until)
        return f"<Ladder {' > '.join(self.rungs)}; resting: {resting or 'none'}>"

    def may_use(self, rung: Rung, now: float) -> bool:
        """Tell whether a rung is there, and does not rest."""
        return rung in self.rungs and self._rests_until.get(rung, now) <= now

    def rests_until(self, rung: Rung) -> float:
        """Return the instant from which a rung may be tried again."""
        return self._rests_until.get(rung, 0.0)

    def is_proven(self, rung: Rung) -> bool:
        """Tell whether a listening rung has answered since it was last taken up.

        Until it has, nobody may rely on being told.
        """
        return rung in self._proven

    def hold(self, rung: Rung) -> float:
        """Return for how many seconds an answer should be held."""
        return self._hold.get(rung, FIRST_HOLD)

    def worked(self, rung: Rung, *, waited: bool = False, begins: bool = False) -> None:
        """Take in a good answer.

        Args:
            rung: where it came from.
            waited: whether it was held for all that was asked.
            begins: whether it only shows that there is an answer, of which nothing has
                come yet: the failures before it are not forgotten for that.
        """
        self._rests_until.pop(rung, None)
        if not begins:
            self._failures.pop(rung, None)
        if rung in LISTENING:
            self._proven.add(rung)
        if waited:
            self._hold[rung] = min(2 * self.hold(rung), LONGEST_HOLD)

    def left(self, rung: Rung) -> None:
        """Take in that a listening rung is not listened on any more, for now."""
        self._proven.discard(rung)

    def failed(self, rung: Rung, *, now: float, absent: bool = False) -> None:
        """Take in a failure; `absent` if the server has no such rung."""
        self._proven.discard(rung)
        self._hold.pop(rung, None)
        failures = self._failures[rung] = self._failures.get(rung, 0) + 1
        rest = min(FIRST_REST * 2.0 ** min(failures - 1, 30), LONGEST_REST)
        self._rests_until[rung] = now + (ABSENT_REST if absent else rest)
        self._absent.discard(rung)
        if absent:
            self._absent.add(rung)

    def recovered(self) -> None:
        """Take in that the server answers again: what failed with it need not rest.

        What it does not know rests on, and who fails again rests for longer.
        """
        for rung in list(self._rests_until):
            if rung not in self._absent:
                del self._rests_until[rung]

    def best(self, now: float) -> Rung:
        """Return the best rung that does not rest."""
        return next(
            (rung for rung in self.rungs if self.may_use(rung, now)), Rung.SINGLE
        )


def is_absent(error: RemoteError) -> bool:
    """Tell whether an error says that the server has no such rung."""
    if isinstance(error, Unauthorized):
        return False
    return isinstance(error, Refused) or error.status_code == 501


def rungs_of(capabilities: Capabilities, best: Rung) -> tuple[Rung, ...]:
    """Return what a source can do, from `best` on downwards."""
    can = {
        Rung.FEED: capabilities.change_feed and capabilities.held_status,
        Rung.HELD: capabilities.status_of_many and capabilities.held_status,
        Rung.BATCH: capabilities.status_of_many,
        Rung.SINGLE: True,
    }
    return tuple(rung for rung in LADDER[LADDER.index(best) :] if can[rung])
