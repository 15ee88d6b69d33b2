"""The requests of all waits together: their order, their number, their rate."""

from __future__ import annotations

import random
import time
from functools import partial
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from vtrio import Governor, Refused, ServerBusy, Unreachable


async def ask(
    governor: Governor,
    due_at: float,
    record: list[tuple[float, str]],
    name: str = "",
    *,
    takes: float = 1.0,
    held: bool = False,
) -> None:
    """Make one request, and record when it began."""
    async with governor.turn(due_at, held=held):
        record.append((trio.current_time(), name))
        await trio.sleep(takes)


async def refuse(
    governor: Governor, hint: float | None = None, takes: float = 0.0
) -> None:
    """Make one request that is refused."""

    async def one() -> None:
        async with governor.turn(trio.current_time()):
            await trio.sleep(takes)
            raise ServerBusy("slow down", status_code=429, hint=hint)

    with pytest.raises(ServerBusy):
        await one()


async def test_where_there_is_room_nobody_waits(autojump_clock: MockClock) -> None:
    """Not even for a turn of the scheduler."""
    governor = Governor()
    assert not governor.would_wait(0.0)
    others: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, Governor(), 0.0, others)
        async with governor.turn(0.0):
            assert governor.statistics().in_flight == 1
            assert others == []
    assert governor.statistics().in_flight == 0
    assert governor.statistics().requests == 1


async def test_a_turn_is_a_checkpoint_for_who_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    """No request begins for somebody who is leaving."""
    governor = Governor()
    with trio.CancelScope() as scope:
        scope.cancel()
        async with governor.turn(0.0):
            raise AssertionError("it began")
    assert scope.cancelled_caught
    assert governor.statistics().requests == 0


def test_a_free_turn_costs_little() -> None:
    """It is to be paid at every poll; the bound is ten times what is usual."""

    async def main() -> float:
        governor = Governor()
        began = time.process_time()
        for _ in range(2000):
            async with governor.turn(0.0):
                pass
        return (time.process_time() - began) / 2000

    assert trio.run(main) < 80e-6


async def test_the_longest_overdue_goes_first(autojump_clock: MockClock) -> None:
    """Whoever came first; among those due together, the first to come."""
    governor = Governor(max_in_flight=1)
    record: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        for due_at, name in [(0.0, "a"), (7.0, "d"), (5.0, "b"), (6.0, "c")]:
            nursery.start_soon(ask, governor, due_at, record, name)
            await trio.testing.wait_all_tasks_blocked()
        assert governor.statistics().waiting == 3
        assert governor.would_wait(0.0)
    assert record == [(0.0, "a"), (1.0, "b"), (2.0, "c"), (3.0, "d")]


async def test_no_more_are_in_flight_than_allowed(autojump_clock: MockClock) -> None:
    """The others follow as places become free."""
    governor = Governor(max_in_flight=3)
    record: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask, governor, 0.0, record)
    assert [at for at, _ in record] == [0, 0, 0, 1, 1, 1, 2, 2]


async def test_what_the_server_holds_takes_no_place(autojump_clock: MockClock) -> None:
    """Nor does it have to wait for one; but a pause stops it too."""
    governor = Governor(max_in_flight=1)
    record: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, governor, 0.0, record, "polls")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, governor, 0.0, record, "polls again")
        await trio.testing.wait_all_tasks_blocked()
        async with governor.turn(5.0, held=True):
            assert governor.statistics().held == 1
            assert trio.current_time() == 0.0
    assert record == [(0.0, "polls"), (1.0, "polls again")]
    await refuse(governor, hint=20)
    async with governor.turn(0.0, held=True):
        assert trio.current_time() == 22.0


async def test_a_refusal_slows_everybody(autojump_clock: MockClock) -> None:
    """Ten a second after the first one, evenly spread."""
    governor = Governor()
    await refuse(governor)
    record: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask, governor, 0.0, record)
    assert [at for at, _ in record] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert governor.statistics().refused == 1


async def test_a_hint_stops_everybody(autojump_clock: MockClock) -> None:
    """Those too that stood in the queue before it came; then they go in a row."""
    governor = Governor(max_in_flight=1)
    record: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse, governor, 30, 5.0)
        await trio.testing.wait_all_tasks_blocked()
        for due_at in (1.0, 2.0, 3.0):
            nursery.start_soon(ask, governor, due_at, record)
        await trio.sleep(5)
        await trio.testing.wait_all_tasks_blocked()
        assert governor.statistics().paused_until == 35.0
        assert governor.next_at(5.0) == 35.0
    assert [at for at, _ in record] == [35.0, 36.0, 37.0]


async def test_a_lone_wait_keeps_to_its_own_schedule(autojump_clock: MockClock) -> None:
    """It honours hints by itself, and its last poll is made even under one."""
    governor = Governor()
    await refuse(governor, hint=30)
    async with governor.turn(0.0, lone=True):
        assert trio.current_time() == 0.0
    async with governor.turn(0.0):
        assert trio.current_time() == 30.0


async def test_a_limit_of_the_callers_holds_for_all(autojump_clock: MockClock) -> None:
    """A lone wait included."""
    governor = Governor(max_rate=2)
    record: list[float] = []
    for _ in range(3):
        async with governor.turn(0.0, lone=True):
            record.append(trio.current_time())
    assert record == [0.0, 0.5, 1.0]
    assert governor.statistics().rate == 2.0


async def test_a_herd_is_spread_over_a_second(autojump_clock: MockClock) -> None:
    """Those that find no place follow evenly, though places become free at once."""
    governor = Governor(max_in_flight=2)
    record: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        for _ in range(202):
            nursery.start_soon(partial(ask, governor, 0.0, record, takes=0.001))
    gaps = [later - at for (at, _), (later, _) in pairwise(record[2:])]
    assert gaps == pytest.approx([0.005] * 199)


