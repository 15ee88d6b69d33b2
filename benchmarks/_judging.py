"""What looks at jobs cost: requests and lag, by direct simulation."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vtrio.schedules import (
    DurationHistory,
    Learned,
    Observation,
    PollState,
    Schedule,
)

from ._rivals import Delays
from ._workloads import Job


@dataclass(frozen=True)
class Judged:
    """The means over some jobs; lag over those that end within the horizon."""

    requests: float
    lag: float
    lag_p95: float

    def cost(self, request_cost: float) -> float:
        """Return what the jobs cost, in seconds."""
        return request_cost * self.requests + self.lag


def judge(paths: Iterator[tuple[float, int, float]]) -> Judged:
    """Sum up waits: each job's duration, its requests, and the age of the last look."""
    requests, waits = 0, 0
    lags = []
    for duration, looks, age in paths:
        waits += 1
        requests += looks
        if duration <= age:
            lags.append(age - duration)
    lags.sort()
    ended = max(len(lags), 1)
    return Judged(
        requests=requests / waits,
        lag=math.fsum(lags) / ended,
        lag_p95=lags[math.ceil(0.95 * len(lags)) - 1] if lags else 0.0,
    )


def by_looks(
    looks: Sequence[float], jobs: Sequence[Job], horizon: float
) -> Iterator[tuple[float, int, float]]:
    """Look at all jobs at the same ages; the last look is made at the horizon."""
    for job in jobs:
        place = bisect_left(looks, job.duration)
        last = looks[place] if place < len(looks) else math.inf
        if last >= horizon:
            place, last = bisect_left(looks, horizon), horizon
        yield job.duration, place + 1, last


def by_interval(
    interval: float, jobs: Sequence[Job], horizon: float
) -> Iterator[tuple[float, int, float]]:
    """Look at all jobs at even intervals, which may be very many."""
    for job in jobs:
        end = min(job.duration, horizon)
        looks = max(1, math.ceil(end / interval))
        yield job.duration, looks, min(looks * interval, horizon)


def by_delays(
    delays: Delays, jobs: Sequence[Job], horizon: float, rng: random.Random
) -> Iterator[tuple[float, int, float]]:
    """Look at each job after delays of its own."""
    for job in jobs:
        age, looks = 0.0, 0
        for delay in delays(rng):
            age, looks = min(age + delay, horizon), looks + 1
            if age >= min(job.duration, horizon):
                break
        yield job.duration, looks, age


def by_schedule(
    schedule: Schedule,
    jobs: Sequence[Job],
    horizon: float,
    *,
    rng: random.Random | None = None,
    rounded: bool = False,
) -> Iterator[tuple[float, int, float]]:
    """Look at each job as a schedule says; with a generator, spread as in earnest."""
    for job in jobs:
        wait = wait_for(schedule, job, horizon, rng=rng, work=job.work, rounded=rounded)
        yield job.duration, wait.looks, wait.until


@dataclass(frozen=True)
class Wait:
    """One wait: requests, and the ages of the last two looks."""

    looks: int
    after: float
    until: float


def wait_for(
    schedule: Schedule,
    job: Job,
    horizon: float,
    *,
    rng: random.Random | None = None,
    work: float | None = None,
    rounded: bool = False,
) -> Wait:
    """Look at a job until it is over or the horizon is reached.

    With `rounded`, delays are what a `Retry-After` header can say: whole seconds.
    """
    phase = rng.random() if rng is not None else 0.5
    before, age, looks = 0.0, 0.0, 0
    while not looks or age < min(job.duration, horizon):
        delay = schedule.delay(
            PollState(
                age=age,
                answers=looks + 1,
                work=work,
                phase=phase,
                roll=rng.random() if rng is not None else 0.5,
            )
        )
        if rounded:
            delay = max(1, math.ceil(delay))
        before, age, looks = age, min(age + delay, horizon), looks + 1
    return Wait(looks, before, age)


def looks_until(schedule: Schedule, age: float) -> list[float]:
    """Return the ages of a fresh job's looks, as the schedule stands, up to an age."""
    looks: list[float] = []
    last = 0.0
    while last < age:
        last += schedule.delay(PollState(age=last, answers=len(looks) + 1))
        looks.append(last)
    return looks


def path_of(delays: Delays, age: float) -> list[float]:
    """Return the ages of looks whose delays are not drawn, up to an age."""
    looks: list[float] = []
    last = 0.0
    for delay in delays(random.Random(0)):
        last += delay
        looks.append(last)
        if last >= age:
            return looks
    return looks


Teach = Callable[[DurationHistory, Job, Wait, float], None]


def teach_by_polls(
    history: DurationHistory, job: Job, wait: Wait, horizon: float
) -> None:
    """Tell a history what the polls saw, and no more."""
    if job.duration <= wait.until:
        history.observe(Observation(after=wait.after, until=wait.until))
    else:
        history.observe(Observation(after=wait.until, until=None))


def teach_with_work(
    history: DurationHistory, job: Job, wait: Wait, horizon: float
) -> None:
    """Tell the amount of work beside what the polls saw."""
    until = wait.until if job.duration <= wait.until else None
    after = wait.after if until is not None else wait.until
    history.observe(Observation(after=after, until=until, work=job.work))


def teach_exactly(
    history: DurationHistory, job: Job, wait: Wait, horizon: float
) -> None:
    """Tell what the server knows: how long the job took."""
    if job.duration <= horizon:
        history.observe(Observation(after=job.duration, until=job.duration))
    else:
        history.observe(Observation(after=horizon, until=None))


def still(history: DurationHistory, **knobs: float) -> Learned:
    """Make a schedule that learns from a history, without spreading."""
    return Learned(history=history, spread=0, **knobs)  # type: ignore[arg-type]
