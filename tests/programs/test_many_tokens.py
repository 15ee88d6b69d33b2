"""What is left of a wait for many jobs, and how another one takes it up."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, Outcomes, VideoTranslationClient
from vtrio.testing import Invariants, Kind, ScriptedServer, after, job


def in_a_run(main: Callable[[], Awaitable[Any]], *, at: float = 0) -> Any:
    """Run something in a run of its own, in virtual time from an instant on."""
    clock = MockClock(autojump_threshold=0)
    clock.jump(at)
    return trio.run(main, clock=clock)


def through_json(token: Any, *, lay: float = 0) -> Any:
    """Write a token and read it again; so many seconds ago."""
    token = json.loads(json.dumps(token))
    saved = datetime.now(UTC) - timedelta(seconds=lay)
    token["saved_at"] = saved.isoformat()
    return token


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[tuple[float, str]]:
    """Wait for all, and return the outcomes with their instants."""
    async with client.as_completed(jobs, **settings) as outcomes:
        return [(trio.current_time(), o.job_id) async for o in outcomes]


def test_waits_are_taken_up_in_another_run_by_another_client() -> None:
    """What has ended meanwhile is told at once, the rest as it ends, and none is lost."""
    server = ScriptedServer()
    for number, end in enumerate((10, 40, 60, 200)):
        life = job("pending", after(5, "running"), after(end, "completed"))
        server.add(life, id=f"j{number}")

    async def first() -> tuple[Any, list[str]]:
        told = []
        with Invariants(server):
            async with (
                server.client(schedule=Fixed(100)) as client,
                client.as_completed([f"j{n}" for n in range(4)]) as outcomes,
            ):
                async for outcome in outcomes:
                    told.append(outcome.job_id)
                    await trio.sleep(10)
                    break
        return outcomes.token(), told

    async def second() -> list[tuple[float, str]]:
        with Invariants(server):
            async with server.client(schedule=Fixed(100)) as client:
                return await collect(client, through_json(left, lay=30))

    left, told = in_a_run(first)
    assert told == ["j0"]
    assert [each["id"] for each in left["jobs"]] == ["j1", "j2", "j3"]
    assert {each["status"] for each in left["jobs"]} == {"running"}
    assert in_a_run(second, at=50) == [(50, "j1"), (60, "j2"), (200, "j3")]
    server.check()


async def test_the_feed_goes_on_from_the_cursor(autojump_clock: MockClock) -> None:
    """Nothing is looked at before its end, though it lay there."""
    server = ScriptedServer()
    for number, end in enumerate((10, 40, 60)):
        life = job("pending", after(5, "running"), after(end, "completed"))
        server.add(life, id=f"j{number}")
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            async with client.as_completed(["j0", "j1", "j2"]) as outcomes:
                await trio.sleep(3)
            left = through_json(outcomes.token(), lay=17)
            await trio.sleep(17)
            asked = len(server.exchanges)
            assert await collect(client, left) == [(20, "j0"), (40, "j1"), (60, "j2")]
    later = server.exchanges[asked:]
    looks = [(e.at, e.job_ids) for e in later if e.kind is Kind.BATCH]
    assert looks == [(20, ("j0",)), (40, ("j1",)), (60, ("j2",))]
    assert [e for e in later if e.kind is Kind.POLL] == []
    server.check()


async def test_a_cursor_that_has_expired_meanwhile_costs_one_look(
    autojump_clock: MockClock,
) -> None:
    """At all jobs; no end is lost."""
    server = ScriptedServer()
    for number, end in enumerate((10, 40, 60)):
        server.add(job("running", after(end, "completed")), id=f"j{number}")
    with Invariants(server):
        async with server.client(schedule=Fixed(10)) as client:
            async with client.as_completed(["j0", "j1", "j2"]) as outcomes:
                await trio.sleep(3)
            left = through_json(outcomes.token(), lay=17)
            server.expire_cursors()
            await trio.sleep(17)
            told = await collect(client, left)
    assert [job_id for _, job_id in told] == ["j0", "j1", "j2"]
    assert told[0][0] <= 30
    assert told[1][0] <= 50
    assert told[2][0] == 60, "the feed was not taken up again"
    server.check()


async def test_ages_go_on(autojump_clock: MockClock) -> None:
    """By the time of day: what it lay there counts."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(500, "completed"), media_seconds=9))
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            known = await client.submit(io.BytesIO(b"v"), to="pt")
            await trio.sleep(7)
            async with client.as_completed([known]) as outcomes:
                await trio.sleep(5)
                (left,) = outcomes.token()["jobs"]
                assert left["age"] == 12
            token = outcomes.token()
            await trio.sleep(20)
            assert outcomes.token() == token, "after the block it stays as it was"
            async with client.as_completed(through_json(token, lay=100)) as outcomes:
                await trio.sleep(3)
                (left,) = outcomes.token()["jobs"]
                assert left["age"] == 12 + 100 + 3
            assert [o for _, o in await collect(client, outcomes.token())] == ["j1"]


