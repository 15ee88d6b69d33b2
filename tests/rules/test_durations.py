"""The model of durations: what polls tell, and no more than that."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio._distributions import Durations
from vtrio.schedules._durations import DurationModel, Interval
from vtrio.schedules._smoothing import smooth, stay_rate

ages = st.one_of(st.floats(0, 1e12), st.sampled_from([0.0, 1.0, 1e-9, 1e300]))


@st.composite
def intervals(draw: st.DrawFn) -> list[Interval]:
    """Whatever may have been seen, at least one end among it."""
    seen: list[Interval] = []
    for _ in range(draw(st.integers(1, 12))):
        first, second = sorted([draw(ages), draw(ages)])
        kind = draw(st.sampled_from(["interval", "exact", "censored"]))
        until = {"interval": second, "exact": first, "censored": None}[kind]
        seen.append((first, until))
    end = draw(ages)
    return [*seen, (0.0, end)]


@given(intervals())
def test_any_history_makes_a_distribution(seen: list[Interval]) -> None:
    """Masses that are shares, and a distribution function that rises."""
    model = DurationModel(seen)
    assert min(model.masses) >= 0
    assert sum(model.masses) <= 1 + 1e-9
    assert all(a < b for a, b in zip(model.ages, model.ages[1:], strict=False))
    shares = [model.ended_by(10**k) for k in range(-6, 14)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1 + 1e-9
    assert sum(model.bandwidths.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "seen",
    [
        [(60.0, 60.0)] * 500,
        [(0.0, 0.0)] * 20,
        [(5.0, 7.0)],
        [(0.0, 1e-9), (1e8, 1e9)],
        [*[(100.0, None)] * 400, (1.0, 2.0)],
        [(1e300, 1e301)],
    ],
    ids=["all equal", "all zero", "one", "huge spread", "censored", "beyond"],
)
def test_hostile_histories_are_survived(seen: list[Interval]) -> None:
    """With a schedule to follow: finite ages that rise, and masses."""
    model = DurationModel(seen)
    inspection = model.inspection(0.02 * model.mean_end or 1.0, floor=0.05, ceiling=1e6)
    age = 0.0
    for _ in range(30):
        following = inspection.next_after(age)
        assert age < following < math.inf
        age = following


def test_without_an_end_there_is_no_model() -> None:
    """Lower bounds alone have no scale."""
    with pytest.raises(ValueError, match="at least one must have ended"):
        DurationModel([(5.0, None)])


def polled(durations: Durations, looks: list[float], count: int) -> list[Interval]:
    """Draw jobs, and see them by looks alone."""
    rng = random.Random(1)
    seen: list[Interval] = []
    for _ in range(count):
        duration = durations.at(rng.random())
        at = bisect_left(looks, duration)
        seen.append((looks[at - 1] if at else 0.0, looks[at]))
    return seen


@pytest.mark.parametrize(
    "family", ["uniform:5,15", "lognormal:60,0.5", "bimodal:20,300,0.3", "genai"]
)
def test_a_distribution_is_recovered_from_intervals(family: str) -> None:
    """Within five percent of it at each quartile, from looks a fifth apart."""
    durations = Durations.parse(family)
    looks = [1.2**k for k in range(60)]
    model = DurationModel(polled(durations, looks, 500))
    for share in (0.1, 0.25, 0.75, 0.9):
        assert model.ended_by(durations.at(share)) == pytest.approx(share, abs=0.05)


def test_jobs_that_were_given_up_are_censored_not_dropped() -> None:
    """Else the model would be on the short side."""
    rng = random.Random(2)
    durations = Durations.parse("exponential:60")
    seen: list[Interval] = []
    for _ in range(500):
        duration, limit = durations.at(rng.random()), 120 * rng.random()
        seen.append((limit, None) if duration > limit else (duration, duration))
    dropped = [interval for interval in seen if interval[1] is not None]
    median = durations.at(0.5)
    assert DurationModel(seen).ended_by(median) == pytest.approx(0.5, abs=0.05)
    assert DurationModel(dropped).ended_by(median) > 0.6


def test_what_never_ends_lies_beyond_the_cells() -> None:
    """A tenth of the jobs is given up long after all others: it is their mass."""
    model = DurationModel([*[(50.0, 60.0)] * 90, *[(1e5, None)] * 10])
    assert 1 - sum(model.masses) == pytest.approx(0.1, abs=0.01)


def test_no_age_is_impossible_that_was_merely_not_seen() -> None:
    """The prior has the weight of two observations."""
    model = DurationModel([(50.0, 60.0)] * 2)
    assert min(model.masses[1:]) > 0
    assert 0.1 < model.ended_by(30.0) < 0.5


def test_the_likelihood_is_the_probability_of_what_was_seen() -> None:
    """Of an interval, of a lower bound, and of an exact age to five percent."""
    model = DurationModel([(50.0, 60.0)] * 20)
    inside = model.ended_by(60) - model.ended_by(50)
    assert model.likelihood((50.0, 60.0)) == pytest.approx(inside)
    assert model.likelihood((50.0, None)) == pytest.approx(1 - model.ended_by(50))
    exact = model.ended_by(55 * 1.05) - model.ended_by(55 / 1.05)
    assert model.likelihood((55.0, 55.0)) == pytest.approx(exact)


@pytest.mark.parametrize("budget", [1.5, 3.0, 5.0, 12.0, 40.0, 200.0])
@pytest.mark.parametrize("family", ["lognormal:60,0.5", "exponential:60"])
def test_a_budget_of_requests_is_kept(family: str, budget: float) -> None:
    """Not exceeded, and used but for a tenth."""
    looks = [1.2**k for k in range(60)]
    model = DurationModel(polled(Durations.parse(family), looks, 200))
    cost = model.cost_for(budget, floor=0.01, ceiling=1e9)
    assert model.cost_for(budget, floor=0.01, ceiling=1e9) == cost
    spent = model.inspection(cost, floor=0.01, ceiling=1e9).requests
    assert 0.9 * budget <= spent <= budget


@pytest.mark.parametrize("budget", [1.0001, 1.01, 1.03, 1.1])
def test_a_budget_of_hardly_more_than_one_request_is_possible(budget: float) -> None:
    """As well as can be: the search ends, with a cost that is dear."""
    model = DurationModel([(50.0, 60.0)] * 30)
    cost = model.cost_for(budget, floor=0.05, ceiling=1e9)
    assert math.isfinite(cost)
    assert model.inspection(cost, floor=0.05, ceiling=1e9).requests < 1.5


def test_smoothing_is_close_to_a_normal_kernel() -> None:
    """It keeps mean and mass, and spreads as it is told."""
    masses = [0.0] * 200
    masses[100] = 1.0
    for bandwidth in (1.5, 4.0, 11.0, 25.0):
        spread = smooth(masses, bandwidth)
        assert sum(spread) == pytest.approx(1)
        variance = sum(m * (k - 100) ** 2 for k, m in enumerate(spread))
        assert math.sqrt(variance) == pytest.approx(bandwidth, rel=0.1)
        within = sum(m for k, m in enumerate(spread) if abs(k - 100) <= bandwidth)
        assert within == pytest.approx(0.68, abs=0.12)


def test_smoothing_by_nothing_changes_nothing() -> None:
    """And by more than there are cells, it still sums up what is left."""
    assert smooth([0.25, 0.5, 0.25], 0.1) == [0.25, 0.5, 0.25]
    assert all(0 <= mass <= 1 for mass in smooth([0.25, 0.5, 0.25], 50.0))


def test_the_share_that_stays_is_that_of_a_normal_kernel() -> None:
    """Against a sum over the interval, in steps."""
    for width in (0.1, 1.0, 4.0):
        steps = [width * (k + 0.5) / 2000 for k in range(2000)]
        inside = [
            (math.erf((width - x) / math.sqrt(2)) + math.erf(x / math.sqrt(2))) / 2
            for x in steps
        ]
        assert stay_rate(width) == pytest.approx(sum(inside) / 2000, rel=1e-4)


def test_the_model_says_what_it_is() -> None:
    """In words."""
    model = DurationModel([(50.0, 60.0)] * 3)
    assert repr(model) == "<DurationModel ends=3 mean=55>"
    assert list(accumulate(model.masses))[-1] == pytest.approx(sum(model.masses))
