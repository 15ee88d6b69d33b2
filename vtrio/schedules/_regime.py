"""Noticing that durations are no longer what they were.

When several jobs in a row end sooner, or run longer, than a model explains, the model
is out of date. "In a row" must not be the order of their ends: of jobs that were
submitted together, the shortest always end first. So one job at a time is the probe,
chosen when it begins, and the next one begins after it is over: whatever else runs, the
probes are fair draws, one after the other.
"""

from __future__ import annotations

from collections import deque

# How improbable a run must be. It is asked at every probe, for runs of any length, for
# as long as the program lasts.
_IMPROBABLE = 1e-5
_LONGEST_RUN = 12
# A probe that runs for longer than all but this share of jobs has said what it can.
_LATE = 0.01


class RegimeWatch:
    """Judges the latest probes, each by a model that had not seen it.

    Under a model that is right, the share of jobs that end up to a job's end is a
    uniform draw. The probability that the likeliest of k such draws is at most p is
    p**k, so that is how improbable a run of early (or of late) ends is.
    """

    def __init__(self) -> None:
        self._early: deque[float] = deque(maxlen=_LONGEST_RUN)
        self._late: deque[float] = deque(maxlen=_LONGEST_RUN)

    def note(self, *, ended_by: float, outlasted: float, ends: int) -> None:
        """Take in a probe.

        Args:
            ended_by: the share of jobs that end before its end was seen; 1 if it was
                given up.
            outlasted: the share that runs for longer than it was seen to run.
            ends: how many ends the model was learned from: it knows no share better
                than to one of them.
        """
        self._early.append(_cautious(ended_by, ends))
        self._late.append(_cautious(outlasted, ends))

    def change(self) -> int | None:
        """Return how many of the latest probes are too improbable together, if any."""
        for shares in (self._early, self._late):
            likeliest = 0.0
            for count, share in enumerate(reversed(shares), start=1):
                likeliest = max(likeliest, share)
                if count > 1 and likeliest**count < _IMPROBABLE:
                    return count
        return None


def has_said_enough(outlasted: float, ends: int) -> bool:
    """Tell whether a probe has run for so long that its end would add nothing."""
    return _cautious(outlasted, ends) <= max(_LATE, 2 / (ends + 1))


def _cautious(share: float, ends: int) -> float:
    return (share * ends + 1) / (ends + 1)
