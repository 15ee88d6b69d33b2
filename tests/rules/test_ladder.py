"""The ladder: the best way that works, and when another one is tried again."""

from __future__ import annotations

import pytest

from vtrio._errors import (
    JobNotFound,
    Redirected,
    Refused,
    RemoteError,
    ServerBusy,
    Unauthorized,
    Unreachable,
)
from vtrio._ladder import (
    ABSENT_REST,
    FIRST_HOLD,
    FIRST_REST,
    LADDER,
    LONGEST_HOLD,
    LONGEST_REST,
    Ladder,
    Rung,
    is_absent,
    rungs_of,
)
from vtrio._source import Capabilities

ALL = Capabilities(status_of_many=True, held_status=True, change_feed=True)


@pytest.mark.parametrize(
    ("capabilities", "best", "expected"),
    [
        (ALL, Rung.FEED, ["feed", "held", "batch", "single"]),
        (ALL, Rung.HELD, ["held", "batch", "single"]),
        (ALL, Rung.BATCH, ["batch", "single"]),
        (ALL, Rung.SINGLE, ["single"]),
        (Capabilities(), Rung.FEED, ["single"]),
        (Capabilities(status_of_many=True), Rung.FEED, ["batch", "single"]),
        # A feed that is not held would have to be polled, and nobody says how often.
        (Capabilities(change_feed=True), Rung.FEED, ["single"]),
        (
            Capabilities(change_feed=True, held_status=True),
            Rung.FEED,
            ["feed", "single"],
        ),
    ],
)
def test_the_rungs_are_what_the_source_can_and_the_caller_allows(
    capabilities: Capabilities, best: Rung, expected: list[str]
) -> None:
    """From the best that may be used downwards; single polls are always there."""
    assert list(rungs_of(capabilities, best)) == expected


def test_the_best_rung_is_used_first() -> None:
    """Whatever the order in which they are named."""
    ladder = Ladder([Rung.BATCH, Rung.FEED])
    assert ladder.rungs == (Rung.FEED, Rung.BATCH, Rung.SINGLE)
    assert ladder.best(0.0) is Rung.FEED


def test_a_rung_that_fails_rests_twice_as_long_each_time() -> None:
    """2, 4, 8 ... seconds, a minute at most; and is tried again after that."""
    ladder = Ladder(rungs_of(ALL, Rung.FEED))
    rests = []
    now = 100.0
    for _ in range(7):
        ladder.failed(Rung.FEED, now=now)
        rests.append(ladder.rests_until(Rung.FEED) - now)
        assert ladder.best(now) is Rung.HELD
        now = ladder.rests_until(Rung.FEED)
        assert ladder.best(now) is Rung.FEED
    assert rests == [2, 4, 8, 16, 32, LONGEST_REST, LONGEST_REST]


def test_what_works_is_forgiven() -> None:
    """After a good answer the next failure counts as the first."""
    ladder = Ladder(rungs_of(ALL, Rung.FEED))
    ladder.failed(Rung.FEED, now=0)
    ladder.failed(Rung.FEED, now=2)
    ladder.worked(Rung.FEED)
    assert ladder.may_use(Rung.FEED, 3)
    ladder.failed(Rung.FEED, now=10)
    assert ladder.rests_until(Rung.FEED) == 12


def test_a_rung_that_is_not_there_is_tried_again_much_later() -> None:
    """The server may have been brought up to date."""
    ladder = Ladder(rungs_of(ALL, Rung.FEED))
    ladder.failed(Rung.FEED, now=0, absent=True)
    assert ladder.rests_until(Rung.FEED) == ABSENT_REST


def test_single_polls_are_left_when_nothing_else_is() -> None:
    """Even if everything rests."""
    ladder = Ladder(rungs_of(ALL, Rung.FEED))
    for rung in Rung:
        ladder.failed(rung, now=0, absent=True)
    assert ladder.best(1.0) is Rung.SINGLE


def test_a_listening_rung_has_to_prove_itself() -> None:
    """Nobody may rely on being told before an answer came, or after a failure."""
    ladder = Ladder(rungs_of(ALL, Rung.FEED))
    assert not ladder.is_proven(Rung.FEED)
    ladder.worked(Rung.FEED)
    assert ladder.is_proven(Rung.FEED)
    ladder.failed(Rung.FEED, now=0)
    assert not ladder.is_proven(Rung.FEED)
    ladder.worked(Rung.BATCH)
    assert not ladder.is_proven(Rung.BATCH), "nobody is told there"


def test_holds_grow_as_they_come_back() -> None:
    """The first is short, so that a rung which never answers is soon found out."""
    ladder = Ladder(rungs_of(ALL, Rung.FEED))
    holds = []
    for _ in range(5):
        holds.append(ladder.hold(Rung.FEED))
        ladder.worked(Rung.FEED, waited=True)
    assert holds == [FIRST_HOLD, 10, 20, LONGEST_HOLD, LONGEST_HOLD]
    ladder.worked(Rung.FEED)
    assert ladder.hold(Rung.FEED) == LONGEST_HOLD
    ladder.failed(Rung.FEED, now=0)
    assert ladder.hold(Rung.FEED) == FIRST_HOLD


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        (JobNotFound(status_code=404), True),
        (Refused(status_code=405), True),
        (Redirected(status_code=302), True),
        (ServerBusy(status_code=501), True),
        (ServerBusy(status_code=503), False),
        (Unreachable(), False),
        (Unauthorized(status_code=401), False),
    ],
)
def test_what_says_that_a_rung_is_not_there(error: RemoteError, absent: bool) -> None:
    """A refusal does, and 501; a key that is missing is missed on every rung."""
    assert is_absent(error) is absent


def test_a_ladder_tells_what_rests() -> None:
    """For whoever prints it."""
    ladder = Ladder([Rung.BATCH])
    assert repr(ladder) == "<Ladder batch > single; resting: none>"
    ladder.failed(Rung.BATCH, now=0)
    assert repr(ladder) == "<Ladder batch > single; resting: batch>"


def test_when_the_server_answers_again_what_failed_with_it_need_not_rest() -> None:
    """What it does not know rests on, and who fails again rests for longer."""
    ladder = Ladder(LADDER)
    ladder.failed(Rung.FEED, now=0)
    ladder.failed(Rung.HELD, now=0, absent=True)
    assert not ladder.may_use(Rung.FEED, 1)
    ladder.recovered()
    assert ladder.may_use(Rung.FEED, 1)
    assert not ladder.may_use(Rung.HELD, 1)
    ladder.failed(Rung.FEED, now=1)
    assert ladder.rests_until(Rung.FEED) == 1 + 2 * FIRST_REST
