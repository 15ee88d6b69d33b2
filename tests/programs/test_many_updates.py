"""Updates of many jobs: each change of status once, merged, and in order for each job."""

from __future__ import annotations

import io
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, JobUpdate, VideoTranslationClient
from vtrio.testing import (
    Invariants,
    Kind,
    ScriptedServer,
    after,
    job,
    reset,
    says,
)

TRANSPORTS = ["auto", "batch", "single"]

Told = tuple[float, str, str | None, bool]


def read(update: JobUpdate) -> Told:
    """Return when, about which job, what it is, and whether that is its end."""
    word = None if update.job is None else update.job.word
    return trio.current_time(), update.job_id, word, update.outcome is not None


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[Told]:
    """Watch all until they are over."""
    async with client.watch(jobs, **settings) as updates:
        return [read(update) async for update in updates]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_each_change_is_told_once_and_the_last_has_the_outcome(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Merged over all jobs; on single polls as soon as somebody asks."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "running"), after(20, "completed")), id="a")
    server.add(job("pending", after(10, "running"), after(15, "error")), id="b")
    server.add(job("running", after(20, "cancelled")), id="c")
    with Invariants(server):
        async with server.client(schedule=Fixed(5)) as client:
            told = await collect(client, ["a", "b", "c"], transport=transport)
    assert sorted(told) == [
        (0, "a", "pending", False),
        (0, "b", "pending", False),
        (0, "c", "running", False),
        (5, "a", "running", False),
        (10, "b", "running", False),
        (15, "b", "error", True),
        (20, "a", "completed", True),
        (20, "c", "cancelled", True),
    ]
    assert [at for at, *_ in told] == sorted(at for at, *_ in told)
    server.check()


async def test_a_job_that_goes_back_to_the_queue_is_told_as_it_goes(
    autojump_clock: MockClock,
) -> None:
    """Each change is one, also to a status that it had before."""
    server = ScriptedServer()
    server.add(
        job(
            "pending",
            after(3, "running"),
            after(6, "pending"),
            after(9, "running"),
            after(12, "completed"),
        ),
        id="a",
    )
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            told = await collect(client, ["a"])
    assert [(at, word) for at, _, word, _ in told] == [
        (0, "pending"),
        (3, "running"),
        (6, "pending"),
        (9, "running"),
        (12, "completed"),
    ]
    server.check()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_words_that_nobody_knows_are_told_as_they_are(
    autojump_clock: MockClock, transport: Any
) -> None:
    """The job runs, as far as we can know; the receipt names the word."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "dubbing"), after(10, "completed")), id="a")
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(5)) as client,
            client.watch(["a"], transport=transport) as updates,
        ):
            told = [(read(update), update) async for update in updates]
    assert [(at, word) for (at, _, word, _), _ in told] == [
        (0, "pending"),
        (5, "dubbing"),
        (10, "completed"),
    ]
    assert told[1][1].job is not None
    assert told[1][1].job.status == "running"
    server.check()


async def test_what_was_known_of_a_job_is_not_told_again(
    autojump_clock: MockClock,
) -> None:
    """Who gives a job has seen it."""
    server = ScriptedServer()
    server.add(job("pending", after(4, "running"), after(8, "completed")), id="a")
    with Invariants(server):
        async with server.client(schedule=Fixed(50)) as client:
            known = await client.get_job("a")
            told = await collect(client, [known])
    assert told == [(4, "a", "running", False), (8, "a", "completed", True)]
    server.check()


async def test_a_change_before_the_block_is_told_in_it(
    autojump_clock: MockClock,
) -> None:
    """Since the job was seen: the feed goes on from there."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(4, "running"), after(30, "completed")))
    with Invariants(server):
        async with server.client(schedule=Fixed(50)) as client:
            known = await client.submit(io.BytesIO(b"v"), to="pt")
            await trio.sleep(10)
            told = await collect(client, [known])
    assert told == [(10, "j1", "running", False), (30, "j1", "completed", True)]
    server.check()


async def test_what_happened_before_a_job_was_seen_is_not_told(
    autojump_clock: MockClock,
) -> None:
    """Although the feed begins with the one that was seen first."""
    server = ScriptedServer()
    server.on_submit(
        job("pending", after(4, "running"), after(30, "completed")),
        job("pending", after(4, "running"), after(20, "completed")),
    )
    with Invariants(server):
        async with server.client(schedule=Fixed(50)) as client:
            first = await client.submit(io.BytesIO(b"v"), to="pt")
            await client.submit(io.BytesIO(b"v"), to="pt")
            await trio.sleep(10)
            told = await collect(client, [first, await client.get_job("j2")])
    assert told == [
        (10, "j1", "running", False),
        (20, "j2", "completed", True),
        (30, "j1", "completed", True),
    ]
    server.check()


# --- jobs that are added --------------------------------------------------------------


async def test_jobs_are_added_before_while_and_after_others_are_over(
    autojump_clock: MockClock,
) -> None:
    """By the body, before its iteration and in it; each is followed from then on."""
    server = ScriptedServer()
    for name, end in {"a": 10, "b": 20, "c": 30, "d": 40}.items():
        server.add(job("running", after(end, "completed")), id=name)
    told = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.watch(["a"]) as updates,
        ):
            updates.add("b")
            updates.add("b")
            assert updates.waiting == 2
            async for update in updates:
                told.append(read(update))
                if update.outcome is not None and update.job_id == "a":
                    updates.add("c")
                if update.outcome is not None and update.job_id == "c":
                    assert updates.waiting == 0
                    await trio.sleep(2)
                    updates.add("d")
    assert told == [
        (0, *told[0][1:]),
        (0, *told[1][1:]),
        (10, "a", "completed", True),
        (10, "c", "running", False),
        (20, "b", "completed", True),
        (30, "c", "completed", True),
        (32, "d", "running", False),
        (40, "d", "completed", True),
    ]
    assert sorted(t[1:] for t in told[:2]) == [
        ("a", "running", False),
        ("b", "running", False),
    ]
    server.check()


