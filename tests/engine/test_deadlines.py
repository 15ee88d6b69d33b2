"""Deadlines of many waits: the soonest first, and turns for the last polls of a crowd."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vtrio._deadlines import Deadlines


def wait(deadline: float, took: float = 0.1) -> Any:
    """Make what a wait is to its deadline."""
    session = SimpleNamespace(deadline=deadline, quickest_answer=took)
    return cast(
        "Any",
        SimpleNamespace(
            session=session, is_over=False, turn_at=float("inf"), looked_at=-1.0
        ),
    )


def deadlines_of(*waits: Any, singly: bool = True) -> Deadlines:
    """Take in waits."""
    deadlines = Deadlines()
    deadlines.asks_singly = singly
    for one in waits:
        deadlines.add(one)
    return deadlines


def test_the_soonest_comes_first() -> None:
    """When it has come, and unless it is over."""
    late, over, soon = wait(9), wait(3), wait(5)
    deadlines = deadlines_of(late, over, soon)
    over.is_over = True
    assert deadlines.pop_due(4.9) is None
    assert deadlines.next_at() == 5
    assert deadlines.pop_due(5) is soon
    assert deadlines.pop_due(5) is None
    assert deadlines.next_at() == 9
    assert deadlines.pop_due(10) is late
    assert deadlines.next_at() == float("inf")


def test_the_last_polls_of_a_crowd_begin_one_after_another() -> None:
    """Within as many seconds as they take one by one, none of them later than alone."""
    crowd = [wait(40 + number / 10_000) for number in range(50)]
    deadlines = deadlines_of(*crowd)
    polls = sorted(deadlines.in_turn(one, 39.8, 0.0) for one in crowd)
    assert 39.8 - 49 * 0.1 <= polls[0] < 39.8 - 4
    assert 39.8 - 1 < polls[-1] <= 39.8
    gaps = [b - a for a, b in pairwise(polls)]
    assert max(gaps) < 0.3


@pytest.mark.parametrize(
    ("others", "singly", "took"),
    [
        ([], True, 0.1),
        ([41.0, 39.0], True, 0.1),
        ([40.0], False, 0.1),
        ([40.0], True, 0),
    ],
    ids=["alone", "others later and sooner", "in one list", "at no time"],
)
def test_who_is_no_crowd_is_asked_about_as_late_as_can_be(
    others: list[float], singly: bool, took: float
) -> None:
    """One answer's time before the deadline, as every wait alone."""
    own = wait(40, took)
    deadlines = deadlines_of(own, *map(wait, others), singly=singly)
    assert deadlines.in_turn(own, 39.8, 0.0) == 39.8


def test_a_crowd_that_is_over_is_none() -> None:
    """Whoever has left takes no turn."""
    own, other = wait(40), wait(40)
    deadlines = deadlines_of(own, other)
    assert deadlines.in_turn(own, 39.8, 0.0) < 39.8
    deadlines.leave(40)
    assert deadlines.in_turn(own, 39.8, 0.0) == 39.8


def test_who_was_asked_about_in_its_turn_is_not_asked_about_again() -> None:
    """Unless that brought nothing: then once more, at any time that is left."""
    own, other = wait(40), wait(40)
    deadlines = deadlines_of(own, other)
    turn = deadlines.in_turn(own, 39.8, 0.0)
    assert deadlines.in_turn(own, 39.8, 1.0) == turn
    assert turn <= deadlines.in_turn(own, 39.8, turn) <= 39.8
    own.looked_at = turn
    assert deadlines.in_turn(own, 39.8, turn) == float("inf")


def test_no_turn_is_in_the_past_or_far_ahead() -> None:
    """A poll that is due now is made now, and a huge crowd does not begin an hour early."""
    crowd = [wait(40, took=10.0) for _ in range(1000)]
    deadlines = deadlines_of(*crowd)
    assert all(39.0 - 5.0 <= deadlines.in_turn(one, 39.0, 0.0) <= 39.0 for one in crowd)
    assert all(deadlines.in_turn(one, 39.0, 39.0) == 39.0 for one in crowd)
    assert all(deadlines.in_turn(one, 38.0, 39.0) == 39.0 for one in crowd)
    assert deadlines.in_turn(crowd[0], float("inf"), 0.0) == float("inf")
