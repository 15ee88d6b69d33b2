"""The store: rows, keys and events move together or not at all."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import assert_checkpoints

from vtrio._job import ALLOWED_MOVES, IllegalMove, JobStatus
from vtrio.server.errors import KeyReused, UnknownJob
from vtrio.server.store import (
    KEY_LIFETIME,
    IdempotencyKey,
    Instant,
    JobRecord,
    MemoryStore,
    Overtaken,
    Store,
)

MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)


def at(second: float) -> Instant:
    """Make an instant some seconds after midnight, which is 0 on trio's clock."""
    return Instant(second, MIDNIGHT + timedelta(seconds=second))


def a_job(job_id: str = "j1", second: float = 0) -> JobRecord:
    """Make a pending job."""
    return JobRecord(
        id=job_id,
        status=JobStatus.PENDING,
        source=Path("source.mp4"),
        target_language="pt",
        created=at(second),
    )


async def history(store: Store) -> list[tuple[str, JobStatus]]:
    """Return what the events tell."""
    return [(event.job_id, event.status) for event in await store.events(0, 1000)]


async def test_a_submission_makes_row_and_event() -> None:
    """A new job can be read, waits to be claimed, and is told of."""
    store = MemoryStore()

    submission = await store.submit(a_job(), None)

    assert submission.created
    assert await store.get("j1") == a_job()
    (event,) = await store.events(0, 10)
    assert (event.cursor, event.job_id, event.status) == (1, "j1", JobStatus.PENDING)
    assert event.at == MIDNIGHT
    assert repr(store) == "<MemoryStore jobs=1 cursor=1>"


async def test_the_same_key_and_payload_find_the_first_job() -> None:
    """A repeated submission makes no row, no event, and gives the job as it is now."""
    store = MemoryStore()
    key = IdempotencyKey("k", "payload")
    await store.submit(a_job("first"), key)
    await store.claim(at(1))

    again = await store.submit(a_job("second", 2), key)

    assert not again.created
    assert (again.record.id, again.record.status) == ("first", JobStatus.RUNNING)
    assert [job for job, _ in await history(store)] == ["first", "first"]
    with pytest.raises(UnknownJob, match="'second'"):
        await store.get("second")


async def test_the_same_key_with_another_payload_is_refused() -> None:
    """Nothing of the second submission is kept."""
    store = MemoryStore()
    await store.submit(a_job("first"), IdempotencyKey("k", "payload"))

    with pytest.raises(KeyReused, match="'k'"):
        await store.submit(a_job("second"), IdempotencyKey("k", "another"))

    assert await history(store) == [("first", JobStatus.PENDING)]


async def test_a_key_is_forgotten_after_its_lifetime() -> None:
    """A day later the same key makes another job; a moment before it does not."""
    store = MemoryStore()
    key = IdempotencyKey("k", "payload")
    await store.submit(a_job("first"), key)

    held = await store.submit(a_job("second", KEY_LIFETIME - 0.001), key)
    freed = await store.submit(a_job("third", KEY_LIFETIME), key)

    assert (held.created, freed.created) == (False, True)


async def test_an_id_is_used_once() -> None:
    """A second row of one id is a mistake of ours, and changes nothing."""
    store = MemoryStore()
    await store.submit(a_job(), None)

    with pytest.raises(ValueError, match="'j1' already"):
        await store.submit(a_job(), IdempotencyKey("k", "payload"))

    assert await history(store) == [("j1", JobStatus.PENDING)]


async def test_jobs_are_claimed_in_the_order_they_came() -> None:
    """First come, first served; a job that was cancelled meanwhile is passed over."""
    store = MemoryStore()
    for name in "abc":
        await store.submit(a_job(name), None)
    await store.move("b", JobStatus.CANCELLED, at=at(1))

    claimed = [await store.claim(at(2)) for _ in range(3)]

    assert [record and record.id for record in claimed] == ["a", "c", None]
    first = claimed[0]
    assert first is not None
    assert (first.status, first.attempt) == (JobStatus.RUNNING, 1)
    assert first.started == at(2)


async def test_a_job_put_back_goes_to_the_end() -> None:
    """It waits behind those that waited already, and has not started."""
    store = MemoryStore()
    await store.submit(a_job("a"), None)
    await store.claim(at(1))
    await store.submit(a_job("b"), None)

    back = await store.move("a", JobStatus.PENDING, at=at(2), attempt=1, failures=1)

    assert (back.started, back.failures) == (None, 1)
    claimed = [await store.claim(at(3)) for _ in range(2)]
    assert [record and (record.id, record.attempt) for record in claimed] == [
        ("b", 1),
        ("a", 2),
    ]


