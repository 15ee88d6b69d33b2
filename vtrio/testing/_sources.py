"""Sources that answer from a script, on whatever clock trio runs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable

import trio

from .._errors import RemoteError
from .._job import Job, JobStatus
from .._source import Answer, Capabilities

Step = JobStatus | str | Job | Answer | RemoteError


class _Scripted(ABC):
    """What the sources here share: they count, take their time, and give a step."""

    capabilities = Capabilities()

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.asked_at: list[float] = []
        self.in_flight = 0

    async def status(self, job_id: str) -> Answer:
        """Give the step that is due."""
        step = self._step()
        self.asked_at.append(trio.current_time())
        self.in_flight += 1
        try:
            if self.latency == math.inf:
                await trio.sleep_forever()
            await trio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        match step:
            case RemoteError():
                raise step
            case Answer():
                return step
            case Job():
                return Answer(job=step)
            case word:
                return Answer(job=_job_of(job_id, word))

    @abstractmethod
    def _step(self) -> Step:
        """Say which step is due."""


class ScriptedSource(_Scripted):
    """Answers one step a request; the last step is repeated.

    A step is a status or its word, a `Job`, an `Answer`, or an error to raise. Each
    answer takes `latency` seconds; with `math.inf` it never comes.

    Attributes:
        asked_at: the instants of all requests, on trio's clock.
        in_flight: requests that have not been answered yet.
    """

    def __init__(self, *steps: Step, latency: float = 0.0) -> None:
        if not steps:
            raise ValueError("steps=() is not allowed: must be at least one")
        super().__init__(latency)
        self.steps = steps

    def _step(self) -> Step:
        return self.steps[min(len(self.asked_at), len(self.steps) - 1)]


class TimedSource(_Scripted):
    """Answers what is true at the instant of asking: a job that lives by the clock.

    `changes` are pairs of an instant on trio's clock and the step that holds from
    then on; before the first the job is pending. All else is as in `ScriptedSource`.
    """

    def __init__(
        self, changes: Iterable[tuple[float, Step]], *, latency: float = 0.0
    ) -> None:
        super().__init__(latency)
        self.changes = sorted(changes, key=lambda change: change[0])

    def _step(self) -> Step:
        now = trio.current_time()
        begun = bisect_right(self.changes, now, key=lambda change: change[0])
        return self.changes[begun - 1][1] if begun else JobStatus.PENDING


def _job_of(job_id: str, word: str) -> Job:
    """Read a word as a source would: one that is none of ours is still running."""
    try:
        return Job(id=job_id, status=JobStatus(word))
    except ValueError:
        return Job(id=job_id, status=JobStatus.RUNNING, unknown_word=word)
