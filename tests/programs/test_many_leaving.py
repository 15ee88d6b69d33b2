"""Leaving a block of many waits: what the body sees, and what becomes of the jobs."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from vtrio import WaitTimeout
from vtrio.testing import Invariants, Kind, ScriptedServer, after, job


async def test_a_body_may_leave_while_something_is_handed_over(
    autojump_clock: MockClock,
) -> None:
    """No broken channel comes out of the block."""
    server = ScriptedServer()
    jobs = [server.add(job("pending", after(2, "completed"))) for _ in range(5)]
    with Invariants(server):
        async with server.client() as client:
            async with client.watch([job.id for job in jobs]) as updates:
                async for _ in updates:
                    await trio.sleep(1)
                    break
            assert trio.current_time() == 1


async def test_a_wait_that_was_given_up_is_in_the_token(
    autojump_clock: MockClock,
) -> None:
    """Its job runs on, so another wait can take it up; one that has ended is not in it."""
    server = ScriptedServer()
    slow = server.add(job("running", after(60, "completed")), optional=True)
    quick = server.add(job("running", after(1, "error")))
    async with server.client() as client:
        async with client.as_completed(
            [slow.id, quick.id], max_wait_time=5
        ) as outcomes:
            ended = [outcome async for outcome in outcomes]
        assert [outcome.job_id for outcome in ended] == [quick.id, slow.id]
        assert isinstance(ended[1].exception, WaitTimeout)
        left = outcomes.token()
        assert left["jobs"] == [{"id": slow.id, "age": None, "status": None}]
        async with client.as_completed(left) as again:
            assert [outcome.result().id async for outcome in again] == [slow.id]
        assert again.token()["jobs"] == []


async def test_a_job_whose_wait_was_given_up_is_cancelled_with_the_others(
    autojump_clock: MockClock,
) -> None:
    """It still runs when the block ends, whether or not its outcome was taken."""
    server = ScriptedServer()
    jobs = [
        server.add(job("running", after(60, "completed")), optional=True)
        for _ in range(3)
    ]
    ids = [job.id for job in jobs]
    async with server.client() as client:
        async with client.as_completed(
            ids[:2], max_wait_time=5, on_exit="cancel"
        ) as outcomes:
            async for outcome in outcomes:
                outcomes.add(ids[2])
                assert outcome.job_id in ids[:2]
                break
        (cancel,) = [e for e in server.exchanges if e.kind is Kind.CANCEL]
        assert sorted(cancel.job_ids) == ids
        assert outcomes.token()["jobs"] == []
