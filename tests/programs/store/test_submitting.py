"""Submitting to the store: job, key and event are kept together or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest
import trio

from vtrio._job import JobStatus
from vtrio.server import Store, open_store
from vtrio.server.errors import KeyReused, TooManyWaiting, UnknownJob
from vtrio.server.store import IdempotencyKey, StoreFailed

if TYPE_CHECKING:
    from tests.programs.store.conftest import StoreBench

KEY = IdempotencyKey("k", "payload")
DAY = 86_400.0


async def test_a_submission_makes_row_and_event(
    store: Store, bench: StoreBench
) -> None:
    """A new job can be read, waits to be claimed, and is told of."""
    submission = await bench.submit(store, source_language="en")

    assert submission.created
    assert submission.record == bench.job(source_language="en", number=1)
    assert await store.get("j1") == submission.record
    (event,) = (await store.events("", None, 10)).events
    assert (event.job_id, event.owner) == ("j1", "")
    assert (event.status, event.progress) == (JobStatus.PENDING, None)
    assert (event.cursor, event.at) == (store.cursor, bench.at(0))
    assert repr(store) == (
        f"<Store {store.id} cursor={event.cursor} pending=1 running=0 completed=0"
        " error=0 cancelled=0>"
    )


async def test_what_was_kept_is_there_after_a_restart(bench: StoreBench) -> None:
    """The next server reads the same job, on its own clock, and the same events."""
    async with bench.opened() as store:
        kept = (await bench.submit(store, second=1.25, source_language="en")).record
        told = await store.events("", None, 10)
        identity = store.id

    async with bench.opened(100) as store:
        assert store.id == identity
        assert await store.get("j1") == kept
        assert (await store.events("", None, 10)).events == told.events
        assert store.counts[JobStatus.PENDING] == 1


async def test_an_instant_is_found_again_on_another_processs_clock(
    bench: StoreBench,
) -> None:
    """Its place on the clock of a new process is told by the wall's."""
    async with bench.opened() as store:
        await bench.submit(store, second=10)
    now = replace(bench.at(60), clock=5.0)

    async with open_store(bench.url, now) as store:
        created = (await store.get("j1")).created

    assert created.clock == -45.0
    assert (now.wall - created.wall).total_seconds() == 50


async def test_the_same_key_and_payload_find_the_first_job(
    store: Store, bench: StoreBench
) -> None:
    """A repeated submission makes no row, no event, and has the first one's answer."""
    first = await bench.submit(store, "first", key=KEY, source_language="en")
    await store.claim(bench.at(1))

    again = await bench.submit(store, "second", 2, KEY, source_language="en")

    assert not again.created
    record = again.record
    assert (record.id, record.status) == ("first", JobStatus.PENDING)
    assert (record.created, record.owner) == (first.record.created, "")
    assert (record.target_language, record.source_language) == ("pt", "en")
    assert [job for job, _ in await bench.told(store)] == ["first", "first"]
    with pytest.raises(UnknownJob, match="'second'"):
        await store.get("second")


async def test_the_same_key_with_another_payload_is_refused(
    store: Store, bench: StoreBench
) -> None:
    """Nothing of the second submission is kept, and the first one still counts."""
    await bench.submit(store, "first", key=KEY)

    with pytest.raises(KeyReused, match="'k'"):
        await bench.submit(store, "second", key=IdempotencyKey("k", "another"))

    assert await bench.told(store) == [("first", JobStatus.PENDING)]
    assert (await bench.submit(store, "third", key=KEY)).record.id == "first"


async def test_a_key_belongs_to_its_owner(store: Store, bench: StoreBench) -> None:
    """Two clients may have the same idea of a key; neither hears of the other."""
    for owner in ("ann", "bob"):
        assert (await bench.submit(store, owner, key=KEY, owner=owner)).created

    again = await bench.submit(store, "again", key=KEY, owner="bob")

    assert (again.record.id, again.record.owner) == ("bob", "bob")
    assert await bench.told(store, "ann") == [("ann", JobStatus.PENDING)]


