"""The optimal schedule of looks: exact, on every distribution that cells can tell."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.schedules._inspection import Inspection, inspect

gaps = st.lists(st.floats(0.1, 10), min_size=1, max_size=7)
weights = st.lists(st.floats(0, 1), min_size=7, max_size=8)
costs = st.floats(0.01, 20)


def cells(steps: list[float], shares: list[float]) -> tuple[list[float], list[float]]:
    """Make ages and masses; the last share is that of jobs that never end."""
    ages = [0.0]
    for step in steps:
        ages.append(ages[-1] + step)
    masses = shares[: len(steps)]
    whole = sum(masses) + shares[-1] or 1.0
    return ages, [0.0, *(mass / whole for mass in masses)]


def path(inspection: Inspection) -> list[int]:
    """Return the indices of the looks, from age 0 on."""
    looks, at = [], 0
    while at < len(inspection.ages) - 1:
        at = inspection.following[at]
        looks.append(at)
    return looks


def price(
    ages: list[float], masses: list[float], looks: list[int]
) -> tuple[float, float]:
    """Count the requests and the lag of some looks by their definition."""
    requests = lag = 0.0
    never = 1 - sum(masses)
    for cell, mass in enumerate(masses):
        if cell:
            seen = bisect_left(looks, cell)
            requests += mass * (seen + 1)
            lag += mass * (ages[looks[seen]] - ages[cell])
    return requests + never * len(looks), lag


@given(gaps, weights, costs)
def test_no_other_looks_cost_less(
    steps: list[float], shares: list[float], cost: float
) -> None:
    """Against every set of looks that ends at the last cell, tried one by one."""
    ages, masses = cells(steps, shares)
    inspection = inspect(ages, masses, cost)
    requests, lag = price(ages, masses, path(inspection))
    assert inspection.requests == pytest.approx(requests)
    assert inspection.lag == pytest.approx(lag, abs=1e-9)
    last = len(steps)
    least = min(
        cost * some[0] + some[1]
        for size in range(last)
        for others in combinations(range(1, last), size)
        for some in [price(ages, masses, [*others, last])]
    )
    assert cost * requests + lag == pytest.approx(least)


@given(gaps, weights, costs, st.floats(0, 5), st.floats(5, 30))
def test_within_floor_and_ceiling_no_others_cost_less(
    steps: list[float], shares: list[float], cost: float, floor: float, ceiling: float
) -> None:
    """Where no cell ends inside the window, the nearest beyond the floor is taken."""
    ages, masses = cells(steps, shares)
    last = len(steps)

    def may_follow(a: int, b: int) -> bool:
        nearest = min(
            (k for k in range(a + 1, last) if ages[k] - ages[a] >= floor), default=last
        )
        return b == nearest or (b > nearest and ages[b] - ages[a] <= ceiling)

    ours = path(inspect(ages, masses, cost, floor=floor, ceiling=ceiling))
    allowed = [
        looks
        for size in range(last)
        for others in combinations(range(1, last), size)
        for looks in [[*others, last]]
        if all(may_follow(a, b) for a, b in pairwise([0, *looks]))
    ]
    assert ours in allowed
    prices = [price(ages, masses, looks) for looks in allowed]
    requests, lag = price(ages, masses, ours)
    assert cost * requests + lag == pytest.approx(min(cost * n + s for n, s in prices))


@given(gaps, weights, costs, costs, st.floats(0, 5), st.floats(5, 30), st.booleans())
def test_a_higher_request_cost_never_gives_more_requests(
    steps: list[float],
    shares: list[float],
    first: float,
    second: float,
    floor: float,
    ceiling: float,
    divide: bool,
) -> None:
    """And never less lag; whether or not cells may be divided."""
    ages, masses = cells(steps, shares)
    cheap, dear = (
        inspect(ages, masses, cost, floor=floor, ceiling=ceiling, divide=divide)
        for cost in sorted([first, second])
    )
    assert dear.requests <= cheap.requests + 1e-9
    assert dear.lag >= cheap.lag - 1e-9


@given(
    gaps,
    weights,
    costs,
    st.floats(0, 100),
    st.floats(0.01, 5),
    st.floats(5, 30),
    st.booleans(),
)
def test_every_interval_lies_between_floor_and_ceiling(
    steps: list[float],
    shares: list[float],
    cost: float,
    age: float,
    floor: float,
    ceiling: float,
    divide: bool,
) -> None:
    """From any age on, on the cells, between them and beyond them."""
    ages, masses = cells(steps, shares)
    inspection = inspect(
        ages, masses, cost, floor=floor, ceiling=ceiling, divide=divide
    )
    interval = inspection.next_after(age) - age
    assert floor - 1e-9 <= interval <= ceiling + 1e-9


RATE = 1 / 60


def best_interval(cost: float) -> float:
    """Solve exp(r x) - r x = 1 + r c for x: the best interval without memory."""
    best = math.sqrt(2 * cost / RATE)
    for _ in range(50):
        excess = math.expm1(RATE * best) - RATE * best - RATE * cost
        best -= excess / (RATE * math.expm1(RATE * best))
    return best


def without_memory(width: float, count: int) -> tuple[list[float], list[float]]:
    """Put an exponential distribution on even cells."""
    ages = [width * k for k in range(count)]
    masses = [math.exp(-RATE * a) - math.exp(-RATE * b) for a, b in pairwise(ages)]
    return ages, [0.0, *masses]


def test_without_memory_the_best_interval_is_fixed() -> None:
    """An exponential duration is looked at evenly (Barlow, Hunter, Proschan 1963)."""
    ages, masses = without_memory(0.05, 16_001)
    inspection = inspect(ages, masses, 1.2)
    looks = [ages[at] for at in path(inspection)][:10]
    intervals = [b - a for a, b in pairwise([0.0, *looks])]
    assert intervals == pytest.approx([best_interval(1.2)] * 10, abs=0.06)


@pytest.mark.parametrize("cost", [1e-4, 1e-3, 1e-2, 0.05])
def test_cells_are_divided_where_requests_are_cheap(cost: float) -> None:
    """Intervals narrower than a cell are as good as on cells that are narrow enough."""
    coarse = inspect(*without_memory(5.0, 200), cost, divide=True)
    fine = inspect(*without_memory(best_interval(cost) / 4, 30_000), cost, divide=True)
    age = 7.0
    for _ in range(5):
        interval = coarse.next_after(age) - age
        assert interval == pytest.approx(best_interval(cost), rel=0.3)
        age += interval
    spent = cost * coarse.requests + coarse.lag
    assert spent == pytest.approx(cost * fine.requests + fine.lag, rel=0.05)


def test_from_a_later_age_the_same_table_gives_the_next_look() -> None:
    """At the end of a cell, and a slip beside it."""
    inspection = inspect([0, 1, 2, 4, 8], [0, 0.5, 0, 0, 0.5], 0.5)
    assert inspection.next_after(0.0) == 1
    assert inspection.next_after(1.0) == 8
    assert inspection.next_after(1 - 1e-12) == 8
    assert inspection.next_after(2.5) == 8


def test_beyond_the_cells_looks_are_geometric() -> None:
    """No wait stops asking."""
    inspection = inspect([0, 1, 2], [0, 0.5, 0.4], 0.5)
    assert inspection.next_after(2) == 3
    assert inspection.next_after(30) == 45


def test_looks_from_ages_that_differ_do_not_fall_together() -> None:
    """Jobs whose polls were spread stay apart: the next look rises with the age."""
    ages = [math.exp(0.02 * k) - 1 for k in range(301)]
    rising = [k * math.exp(-k / 40) for k in range(301)]
    masses = [0.0, *(mass / sum(rising) for mass in rising[1:])]
    inspection = inspect(ages, masses, 1.0)
    looks = [inspection.next_after(2 + 0.001 * k) for k in range(2000)]
    assert len(set(looks)) > 1000
    assert looks == sorted(looks)