async def test_other_errors_teach_what_they_are(autojump_clock: MockClock) -> None:
    """A refusal of one job is an answer; a failure is counted; a fault is nothing."""
    governor = Governor()
    for error in (Refused("no", status_code=403), Unreachable("gone"), KeyError("x")):
        with pytest.raises(type(error)):
            async with governor.turn(0.0):
                raise error
    statistics = governor.statistics()
    assert (statistics.requests, statistics.refused, statistics.failed) == (3, 0, 1)
    assert statistics.rate is None


async def test_who_is_cancelled_lets_the_next_one_through(
    autojump_clock: MockClock,
) -> None:
    """At the head of the queue as behind it, and in the request itself."""
    governor = Governor(max_in_flight=1)
    record: list[tuple[float, str]] = []
    scopes = {name: trio.CancelScope() for name in "abcd"}

    async def one(name: str, due_at: float) -> None:
        with scopes[name]:
            await ask(governor, due_at, record, name, takes=10.0)

    async with trio.open_nursery() as nursery:
        for due_at, name in enumerate("abcd"):
            nursery.start_soon(one, name, float(due_at))
            await trio.testing.wait_all_tasks_blocked()
        scopes["c"].cancel()
        await trio.sleep(1)
        assert governor.statistics().waiting == 2
        scopes["a"].cancel()
        await trio.sleep(1)
        scopes["b"].cancel()
    assert record == [(0.0, "a"), (1.0, "b"), (2.0, "d")]
    assert governor.statistics().in_flight == governor.statistics().waiting == 0


async def test_a_head_that_leaves_hands_its_instant_on(
    autojump_clock: MockClock,
) -> None:
    """Whoever sleeps until the pace lets somebody go is not the only one to know."""
    governor = Governor(max_rate=0.1)
    record: list[tuple[float, str]] = []
    await ask(governor, 0.0, record, takes=0)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(4) as scope:
            nursery.start_soon(ask, governor, 2.0, record, "second")
            await ask(governor, 1.0, record, "first")
        assert scope.cancelled_caught
    assert record == [(0.0, ""), (10.0, "second")]


async def test_who_comes_later_and_is_longer_overdue_becomes_the_head(
    autojump_clock: MockClock,
) -> None:
    """The one that slept until the instant wakes, and waits on."""
    governor = Governor(max_rate=0.1)
    record: list[tuple[float, str]] = []
    await ask(governor, 0.0, record, takes=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, governor, 2.0, record, "second")
        await trio.sleep(5)
        nursery.start_soon(ask, governor, 1.0, record, "first")
    assert record[1:] == [(10.0, "first"), (20.0, "second")]


def test_cancelling_at_any_instant_leaves_nothing() -> None:
    """No place, no turn and nobody in the queue, whoever is cancelled when."""

    async def main(seed: int) -> None:
        rng = random.Random(seed)
        governor = Governor(max_in_flight=2, max_rate=rng.choice([None, 3.0]))
        began: list[tuple[float, str]] = []

        async def one() -> None:
            await trio.sleep(rng.choice([0, 1, 2]))
            with trio.move_on_after(rng.choice([0, 0.5, 1, 1.5, 2, 100])):
                due_at = rng.choice([0.0, 1.0])
                await ask(governor, due_at, began, held=rng.random() < 0.2)

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(one)
        statistics = governor.statistics()
        assert statistics.in_flight == statistics.held == statistics.waiting == 0
        assert statistics.requests >= len(began)
        await trio.sleep(1)
        async with governor.turn(0.0):
            pass

    for seed in range(40):
        trio.run(main, seed, clock=MockClock(autojump_threshold=0))


async def test_a_turn_that_came_with_the_cancel_is_given_back(
    autojump_clock: MockClock,
) -> None:
    """Both in one instant: the request does not begin, and the place is free."""
    governor = Governor(max_in_flight=1)
    record: list[tuple[float, str]] = []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery, governor.turn(0.0):
            nursery.start_soon(ask, governor, 1.0, record, "late")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert record == []
    assert governor.statistics().in_flight == 0


def test_another_run_begins_anew() -> None:
    """A pause of one clock means nothing on another."""
    governor = Governor()

    async def first() -> None:
        await refuse(governor, hint=300)

    async def second() -> float:
        async with governor.turn(0.0):
            return trio.current_time()

    trio.run(first, clock=MockClock(autojump_threshold=0))
    assert trio.run(second, clock=MockClock(autojump_threshold=0)) == 0.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_in_flight": 0}, "max_in_flight=0 .* whole number of at least 1"),
        ({"max_in_flight": 2.5}, "max_in_flight=2.5"),
        ({"max_rate": 0}, "max_rate=0 .* above 0"),
        ({"max_rate": "fast"}, "max_rate='fast'"),
    ],
)
def test_a_bad_limit_is_told(given: dict[str, object], told: str) -> None:
    """With the parameter, the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        Governor(**given)  # type: ignore[arg-type]


async def test_it_tells_how_it_stands(autojump_clock: MockClock) -> None:
    """In words, and without what it governs."""
    governor = Governor(max_in_flight=2)
    assert repr(governor) == "<Governor: 0 of 2 in flight, 0 waiting, at any rate>"
    await refuse(governor)
    async with governor.turn(0.0), governor.turn(0.0, held=True):
        assert repr(governor) == (
            "<Governor: 1 of 2 in flight, 1 held, 0 waiting, at 10 a second>"
        )
