"""A server that is cancelled, not stopped: it puts back what it had in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio._job import JobStatus

if TYPE_CHECKING:
    from tests.programs.conftest import BenchOf


async def test_jobs_are_put_back_when_everything_is_cancelled_at_once(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """The store is cancelled with the service that has something to write down yet."""
    bench = bench_of()
    with trio.CancelScope() as everything:
        async with bench.running():
            job = await bench.submit()
            await trio.sleep(1)
            everything.cancel()
            await trio.sleep_forever()

    async with bench.open():
        record = await bench.store.get(job.id)
        assert (record.status, record.deaths) == (JobStatus.PENDING, 0)
        assert bench.engine.ended == [1]


@pytest.mark.parametrize("steps", range(8))
async def test_a_store_that_is_being_opened_can_be_cancelled(
    steps: int, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """At any step, also where its writer has been started and has not begun."""
    bench = bench_of()
    with trio.CancelScope() as everything:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_after, steps, everything)
            async with bench.open():
                await trio.sleep_forever()
    assert everything.cancelled_caught


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()
