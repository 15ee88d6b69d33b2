"""What the rows of the schedules' benchmark leave out: spreading, and speed."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from vtrio import Learned
from vtrio._distributions import Durations
from vtrio.schedules import DurationHistory, Observation, PollState
from vtrio.schedules._durations import DurationModel
from vtrio.schedules._history import WINDOW

from ._figures import print_table, spread
from ._judging import by_schedule, judge, still, teach_by_polls, wait_for
from ._workloads import Job, Named, mean_of

_TOGETHER = 1000
_BIN = 0.1
_AROUND = 20  # bins: 2 s
_ENOUGH = 10.0


def check_spreading(first: int, seeds: int) -> dict[str, Any]:
    """Submit a thousand jobs at one instant: how crowded is the worst 100 ms?"""
    peaks, costs = [], []
    regime = Named(Durations.parse("lognormal:60,0.5"))
    request_cost = 0.02 * mean_of(regime)
    for seed in range(first, first + seeds):
        rng = random.Random(f"spreading {seed}")
        history = DurationHistory()
        for _ in range(100):
            job = regime.draw(rng)
            wait = wait_for(still(history), job, regime.horizon)
            teach_by_polls(history, job, wait, regime.horizon)
        jobs = [regime.draw(rng) for _ in range(2000)]
        plain, shifted = (
            judge(by_schedule(schedule, jobs, regime.horizon, rng=rng))
            for schedule in (still(history), Learned(history=history))
        )
        costs.append(shifted.cost(request_cost) / plain.cost(request_cost))
        peaks.append(_peak(_polls_together(history, jobs[:_TOGETHER], rng)))
    found = {"jobs": _TOGETHER, "peak": spread(peaks), "cost": spread(costs)}
    print_table(
        f"{_TOGETHER} jobs submitted together, after 100 learned ({seeds} seeds)",
        ["", "min", "median", "max"],
        [
            ["busiest 100 ms to the 2 s around it", *_cells(found["peak"], 2)],
            ["cost with spreading to that without", *_cells(found["cost"], 3)],
        ],
    )
    return found


def _cells(figures: Any, digits: int) -> list[str]:
    return [f"{figures[name]:.{digits}f}" for name in ("min", "median", "max")]


def _polls_together(
    history: DurationHistory, jobs: list[Job], rng: random.Random
) -> list[float]:
    """Wait for jobs side by side, as a client does, and return when it polled."""
    schedule = Learned(history=history)
    followed = [history.follow() for _ in jobs]
    phases = [rng.random() for _ in jobs]
    seen = [0.0] * len(jobs)
    polls: list[float] = []

    def ask_again(place: int, age: float) -> tuple[float, int]:
        state = PollState(age=age, phase=phases[place], roll=rng.random())
        return age + schedule.delay(state), place

    due = [ask_again(place, 0.0) for place in range(len(jobs))]
    heapq.heapify(due)
    while due:
        age, place = heapq.heappop(due)
        polls.append(age)
        lesson = followed[place]
        if age >= jobs[place].duration:
            if lesson is not None:
                lesson.over(Observation(after=seen[place], until=age))
            continue
        seen[place] = age
        if lesson is not None:
            lesson.runs(age)
        heapq.heappush(due, ask_again(place, age))
    return polls


def _peak(polls: list[float]) -> float:
    """Return the busiest bin to the mean around it, wherever that is enough."""
    bins = Counter(int(age / _BIN) for age in polls)
    peak = 0.0
    for place, count in bins.items():
        for shift in (0, 1):  # twenty bins have no middle one
            first = place - _AROUND // 2 + shift
            mean = sum(bins[first + k] for k in range(_AROUND)) / _AROUND
            if mean >= _ENOUGH:
                peak = max(peak, count / mean)
    return peak


def check_speed(seed: int) -> dict[str, Any]:
    """Time a refit on a full window, and one question."""
    found: dict[str, Any] = {}
    rows = []
    for family in ("lognormal:60,0.5", "bimodal:20,300,0.3", "weibull:0.6,60"):
        rng = random.Random(f"speed {seed}")
        durations = Durations.parse(family)
        seen = []
        for _ in range(WINDOW):
            duration = durations.at(rng.random())
            seen.append(
                (duration * rng.uniform(0.8, 1), duration * rng.uniform(1, 1.2))
            )
        history = DurationHistory()
        for after, until in seen:
            history.observe(Observation(after=after, until=until))

        def refit(seen: list[tuple[float, float]] = seen) -> None:
            model = DurationModel(seen)
            cost = 0.02 * model.mean_end
            model.inspection(cost, floor=0.05, ceiling=1e9)

        def refit_for_a_budget(seen: list[tuple[float, float]] = seen) -> None:
            DurationModel(seen).cost_for(5.0, floor=0.05, ceiling=1e9)

        schedule, state = Learned(history=history), PollState(age=33.0, phase=0.3)

        def ask(schedule: Learned = schedule, state: PollState = state) -> None:
            schedule.delay(state)

        ask()
        found[family] = {
            "refit_ms": _time(refit, 1, 1e3),
            "refit_for_a_budget_ms": _time(refit_for_a_budget, 1, 1e3),
            "question_us": _time(ask, 2000, 1e6),
        }
        rows += [
            [f"{family}: {name}", *_cells(found[family][name], 2)]
            for name in found[family]
        ]
    print_table(
        f"Speed: a refit on {WINDOW} observations that all differ, and one question",
        ["", "min", "median", "max"],
        rows,
    )
    return found


def _time(work: Callable[[], None], times: int, unit: float) -> dict[str, float]:
    """Time some work, several times over."""
    found = []
    for _ in range(15):
        began = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - began) / times * unit)
    return spread(found)
