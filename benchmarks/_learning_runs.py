"""One seed of a workload: what each schedule costs, and what learning costs meanwhile."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vtrio import Exponential, Learned
from vtrio.schedules import DurationHistory

from ._judging import (
    Judged,
    Teach,
    by_delays,
    by_interval,
    by_looks,
    by_schedule,
    judge,
    looks_until,
    path_of,
    still,
    teach_by_polls,
    teach_exactly,
    teach_with_work,
    wait_for,
)
from ._rivals import RIVALS, exponential
from ._workloads import GROWS_AFTER, SHRINKS_AFTER, Job, Media, Workload

MARKS = (0, 10, 30, 100, 300)
SETTLED = 40
"""Jobs after a change of regime, at which learning is judged."""
KNOB_AFTER = 30
"""Jobs after which the knob of `Learned` is turned, for the frontier."""
KNOB = (1 / 4096, 1 / 512, 1 / 64, 1 / 16, 1 / 4, 4.0, 16.0, 64.0)
RETRY_AFTER = 100

# What the server asks for before it has run a job; see vtrio/server/service.py.
_SERVERS_COLD = Exponential(1, 1.1, cap=20)
_SEED = exponential(1, 2)

RowName = tuple[str, int | None]


@dataclass(frozen=True)
class Plan:
    """What all seeds of a workload share.

    `costs` and `optimal` are of each regime: what a request is worth, and the best
    looks. The best interval, and the best backoff as its first delay and its factor,
    were tuned on the distribution of the first regime.
    """

    workload: Workload
    jobs: int
    costs: tuple[float, ...]
    optimal: tuple[list[float], ...]
    best_interval: float
    best_backoff: tuple[float, float]


@dataclass
class SeedResult:
    """What one seed found: rows, their optimum, and the costs of learning online.

    `online` has, for each job, what it cost with `Learned` and with the seed's
    schedule.
    """

    rows: dict[RowName, Judged] = field(default_factory=dict)
    optimal: dict[RowName, Judged] = field(default_factory=dict)
    online: list[tuple[float, float]] = field(default_factory=list)


def run_seed(plan: Plan, seed: int) -> SeedResult:
    """Learn online from one stream of jobs, and judge everything on fresh ones."""
    found = SeedResult()
    fresh = [
        [regime.draw(rng) for _ in range(plan.jobs)]
        for place, (_, regime) in enumerate(plan.workload.regimes)
        for rng in [random.Random(f"fresh {seed} {place}")]
    ]
    _judge_others(plan, seed, fresh[0], found)
    _learn(plan, seed, fresh, found, "Learned", teach_by_polls, online=True)
    _learn(plan, seed, fresh, found, "Learned, told the exact durations", teach_exactly)
    if isinstance(plan.workload.regimes[0][1], Media):
        _learn(plan, seed, fresh, found, "Learned, media length known", teach_with_work)
    return found


def _judge_others(plan: Plan, seed: int, fresh: list[Job], found: SeedResult) -> None:
    horizon = plan.workload.regimes[0][1].horizon
    longest = min(max(job.duration for job in fresh), horizon)
    fixed = {"Fixed(5)": 5.0, "Fixed, the best in hindsight": plan.best_interval}
    drawn_once = {
        "Exponential(1, 2)": _SEED,
        "Exponential(1, 1.5, cap=20)": exponential(1, 1.5, 20),
        "Exponential, the best in hindsight": exponential(*plan.best_backoff),
    }
    for rival in RIVALS:
        if rival.random:
            rng = random.Random(f"{rival.name} {seed}")
            drawn = by_delays(rival.delays, fresh, horizon, rng)
            found.rows[rival.name, None] = judge(drawn)
        elif rival.interval is not None:
            fixed[rival.name] = rival.interval
        else:
            drawn_once[rival.name] = rival.delays
    for name, interval in fixed.items():
        found.rows[name, None] = judge(by_interval(interval, fresh, horizon))
    for name, delays in drawn_once.items():
        looks = path_of(delays, longest)
        found.rows[name, None] = judge(by_looks(looks, fresh, horizon))
    found.optimal["", None] = judge(by_looks(plan.optimal[0], fresh, horizon))


def _learn(
    plan: Plan,
    seed: int,
    fresh: list[list[Job]],
    found: SeedResult,
    name: str,
    teach: Teach,
    *,
    online: bool = False,
) -> None:
    """Wait for one job after the other, and judge what is learned at each mark."""
    workload = plan.workload
    history = DurationHistory()
    schedule = still(history)
    rng = random.Random(f"learned {seed}")
    changing = len(workload.regimes) > 1
    knows_work = teach is teach_with_work
    last = SHRINKS_AFTER + SETTLED if changing else max(MARKS)
    for done in range(last + 1):
        # Where the regime changes, what was learned up to then is judged by it.
        place = workload.regime(max(done - 1, 0))
        regime, jobs = workload.regimes[place][1], fresh[place]
        for row, turned in _rows_due(name, done, history, online and changing, online):
            if knows_work:
                paths = by_schedule(turned, jobs, regime.horizon)
            else:
                longest = min(max(job.duration for job in jobs), regime.horizon)
                paths = by_looks(looks_until(turned, longest), jobs, regime.horizon)
            found.rows[row] = judge(paths)
            best = by_looks(plan.optimal[place], jobs, regime.horizon)
            found.optimal[row] = judge(best)
        if teach is teach_exactly and done == RETRY_AFTER:
            server = Learned(history=history, cold=_SERVERS_COLD, spread=0)
            row = ("Retry-After alone, from a server that learns", done)
            unknown = [Job(job.duration) for job in jobs]
            paths = by_schedule(server, unknown, regime.horizon, rounded=True)
            found.rows[row] = judge(paths)
        if done == last:
            break
        place = workload.regime(done)
        regime, request_cost = workload.regimes[place][1], plan.costs[place]
        job = regime.draw(rng)
        work = job.work if knows_work else None
        wait = wait_for(schedule, job, regime.horizon, work=work)
        teach(history, job, wait, regime.horizon)
        if online:
            ours = request_cost * wait.looks + max(0.0, wait.until - job.duration)
            found.online.append((ours, _seeds_cost(job, regime.horizon, request_cost)))


def _rows_due(
    name: str, done: int, history: DurationHistory, changing: bool, online: bool
) -> Iterator[tuple[RowName, Learned]]:
    """Yield what is judged after so many jobs."""
    if done in MARKS:
        yield (name, done), still(history)
    if changing and done == GROWS_AFTER + SETTLED:
        yield (f"Learned, {SETTLED} jobs after growing", done), still(history)
    if changing and done == SHRINKS_AFTER + SETTLED:
        yield (f"Learned, {SETTLED} jobs after shrinking", done), still(history)
    if online and done == KNOB_AFTER:
        for factor in KNOB:
            turned = still(history, request_cost=factor * believed_cost(history))
            yield (f"Learned, request_cost x {factor:g}", done), turned


def believed_cost(history: DurationHistory) -> float:
    """Return what a request is worth by default: 2 % of the mean of the ends seen."""
    belief = history.belief()
    return 0.02 * belief.mean_end if belief is not None else 1.0


def _seeds_cost(job: Job, horizon: float, request_cost: float) -> float:
    """Return what one job costs by 1 s x 2."""
    age, looks, delay = 0.0, 0, 1.0
    while not looks or age < min(job.duration, horizon):
        age, looks, delay = min(age + delay, horizon), looks + 1, 2 * delay
    return request_cost * looks + max(0.0, age - job.duration)


def tune(
    points: list[tuple[float, float]], horizon: float, request_cost: float
) -> tuple[float, tuple[float, float]]:
    """Find the fixed interval, and the backoff, that are best for a distribution."""
    ending = [value for value, _ in points if value < math.inf]
    mean = math.fsum(ending) / len(ending)
    jobs = [Job(value) for value, _ in _thinned(points)]
    # Jobs that never end are looked at up to the horizon.
    longest = max(ending) if horizon == math.inf else horizon

    def cost_of_backoff(backoff: tuple[float, float]) -> float:
        looks = path_of(exponential(*backoff), longest)
        return judge(by_looks(looks, jobs, horizon)).cost(request_cost)

    backoffs = [
        (mean * 1.35**k, factor)
        for k in range(-16, 3)
        for factor in (1.05, 1.1, 1.2, 1.3, 1.5, 1.75, 2.0)
    ]
    interval = best_interval(jobs, mean, horizon, request_cost)
    return interval, min(backoffs, key=cost_of_backoff)


def best_interval(
    jobs: Sequence[Job], mean: float, horizon: float, request_cost: float
) -> float:
    """Find the fixed interval that is best for jobs, around their mean duration."""

    def cost_of_interval(interval: float) -> float:
        return judge(by_interval(interval, jobs, horizon)).cost(request_cost)

    return min((mean * 1.06**k for k in range(-70, 25)), key=cost_of_interval)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep about two thousand points, by their weight alone.

    Points of unlike weight are drawn in proportion to it, evenly.
    """
    kept, passed, step = [], 0.0, 1 / 2000
    for point in points:
        passed += point[1]
        while passed >= step / 2:
            kept.append(point)
            passed -= step
    return kept
