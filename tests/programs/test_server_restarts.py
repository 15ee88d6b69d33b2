"""What a server takes up again when it starts, after its stop and after its death."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import trio
from trio.testing import MockClock

from vtrio._job import JobStatus
from vtrio.server import ServeError, files
from vtrio.server.engines import EngineError
from vtrio.server.errors import NoRoom
from vtrio.server.store import IdempotencyKey, Instant

if TYPE_CHECKING:
    from tests.programs.conftest import Bench, BenchOf

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STUMBLED = EngineError("stumbled", "It stumbled", permanent=False)


def at(second: float) -> Instant:
    """Make an instant some seconds after noon, which is 0 on trio's clock."""
    return Instant(second, NOON + timedelta(seconds=second))


def killed(bench: Bench, name: str) -> Path:
    """Copy all that a server has on disk: so a kill at this moment would leave it."""
    folder = bench.folder.with_name(name)
    shutil.copytree(bench.folder, folder)
    return folder


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The folder of the first server; those of later ones are beside it."""
    folder = tmp_path / "first"
    folder.mkdir()
    return folder


async def test_unfinished_jobs_are_taken_up_after_a_stop(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """The one that ran goes first again, for it came first; no death is counted."""
    bench = bench_of(folder=first)
    async with bench.running():
        jobs = [(await bench.submit()).id for _ in range(3)]
        await trio.sleep(12)

    async with bench.running():
        assert bench.engine.attempts[2:] == []
        await trio.sleep(50)

        assert bench.engine.attempts == [
            *((0.0, jobs[0], 1), (10.0, jobs[1], 1)),
            *((12.0, jobs[1], 2), (22.0, jobs[2], 1)),
        ]
        for job_id, finished in zip(jobs, (10.0, 22.0, 32.0), strict=True):
            record = await bench.service.get(job_id)
            assert (record.status, record.deaths) == (JobStatus.COMPLETED, 0)
            assert (record.created, record.finished) == (at(0.0), at(finished))


async def test_unfinished_jobs_are_taken_up_after_a_kill(
    first: Path,
    bench_of: BenchOf,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The one that ran counts a death and begins anew; the one that waited does not."""
    async with bench_of(folder=first).running() as bench:
        running, waiting = await bench.submit(), await bench.submit()
        await trio.sleep(4)
        (first / "jobs" / running.id / "attempt-1" / "half.mp4").write_bytes(b"half")
        (first / "jobs" / "nobody").mkdir()
        folder = killed(bench, "second")

    async with bench_of(folder=folder).running() as bench:
        assert "half.mp4" not in bench.files()
        assert not (folder / "jobs" / "nobody").exists()
        await trio.sleep(50)
        for job, attempt, deaths in ((running, 2, 1), (waiting, 1, 0)):
            record = await bench.service.get(job.id)
            assert record.status is JobStatus.COMPLETED
            assert (record.attempt, record.deaths) == (attempt, deaths)
        told = (await bench.store.events("", None, 1000)).events
        assert [event.status for event in told if event.job_id == running.id] == [
            *(JobStatus.PENDING, JobStatus.RUNNING),
            *(JobStatus.PENDING, JobStatus.RUNNING),
            JobStatus.COMPLETED,
        ]
    (told_once,) = [each for each in caplog.records if each.message == "job-taken-up"]
    assert (vars(told_once)["id"], vars(told_once)["deaths"]) == (running.id, 1)


