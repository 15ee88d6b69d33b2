"""Several blocks and waits for one job, at once."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from vtrio import Fixed, Outcome, VideoTranslationClient
from vtrio.testing import (
    Invariants,
    ScriptedServer,
    after,
    job,
)


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[tuple[float, Outcome]]:
    """Wait for all, and return the outcomes with their instants."""
    async with client.as_completed(jobs, **settings) as outcomes:
        return [(trio.current_time(), outcome) async for outcome in outcomes]


async def test_two_blocks_and_a_wait_for_one_job_are_told_alike(
    autojump_clock: MockClock,
) -> None:
    """Each of them its end, at that instant; and none disturbs the others."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "running"), after(33, "completed")), id="a")
    ends: list[tuple[float, str]] = []

    with Invariants(server):
        async with (
            server.client(schedule=Fixed(10)) as client,
            trio.open_nursery() as nursery,
        ):

            async def follow(transport: Any) -> None:
                ((at, outcome),) = await collect(client, ["a"], transport=transport)
                assert outcome.exception is None
                ends.append((at, transport))

            async def wait() -> None:
                await client.wait("a")
                ends.append((trio.current_time(), "wait"))

            nursery.start_soon(follow, "auto")
            nursery.start_soon(follow, "single")
            nursery.start_soon(wait)
    by = {name: at for at, name in ends}
    assert by["auto"] == 33
    assert 33 <= by["single"] <= 43
    assert 33 <= by["wait"] <= 43
    server.check()


async def test_a_block_that_is_left_does_not_disturb_another(
    autojump_clock: MockClock,
) -> None:
    """Though it was the one whose poll was under way."""
    server = ScriptedServer(latency=1)
    server.add(job("running", after(33, "completed")), id="a")
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(10)) as client,
            trio.open_nursery() as nursery,
        ):

            @nursery.start_soon
            async def _leave() -> None:
                with trio.move_on_after(10.5):
                    await collect(client, ["a"], transport="single")

            ((at, _),) = await collect(client, ["a"], transport="single")
    assert 33 <= at <= 46
    server.check()
