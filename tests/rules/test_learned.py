"""Learned: few requests and little lag, whatever the history."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtrio import Exponential, Fixed, Learned, Schedule
from vtrio._distributions import Durations
from vtrio.schedules import DurationHistory, Observation, PollState
from vtrio.schedules._inspection import inspect

rolls = st.floats(min_value=0, max_value=1, exclude_max=True)
ages = st.one_of(st.floats(0, 1e7), st.sampled_from([0.0, 1e-9, 1e15]))


@st.composite
def histories(draw: st.DrawFn) -> DurationHistory:
    """Make a history of whatever may have been seen."""
    history = DurationHistory()
    for _ in range(draw(st.integers(0, 8))):
        first, second = sorted([draw(ages), draw(ages)])
        until = draw(st.sampled_from([first, second, None]))
        work = draw(st.sampled_from([None, 0.0, 1e-3, 60.0, 1e9]))
        history.observe(Observation(after=first, until=until, work=work))
    return history


def looks_of(schedule: Schedule, count: int) -> list[float]:
    """Return the ages of a fresh job's first looks."""
    looks: list[float] = []
    for answers in range(1, count + 1):
        age = looks[-1] if looks else 0.0
        looks.append(age + schedule.delay(PollState(age=age, answers=answers)))
    return looks


def taught(family: str, count: int, seed: int, **settings: float) -> Learned:
    """Learn from jobs, one after the other, by one's own polls alone."""
    history = DurationHistory()
    schedule = Learned(history=history, spread=0, **settings)  # type: ignore[arg-type]
    rng, durations = random.Random(seed), Durations.parse(family)
    for _ in range(count):
        duration, before, age = durations.at(rng.random()), 0.0, 0.0
        answers = 0
        while age < duration:
            before, answers = age, answers + 1
            age += schedule.delay(PollState(age=age, answers=answers))
        history.observe(Observation(after=before, until=age))
    return schedule


@settings(max_examples=60)
@given(
    histories(),
    ages,
    rolls,
    rolls,
    st.floats(1e-3, 50),
    st.one_of(st.none(), st.floats(50, 1e5)),
    st.sampled_from([None, 0.0, 1e-3, 60.0, 1e9]),
    st.one_of(st.none(), st.floats(1e-6, 1e6)),
    st.integers(0, 5000),
)
def test_delays_lie_between_floor_and_ceiling_for_every_history(
    history: DurationHistory,
    age: float,
    roll: float,
    phase: float,
    floor: float,
    ceiling: float | None,
    work: float | None,
    request_cost: float | None,
    failures: int,
) -> None:
    """Positive and finite, whatever was seen and whatever is asked."""
    schedule = Learned(
        history=history, request_cost=request_cost, floor=floor, ceiling=ceiling
    )
    delay = schedule.delay(
        PollState(age=age, roll=roll, phase=phase, work=work, failures=failures)
    )
    assert floor <= delay <= (math.inf if ceiling is None else ceiling)
    assert 0 < delay < math.inf