async def test_ten_deaths_are_the_end_of_a_job(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """It may be their cause; the orderly stops in between are no deaths."""
    async with bench_of(folder=first).running() as bench:
        job = await bench.submit()
    for death in range(1, 11):
        async with bench_of(folder=bench.folder).running() as bench:
            await trio.sleep(1)
            folder = killed(bench, f"death-{death}")
        async with bench_of(folder=folder).running() as bench:
            record = await bench.service.get(job.id)
            assert record.deaths == death
            assert record.is_final == (death == 10)
    assert record.status is JobStatus.ERROR
    assert record.error is not None
    assert record.error.type == "urn:vtrio:problem:server-died"
    assert record.error.detail is not None
    assert "10 times" in record.error.detail
    assert record.finished == at(10.0)
    assert record.failures == 0

    async with bench_of(folder=bench.folder).running() as bench:
        await trio.sleep(50)
        assert bench.engine.attempts == []
        assert (await bench.service.get(job.id)) == record


async def test_failures_are_counted_over_all_servers(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Three attempts that fail by themselves are the end, stops and deaths or not."""
    script: list[tuple[float, BaseException | None]] = [(2, STUMBLED)]
    async with bench_of(script, folder=first).running() as bench:
        job = await bench.submit()
        await trio.sleep(3)  # one has failed, the second is cut off by the stop
    async with bench_of(script, folder=first).running() as bench:
        await trio.sleep(3)  # the second has failed, the third is cut off by a kill
        folder = killed(bench, "second")
    async with bench_of(script, folder=folder).running() as bench:
        await trio.sleep(50)
        record = await bench.service.get(job.id)
        assert (record.status, record.failures) == (JobStatus.ERROR, 3)
        assert (record.attempt, record.deaths) == (5, 1)
        assert record.finished == at(8.0)


async def test_a_result_outlives_its_server(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """After a kill it is there, whole; so are its event and the key that made it."""
    key = IdempotencyKey("k", "payload")
    async with bench_of(folder=first).running() as bench:
        job = await bench.submit(key)
        await trio.sleep(20)
        ended = await bench.service.get(job.id)
        folder = killed(bench, "second")

    async with bench_of(folder=folder).running() as bench:
        assert await bench.service.get(job.id) == ended
        assert (await bench.submit(key)).id == job.id
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        assert await bench.history() == [
            *(JobStatus.PENDING, JobStatus.RUNNING, JobStatus.COMPLETED),
        ]


async def test_a_cancelled_job_stays_cancelled(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Killed before its attempt has let go, the server does not take it up again."""
    async with bench_of(folder=first, cleaning_up=3).running() as bench:
        job = await bench.submit()
        await trio.sleep(1)
        await bench.service.cancel(job.id)
        folder = killed(bench, "second")
    async with bench_of(folder=folder).running() as bench:
        await trio.sleep(20)
        assert (await bench.service.get(job.id)).status is JobStatus.CANCELLED
        assert bench.engine.attempts == []
        assert bench.files() == ["source.mp4"]


async def test_a_file_of_a_submission_that_was_killed_is_removed(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Moved into its place, but no job by the time of the kill: nobody was told of it."""
    async with bench_of(folder=first).running() as bench:
        job = await bench.submit()
        source = bench.service.path_of(job.source)
        orphan = first / "jobs" / "orphan" / "source.mp4"
        orphan.parent.mkdir()
        orphan.write_bytes(b"video")
        folder = killed(bench, "second")
    async with bench_of(folder=folder).running() as bench:
        assert bench.files() == ["source.mp4"]
        assert (folder / source.relative_to(first)).exists()


async def test_what_is_no_jobs_does_not_keep_a_server_from_starting(
    first: Path,
    bench_of: BenchOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    """A name that is no text is removed; what cannot be is logged, and left."""
    remove = files.remove_now

    def refuse(path: Path) -> None:
        if path.name == "stays":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        remove(path)

    monkeypatch.setattr(files, "remove_now", refuse)
    for name in (os.fsdecode(b"\xff"), "stays"):
        (first / "jobs" / name).mkdir(parents=True)
    async with bench_of(folder=first).running() as bench:
        assert [path.name for path in (first / "jobs").iterdir()] == ["stays"]
        assert caplog.messages == ["remove-failed"]
        job = await bench.submit()
        await trio.sleep(11)
        assert (await bench.service.get(job.id)).status is JobStatus.COMPLETED


async def test_a_server_that_cannot_put_jobs_back_does_not_start(
    first: Path,
    bench_of: BenchOf,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    """One sentence says why; the jobs are as they were."""
    async with bench_of(folder=first).running() as bench:
        job = await bench.submit()
        await trio.sleep(1)
        folder = killed(bench, "second")
    second = bench_of(folder=folder)

    async def take_up(*_: object, **__: object) -> NoReturn:
        raise NoRoom("the disk is full")

    async with second.open():
        with monkeypatch.context() as patch:
            patch.setattr(second.store, "take_up", take_up)
            with pytest.raises(ServeError, match="disk is full, .* make room"):
                await second.service.run()
        (folder / "jobs").rename(folder / "elsewhere")
        (folder / "jobs").touch()
        with pytest.raises(ServeError, match=r"cannot be used \(File exists\)"):
            await second.service.run()
        (folder / "jobs").unlink()
        (folder / "elsewhere").rename(folder / "jobs")
    async with second.running():
        await trio.sleep(11)
        assert (await second.service.get(job.id)).status is JobStatus.COMPLETED


async def test_what_an_ended_job_has_no_use_for_is_removed(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A kill between the word of an attempt's end and its tidying leaves its files."""
    broken = EngineError("no-speech", "Nobody speaks", permanent=True)
    async with bench_of([(1, None), (1, broken)], folder=first).running() as bench:
        jobs = [(await bench.submit()).id for _ in range(2)]
        await trio.sleep(5)
        folder = killed(bench, "second")
    for job_id in jobs:
        attempt = folder / "jobs" / job_id / "attempt-1"
        attempt.mkdir(exist_ok=True)
        (attempt / "left").touch()
    async with bench_of(folder=folder).running():
        left = list((folder / "jobs").glob("*/attempt-1/left"))
        assert [path.parts[-3] for path in left] == jobs[:1]


async def test_jobs_that_were_taken_up_teach_the_pause(
    first: Path, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """From their submission on, though another server took it."""
    async with bench_of(folder=first).running() as bench:
        await bench.submit()
        await trio.sleep(4)
    async with bench_of(folder=first).running() as bench:
        await trio.sleep(50)
        (lesson,) = bench.service.advice.durations.remembered()
        assert (lesson.after, lesson.until) == (14.0, 14.0)
