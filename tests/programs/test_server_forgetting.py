"""What is forgotten: jobs that their owner removes, and jobs that were kept long enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server import files
from vtrio.server.errors import ExpiredCursor, UnknownJob
from vtrio.server.service import KEEP
from vtrio.server.store import IdempotencyKey, Instant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.programs.conftest import Bench, BenchOf

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BROKEN = ValueError("it is broken")


def at(second: float) -> Instant:
    """Make an instant some seconds after noon, which is 0 on trio's clock."""
    return Instant(second, NOON + timedelta(seconds=second))


async def told_of(bench: Bench, job_id: str) -> list[tuple[JobStatus, Instant]]:
    """Return what the feed tells of a job."""
    page = await bench.store.events("", None, 1000)
    return [(event.status, event.at) for event in page.events if event.job_id == job_id]


async def assert_gone(bench: Bench, job_id: str) -> None:
    """Assert that nothing but the feed knows a job."""
    with pytest.raises(UnknownJob):
        await bench.service.get(job_id)
    assert not (bench.folder / "jobs" / job_id).exists()


# --- removed by its owner -----------------------------------------------------------


async def test_a_waiting_job_is_removed(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """It is cancelled first, with its event, and never runs; the others do."""
    async with bench_of().running() as bench:
        running, job = await bench.submit(), await bench.submit()
        await trio.sleep(1)

        await bench.service.remove(job.id)

        await assert_gone(bench, job.id)
        assert await told_of(bench, job.id) == [
            (JobStatus.PENDING, at(0.0)),
            (JobStatus.CANCELLED, at(1.0)),
        ]
        await trio.sleep(50)
        assert [job_id for _, job_id, _ in bench.engine.attempts] == [running.id]
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        assert bench.store.counts[JobStatus.CANCELLED] == 0


async def test_a_running_job_is_removed_once_its_attempt_is_gone(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Everybody is told at once; the files go when nothing writes them any more."""
    async with bench_of(cleaning_up=2).running() as bench:
        job = await bench.submit()
        await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.service.remove, job.id)
            await wait_all_tasks_blocked()
            with pytest.raises(UnknownJob):
                await bench.service.get(job.id)
            assert bench.files() == ["source.mp4"]

        assert trio.current_time() == 3.0
        await assert_gone(bench, job.id)
        assert (await told_of(bench, job.id))[-1] == (JobStatus.CANCELLED, at(1.0))
        assert not list((bench.folder / "jobs").iterdir())
        assert bench.service.statistics().attempts == 0


async def test_a_removal_does_not_wait_for_ever_for_an_attempt(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """After 5 s the files go in any case; what the attempt adds goes with itself."""
    async with bench_of(cleaning_up=60).running() as bench:
        job = await bench.submit()
        await trio.sleep(1)
        await bench.service.remove(job.id)
        assert trio.current_time() == 6.0
        await assert_gone(bench, job.id)
        await trio.sleep(60)
        assert not list((bench.folder / "jobs").iterdir())
        assert bench.service.statistics().running


@pytest.mark.parametrize("error", [None, BROKEN], ids=["completed", "error"])
async def test_a_job_that_has_ended_is_removed(
    error: Exception | None, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Its result too; the feed tells of no other change."""
    async with bench_of([(1, error)]).running() as bench:
        job = await bench.submit()
        await trio.sleep(20)
        before = await told_of(bench, job.id)

        await bench.service.remove(job.id)

        await assert_gone(bench, job.id)
        assert await told_of(bench, job.id) == before
        assert bench.files() == []
        assert sum(bench.store.counts.values()) == 0


async def test_what_is_removed_cannot_be_removed_again(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Nor can what was never there, or what is another's."""
    async with bench_of().running() as bench:
        job, other = await bench.submit(), await bench.submit()
        await bench.service.remove(job.id)
        for job_id in (job.id, "nobody"):
            with pytest.raises(UnknownJob):
                await bench.service.remove(job_id)
        with pytest.raises(UnknownJob):
            await bench.service.remove(other.id, "somebody-else")
        assert (await bench.service.get(other.id)).id == other.id


async def test_a_removal_that_is_cancelled_happens_or_does_not(
    bench_of: BenchOf, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Whichever, nothing of a job that is gone is left, and the server works on."""
    happened = []
    for steps in range(8):
        folder = tmp_path / str(steps)
        folder.mkdir()
        async with bench_of(folder=folder, cleaning_up=1).running() as bench:
            job = await bench.submit()
            await trio.sleep(1)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, steps, scope)
                    await bench.service.remove(job.id)
            await trio.sleep(20)
            happened.append(not bench.files())
            if happened[-1]:
                await assert_gone(bench, job.id)
            else:
                record = await bench.service.get(job.id)
                assert record.status is JobStatus.COMPLETED
    assert (happened[0], happened[-1]) == (False, True)
    assert happened == sorted(happened)


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_who_waits_for_a_job_is_woken_by_its_removal(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """There is nothing more to wait for."""
    async with bench_of().running() as bench:
        job = await bench.submit()

        async def remove() -> None:
            await trio.sleep(3)
            await bench.service.remove(job.id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove)
            with pytest.raises(UnknownJob):
                await bench.service.board.hold(
                    lambda: bench.service.get(job.id),
                    lambda record: record.is_final,
                    [job.id],
                    client="c",
                    seconds=60,
                )
            assert trio.current_time() == 3.0
        assert bench.service.board.held == 0


# --- kept long enough ---------------------------------------------------------------


async def test_a_job_is_forgotten_when_it_was_kept_long_enough(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """From its end on; looked for every twentieth of that time. Its files go too."""
    async with bench_of(service={"keep": 100}).running() as bench:
        first = await bench.submit()
        await trio.sleep_until(1)
        second = await bench.submit()  # ends at 20, which is kept until 120 and no more
        await trio.sleep_until(114.999)
        assert (await bench.service.get(first.id)).finished == at(10.0)
        assert (bench.folder / "jobs" / first.id).exists()

        await trio.sleep_until(115.001)

        await assert_gone(bench, first.id)
        assert (await bench.service.get(second.id)).status is JobStatus.COMPLETED
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        assert bench.store.counts[JobStatus.COMPLETED] == 1
        await trio.sleep_until(120.001)
        assert await bench.service.get(second.id)  # it has been kept for no longer
        await trio.sleep_until(125.001)
        await assert_gone(bench, second.id)
        assert bench.files() == []


async def test_only_what_has_ended_is_forgotten(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A job that runs or waits for longer than jobs are kept goes on."""
    async with bench_of([(1000, None)], service={"keep": 10}).running() as bench:
        running, waiting = await bench.submit(), await bench.submit()
        cancelled = await bench.submit()
        await bench.service.cancel(cancelled.id)
        stranger = bench.folder / "notes.txt"
        stranger.write_text("mine")

        await trio.sleep(500)

        await assert_gone(bench, cancelled.id)
        assert (await bench.service.get(running.id)).status is JobStatus.RUNNING
        assert (await bench.service.get(waiting.id)).status is JobStatus.PENDING
        assert bench.files() == ["notes.txt", "source.mp4", "source.mp4"]


async def test_the_feed_goes_back_as_far_as_jobs_are_kept(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A cursor from before that has expired; one from since then has not."""
    async with bench_of(service={"keep": 100}).running() as bench:
        await bench.submit()
        await trio.sleep_until(10)
        before = bench.store.cursor
        await trio.sleep_until(50)
        await bench.submit()
        since = bench.store.cursor
        await trio.sleep_until(130)

        with pytest.raises(ExpiredCursor):
            await bench.store.events("", before - 1, 10)
        page = await bench.store.events("", since, 10)
        assert [event.status for event in page.events] == [
            *(JobStatus.RUNNING, JobStatus.COMPLETED)
        ]


async def test_what_was_kept_long_enough_goes_when_the_server_starts(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A server that was down for a week forgets at once."""
    bench = bench_of(service={"keep": 100})
    async with bench.running():
        job = await bench.submit()
        await trio.sleep(20)
    await trio.sleep(1000)
    async with bench.running():
        await wait_all_tasks_blocked()
        await assert_gone(bench, job.id)


async def test_jobs_are_kept_for_a_week_unless_told(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """And their idempotency keys for a day, whether the job is there or not."""
    assert KEEP == 7 * 24 * 3600
    async with bench_of().running() as bench:
        key = IdempotencyKey("k", "p")
        job = await bench.submit(key)
        await trio.sleep_until(23 * 3600)
        await bench.service.remove(job.id)
        assert (await bench.submit(key)).id == job.id
        await trio.sleep_until(25 * 3600)
        again = await bench.submit(key)
        assert again.id != job.id
        await trio.sleep_until(25 * 3600 + KEEP)
        assert (await bench.service.get(again.id)).status is JobStatus.COMPLETED
        await trio.sleep(700)
        await assert_gone(bench, again.id)


async def test_what_cannot_be_removed_now_goes_with_the_next_start(
    bench_of: BenchOf, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses keeps nothing else from being forgotten."""

    async def refuse(path: Path) -> None:
        await trio.lowlevel.checkpoint()

    bench = bench_of(service={"keep": 100})
    async with bench.running():
        await bench.submit()
        with monkeypatch.context() as patch:
            patch.setattr(files, "remove", refuse)
            await trio.sleep(200)
        assert sum(bench.store.counts.values()) == 0
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
    async with bench.running():
        assert bench.files() == []
