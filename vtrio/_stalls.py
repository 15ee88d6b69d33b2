"""When a job has not changed for too long: in the queue, and at work.

What is too long the caller says, or the jobs that have ended: a budget lies as far beyond
the 99th percentile of their times as that lies beyond the median, in ratio. (For a
lognormal distribution that is 4.65 standard deviations above the middle: one in 600,000.)
Nothing is reported before there is enough to judge by.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ._job import Job, JobStatus
from ._names import publish

# How many jobs must have ended, and how many are remembered.
ENOUGH = 20
REMEMBERED = 500
# Where all take the same time, or hardly any, a little more is no stall yet.
_LEAST_RATIO = 1.5
_LEAST_BUDGET = 10.0


class JobPhase(StrEnum):
    """What a job was doing for too long."""

    QUEUE = "queue"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A job has not changed for longer than others explain; the wait for it goes on.

    Attributes:
        job_id: which job.
        job: as it was last seen, if it was.
        phase: whether it waits in the queue or is worked on.
        seconds: for how long it has not changed, as far as is known.
        budget: how long that may take, as the caller said or as was learned.
    """

    job_id: str
    job: Job | None
    phase: JobPhase
    seconds: float
    budget: float


class PhaseTimes:
    """How long the latest jobs of a class took, in the queue and at work."""

    def __init__(self) -> None:
        self._times = {phase: _Times() for phase in JobPhase}

    def note(self, job: Job) -> None:
        """Take in a job that has ended, as far as the server tells its times.

        Only a job that was completed says how long work takes; how long it had waited
        for its turn does not depend on how it ended.
        """
        began, ended = job.started_at, job.finished_at
        if began is None:
            return
        self._note(JobPhase.QUEUE, job.created_at, began)
        if job.status is JobStatus.COMPLETED:
            self._note(JobPhase.RUN, began, ended)

    def budget(self, phase: JobPhase) -> float | None:
        """Return how long a phase may take, in seconds; None if too little is known."""
        return self._times[phase].budget()

    def known(self, phase: JobPhase) -> int:
        """Return how many jobs that budget is learned from."""
        return len(self._times[phase])

    def _note(
        self, phase: JobPhase, start: datetime | None, end: datetime | None
    ) -> None:
        if start is not None and end is not None and end >= start:
            self._times[phase].note((end - start).total_seconds())


class _Times:
    """The latest times, in the order in which they came and by their length."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def note(self, seconds: float) -> None:
        if len(self._latest) == REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._sorted, seconds)

    def budget(self) -> float | None:
        known = len(self._sorted)
        if known < ENOUGH:
            return None
        middle = self._sorted[known // 2]
        high = self._sorted[min(known - 1, known * 99 // 100)]
        # A queue may be empty for half of the jobs: then nothing follows from a ratio.
        ratio = high / middle if middle > 0 else _LEAST_RATIO
        return max(high * max(ratio, _LEAST_RATIO), _LEAST_BUDGET)


publish(JobPhase, Stall)
