"""Moving jobs: claimed in order, fenced by the attempt, one event a change."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from vtrio._job import ALLOWED_MOVES, IllegalMove, JobProblem, JobStatus
from vtrio.server import Store
from vtrio.server.errors import UnknownJob
from vtrio.server.store import Overtaken
from vtrio.server.store.tables import WHAT_CHANGES

if TYPE_CHECKING:
    from tests.programs.store.conftest import StoreBench

DEADLY = JobProblem(type="deadly", title="It kills servers", detail="Again and again")


async def test_jobs_are_claimed_in_the_order_they_came(
    store: Store, bench: StoreBench
) -> None:
    """First come, first served; a job that was cancelled meanwhile is passed over."""
    for name in "abcd":
        await bench.submit(store, name)
    await store.move("b", JobStatus.CANCELLED, at=bench.at(1))

    claimed = [await store.claim(bench.at(2), most) for most in (1, 5, 1)]

    assert [[record.id for record in some] for some in claimed] == [
        ["a"],
        ["c", "d"],
        [],
    ]
    ((first,), _, _) = claimed
    assert (first.status, first.attempt) == (JobStatus.RUNNING, 1)
    assert first.started == bench.at(2)
    assert await store.get("a") == first


async def test_a_move_writes_what_it_may_change(
    file_bench: StoreBench,
) -> None:
    """And no other column: whose a job is stays as it was written once."""
    written: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE jobs"):
            written.append(statement)

    async with file_bench.opened() as store:
        event.listen(store._writer._engine, "before_cursor_execute", note)
        await file_bench.run(store, "j1")

    (statement,) = written
    assignments = statement.partition(" SET ")[2].partition(" WHERE ")[0]
    columns = {part.partition("=")[0] for part in assignments.split(", ")}
    assert columns == WHAT_CHANGES


async def test_a_job_put_back_keeps_its_place(store: Store, bench: StoreBench) -> None:
    """It goes before those that came after it, and has not started."""
    await bench.run(store, "a")
    await bench.submit(store, "b")

    back = await store.move(
        "a", JobStatus.PENDING, at=bench.at(2), attempt=1, failures=1, stage=None
    )

    assert (back.started, back.failures) == (None, 1)
    claimed = await store.claim(bench.at(3), 2)
    assert [(record.id, record.attempt) for record in claimed] == [("a", 2), ("b", 1)]


async def test_an_overtaken_attempt_is_refused(store: Store, bench: StoreBench) -> None:
    """What the first attempt says during the second changes nothing."""
    await bench.run(store, "j1")
    await store.move("j1", JobStatus.PENDING, at=bench.at(2), attempt=1)
    (running,) = await store.claim(bench.at(3))

    with pytest.raises(Overtaken, match=r"attempt 1 .* running at attempt 2"):
        await store.move("j1", JobStatus.COMPLETED, at=bench.at(4), attempt=1)
    with pytest.raises(Overtaken, match=r"attempt 1 .* running at attempt 2"):
        store.note("j1", attempt=1, progress=0.9)

    assert await store.get("j1") == running
    assert len(await bench.told(store)) == 4


async def test_an_attempt_that_was_put_back_cannot_end_its_job(
    store: Store, bench: StoreBench
) -> None:
    """Nobody has overtaken it yet, but it does not run any more."""
    await bench.run(store, "j1")
    back = await store.move("j1", JobStatus.PENDING, at=bench.at(2), attempt=1)

    with pytest.raises(Overtaken, match="the job is pending at attempt 1"):
        await store.move("j1", JobStatus.CANCELLED, at=bench.at(3), attempt=1)
    with pytest.raises(Overtaken):
        store.note("j1", attempt=1, progress=0.5)

    assert await store.get("j1") == back


async def test_an_attempt_cannot_start_its_job_again(
    store: Store, bench: StoreBench
) -> None:
    """The table of moves holds for attempts as for owners; no event tells of it."""
    await bench.run(store, "j1")

    with pytest.raises(IllegalMove, match="is running and cannot become running"):
        await store.move("j1", JobStatus.RUNNING, at=bench.at(2), attempt=1)

    assert len(await bench.told(store)) == 2
    assert store.counts[JobStatus.RUNNING] == 1


async def test_progress_is_kept_in_memory_without_an_event(bench: StoreBench) -> None:
    """Only changes of status are told of; what was noted is gone with the process."""
    async with bench.opened() as store:
        await bench.run(store, "j1")
        store.note("j1", attempt=1, progress=0.5, stage="hearing")
        store.note("j1", attempt=1, progress=0.75)

        record = await store.get("j1")
        assert (record.progress, record.stage) == (0.75, "hearing")
        assert (await store.page("", status=None, before=None, size=5)) == (record,)
        assert await store.get_many(["j1"]) == {"j1": record}
        assert len(await bench.told(store)) == 2

    async with bench.opened() as store:
        record = await store.get("j1")
        assert (record.progress, record.stage) == (None, None)


async def test_what_was_noted_is_written_with_the_next_change(
    bench: StoreBench,
) -> None:
    """A job that was cancelled tells how far it came; what the change says wins."""
    async with bench.opened() as store:
        await bench.run(store, "j1")
        store.note("j1", attempt=1, progress=0.5, stage="hearing", media_seconds=7.5)
        await store.move("j1", JobStatus.CANCELLED, at=bench.at(3), stage=None)
        (_, _, event) = (await store.events("", None, 10)).events
        assert event.progress == 0.5

    async with bench.opened() as store:
        record = await store.get("j1")
        assert (record.progress, record.stage) == (0.5, None)
        assert record.media_seconds == 7.5


async def test_what_one_attempt_noted_is_not_the_next_ones(
    store: Store, bench: StoreBench
) -> None:
    """The second attempt begins without progress."""
    await bench.run(store, "j1")
    store.note("j1", attempt=1, progress=0.5, stage="hearing")
    await store.move("j1", JobStatus.PENDING, at=bench.at(2), attempt=1)

    (record,) = await store.claim(bench.at(3))
    assert (record.progress, record.stage) == (None, None)
    ended = await store.move("j1", JobStatus.CANCELLED, at=bench.at(4))
    assert ended.progress is None


async def test_a_final_job_has_ended_and_stays(store: Store, bench: StoreBench) -> None:
    """The end is noted, and no move leads further."""
    await bench.run(store, "j1")

    ended = await store.move("j1", JobStatus.COMPLETED, at=bench.at(5), attempt=1)

    assert ended.finished == bench.at(5)
    with pytest.raises(IllegalMove):
        await store.move("j1", JobStatus.CANCELLED, at=bench.at(6))
    with pytest.raises(Overtaken):
        store.note("j1", attempt=1, progress=0.5)
    assert await store.get("j1") == ended


async def test_an_error_is_kept_in_all_its_words(bench: StoreBench) -> None:
    """The next server tells it as this one does."""
    async with bench.opened() as store:
        await bench.run(store, "j1")
        ended = await store.move(
            "j1", JobStatus.ERROR, at=bench.at(2), attempt=1, error=DEADLY
        )
        assert ended.error == DEADLY

    async with bench.opened() as store:
        assert await store.get("j1") == ended


async def test_unknown_jobs_are_named(store: Store, bench: StoreBench) -> None:
    """Every method that takes an id says which job it does not know."""
    for call in (
        store.get("nobody"),
        store.move("nobody", JobStatus.CANCELLED, at=bench.at(0)),
        store.remove("nobody", bench.at(0)),
    ):
        with pytest.raises(UnknownJob, match="'nobody'"):
            await call
    with pytest.raises(UnknownJob, match="'nobody'"):
        store.note("nobody", attempt=1)


async def test_a_started_server_takes_up_what_ran(bench: StoreBench) -> None:
    """What ran waits again, in its old place; what waited or ended is left alone."""
    async with bench.opened() as store:
        await bench.run(store, "ended")
        await store.move("ended", JobStatus.COMPLETED, at=bench.at(1), attempt=1)
        await bench.run(store, "ran")
        await bench.submit(store, "waits")

    async with bench.opened(9) as store:
        (taken,) = await store.take_up(bench.at(9), most_deaths=2, too_deadly=DEADLY)
        assert (taken.id, taken.status) == ("ran", JobStatus.PENDING)
        assert (taken.deaths, taken.failures, taken.started) == (1, 0, None)
        assert await store.get("ran") == taken
        claimed = await store.claim(bench.at(9), 5)
        assert [(record.id, record.attempt) for record in claimed] == [
            ("ran", 2),
            ("waits", 1),
        ]


async def test_a_job_that_keeps_killing_the_server_is_given_up(
    bench: StoreBench,
) -> None:
    """It ends in the error that says so, at the death that was one too many."""
    async with bench.opened() as store:
        await bench.run(store, "j1")
    async with bench.opened(1) as store:
        await store.take_up(bench.at(1), most_deaths=2, too_deadly=DEADLY)
        await store.claim(bench.at(1))

    async with bench.opened(2) as store:
        (ended,) = await store.take_up(bench.at(2), most_deaths=2, too_deadly=DEADLY)
        assert (ended.status, ended.deaths) == (JobStatus.ERROR, 2)
        assert (ended.error, ended.finished) == (DEADLY, bench.at(2))
        assert (await bench.told(store))[-1] == ("j1", JobStatus.ERROR)
        assert store.counts[JobStatus.ERROR] == 1
        assert store.counts[JobStatus.RUNNING] == 0


# --- whatever is tried --------------------------------------------------------------

STEPS = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from([*JobStatus, "claim", "note", "take up", "restart"]),
    st.sampled_from([None, 1, 2, 3]),
)
_examples = itertools.count()


async def try_one(
    bench: StoreBench, store: Store, job_id: str, what: str, number: int | None
) -> None:
    """Do one thing, if it is allowed."""
    at = bench.at(1)
    with suppress(IllegalMove, Overtaken, UnknownJob):
        match what:
            case "claim":
                await store.claim(at)
            case "note":
                store.note(job_id, attempt=number or 0, progress=0.5)
            case "take up":
                await store.take_up(at, most_deaths=2, too_deadly=DEADLY)
            case status:
                await store.move(job_id, JobStatus(status), at=at, attempt=number)


@settings(max_examples=15)
@given(steps=st.lists(STEPS, max_size=20))
def test_an_event_exists_for_every_change_of_status_and_only_then(
    lasting_bench: StoreBench, steps: list[tuple[str, str, int | None]]
) -> None:
    """Whatever is tried, replaying the events gives the rows, by allowed moves."""
    bench, example = lasting_bench, next(_examples)
    ids = {name: f"{name}{example}" for name in "ab"}

    async def check(store: Store, start: int) -> None:
        events = (await store.events("", start, 1000)).events
        for job_id in ids.values():
            record = await store.get(job_id)
            told = [event.status for event in events if event.job_id == job_id]
            assert (told[0], told[-1]) == (JobStatus.PENDING, record.status)
            for before, after in itertools.pairwise(told):
                assert after in ALLOWED_MOVES[before]

    async def run() -> None:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(bench.opened())
            start = store.cursor
            for job_id in ids.values():
                await bench.submit(store, job_id)
            for name, what, number in steps:
                if what == "restart":
                    await stack.aclose()
                    store = await stack.enter_async_context(bench.opened())
                else:
                    await try_one(bench, store, ids[name], what, number)
            try:
                await check(store, start)
            finally:
                # The next example finds nothing that waits or runs.
                for job_id in ids.values():
                    await store.remove(job_id, bench.at(1))
            assert not any(store.counts.values())

    trio.run(run)