def test_a_token_can_be_had_when_trio_has_ended() -> None:
    """As by a program that was interrupted."""
    blocks: list[Outcomes] = []

    async def main() -> None:
        server = ScriptedServer()
        server.add(job("running"), id="j1", optional=True)
        async with (
            server.client() as client,
            client.as_completed(["j1"]) as outcomes,
        ):
            blocks.append(outcomes)
            await trio.sleep(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_a_run(main)
    assert [each["id"] for each in blocks[0].token()["jobs"]] == ["j1"]
    assert "closed" in repr(blocks[0])


async def test_outcomes_that_nobody_has_taken_are_in_it(
    autojump_clock: MockClock,
) -> None:
    """And those that were taken are not, in and after the block."""
    server = ScriptedServer()
    ids = [f"j{number}" for number in range(6)]
    for job_id in ids:
        server.add(job("running", after(5, "completed")), id=job_id)
    told = []
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            async with client.as_completed(ids) as outcomes:
                await trio.sleep(10)
                async for outcome in outcomes:
                    told.append(outcome.job_id)
                    left = [each["id"] for each in outcomes.token()["jobs"]]
                    assert sorted(told + left) == ids
                    if len(told) == 3:
                        break
            left = [each["id"] for each in outcomes.token()["jobs"]]
            assert sorted(told + left) == ids
            again = await collect(client, through_json(outcomes.token()))
            assert again == [(10, job_id) for job_id in left]
    server.check()


async def test_a_watch_goes_on_with_the_changes_after_it(
    autojump_clock: MockClock,
) -> None:
    """Those that were told before are not told again."""
    server = ScriptedServer()
    server.add(job("pending", after(10, "running"), after(30, "completed")), id="a")
    server.add(job("pending", after(2, "running"), after(20, "completed")), id="b")
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            async with client.watch(["a", "b"]) as updates:
                with trio.move_on_after(5):
                    async for _ in updates:
                        pass
            await trio.sleep(10)
            async with client.watch(through_json(updates.token(), lay=10)) as updates:
                told = [
                    (trio.current_time(), update.job_id, update.job.word)
                    async for update in updates
                    if update.job is not None
                ]
    assert told == [
        (15, "a", "running"),
        (20, "b", "completed"),
        (30, "a", "completed"),
    ]
    server.check()


async def test_a_token_of_a_server_without_a_feed_goes_on_with_its_schedules(
    autojump_clock: MockClock,
) -> None:
    """Nothing that was asked a moment ago is asked again at once."""
    server = ScriptedServer(feed=False, holds=False, lists=False)
    server.on_submit(job("pending", after(30, "completed")))
    with Invariants(server):
        async with server.client(schedule=Fixed(20)) as client:
            known = await client.submit(io.BytesIO(b"v"), to="pt")
            async with client.as_completed([known], transport="single") as outcomes:
                await trio.sleep(5)
            left = through_json(outcomes.token(), lay=1)
            await trio.sleep(1)
            assert [o for _, o in await collect(client, left)] == ["j1"]
    server.check()


async def test_a_token_of_nothing_is_over_at_once(autojump_clock: MockClock) -> None:
    """With its server as it was, and no jobs."""
    server = ScriptedServer()
    with Invariants(server):
        async with server.client() as client:
            async with client.as_completed([]) as outcomes:
                pass
            token = outcomes.token()
            assert token["jobs"] == []
            assert token["base_url"] == server.url
            assert await collect(client, through_json(token)) == []
    assert not server.exchanges