@settings(max_examples=40)
@given(histories(), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_a_higher_request_cost_never_gives_more_expected_requests(
    history: DurationHistory, first: float, second: float
) -> None:
    """Under what is believed, for every history."""
    belief = history.belief()
    if belief is None:
        return
    cheap, dear = (
        belief.model.inspection(cost, floor=0.05, ceiling=1e9).requests
        for cost in sorted([first, second])
    )
    assert dear <= cheap * (1 + 1e-9)


HOSTILE = {
    "all equal": [(60.0, 60.0)] * 100,
    "all zero": [(0.0, 0.0)] * 100,
    "one": [(50.0, 60.0)],
    "huge spread": [(1e-6, 1e-5), (1e8, 1e9)] * 20,
    "all censored": [(50.0, None)] * 100,
}


@pytest.mark.parametrize("seen", HOSTILE.values(), ids=HOSTILE)
def test_hostile_histories_are_survived(seen: list[tuple[float, float | None]]) -> None:
    """A wait by them goes on asking, within floor and ceiling."""
    history = DurationHistory()
    for after, until in seen:
        history.observe(Observation(after=after, until=until))
    looks = looks_of(Learned(history=history, floor=0.5, ceiling=1000, spread=0), 200)
    intervals = [b - a for a, b in pairwise([0.0, *looks])]
    assert min(intervals) >= 0.5 - 1e-9
    assert max(intervals) <= 1000 + 1e-6


def test_before_the_first_end_it_is_cold() -> None:
    """Geometric, unless told otherwise; and so without any history."""
    assert looks_of(Learned(spread=0), 4) == [1, 2.5, 4.75, 8.125]
    history = DurationHistory()
    history.observe(Observation(after=60, until=None))
    assert looks_of(Learned(history=history, spread=0), 2) == [1, 2.5]
    assert looks_of(Learned(cold=Fixed(5), spread=0), 2) == [5, 10]
    assert looks_of(Learned(cold=Fixed(5), ceiling=2, spread=0), 2) == [2, 4]


def test_polls_come_where_jobs_end() -> None:
    """First shortly before most of them, then close together."""
    schedule = taught("lognormal:60,0.5", 200, seed=1)
    looks = looks_of(schedule, 6)
    assert 25 < looks[0] < 45
    assert all(5 < b - a < 15 for a, b in pairwise(looks))


def cost_of(looks: list[float], durations: list[float], request_cost: float) -> float:
    """Return what looks cost in the mean."""
    places = [bisect_left(looks, duration) for duration in durations]
    requests = sum(place + 1 for place in places)
    lag = sum(
        looks[at] - duration for at, duration in zip(places, durations, strict=True)
    )
    return (request_cost * requests + lag) / len(durations)


@pytest.mark.parametrize(
    ("family", "count", "most"),
    [
        ("uniform:5,15", 10, 1.30),
        ("bimodal:20,300,0.3", 30, 1.20),
        ("weibull:0.6,60", 30, 1.12),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("lognormal:60,0.5", 30, 1.12),
                ("exponential:60", 30, 1.12),
                ("genai", 100, 1.07),
            )
        ),
    ],
)
def test_the_cost_is_close_to_the_least_possible(
    family: str, count: int, most: float
) -> None:
    """Judged on the distribution itself; the benchmark says how close, over more."""
    durations = Durations.parse(family)
    draws = [durations.at((k + 0.5) / 4000) for k in range(4000)]
    request_cost = 0.02 * sum(draws) / len(draws)
    grid = [
        0.0,
        *(draws[0] * (draws[-1] / draws[0]) ** (k / 1500) for k in range(1501)),
    ]
    below = [bisect_left(draws, age * (1 + 1e-12)) / len(draws) for age in grid]
    masses = [0.0, *(b - a for a, b in pairwise(below))]
    best = inspect(grid, masses, request_cost)
    least = request_cost * best.requests + best.lag
    ratios = []
    for seed in range(3):
        schedule = taught(family, count, seed)
        looks = looks_of(schedule, 1)
        while looks[-1] < draws[-1]:
            age = looks[-1]
            looks.append(age + schedule.delay(PollState(age=age, answers=len(looks))))
        ratios.append(cost_of(looks, draws, request_cost) / least)
    assert sum(ratios) / len(ratios) <= most


def test_the_dearer_a_request_the_fewer() -> None:
    """The one knob, in seconds of lag; and a budget in its place."""
    history = taught("lognormal:60,0.5", 100, seed=2).history

    def looks_until_the_median(**knob: float) -> int:
        schedule = Learned(history=history, spread=0, **knob)  # type: ignore[arg-type]
        return bisect_left(looks_of(schedule, 100), 60)

    cheap = looks_until_the_median(request_cost=0.05)
    usual = looks_until_the_median()
    dear = looks_until_the_median(request_cost=30)
    assert (dear, usual) == (0, 2)
    assert cheap > 15
    assert looks_until_the_median(requests_per_job=2) <= 1
    assert 12 <= looks_until_the_median(requests_per_job=20) <= 24


