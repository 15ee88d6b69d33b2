"""Waits that were put off, when nobody tells any more; and a taker who is slow."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, Job, Stall, WaitTimeout
from vtrio.testing import Invariants, ScriptedServer, after, job, refused, respond


async def test_a_slow_taker_of_single_changes_is_told_all(
    autojump_clock: MockClock,
) -> None:
    """However often as much lies there as may."""
    server = ScriptedServer()
    jobs = 1300
    ids = [
        server.add(job("pending", after(5 + number * 0.2, "completed"))).id
        for number in range(jobs)
    ]
    taken = 0
    async with server.client(schedule=Fixed(10_000)) as client:
        with trio.fail_after(100_000):
            async with client.as_completed(ids) as outcomes:
                async for _ in outcomes:
                    taken += 1
                    await trio.sleep(2)
    assert taken == jobs


async def test_a_feed_that_stays_away_costs_one_interval_though_there_is_a_deadline(
    autojump_clock: MockClock,
) -> None:
    """Jobs that were put off up to their last look are asked about by their schedule."""
    server = ScriptedServer(holds=True)
    ids = [server.add(job("pending", after(30, "completed"))).id for _ in range(250)]
    server.fault(refused(), at=20, to="feed")
    late = []
    client = server.client(schedule=Fixed(10))
    with Invariants():
        async with client, trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _cut() -> None:
                await trio.sleep(20)
                server.cut_off("feed", refused())

            async with client.as_completed(ids, max_wait_time=59) as outcomes:
                async for outcome in outcomes:
                    outcome.result()
                    late.append(trio.current_time() - 30)
    assert len(late) == 250
    assert max(late) <= 10


async def test_more_jobs_than_a_list_can_hold_are_not_forgotten(
    autojump_clock: MockClock,
) -> None:
    """Whom the held list told of is asked about again."""
    server = ScriptedServer(feed=False)
    ids = [server.add(job("pending", after(40, "completed"))).id for _ in range(200)]
    later = server.add(job("pending", after(400, "completed"))).id
    client = server.client(schedule=Fixed(10))
    async with client, client.watch(ids) as updates:
        await trio.sleep(20)
        assert updates.statistics().rung == "held"
        updates.add(later)
        late = [
            trio.current_time() - 40
            async for update in updates
            if update.outcome is not None and update.job_id != later
        ]
    assert len(late) == 200
    assert max(late) <= 10


@pytest.mark.parametrize("what", ["job", "stall"])
async def test_an_iteration_does_not_end_well_because_a_callback_fails(
    autojump_clock: MockClock, what: str
) -> None:
    """The body is cancelled; what follows its loop is not reached."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "running"), after(50, "completed")), id="j1")
    reached = []

    def fail(seen: Job | Stall) -> None:
        raise KeyError(type(seen).__name__)

    callbacks = {"job": {"on_job": fail}, "stall": {"on_stall": fail}}[what]

    async def wait() -> None:
        async with (
            server.client() as client,
            client.as_completed(
                ["j1"],
                max_run_time=9,
                **callbacks,  # type: ignore[arg-type]
            ) as outcomes,
        ):
            async for _ in outcomes:
                pass
            reached.append("the end")

    with pytest.raises(KeyError):
        await wait()
    assert reached == []


async def test_who_comes_after_a_silence_is_not_given_up_for_it(
    autojump_clock: MockClock,
) -> None:
    """All had timed out, and nothing was asked since."""
    server = ScriptedServer()
    server.add(job("pending", after(500, "completed")), id="j1")
    server.add(job("pending", after(200, "completed")), id="j2")
    server.fault(refused(), lasting=60)
    async with (
        server.client(schedule=Fixed(5)) as client,
        client.watch(
            ["j1"], stay_open=True, max_silence=30, max_wait_time=20
        ) as updates,
    ):
        update = await anext(updates)
        assert update.outcome is not None
        assert isinstance(update.outcome.exception, WaitTimeout)
        await trio.sleep(175)
        updates.add("j2")
        updates.close()
        async for update in updates:
            assert update.outcome is None or update.outcome.exception is None


async def test_who_may_not_list_asks_one_by_one(autojump_clock: MockClock) -> None:
    """403 to a list is no word on any job."""
    server = ScriptedServer(feed=False)
    ids = [server.add(job("pending", after(9, "completed"))).id for _ in range(5)]
    server.route(respond(403), path="/v1/translations")
    client = server.client(schedule=Fixed(3))
    async with client, client.as_completed(ids) as outcomes:
        assert len([outcome.result() async for outcome in outcomes]) == 5
