"""Jobs that do not change for too long: reported once a phase, and waited for on."""

from __future__ import annotations

import io
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, JobStatus, Stall, VideoTranslationClient
from vtrio._stalls import ENOUGH
from vtrio.testing import Invariants, ScriptedServer, after, job

Seen = tuple[float, str, str, float]


async def stalls_of(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[Seen]:
    """Watch all until they are over; return when which was reported, and for how long."""
    seen: list[Seen] = []
    async with client.watch(jobs, **settings) as updates:
        async for update in updates:
            if update.stall is None:
                continue
            assert update.outcome is None
            assert update.stall.job_id == update.job_id
            assert update.stall.job == update.job
            at = trio.current_time()
            seen.append((at, update.job_id, update.stall.phase, update.stall.seconds))
    return seen


@pytest.mark.parametrize("transport", ["auto", "batch", "single"])
async def test_queue_and_work_have_budgets_of_their_own(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Each is reported once, at the instant at which its budget is used up."""
    server = ScriptedServer()
    server.add(job("pending", after(40, "running"), after(120, "completed")), id="both")
    server.add(job("pending", after(40, "completed")), id="queue")
    server.add(job("running", after(80, "error")), id="run")
    server.add(job("pending", after(5, "running"), after(45, "completed")), id="well")
    with Invariants(server):
        async with server.client(schedule=Fixed(5)) as client:
            seen = await stalls_of(
                client,
                ["both", "queue", "run", "well"],
                max_queue_time=12,
                max_run_time=50,
                transport=transport,
            )
    assert sorted(seen) == [
        (12, "both", "queue", 12),
        (12, "queue", "queue", 12),
        (50, "run", "run", 50),
        (90, "both", "run", 50),
    ]
    server.check()


async def test_one_budget_alone_is_enough(autojump_clock: MockClock) -> None:
    """The other phase has none, until there is enough to learn one from."""
    server = ScriptedServer()
    server.add(job("pending", after(40, "running"), after(120, "completed")), id="a")
    with Invariants(server):
        async with server.client(schedule=Fixed(50)) as client:
            seen = await stalls_of(client, ["a"], max_run_time=30)
            assert seen == [(70, "a", "run", 30)]
            assert await stalls_of(client, ["a"]) == []


async def test_the_wait_goes_on_and_its_end_is_told(autojump_clock: MockClock) -> None:
    """A stall is no end; the statistics count it."""
    server = ScriptedServer()
    server.add(job("running", after(500, "completed")), id="a")
    heard: list[Stall] = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(
                ["a"], max_run_time=10, on_stall=heard.append
            ) as outcomes,
        ):
            await trio.sleep(20)
            assert outcomes.statistics().stalled == 1
            assert outcomes.statistics().waiting == 1
            told = [(trio.current_time(), o.job_id) async for o in outcomes]
    assert told == [(500, "a")]
    assert [(s.job_id, s.phase, s.seconds, s.budget) for s in heard] == [
        ("a", "run", 10, 10)
    ]
    assert heard[0].job is not None
    assert heard[0].job.status is JobStatus.RUNNING


async def test_nobody_has_to_want_to_know(autojump_clock: MockClock) -> None:
    """Stalls are counted, and hold nothing up."""
    server = ScriptedServer()
    server.add(job("running", after(50, "completed")), id="a")
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(["a"], max_run_time=10) as outcomes,
        ):
            assert [o.job_id async for o in outcomes] == ["a"]
            assert outcomes.statistics().stalled == 1


async def test_a_phase_that_comes_back_is_a_new_one(autojump_clock: MockClock) -> None:
    """A job that is attempted again has its time again."""
    server = ScriptedServer()
    server.add(
        job(
            "running",
            after(20, "pending"),
            after(25, "running"),
            after(60, "completed"),
        ),
        id="a",
    )
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            seen = await stalls_of(client, ["a"], max_run_time=15, max_queue_time=15)
    assert seen == [(15, "a", "run", 15), (40, "a", "run", 15)]


async def test_what_a_job_had_waited_before_counts(autojump_clock: MockClock) -> None:
    """As far as its age is known; whoever is older is reported first."""
    server = ScriptedServer()
    server.on_submit(
        job("pending", after(100, "completed")), job("pending", after(100, "completed"))
    )
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            old = await client.submit(io.BytesIO(b"v"), to="pt")
            await trio.sleep(20)
            young = await client.submit(io.BytesIO(b"v"), to="pt")
            seen = await stalls_of(client, [young, old], max_queue_time=30)
    assert seen == [(30, "j1", "queue", 30), (50, "j2", "queue", 30)]


async def test_budgets_are_learned_from_enough_ends(autojump_clock: MockClock) -> None:
    """Of queue and work apart; none before the twentieth, and for each class apart."""
    server = ScriptedServer()
    for number in range(ENOUGH):
        life = job("pending", after(20, "running"), after(60, "completed"))
        server.add(life, id=f"j{number}")
    for name in ("slow", "other"):
        life = job("pending", after(500, "running"), after(2000, "completed"))
        server.add(life, id=name)
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            ids = [f"j{number}" for number in range(ENOUGH - 1)]
            assert await stalls_of(client, ids) == []
            async with trio.open_nursery() as nursery:
                seen: list[Seen] = []

                @nursery.start_soon
                async def _other() -> None:
                    assert await stalls_of(client, ["other"], key="other") == []

                await stalls_of(client, [f"j{ENOUGH - 1}"])
                began = trio.current_time()
                assert began == 60
                seen += await stalls_of(client, ["slow"])
    # 1.5 times 20 s in the queue, of which it was seen from instant 60 on; and 1.5
    # times 40 s at work.
    assert seen == [(90, "slow", "queue", 30), (560, "slow", "run", 60)]
    server.check()


async def test_the_end_that_makes_them_enough_lets_others_be_found(
    autojump_clock: MockClock,
) -> None:
    """In the same block, at that instant."""
    server = ScriptedServer()
    for number in range(ENOUGH):
        end = 30 + number
        server.add(job("running", after(end, "completed")), id=f"j{number}")
    server.add(job("running", after(500, "completed")), id="slow")
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            ids = [f"j{number}" for number in range(ENOUGH)]
            seen = await stalls_of(client, [*ids, "slow"])
    ((at, name, phase, seconds),) = seen
    assert (name, phase, at) == ("slow", "run", seconds)
    assert at == 49 * 1.5  # the longest, and half as much again
    server.check()


async def test_what_many_do_is_no_stall(autojump_clock: MockClock) -> None:
    """Of jobs that began together the short ones end first, and prove nothing."""
    server = ScriptedServer()
    ids = [
        server.add(
            job(
                "pending",
                after(1, "running"),
                after((21 if number % 2 else 301) + number % 7 * 0.3, "completed"),
            )
        ).id
        for number in range(400)
    ]
    stuck = server.add(job("pending", after(1, "running"), after(5000, "error"))).id
    with Invariants(server):
        async with server.client() as client:
            seen = await stalls_of(client, [*ids, stuck])
    assert [job_id for _, job_id, _, _ in seen] == [stuck]
    ((at, *_),) = seen
    assert 302.8 < at < 1000
