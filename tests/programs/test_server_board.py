"""The board: who waits is woken by what concerns him, and nothing of a wait is left."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server.board import Board, feed_of
from vtrio.server.errors import TooManyHeld
from vtrio.server.store import Instant, JobEvent

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def event(job_id: str, owner: str = "") -> JobEvent:
    """Make an event about a job."""
    return JobEvent(
        cursor=1,
        owner=owner,
        job_id=job_id,
        status=JobStatus.RUNNING,
        progress=None,
        at=Instant(0, NOON),
    )


@dataclass
class Looker:
    """Looks at a value that a test sets, and remembers when."""

    value: str = "old"
    looked: list[float] = field(default_factory=list)
    found: list[tuple[float, str]] = field(default_factory=list)

    async def look(self) -> str:
        """Look, as at a store."""
        await trio.lowlevel.checkpoint()
        self.looked.append(trio.current_time())
        return self.value

    async def hold(
        self,
        board: Board,
        *topics: object,
        client: str = "c",
        seconds: float = 60,
    ) -> None:
        """Be held until the value is another."""
        found = await board.hold(
            self.look,
            lambda value: value != "old",
            topics,
            client=client,
            seconds=seconds,
        )
        self.found.append((trio.current_time(), found))


def assert_nobody_waits(board: Board) -> None:
    """Assert that nothing of any wait is left."""
    assert board.held == 0
    assert repr(board).startswith("<Board held=0")
    assert not board._waiting
    assert not board._held


async def test_what_is_news_already_is_not_held(autojump_clock: MockClock) -> None:
    """One look, and the answer."""
    board, looker = Board(1), Looker("new")
    await looker.hold(board, "j")
    assert (looker.looked, looker.found) == ([0.0], [(0.0, "new")])
    assert_nobody_waits(board)


async def test_who_waits_is_woken_at_the_instant_of_the_news(
    autojump_clock: MockClock,
) -> None:
    """And not before: what is told and is no news to him sets him waiting again."""
    board, looker = Board(1), Looker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looker.hold, board, "j")
        await trio.sleep(2)
        assert repr(board) == "<Board held=1>"
        board.tell([event("j")], [])
        await trio.sleep(3)
        looker.value = "new"
        board.tell([event("j")], [])
    assert looker.looked == [0.0, 2.0, 5.0]
    assert looker.found == [(5.0, "new")]
    assert_nobody_waits(board)


async def test_after_the_time_it_is_what_there_is_by_then(
    autojump_clock: MockClock,
) -> None:
    """He looks a last time, so even news that nobody told of is in the answer."""
    board, looker, patient = Board(2), Looker(), Looker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looker.hold, board, "j")
        nursery.start_soon(partial(patient.hold, board, "j", seconds=0))
        await trio.sleep(59)
        looker.value = "new"
    assert looker.found == [(60.0, "new")]
    assert patient.found == [(0.0, "old")]
    assert_nobody_waits(board)


async def test_a_change_while_he_looks_is_not_lost(autojump_clock: MockClock) -> None:
    """He is on the board before he looks, so what comes in between wakes him."""
    board, looker = Board(1), Looker()

    async def look_slowly() -> str:
        value = await looker.look()
        if len(looker.looked) == 1:
            looker.value = "new"
            board.tell([event("j")], [])
            await trio.sleep(1)
        return value

    found = await board.hold(
        look_slowly, lambda value: value == "new", ["j"], client="c", seconds=60
    )
    assert (found, looker.looked) == ("new", [0.0, 1.0])
    assert_nobody_waits(board)


@pytest.mark.parametrize(
    ("events", "gone", "woken"),
    [
        ([event("a")], [], {"a", "a and b", "feed of nobody"}),
        ([event("b")], [], {"b", "a and b", "feed of nobody"}),
        ([event("a", "me")], [], {"a", "a and b", "feed of mine"}),
        ([event("a"), event("b")], [], {"a", "b", "a and b", "feed of nobody"}),
        ([], ["b"], {"b", "a and b"}),
        ([event("c")], ["d"], {"feed of nobody"}),
        ([], [], set()),
    ],
)
async def test_only_those_concerned_are_woken(
    events: Sequence[JobEvent],
    gone: Sequence[str],
    woken: set[str],
    autojump_clock: MockClock,
) -> None:
    """By a job's change those who wait for it and for its owner's feed; once each."""
    board = Board(10)
    topics: dict[str, list[Hashable]] = {
        "a": ["a"],
        "b": ["b"],
        "a and b": ["a", "b"],
        "feed of nobody": [feed_of("")],
        "feed of mine": [feed_of("me")],
    }
    lookers = {name: Looker() for name in topics}
    async with trio.open_nursery() as nursery:
        for name, looker in lookers.items():
            nursery.start_soon(partial(looker.hold, board, *topics[name]))
        await trio.sleep(1)
        board.tell(events, gone)
        await trio.sleep(1)
        assert {
            name for name, looker in lookers.items() if looker.looked[1:] == [1.0]
        } == woken
        assert all(len(looker.looked) <= 2 for looker in lookers.values())
        nursery.cancel_scope.cancel()
    assert_nobody_waits(board)


async def test_a_job_cannot_have_the_name_of_a_feed(autojump_clock: MockClock) -> None:
    """Whatever a job is called, its change wakes nobody who waits for a feed."""
    assert feed_of("me") != "me"
    assert feed_of("me") == feed_of("me") != feed_of("")
    assert not isinstance(feed_of("me"), str)


async def test_a_release_answers_everybody_at_once(autojump_clock: MockClock) -> None:
    """With what there is; after it nobody is held any more."""
    board, looker, other = Board(2), Looker(), Looker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looker.hold, board, "a", "b")
        nursery.start_soon(other.hold, board, feed_of("me"))
        await trio.sleep(7)
        assert not board.released
        board.release()
    assert looker.found == other.found == [(7.0, "old")]
    assert board.released
    await looker.hold(board, "a")
    assert looker.found[1:] == [(7.0, "old")]
    assert repr(board) == "<Board held=0 released>"
    assert_nobody_waits(board)


async def test_a_client_holds_so_many_requests_and_no_more(
    autojump_clock: MockClock,
) -> None:
    """One more is refused; another client, and the next one in its place, are not."""
    board, looker = Board(2), Looker()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(looker.hold, board, "j")
        await wait_all_tasks_blocked()

        with pytest.raises(TooManyHeld, match="2 requests"):
            await looker.hold(board, "j")
        with pytest.raises(TooManyHeld), board.holding("c"):
            pass  # pragma: no cover - it is not held
        assert board.held == 2
        await Looker("new").hold(board, "j", client="d")
        with board.holding("d"), board.holding("d"):
            assert board.held == 4
        assert board.held == 2

        looker.value = "new"
        board.tell([event("j")], [])
        await wait_all_tasks_blocked()
        await looker.hold(board, "j")
    assert_nobody_waits(board)


async def test_one_look_may_serve_a_request_that_is_held_longer(
    autojump_clock: MockClock,
) -> None:
    """A stream is counted once, and waits again and again."""
    board, looker = Board(1), Looker()
    with board.holding("c"):
        for _ in range(3):
            assert board.held == 1
            found = await board.wait_for_news(
                looker.look, lambda value: value == "new", ["j"], seconds=15
            )
            assert found == "old"
    assert looker.looked == [0.0, 15.0, 15.0, 30.0, 30.0, 45.0]
    assert_nobody_waits(board)


async def test_cancelled_at_any_step_nothing_is_left(
    autojump_clock: MockClock,
) -> None:
    """Before, during and after each look and each wait."""
    outcomes = []
    for steps in range(12):
        board, looker = Board(1), Looker()

        async def change(board: Board = board, looker: Looker = looker) -> None:
            for number in range(3):
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                looker.value = "new" if number == 2 else "old"
                board.tell([event("j")], [])

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, steps, scope)
                nursery.start_soon(change)
                await looker.hold(board, "j", "k", feed_of("me"))
                nursery.cancel_scope.cancel()
        outcomes.append(bool(looker.found))
        assert_nobody_waits(board)
        board.tell([event("j")], ["k"])  # it finds nobody
    assert (outcomes[0], outcomes[-1]) == (False, True)


async def test_a_look_that_fails_leaves_nothing(autojump_clock: MockClock) -> None:
    """Its error is the answer."""
    board = Board(1)

    async def fail() -> str:
        await trio.lowlevel.checkpoint()
        raise LookupError("gone")

    with pytest.raises(LookupError):
        await board.hold(fail, bool, ["j"], client="c", seconds=60)
    assert_nobody_waits(board)


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()
