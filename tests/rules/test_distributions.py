"""Named durations: written, read and drawn by a roll."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio._distributions import Durations

TEXTS = [
    *("fixed:5", "uniform:5,15", "lognormal:60,0.5", "exponential:60"),
    *("weibull:0.6,60", "bimodal:20,300,0.3", "genai"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_distribution_reads_as_it_is_written(text: str) -> None:
    """Reading and writing are inverses."""
    assert str(Durations.parse(text)) == text


@given(
    st.sampled_from(TEXTS),
    st.tuples(
        st.floats(min_value=0, max_value=1, exclude_max=True),
        st.floats(min_value=0, max_value=1, exclude_max=True),
    ),
)
def test_durations_grow_with_the_roll(text: str, rolls: tuple[float, float]) -> None:
    """Each is an inverse distribution function within its modes: finite, monotone."""
    low, high = sorted(rolls)
    if text.startswith("bimodal"):  # the halves of the roll are two modes
        low, high = low / 2, high / 2
    durations = Durations.parse(text)
    assert 0 <= durations.at(low) <= durations.at(high) < math.inf


@pytest.mark.parametrize(
    ("text", "median"),
    [
        ("fixed:5", 5),
        ("uniform:5,15", 10),
        ("lognormal:60,0.5", 60),
        ("exponential:60", 60 * math.log(2)),
        ("weibull:0.6,60", 60 * math.log(2) ** (1 / 0.6)),
        ("genai", 23),
    ],
)
def test_the_median_is_where_the_formula_says(text: str, median: float) -> None:
    """Half of all jobs end by then."""
    assert Durations.parse(text).at(0.5) == pytest.approx(median)


def test_the_mean_of_many_even_rolls_is_the_mean() -> None:
    """Two modes with a sigma of 0.3 each have the mean of two lognormals."""
    durations = Durations.parse("bimodal:20,300,0.3")
    drawn = [durations.at((k + 0.5) / 20_000) for k in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(160 * math.exp(0.045), rel=0.001)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gaussian:1", "family must be one of bimodal, exponential, fixed"),
        ("uniform:5", "uniform takes uniform:LOW,HIGH"),
        ("uniform:15,5", "low must not be above high"),
        ("fixed:x", "must be written as family:number,number"),
        ("fixed:-1", "not negative"),
        ("fixed:inf", "finite"),
        ("genai:1", "genai takes no number"),
        ("weibull:0,60", "shape must be above 0"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, told: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ValueError, match=told):
        Durations.parse(text)
