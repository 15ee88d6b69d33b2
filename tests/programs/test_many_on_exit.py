"""What becomes of jobs that still run when a block ends: left, or cancelled in time."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed
from vtrio.testing import (
    Exchange,
    Invariants,
    Kind,
    ScriptedServer,
    after,
    hang,
    job,
    not_found,
    reset,
    server_error,
)


def make_server(jobs: int = 20, **settings: Any) -> tuple[ScriptedServer, list[str]]:
    """Make a server with jobs of which half end soon and half late."""
    server = ScriptedServer(**settings)
    for number in range(jobs):
        end = 5 if number % 2 else 500
        server.add(
            job("pending", after(2, "running"), after(end, "completed")),
            id=f"j{number}",
            optional=True,
        )
    return server, [f"j{number}" for number in range(jobs)]


def cancels(server: ScriptedServer) -> list[Exchange]:
    """Return the requests that were to cancel something."""
    return [e for e in server.exchanges if e.kind is Kind.CANCEL]


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


@pytest.mark.parametrize("by", ["break", "raise", "deadline"])
@pytest.mark.parametrize("is_bare", [False, True], ids=["open", "bare"])
async def test_jobs_that_run_are_cancelled_in_one_request(
    autojump_clock: MockClock, by: str, is_bare: Any
) -> None:
    """Up to 200 of them; those that are over are left out of it."""
    server, ids = make_server(200)
    client = server.client(schedule=Fixed(100))

    async def follow() -> None:
        async with client.as_completed(ids, on_exit="cancel") as outcomes:
            told = 0
            async for _ in outcomes:
                told += 1
                if told == 100 and by == "break":
                    break
                if told == 100 and by == "raise":
                    raise LookupError("mine")

    with Invariants(server):
        async with AsyncExitStack() as stack:
            if not is_bare:
                await stack.enter_async_context(client)
            with trio.move_on_after(6 if by == "deadline" else 60):
                if by == "raise":
                    with pytest.raises(LookupError, match="mine"):
                        await follow()
                else:
                    await follow()
    (cancel,) = cancels(server)
    assert sorted(cancel.job_ids) == sorted(ids[::2])
    assert all(
        (each.cancelled_at is not None) == (each.id in cancel.job_ids)
        for each in server.jobs()
    )
    assert trio.current_time() == (6 if by == "deadline" else 5)


@pytest.mark.parametrize("jobs", [201, 400, 999])
async def test_more_jobs_are_cancelled_in_as_few_requests_as_can_be(
    autojump_clock: MockClock, jobs: int
) -> None:
    """Two hundred in each."""
    server, ids = make_server(jobs)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(ids, on_exit="cancel"),
        ):
            await trio.sleep(1)
    assert len(cancels(server)) == -(-jobs // 200)
    told = [job_id for each in cancels(server) for job_id in each.job_ids]
    assert sorted(told) == sorted(ids)


async def test_nothing_is_cancelled_where_all_are_over(
    autojump_clock: MockClock,
) -> None:
    """Nor where the caller did not ask for it."""
    server, ids = make_server(4)
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            async with client.as_completed(ids[1::2], on_exit="cancel") as outcomes:
                assert len([outcome async for outcome in outcomes]) == 2
            async with client.as_completed(ids):
                await trio.sleep(1)
    assert cancels(server) == []


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["left", "cancelled"])
@pytest.mark.parametrize("fault", [hang(), hang(after_bytes=5)], ids=repr)
async def test_a_server_that_hangs_holds_a_block_up_for_five_seconds(
    autojump_clock: MockClock, is_cancelled: Any, fault: Any
) -> None:
    """And what it did not confirm stays in the token; no wait ends too late for that."""
    server, ids = make_server(6)
    server.fault(fault, to="cancel")
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            with trio.move_on_after(1 if is_cancelled else 100):
                async with client.watch(
                    ids, on_exit="cancel", max_wait_time=3
                ) as updates:
                    if not is_cancelled:
                        await trio.sleep(1)
                    else:
                        await trio.sleep_forever()
    assert trio.current_time() == 6
    assert [job["id"] for job in updates.token()["jobs"]] == ids


async def test_a_server_without_bulk_requests_is_told_of_each_job(
    autojump_clock: MockClock,
) -> None:
    """Within the same time; what was cancelled is not in the token."""
    server, ids = make_server(60, lists=False)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(ids, on_exit="cancel") as outcomes,
        ):
            await trio.sleep(1)
    assert len(cancels(server)) == 1 + 60
    assert all(each.cancelled_at == 1 for each in server.jobs())
    assert outcomes.token()["jobs"] == []


async def test_telling_a_server_of_each_job_takes_no_longer_than_all_at_once(
    autojump_clock: MockClock,
) -> None:
    """What is not cancelled within 5 s is left, and in the token."""
    server, ids = make_server(200, lists=False, latency=1)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(ids, on_exit="cancel") as outcomes,
        ):
            await trio.sleep(20)
            running = outcomes.waiting
    assert trio.current_time() == 25
    done = [each.id for each in server.jobs() if each.cancelled_at is not None]
    left = [job["id"] for job in outcomes.token()["jobs"]]
    # One round trip for the bulk request, and twenty at a time in the four others.
    assert len(set(done) - set(left)) >= 60
    assert running + 100 - len(left) >= 60


async def test_a_job_that_ended_before_it_was_cancelled_stays_in_the_token(
    autojump_clock: MockClock,
) -> None:
    """Nobody has been told of its end, and its result is there."""
    server = ScriptedServer()
    server.add(job("running", after(10, "completed")), id="done")
    server.add(job("running"), id="runs", optional=True)
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            async with client.as_completed(
                ["done", "runs"], transport="single", on_exit="cancel"
            ) as outcomes:
                await trio.sleep(20)
            assert [job["id"] for job in outcomes.token()["jobs"]] == ["done"]
            async with client.as_completed(outcomes.token()) as again:
                assert [o.result().id async for o in again] == ["done"]


@pytest.mark.parametrize("fault", [server_error(), reset(), not_found()], ids=repr)
async def test_a_cancel_that_fails_does_not_hide_what_the_body_raised(
    autojump_clock: MockClock, fault: Any
) -> None:
    """It is logged."""
    server, ids = make_server(6)
    server.fault(fault, to="cancel")

    async def follow() -> None:
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(ids, on_exit="cancel"),
        ):
            await trio.sleep(1)
            raise LookupError("mine")

    with Invariants(server), pytest.raises(LookupError, match="mine"):
        await follow()
    assert trio.current_time() == 1