async def test_an_overtaken_attempt_is_refused() -> None:
    """What the first attempt says during the second changes nothing."""
    store = MemoryStore()
    await store.submit(a_job(), None)
    await store.claim(at(1))
    await store.move("j1", JobStatus.PENDING, at=at(2), attempt=1)
    running = await store.claim(at(3))

    with pytest.raises(Overtaken, match=r"attempt 1 .* running at attempt 2"):
        await store.move("j1", JobStatus.COMPLETED, at=at(4), attempt=1)
    with pytest.raises(Overtaken):
        await store.note("j1", attempt=1, progress=0.9)

    assert await store.get("j1") == running
    assert len(await history(store)) == 4


async def test_progress_is_kept_without_an_event() -> None:
    """Only changes of status are told of."""
    store = MemoryStore()
    await store.submit(a_job(), None)
    await store.claim(at(1))

    await store.note("j1", attempt=1, progress=0.5, stage="hearing")

    record = await store.get("j1")
    assert (record.progress, record.stage) == (0.5, "hearing")
    assert len(await history(store)) == 2


async def test_a_final_job_has_ended_and_stays() -> None:
    """The end is noted, and no move leads further."""
    store = MemoryStore()
    await store.submit(a_job(), None)
    await store.claim(at(1))

    ended = await store.move("j1", JobStatus.COMPLETED, at=at(5), attempt=1)

    assert ended.finished == at(5)
    with pytest.raises(IllegalMove):
        await store.move("j1", JobStatus.CANCELLED, at=at(6))
    assert await store.get("j1") == ended


async def test_unknown_jobs_are_named() -> None:
    """Every method that takes an id says which job it does not know."""
    store = MemoryStore()
    for call in (
        store.get("nobody"),
        store.move("nobody", JobStatus.CANCELLED, at=at(0)),
        store.note("nobody", attempt=1),
    ):
        with pytest.raises(UnknownJob, match="'nobody'"):
            await call


async def test_events_are_read_from_a_cursor_on() -> None:
    """A reader takes up where it left, a page at a time, also after old ones went."""
    store = MemoryStore(events_kept=3)
    for number in range(5):
        await store.submit(a_job(f"j{number}"), None)

    assert [event.cursor for event in await store.events(0, 10)] == [3, 4, 5]
    assert [event.cursor for event in await store.events(3, 1)] == [4]
    assert await store.events(5, 10) == ()


async def test_every_method_is_a_checkpoint_and_cancelled_does_nothing() -> None:
    """A method that is cancelled has no effect, whichever it is."""
    store = MemoryStore()
    key = IdempotencyKey("k", "payload")
    await store.submit(a_job("running"), None)
    with assert_checkpoints():
        await store.claim(at(1))
    await store.submit(a_job("waiting"), None)
    before = await history(store)

    for call in (
        lambda: store.submit(a_job("new"), key),
        lambda: store.claim(at(2)),
        lambda: store.move("running", JobStatus.COMPLETED, at=at(2), attempt=1),
        lambda: store.note("running", attempt=1, progress=0.5),
        lambda: store.get("running"),
        lambda: store.events(0, 1),
        store.close,
    ):
        with trio.CancelScope() as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught

    assert await history(store) == before
    assert (await store.get("running")).progress is None
    assert (await store.submit(a_job("new"), IdempotencyKey("k", "other"))).created


MOVES = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from([*JobStatus, "claim", "note"]),
    st.sampled_from([None, 1, 2, 3]),
)


@given(steps=st.lists(MOVES, max_size=30))
def test_an_event_exists_for_every_change_of_status_and_only_then(
    steps: list[tuple[str, JobStatus | str, int | None]],
) -> None:
    """Whatever is tried, replaying the events gives the rows, by allowed moves."""

    async def run() -> None:
        store = MemoryStore()
        await store.submit(a_job("a"), None)
        await store.submit(a_job("b"), None)
        for second, (job_id, what, attempt) in enumerate(steps):
            try:
                match what:
                    case JobStatus():
                        await store.move(job_id, what, at=at(second), attempt=attempt)
                    case "claim":
                        await store.claim(at(second))
                    case _:
                        await store.note(job_id, attempt=attempt or 0, progress=0.5)
            except (IllegalMove, Overtaken):
                pass
        events = await store.events(0, 1000)
        assert [event.cursor for event in events] == list(range(1, len(events) + 1))
        for job_id in "ab":
            told = [event.status for event in events if event.job_id == job_id]
            assert told[0] is JobStatus.PENDING
            assert told[-1] is (await store.get(job_id)).status
            for before, after in itertools.pairwise(told):
                assert after in ALLOWED_MOVES[before]

    trio.run(run)
