"""A server that is cancelled, not stopped: it puts back what it had in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