def test_a_wait_taken_up_later_starts_from_the_jobs_age() -> None:
    """At half a minute, at two minutes, and an hour after the submission."""
    schedule = taught("lognormal:60,0.5", 100, seed=2)
    early, late, hour = (
        schedule.delay(PollState(age=age, start_age=age, answers=1))
        for age in (1.0, 120.0, 3600.0)
    )
    assert early > 20
    assert 5 < late < 40
    assert hour == 1800  # it has outlived all that was seen


def test_after_a_failed_poll_the_next_comes_soon() -> None:
    """1, 2, 4 ... s later, and never later than it would have come anyway."""
    schedule = taught("lognormal:600,0.3", 30, seed=2)
    delays = [
        schedule.delay(PollState(age=300, answers=2, failures=failures))
        for failures in (1, 2, 3, 4, 99)
    ]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[4] == schedule.delay(PollState(age=300, answers=2))


@given(rolls, rolls, st.floats(0, 400))
def test_spreading_shifts_a_poll_by_a_part_of_the_interval(
    roll: float, phase: float, age: float
) -> None:
    """Within an eighth before and an eighth after, of the shorter one beside it."""
    still = SPREAD_FROM
    spread = Learned(history=still.history)
    plain = still.delay(PollState(age=age))
    following = still.delay(PollState(age=age + plain))
    shifted = spread.delay(PollState(age=age, roll=roll, phase=phase))
    reach = min(plain, following) / 8
    assert abs(shifted - plain) <= reach + 1e-9
    middle = spread.delay(PollState(age=age, roll=0.5, phase=0.5))
    assert middle == pytest.approx(plain)


SPREAD_FROM = taught("lognormal:60,0.5", 60, seed=3)


def test_tables_are_shared_by_amounts_of_work_that_are_close() -> None:
    """And the delays still grow with the work."""
    history = DurationHistory()
    rng = random.Random(1)
    for _ in range(50):
        media = 60 * math.exp(rng.gauss(0, 1))
        duration = 1.5 * media * math.exp(rng.gauss(0, 0.15))
        history.observe(Observation(after=duration, until=duration, work=media))
    schedule = Learned(history=history, spread=0)
    firsts = [schedule.delay(PollState(age=0, work=10.0 * 1.1**k)) for k in range(36)]
    # Where one table ends and the next begins, a first look may come a little sooner.
    assert all(b > 0.95 * a for a, b in pairwise(firsts))
    assert firsts[0] < 20
    assert firsts[-1] > 300
    belief = history.belief(work=60.0)
    assert belief is not None
    assert len(belief.model._inspections) < 22


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"request_cost": 0}, "request_cost=0 is not allowed: .* above 0"),
        ({"request_cost": math.nan}, "request_cost=nan"),
        ({"requests_per_job": 1}, "requests_per_job=1 is not allowed: .* above 1"),
        (
            {"requests_per_job": 3, "request_cost": 2},
            "requests_per_job=3 together with request_cost=2 .* one or the other",
        ),
        ({"floor": 0}, "floor=0 is not allowed: .* above 0"),
        ({"floor": 2, "ceiling": 1}, "ceiling=1 is not allowed: .* at least 2"),
        ({"spread": 1.1}, "spread=1.1 is not allowed: .* at most 1"),
        ({"history": "durations.json"}, "history='durations.json' .* DurationHistory"),
        ({"cold": 5}, "cold=5 is not allowed: must be a schedule"),
        ({"cold": Fixed}, "cold=<class .* must be a schedule"),
    ],
)
def test_bad_settings_are_named(given: dict[str, object], told: str) -> None:
    """The message names the parameter, the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        Learned(**given)  # type: ignore[arg-type]


def test_it_is_a_value() -> None:
    """Of the same interface as the others."""
    assert isinstance(Learned(), Schedule)
    assert Learned() == Learned(cold=Exponential(1, 1.5))
    assert hash(Learned(floor=1)) == hash(Learned(floor=1))
    with pytest.raises(AttributeError):
        Learned().floor = 3  # type: ignore[misc]