async def test_jobs_are_added_by_another_task(autojump_clock: MockClock) -> None:
    """While the iteration waits."""
    server = ScriptedServer()
    for name, end in {"a": 10, "b": 7}.items():
        server.add(job("running", after(end, "completed")), id=name)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(["a"]) as outcomes,
            trio.open_nursery() as nursery,
        ):

            @nursery.start_soon
            async def _add() -> None:
                await trio.sleep(5)
                outcomes.add("b")

            told = [(trio.current_time(), o.job_id) async for o in outcomes]
    assert told == [(7, "b"), (10, "a")]
    server.check()


async def test_a_watch_that_stays_open_ends_when_it_is_closed(
    autojump_clock: MockClock,
) -> None:
    """And all are over: who closes it does not cut anything off."""
    server = ScriptedServer()
    for name, end in {"a": 100, "b": 200}.items():
        server.add(job("running", after(end, "completed")), id=name)
    told = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(1000)) as client,
            client.watch(stay_open=True) as updates,
            trio.open_nursery() as nursery,
        ):

            @nursery.start_soon
            async def _add() -> None:
                await trio.sleep(50)
                updates.add("a")
                await trio.sleep(100)
                updates.add("b")
                await trio.sleep(1)
                updates.close()

            told = [read(update) async for update in updates]
            assert trio.current_time() == 200
    assert told == [
        (50, "a", "running", False),
        (100, "a", "completed", True),
        (150, "b", "running", False),
        (200, "b", "completed", True),
    ]
    server.check()


async def test_a_watch_that_is_closed_while_nothing_is_waited_for_ends_then(
    autojump_clock: MockClock,
) -> None:
    """Whoever iterates is woken."""
    server = ScriptedServer()
    with Invariants(server):
        async with (
            server.client() as client,
            client.watch(stay_open=True) as updates,
            trio.open_nursery() as nursery,
        ):

            @nursery.start_soon
            async def _close() -> None:
                await trio.sleep(50)
                updates.close()

            assert [update async for update in updates] == []
            assert trio.current_time() == 50
    assert not server.exchanges


async def test_what_is_over_takes_no_more_jobs(autojump_clock: MockClock) -> None:
    """Neither after the end of the iteration nor after the block."""
    server = ScriptedServer()
    server.add(job("running", after(5, "completed")), id="a")
    with Invariants(server):
        async with server.client() as client:
            async with client.watch(["a"]) as updates:
                async for _ in updates:
                    pass
                with pytest.raises(trio.ClosedResourceError):
                    updates.add("a")
                assert [update async for update in updates] == []
            with pytest.raises(trio.ClosedResourceError):
                updates.add("a")
            async with client.as_completed([]) as outcomes:
                pass
            with pytest.raises(trio.ClosedResourceError):
                outcomes.add("a")
            with pytest.raises(ValueError, match="^job="):
                outcomes.add("")


async def test_a_job_that_is_over_may_be_waited_for_again(
    autojump_clock: MockClock,
) -> None:
    """It is over at once."""
    server = ScriptedServer()
    server.add(job("running", after(5, "completed")), id="a")
    told: list[Told] = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.watch(["a"]) as updates,
        ):
            async for update in updates:
                told.append(read(update))
                if update.outcome is not None and len(told) < 3:
                    updates.add("a")
    assert told == [
        (0, "a", "running", False),
        (5, "a", "completed", True),
        (5, "a", "completed", True),
    ]


# --- a feed that breaks -----------------------------------------------------------------


async def test_changes_are_told_once_though_the_feed_breaks(
    autojump_clock: MockClock,
) -> None:
    """What was looked at meanwhile and what it then tells are one change."""
    server = ScriptedServer()
    for number in range(20):
        server.add(
            job(
                "pending", after(5 + number, "running"), after(40 + number, "completed")
            ),
            id=f"j{number}",
        )
    server.fault(reset(), at=12, lasting=20, to="feed")
    told: list[Told] = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(5)) as client,
            trio.open_nursery() as nursery,
        ):

            @nursery.start_soon
            async def _cut() -> None:
                await trio.sleep(12)
                server.cut_off("feed")

            told += await collect(client, [f"j{n}" for n in range(20)])
    for number in range(20):
        words = [word for _, name, word, _ in told if name == f"j{number}"]
        assert words == ["pending", "running", "completed"]
    server.check()


async def test_a_word_of_before_is_told_as_the_server_tells_it(
    autojump_clock: MockClock,
) -> None:
    """A server whose lists are behind its feed: no change is lost, and the end is one."""
    server = ScriptedServer(holds=False)
    server.add(job("pending", after(3, "running"), after(30, "completed")), id="a")
    server.fault(says("pending"), lasting=20, to="batch")
    with Invariants(server):
        async with server.client(schedule=Fixed(10)) as client:
            told = await collect(client, ["a"])
    assert told[-1] == (30, "a", "completed", True)
    assert [end for *_, end in told].count(True) == 1
    assert {e.kind for e in server.exchanges} == {Kind.BATCH, Kind.FEED}
