"""Polls that come early because one failed: only where there is credit for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from vtrio import Delay, DelayReason, Unreachable
from vtrio._limits import Limits
from vtrio._session import Ask, Session
from vtrio.schedules import PollState


@dataclass(frozen=True)
class Hasty:
    """Ask every ten seconds, and after a failure so many sooner."""

    sooner: float = 9.0

    def delay(self, state: PollState) -> float:
        """Return ten seconds, or fewer."""
        return 10.0 - (self.sooner if state.failures else 0.0)


def failed(
    *,
    has_credit: bool | None,
    hint: float | None = None,
    sooner: float = 9.0,
    max_wait_time: float | None = None,
) -> tuple[Ask, Delay]:
    """Let the first poll of a wait fail at 0 s, and say what follows."""
    session = Session(
        job_id="j1",
        schedule=Hasty(sooner),
        limits=Limits(max_wait_time=max_wait_time),
        started_at=0.0,
    )
    session.begin(now=0.0, roll=0.5)
    session.asking(now=0.0)
    error = Unreachable("gone", hint=hint)
    instruction = session.failed(
        error, asked_at=0.0, now=0.0, roll=0.5, has_credit=has_credit
    )
    assert isinstance(instruction, Ask)
    return instruction, session.receipt(now=0.0).delays[-1]


def test_with_credit_the_next_poll_comes_early() -> None:
    """It is hurried, and so costs one; the receipt tells the pause that is made."""
    instruction, delay = failed(has_credit=True)
    assert (instruction.at, instruction.is_hurried) == (1.0, True)
    assert delay == Delay(1.0, DelayReason.SCHEDULE)


def test_without_credit_it_comes_as_after_a_good_answer() -> None:
    """It costs nothing then."""
    instruction, delay = failed(has_credit=False)
    assert (instruction.at, instruction.is_hurried) == (10.0, False)
    assert delay == Delay(10.0, DelayReason.SCHEDULE)


def test_where_nobody_counts_the_schedule_is_followed() -> None:
    """A lone wait asks when it wants to."""
    instruction, _ = failed(has_credit=None)
    assert (instruction.at, instruction.is_hurried) == (1.0, False)


def test_a_schedule_that_backs_off_needs_no_credit() -> None:
    """It comes later after a failure, with credit or without."""
    for has_credit in (True, False):
        instruction, _ = failed(has_credit=has_credit, sooner=-5.0)
        assert (instruction.at, instruction.is_hurried) == (15.0, False)


@pytest.mark.parametrize(
    ("hint", "at", "is_hurried"), [(4.0, 4.0, True), (10.0, 10.0, False)]
)
def test_a_hint_that_lengthens_the_pause_counts(
    hint: float, at: float, is_hurried: bool
) -> None:
    """Nothing is hurried that comes as late as it would have."""
    instruction, _ = failed(has_credit=True, hint=hint)
    assert (instruction.at, instruction.is_hurried) == (at, is_hurried)


def test_the_last_poll_before_the_deadline_costs_nothing() -> None:
    """It is made in any case."""
    instruction, delay = failed(has_credit=True, max_wait_time=0.5)
    assert delay.reason is DelayReason.LAST_POLL
    assert not instruction.is_hurried
    assert instruction.at < 0.5 < math.inf