async def test_a_key_is_forgotten_after_a_day(store: Store, bench: StoreBench) -> None:
    """A day later the same key makes another job; a moment before it does not."""
    await bench.submit(store, "first", key=KEY)

    held = await bench.submit(store, "second", DAY - 0.001, KEY)
    freed = await bench.submit(store, "third", DAY, KEY)
    again = await bench.submit(store, "fourth", 2 * DAY - 0.001, KEY)

    assert [held.created, freed.created, again.created] == [False, True, False]
    assert again.record.id == "third"


async def test_a_key_is_remembered_over_a_restart(bench: StoreBench) -> None:
    """The day goes on, whichever server counts it."""
    async with bench.opened() as store:
        await bench.submit(store, "first", key=KEY)

    async with bench.opened(5) as store:
        held = await bench.submit(store, "second", DAY - 0.001, KEY)
        assert (held.created, held.record.id) == (False, "first")
        assert (await bench.submit(store, "third", DAY, KEY)).created


async def test_a_key_outlives_its_job(store: Store, bench: StoreBench) -> None:
    """Who deletes a job and sends it again by mistake makes no second one."""
    await bench.submit(store, "first", key=KEY)
    await store.remove("first", bench.at(1))

    again = await bench.submit(store, "second", 2, KEY)

    assert (again.created, again.record.id) == (False, "first")


async def test_twins_that_come_at_once_make_one_job(
    store: Store, bench: StoreBench
) -> None:
    """Of many submissions of one key one makes the job, and all have its answer."""
    answers = []

    async def submit(number: int) -> None:
        answers.append(await bench.submit(store, f"j{number}", key=KEY))

    async with trio.open_nursery() as nursery:
        for number in range(64):
            nursery.start_soon(submit, number)

    assert len({answer.record.id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1
    assert len(await bench.told(store)) == 1


async def test_no_more_jobs_wait_than_may(store: Store, bench: StoreBench) -> None:
    """The one too many leaves no trace; it may come once another was claimed."""
    for name in "ab":
        await store.submit(bench.job(name), None, most_waiting=2)

    with pytest.raises(TooManyWaiting, match="2 jobs wait"):
        await store.submit(bench.job("c"), KEY, most_waiting=2)

    assert store.counts[JobStatus.PENDING] == 2
    await store.claim(bench.at(1))
    assert (await store.submit(bench.job("c"), KEY, most_waiting=2)).created


async def test_a_full_queue_still_answers_what_it_took_before(
    store: Store, bench: StoreBench
) -> None:
    """A submission that comes again needs no room."""
    await store.submit(bench.job("a"), KEY, most_waiting=1)

    again = await store.submit(bench.job("b"), KEY, most_waiting=1)

    assert (again.created, again.record.id) == (False, "a")


async def test_an_id_is_used_once(store: Store, bench: StoreBench) -> None:
    """A second row of one id is a mistake of ours, and changes nothing."""
    await bench.submit(store)

    with pytest.raises(StoreFailed, match=r"(?i)unique"):
        await bench.submit(store, key=KEY)

    assert await bench.told(store) == [("j1", JobStatus.PENDING)]
    assert (await bench.submit(store, "j2", key=KEY)).created


async def test_paths_are_kept_as_they_are(bench: StoreBench) -> None:
    """They are relative to the server's folder, which may be moved."""
    async with bench.opened() as store:
        await bench.run(store, "j1")
        await store.move(
            "j1",
            JobStatus.COMPLETED,
            at=bench.at(2),
            attempt=1,
            video=PurePath("jobs/j1/attempt-1/out.mp4"),
        )

    async with bench.opened() as store:
        record = await store.get("j1")
    assert record.source == PurePath("jobs/source.mp4")
    assert record.video == PurePath("jobs/j1/attempt-1/out.mp4")
    assert record.subtitles is None
