"""A feed that tells what came of a job: nobody asks again."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from vtrio.testing import (
    Invariants,
    Kind,
    ScriptedServer,
    after,
    job,
)


async def test_an_end_costs_no_request_of_its_own(autojump_clock: MockClock) -> None:
    """One look at the beginning; then each end is told with all that came of it."""
    server = ScriptedServer(feed_documents=True)
    ids = [
        server.add(job("pending", after(9 + number, "completed"))).id
        for number in range(5)
    ]
    told = []
    with Invariants(server):
        async with server.client() as client, client.as_completed(ids) as outcomes:
            async for outcome in outcomes:
                told.append((outcome.job_id, trio.current_time()))
                assert outcome.result().result is not None
                assert outcome.receipt.told_by == "feed"
                assert outcome.receipt.polls == 1
    assert told == [(job_id, 9.0 + number) for number, job_id in enumerate(ids)]
    looks = [e.at for e in server.exchanges if e.kind is not Kind.FEED]
    assert looks == [0.0]


async def test_a_bad_end_is_told_with_its_reason(autojump_clock: MockClock) -> None:
    """An error and a cancel are ends too."""
    server = ScriptedServer(feed_documents=True)
    failing = server.add(job("running", after(9, "error"))).id
    stopping = server.add(job("running", after(900, "completed")), optional=True).id
    outcomes = []
    with Invariants(server):
        async with server.client() as client, client.watch([failing, stopping]) as all_:
            async for update in all_:
                if update.outcome is not None:
                    outcomes.append(
                        (trio.current_time(), str(update.outcome.exception))
                    )
                    if update.job_id == failing:
                        await client.cancel(stopping)
    (first_at, first), (second_at, second) = outcomes
    assert first_at == 9.0
    assert first.startswith(f"job {failing!r} ended in error: The job failed")
    assert second == f"job {stopping!r} was cancelled on the server"
    assert second_at <= 9.1
