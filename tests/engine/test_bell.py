"""The bell: heard once for all that has happened, or at an instant."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from vtrio._bell import Bell


async def test_a_ring_is_not_lost_if_nobody_listens_yet() -> None:
    """Whoever listens next goes on at once; the one after it waits."""
    bell = Bell()
    bell.ring()
    bell.ring()
    with trio.fail_after(1):
        await bell.heard()
    with trio.move_on_after(0.01) as scope:
        await bell.heard()
    assert scope.cancelled_caught


async def test_a_ring_wakes(autojump_clock: MockClock) -> None:
    """At the instant at which it rings."""
    bell = Bell()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _ring() -> None:
            await trio.sleep(2)
            bell.ring()

        await bell.heard(5)
    assert trio.current_time() == 2


async def test_an_instant_wakes_too(autojump_clock: MockClock) -> None:
    """And the bell has not rung by that."""
    bell = Bell()
    await bell.heard(5)
    assert trio.current_time() == 5
    await bell.heard(4)  # it is over: at once
    assert trio.current_time() == 5
