"""Schedules are arithmetic: positive, bounded, monotone, jitter inside its band."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio import Exponential, Fixed, Schedule
from vtrio.schedules import Observation, PollState

rolls = st.floats(min_value=0, max_value=1, exclude_max=True)
seconds = st.floats(min_value=0, max_value=1e6)


def delays(schedule: Schedule, count: int, *, start_age: float = 0.0) -> list[float]:
    """Ask for a wait's first delays, without jitter."""
    return [
        schedule.delay(PollState(age=0, start_age=start_age, answers=answers))
        for answers in range(1, count + 1)
    ]


def test_exponential_multiplies() -> None:
    """After answer k: initial * factor**(k - 1)."""
    assert delays(Exponential(1, 2), 5) == [1, 2, 4, 8, 16]


def test_unless_told_otherwise_delays_double_from_a_second_on() -> None:
    """There is no cap and no jitter then, and a job's age counts."""
    assert delays(Exponential(), 5) == [1, 2, 4, 8, 16]
    assert delays(Exponential(), 1, start_age=1000.0) == [512]
    assert Exponential().delay(PollState(age=0, answers=8, roll=0.0)) == 128


def test_a_cap_holds_the_delays_down() -> None:
    """No delay is longer than the cap."""
    assert delays(Exponential(1, 2, cap=5), 5) == [1, 2, 4, 5, 5]


def test_a_delay_of_nothing_stays_nothing() -> None:
    """No factor makes more of it."""
    assert delays(Exponential(0, 2), 3) == [0, 0, 0]


def test_a_cap_may_be_shorter_than_a_second() -> None:
    """It holds the first delay down too."""
    assert delays(Exponential(1, 2, cap=0.5), 2) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("schedule", "answers", "delay"),
    [
        (Exponential(1, 2), 2000, 365 * 86_400.0),
        (Exponential(1, 2, cap=20), 2000, 20.0),
        (Exponential(1e-305, 10), 310, 1e4),
        (Exponential(2.0**-1000, 2), 1011, 1024.0),
    ],
)
def test_a_power_beyond_any_float_is_still_a_delay(
    schedule: Exponential, answers: int, delay: float
) -> None:
    """A year at most; what a tiny initial delay makes of such a power is exact."""
    state = PollState(age=0, answers=answers)
    assert schedule.delay(state) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("initial", "age", "delay"),
    [
        (0.25, 0.2, 0.25),
        (0.25, 0.3, 0.5),
        (0.25, 0.8, 1.0),
        (4, 11.9, 8),
        (4, 12.1, 16),
    ],
)
def test_the_delays_before_an_age_are_counted_in_initial_delays(
    initial: float, age: float, delay: float
) -> None:
    """With a factor of two they end at the initial delay times 1, 3, 7 and so on."""
    assert delays(Exponential(initial, 2), 1, start_age=age) == [delay]


def test_before_any_answer_the_delay_is_the_initial_one() -> None:
    """A schedule may be asked before anything was heard."""
    assert Exponential(3, 2).delay(PollState(age=0)) == 3


@given(
    st.integers(min_value=0, max_value=10**6),
    rolls,
    st.floats(min_value=0, max_value=1e4),
    st.floats(min_value=1, max_value=1e3),
    seconds,
    seconds,
)
def test_exponential_is_finite_and_never_negative(
    answers: int, roll: float, initial: float, factor: float, age: float, jitter: float
) -> None:
    """Whatever is asked, the answer can be slept for; 2.0**1024 does not overflow."""
    schedule = Exponential(initial, factor, jitter=jitter)
    delay = schedule.delay(
        PollState(age=age, start_age=age, answers=answers, roll=roll)
    )
    assert 0 <= delay < math.inf


@given(st.integers(min_value=1, max_value=2000), st.floats(min_value=1, max_value=10))
def test_exponential_is_monotone_without_jitter(answers: int, factor: float) -> None:
    """Later delays are never shorter."""
    schedule = Exponential(0.5, factor)
    before, after = (
        schedule.delay(PollState(age=0, answers=k)) for k in (answers, answers + 1)
    )
    assert before <= after


@given(st.integers(min_value=1, max_value=12), rolls, st.floats(0, 100))
def test_jitter_stays_inside_its_band(answers: int, roll: float, jitter: float) -> None:
    """The draw is uniform in ±jitter around the plain delay, never below 0."""
    plain = Exponential(1, 2).delay(PollState(age=0, answers=answers))
    delay = Exponential(1, 2, jitter=jitter).delay(
        PollState(age=0, answers=answers, roll=roll)
    )
    assert max(0.0, plain - jitter) <= delay <= plain + jitter
    assert delay == max(0.0, plain + (2 * roll - 1) * jitter)


@given(st.integers(min_value=0, max_value=30), st.floats(min_value=1.1, max_value=4))
def test_a_wait_taken_up_goes_on_where_it_would_be(steps: int, factor: float) -> None:
    """At the age of the n-th poll, the next delay is the one that follows it there."""
    schedule = Exponential(1, factor)
    age = sum(delays(schedule, steps))
    resumed = schedule.delay(PollState(age=age, start_age=age, answers=1))
    assert resumed == pytest.approx(min(factor**steps, 365 * 86_400))


def test_an_hour_old_job_is_polled_at_the_cap() -> None:
    """The default schedule of `wait` does not start at a second again."""
    assert delays(Exponential(1, 1.5, cap=20), 1, start_age=3600.0) == [20]
    assert delays(Exponential(1, 1.5, from_age=False), 1, start_age=3600.0) == [1]


def test_fixed_is_fixed() -> None:
    """The interval, whatever the state."""
    assert delays(Fixed(5), 3) == [5, 5, 5]


@pytest.mark.parametrize("schedule", [Fixed(1), Exponential()])
def test_schedules_are_values(schedule: Schedule) -> None:
    """They fulfil the protocol, compare by value and cannot be changed."""
    assert isinstance(schedule, Schedule)
    assert hash(schedule) == hash(type(schedule)(*_arguments(schedule)))
    field = "interval" if isinstance(schedule, Fixed) else "initial"
    with pytest.raises(AttributeError):
        setattr(schedule, field, 3)


def _arguments(schedule: Schedule) -> tuple[float, ...]:
    return (schedule.interval,) if isinstance(schedule, Fixed) else ()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Fixed(-1), "interval=-1 is not allowed: must be a finite number and"),
        (lambda: Fixed(math.inf), "interval=inf is not allowed"),
        (lambda: Exponential(-0.1), "initial=-0.1"),
        (lambda: Exponential(1, 0.5), "factor=0.5 .* at least 1"),
        (lambda: Exponential(1, 2, cap=-1), "cap=-1"),
        (lambda: Exponential(1, 2, jitter=math.nan), "jitter=nan"),
        (lambda: Exponential(1, 2, jitter=-0.1), "jitter=-0.1 .* at least 0"),
        (
            lambda: Exponential("1"),  # type: ignore[arg-type]
            "initial='1' .* must be a finite number",
        ),
        (lambda: Exponential(True), "initial=True"),
    ],
)
def test_bad_settings_are_named(make: object, told: str) -> None:
    """The message names the parameter, the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(("after", "until"), [(-1, 2), (3, 2), (math.nan, None)])
def test_an_observation_is_an_interval(after: float, until: float | None) -> None:
    """It cannot begin before the submission, nor end before it begins."""
    with pytest.raises(ValueError, match="must begin at 0 or later"):
        Observation(after=after, until=until)
