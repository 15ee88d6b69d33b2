"""Sources that answer from a script, on whatever clock trio runs."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

from .._errors import RemoteError
from .._job import Job, JobStatus
from .._source import Answer, Capabilities

Step = JobStatus | str | Job | Answer | RemoteError


@dataclass(slots=True)
class ScriptedSource:
    """Answers one step a request; the last step is repeated.

    A step is a status or its word, a `Job`, an `Answer`, or an error to raise. Each
    answer takes `latency` seconds; with `math.inf` it never comes.

    Attributes:
        asked_at: the instants of all requests, on trio's clock, from the making of the
            source on.
        in_flight: requests that have not been answered yet.
    """

    steps: tuple[Step, ...]
    latency: float
    asked_at: list[float]
    in_flight: int
    capabilities: Capabilities = field(default_factory=Capabilities)

    def __init__(self, *steps: Step, latency: float = 0.0) -> None:
        if not steps:
            raise ValueError("steps=() is not allowed: must be at least one")
        self.steps = steps
        self.latency = latency
        self.asked_at = []
        self.in_flight = 0
        self.capabilities = Capabilities()

    async def status(self, job_id: str) -> Answer:
        """Give the next step, as the last was given."""
        step = self.steps[min(len(self.asked_at), len(self.steps) - 1)]
        self.asked_at.append(trio.current_time())
        return await _give(self, step, job_id)


@dataclass(slots=True)
class TimedSource:
    """Answers what is true at the instant of asking: a job that lives by the clock.

    `changes` are pairs of an instant on trio's clock and the step that holds from
    then on; before the first the job is pending.
    """

    changes: tuple[tuple[float, Step], ...]
    latency: float
    asked_at: list[float]
    in_flight: int
    capabilities: Capabilities = field(default_factory=Capabilities)

    def __init__(
        self, changes: Iterable[tuple[float, Step]], *, latency: float = 0.0
    ) -> None:
        self.changes = tuple(sorted(changes, key=lambda change: change[0]))
        self.latency = latency
        self.asked_at = []
        self.in_flight = 0
        self.capabilities = Capabilities()

    async def status(self, job_id: str) -> Answer:
        """Tell what holds now."""
        now = trio.current_time()
        self.asked_at.append(now)
        begun = bisect_right(self.changes, now, key=lambda change: change[0])
        step = self.changes[begun - 1][1] if begun else JobStatus.PENDING
        return await _give(self, step, job_id)


async def _give(
    source: ScriptedSource | TimedSource, step: Step, job_id: str
) -> Answer:
    source.in_flight += 1
    try:
        if source.latency == math.inf:
            await trio.sleep_forever()
        await trio.sleep(source.latency)
    finally:
        source.in_flight -= 1
    match step:
        case RemoteError():
            raise step
        case Answer():
            return step
        case Job():
            return Answer(job=step)
        case word:
            return Answer(job=Job(id=job_id, status=JobStatus(word)))
