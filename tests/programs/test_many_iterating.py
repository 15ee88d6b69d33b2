"""Who takes what comes of many jobs: several tasks, slow ones, and nobody."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed
from vtrio.testing import (
    Invariants,
    ScriptedServer,
    after,
    job,
)

TRANSPORTS = ["auto", "batch", "single"]


async def test_several_tasks_share_the_updates_of_one_block(
    autojump_clock: MockClock,
) -> None:
    """Each update goes to one of them, and all of them end."""
    server = ScriptedServer()
    for number in range(40):
        server.add(
            job("pending", after(1 + number % 7, "running"), after(10, "completed")),
            id=f"j{number}",
        )
    told: list[tuple[str, str | None]] = []
    ended = 0

    async def follow(updates: Any) -> None:
        nonlocal ended
        async for update in updates:
            await trio.sleep(0.01)
            told.append((update.job_id, update.job.word))
        ended += 1

    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.watch([f"j{n}" for n in range(40)]) as updates,
            trio.open_nursery() as nursery,
        ):
            for _ in range(5):
                nursery.start_soon(follow, updates)
    assert ended == 5
    assert sorted(told) == sorted(
        (f"j{number}", word)
        for number in range(40)
        for word in ("pending", "running", "completed")
    )
    server.check()


async def test_an_iteration_may_be_given_up_and_taken_up_again(
    autojump_clock: MockClock,
) -> None:
    """A `move_on_after` around one step loses nothing."""
    server = ScriptedServer()
    for number in range(30):
        server.add(job("running", after(number, "completed")), id=f"j{number}")
    told: list[str] = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed([f"j{n}" for n in range(30)]) as outcomes,
        ):
            while len(told) < 30:
                with trio.move_on_after(0.5):
                    told.append((await anext(outcomes)).job_id)
    assert told == [f"j{number}" for number in range(30)]
    server.check()


# --- back-pressure -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "transport", ["auto", "batch", pytest.param("single", marks=pytest.mark.slow)]
)
async def test_while_nobody_takes_anything_nothing_more_is_asked(
    autojump_clock: MockClock, transport: Any
) -> None:
    """A thousand or so may lie there; when somebody takes them, none is missing."""
    jobs = 1500 if transport == "single" else 3000
    server = ScriptedServer()
    for number in range(jobs):
        end = 1 + 59 * number / jobs
        server.add(job("running", after(end, "completed")), id=f"j{number}")
    ids = [f"j{n}" for n in range(jobs)]
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(10)) as client,
            client.as_completed(ids, transport=transport) as outcomes,
        ):
            await trio.sleep(100)
            asked = len(server.exchanges)
            lying = jobs - outcomes.waiting
            assert 1000 <= lying < min(jobs, 2000)
            await trio.sleep(1000)
            assert len(server.exchanges) == asked
            assert outcomes.waiting == jobs - lying
            told = [outcome.job_id async for outcome in outcomes]
    assert sorted(told) == sorted(ids)
    server.check()


async def test_a_slow_taker_has_every_change(autojump_clock: MockClock) -> None:
    """In the order of each job, though the feed is left alone in between."""
    server = ScriptedServer()
    jobs = 900
    for number in range(jobs):
        at = 1 + number / 100
        server.add(
            job("pending", after(at, "running"), after(at + 5, "completed")),
            id=f"j{number}",
        )
    told: dict[str, list[str]] = {}
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(50)) as client,
            client.watch([f"j{n}" for n in range(jobs)]) as updates,
        ):
            async for update in updates:
                assert update.job is not None
                if update.stall is not None:
                    continue
                told.setdefault(update.job_id, []).append(update.job.word)
                await trio.sleep(0.02)
    assert len(told) == jobs
    assert {tuple(words) for words in told.values()} <= {
        ("pending", "running", "completed"),
        ("pending", "completed"),  # where an end was looked at before all was told
    }
