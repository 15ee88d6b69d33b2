"""The job behind `GET /status`: it starts with the server and ends by the clock."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .._checks import check_number
from .._distributions import Durations
from .._job import JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A job that nothing works on: pending from its start until its duration is over.

    Attributes:
        started: when it started, on trio's clock.
        duration: how long it takes, in seconds.
        ending: how it ends.
    """

    started: float
    duration: float
    ending: JobStatus = JobStatus.COMPLETED

    def __post_init__(self) -> None:
        check_number("duration", self.duration, least=0)
        if self.ending not in (JobStatus.COMPLETED, JobStatus.ERROR):
            raise ValueError(
                f"ending={self.ending!r} is not allowed: must be completed or error"
            )

    @classmethod
    def draw(
        cls,
        started: float,
        *,
        rng: random.Random,
        durations: Durations = Durations("uniform", (5, 15)),  # noqa: B008 - frozen
        failure_rate: float = 0.2,
    ) -> Demonstration:
        """Draw a duration and an ending."""
        check_number("failure_rate", failure_rate, least=0, most=1)
        duration = durations.at(rng.random())
        fails = rng.random() < failure_rate
        ending = JobStatus.ERROR if fails else JobStatus.COMPLETED
        return cls(started=started, duration=duration, ending=ending)

    def status(self, now: float) -> JobStatus:
        """Return where the job stands."""
        over = now >= self.started + self.duration
        return self.ending if over else JobStatus.PENDING
