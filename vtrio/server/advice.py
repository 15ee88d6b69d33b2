"""When a client is told to ask again: learned from the jobs that were run."""

from __future__ import annotations

import math

from .._job import JobStatus
from ..schedules import (
    DurationHistory,
    Exponential,
    Followed,
    Learned,
    Observation,
    PollState,
    Schedule,
)
from .store import JobRecord

# Seconds between two looks at what runs, when jobs end all the time.
_PAUSE = 1.0


class Advice:
    """Tells after how many seconds to ask for a job again.

    `schedule` is asked with the age of the job; by default it learns from the jobs
    that begin and end here, so that a client which honours nothing but `Retry-After`
    polls well.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.durations = DurationHistory()
        """How long jobs took, from their submission on."""
        self._followed: dict[str, tuple[Followed, float]] = {}
        self._noted_at = -math.inf
        # Before a job has ended, a server that knows nothing had better be asked a
        # little too often than hold back clients that may know more.
        self._schedule = schedule or Learned(
            history=self.durations, cold=Exponential(1, 1.1, cap=20), spread=0
        )

    def _note_running(self, now: float) -> None:
        """Take in that those which still run, and nobody has asked about, last longer.

        There may be hundreds, and hundreds of ends a second: now and then is enough.
        """
        if now < self._noted_at + _PAUSE:
            return
        self._noted_at = now
        for followed, created in self._followed.values():
            followed.runs(max(now - created, 0.0))

    def ask_again_after(self, record: JobRecord, *, age: float) -> int:
        """Return the whole seconds after which to ask for a job of this age again."""
        work = record.media_seconds
        if record.id in self._followed:
            self._followed[record.id][0].runs(age, work=work)
        state = PollState(age=age, start_age=age, answers=1, work=work)
        return max(1, math.ceil(self._schedule.delay(state)))

    def begun(self, record: JobRecord, *, age: float = 0.0) -> None:
        """Take in that there is a job, of this age."""
        if (followed := self.durations.follow(age=age)) is not None:
            self._followed[record.id] = (followed, record.created.clock)

    def ended(self, record: JobRecord) -> None:
        """Take in how long a job took, from its submission on."""
        followed, _ = self._followed.pop(record.id, (None, 0.0))
        if followed is None or record.finished is None:
            return
        self._note_running(record.finished.clock)
        duration = max(record.finished.clock - record.created.clock, 0.0)
        # One that was cancelled would have taken longer.
        cancelled = record.status is JobStatus.CANCELLED
        followed.over(
            Observation(
                after=duration,
                until=None if cancelled else duration,
                work=record.media_seconds,
            )
        )
