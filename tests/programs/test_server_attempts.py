"""Attempts in virtual time: what they survive, what they write down, and when."""

from __future__ import annotations

import errno
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server import MemoryStore
from vtrio.server.engines import EngineError, Progress
from vtrio.server.store import Changes, Instant, JobRecord

if TYPE_CHECKING:
    from tests.programs.conftest import BenchOf

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BROKEN = EngineError("no-speech", "Nobody speaks", "0 words", permanent=True)
STUMBLED = EngineError("stumbled", "It stumbled", permanent=False)


async def test_as_many_attempts_run_as_there_are_workers(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Two workers take five jobs two by two, in the order of submission."""
    async with bench_of(workers=2).running() as bench:
        jobs = [(await bench.submit()).id for _ in range(5)]
        await wait_all_tasks_blocked()
        assert bench.service.statistics().attempts == 2

        await trio.sleep(100)

        begun = [(at, job_id) for at, job_id, _ in bench.engine.attempts]
        assert begun == list(zip([0, 0, 10, 10, 20], jobs, strict=True))
        assert repr(bench.service) == "<JobService open engine=scripted attempts=0/2>"


async def test_an_attempt_that_fails_by_itself_is_made_again(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A failure that need not happen again is survived, and leaves no files."""
    made = bench_of([(2, STUMBLED), (3, STUMBLED), (4, None)])
    async with made.running() as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.COMPLETED
        assert (ended.attempt, ended.failures) == (3, 2)
        assert [at for at, _, _ in bench.engine.attempts] == [0.0, 2.0, 5.0]
        assert await bench.history() == [
            *(JobStatus.PENDING, JobStatus.RUNNING),
            *(JobStatus.PENDING, JobStatus.RUNNING),
            *(JobStatus.PENDING, JobStatus.RUNNING),
            JobStatus.COMPLETED,
        ]
        assert {path.name for path in ended.source.parent.iterdir()} == {
            "attempt-3",
            "source.mp4",
        }


async def test_three_failures_are_the_end(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """The third attempt that fails is the last; its reason is the job's."""
    async with bench_of([(2, STUMBLED)]).running() as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.ERROR
        assert ended.finished == Instant(6.0, NOON)
        assert ended.error is not None
        assert ended.error.type == "urn:vtrio:problem:stumbled"
        assert len(bench.engine.attempts) == 3


async def test_a_permanent_failure_ends_the_job_at_once(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Where the input is at fault there is one attempt."""
    async with bench_of([(2, BROKEN)]).running() as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.ERROR
        assert ended.error is not None
        assert (ended.error.title, ended.error.detail) == ("Nobody speaks", "0 words")
        assert len(bench.engine.attempts) == 1
        assert bench.files() == ["source.mp4"]


async def test_an_engine_that_breaks_breaks_one_job_alone(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody foresaw is logged, counted as a failure, and kept in."""
    made = bench_of([*[(2.0, KeyError("secret"))] * 3, (2, None)])
    async with made.running() as bench:
        first = await bench.submit()
        await trio.sleep(10)
        second = await bench.submit()
        await trio.sleep(10)

        broken = await bench.service.get(first.id)
        assert broken.error is not None
        assert broken.error.type == "urn:vtrio:problem:engine-crashed"
        assert "secret" not in str(broken.error)
        assert (await bench.service.get(second.id)).status is JobStatus.COMPLETED
    assert [r.message.split()[0] for r in caplog.records].count("engine-crashed") == 3


async def test_progress_is_told_when_it_is_made(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Reports show in the job at their instants; nonsense is kept within 0 and 1."""
    made = bench_of(
        reports=[
            (1, Progress(stage="hearing", fraction=-1, media_seconds=9.0)),
            (2, Progress(stage="hearing", fraction=0.5, source_language="en")),
            (3, Progress(stage="speaking", fraction=7)),
            (4, Progress(stage="speaking", fraction=float("nan"))),
        ]
    )
    seen = []
    async with made.running() as bench:
        job = await bench.submit()
        for _ in range(5):
            await trio.sleep(0.5)
            record = await bench.service.get(job.id)
            seen.append((record.stage, record.progress))
            await trio.sleep(0.5)
        assert (record.media_seconds, record.source_language) == (9.0, "en")
    assert seen == [
        (None, None),
        ("hearing", 0.0),
        ("hearing", 0.5),
        ("speaking", 1.0),
        ("speaking", None),
    ]


async def test_a_cleanup_that_fails_is_logged_and_stays_with_its_job(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine whose clean-up raises while it is cancelled does not end the service."""
    made = bench_of(cleanup_error=OSError("disk gone"))
    async with made.running() as bench:
        job = await bench.submit()
        following = await bench.submit()
        await trio.sleep(1)

        await bench.service.cancel(job.id)
        await trio.sleep(50)

        assert (await bench.service.get(job.id)).status is JobStatus.CANCELLED
        assert (await bench.service.get(following.id)).status is JobStatus.COMPLETED
    assert any("engine-cleanup-failed" in record.message for record in caplog.records)


async def test_a_store_that_fails_ends_the_service(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A service that cannot write down what happens must not seem to work."""

    class FullStore(MemoryStore):
        async def move(
            self,
            job_id: str,
            status: JobStatus,
            *,
            at: Instant,
            attempt: int | None = None,
            **changes: Unpack[Changes],
        ) -> JobRecord:
            raise OSError("the disk is full")

    bench = bench_of(store=FullStore())
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.service.run)
            await bench.submit()
            await trio.sleep(50)
    assert trio.current_time() == 10.0


async def test_a_store_that_hangs_cannot_hold_a_worker_for_ever(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """After 5 s the attempt is given up, and the log says whose end is not kept."""

    class HangingStore(MemoryStore):
        async def move(
            self,
            job_id: str,
            status: JobStatus,
            *,
            at: Instant,
            attempt: int | None = None,
            **changes: Unpack[Changes],
        ) -> JobRecord:
            await trio.sleep_forever()
            raise AssertionError

    async with bench_of(store=HangingStore()).running() as bench:
        job = await bench.submit()
        await bench.submit()
        await trio.sleep(20)
        assert [at for at, _, _ in bench.engine.attempts] == [0.0, 15.0]
    assert f"attempt-not-concluded id={job.id}" in caplog.messages


async def test_a_progress_that_comes_too_late_is_dropped(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A report between the owner's cancel and the engine's end changes nothing."""

    class SlowStore(MemoryStore):
        async def note(
            self, job_id: str, *, attempt: int, **changes: Unpack[Changes]
        ) -> None:
            await trio.sleep(1)
            await super().note(job_id, attempt=attempt, **changes)

    reports = [(1, Progress(stage="x", fraction=0.1))]
    made = bench_of([(3, None)], reports=reports, store=SlowStore())
    async with made.running() as bench:
        job = await bench.submit()
        await trio.sleep(1.5)
        await bench.store.move(job.id, JobStatus.CANCELLED, at=bench.service.now())
        await trio.sleep(10)

        assert (await bench.service.get(job.id)).progress is None
        assert bench.engine.ended == [3.0]


async def test_a_folder_that_cannot_be_made_is_a_failed_attempt(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands in the way of one attempt ends neither the job nor the service."""
    async with bench_of().running() as bench:
        first = await bench.submit()
        second = await bench.submit()
        (second.source.parent / "attempt-1").touch()
        await trio.sleep(50)

        assert (await bench.service.get(first.id)).status is JobStatus.COMPLETED
        ended = await bench.service.get(second.id)
        assert (ended.status, ended.failures) == (JobStatus.COMPLETED, 1)
    assert "attempt-without-room" in caplog.text


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, "no-room"), (errno.EACCES, "no-folder")]
)
async def test_a_job_that_never_gets_a_folder_ends_in_error(
    number: int,
    kind: str,
    bench_of: BenchOf,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says so, without a word of the server's paths; the service goes on."""
    async with bench_of().running() as bench:

        async def refuse(path: Path) -> None:
            raise OSError(number, "refused", str(path))

        monkeypatch.setattr("vtrio.server.files.make_folder", refuse)
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.ERROR
        assert ended.error is not None
        assert ended.error.type == f"urn:vtrio:problem:{kind}"
        assert str(bench.folder) not in str(ended.error)
        assert bench.service.statistics().running


async def test_an_engine_that_finds_the_disk_full_has_not_crashed(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The job says what it was, and the log has a line and no traceback."""
    full = OSError(errno.ENOSPC, "No space left on device", "/secret/path")
    async with bench_of([(1, full)]).running() as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.error is not None
        assert ended.error.type == "urn:vtrio:problem:no-room"
        assert "secret" not in str(ended.error)
    told = [record.exc_info for record in caplog.records]
    assert told == [None] * 3


async def test_a_failure_cannot_forge_a_line_of_the_log(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What an engine found in a file is quoted, line breaks and all."""
    forged = "x\n2026-01-02 INFO vtrio.server server-ended"
    error = EngineError("no-speech", "Nobody speaks", forged, permanent=True)
    with caplog.at_level(logging.INFO, "vtrio.server"):
        async with bench_of([(1, error)]).running() as bench:
            await bench.submit()
            await trio.sleep(10)
    assert any("attempt-ended" in message for message in caplog.messages)
    assert not any("\n" in message for message in caplog.messages)
