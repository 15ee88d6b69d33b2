"""Attempts in virtual time: what they survive, what they write down, and when."""

from __future__ import annotations

import errno
import io
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server import attempts, files
from vtrio.server.engines import EngineError, Progress, Task, Translation
from vtrio.server.logs import configure, get_logger
from vtrio.server.store import Instant

if TYPE_CHECKING:
    from collections.abc import Callable

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

        # Those that begin at one instant do so in any order.
        begun = [(at, job_id) for at, job_id, _ in bench.engine.attempts]
        assert sorted(begun) == sorted(zip([0, 0, 10, 10, 20], jobs, strict=True))
        assert repr(bench.service) == (
            "<JobService open engine=scripted attempts=0/2 held=0>"
        )


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
        folder = bench.service.path_of(ended.source).parent
        assert {path.name for path in folder.iterdir()} == {"attempt-3", "source.mp4"}
        assert ended.video == ended.source.parent / "attempt-3" / "out.mp4"
        # Only the first one waited for nothing but a worker.
        told = bench.service.metrics.text().decode()
        assert "\nvtrio_queue_wait_seconds_count 1.0\n" in told
        assert "\nvtrio_queue_wait_seconds_sum 0.0\n" in told


async def test_three_failures_are_the_end(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """The third attempt that fails is the last; its reason is the job's."""
    async with bench_of([(2, STUMBLED)]).running() as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.ERROR
        assert ended.finished == Instant(6.0, NOON + timedelta(seconds=6))
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
    assert caplog.messages.count("engine-crashed") == 3


async def test_a_result_that_lies_elsewhere_breaks_one_job_alone(
    bench_of: BenchOf,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An attempt has a folder: what is not in it would not be kept with the job."""

    async def translate(task: Task, report: Callable[[Progress], None]) -> Translation:
        await trio.sleep(1)
        return Translation(video=task.source, subtitles=task.source)

    async with bench_of().running() as bench:
        monkeypatch.setattr(bench.engine, "translate", translate)
        job = await bench.submit()
        await trio.sleep(10)

        ended = await bench.service.get(job.id)
        assert (ended.status, ended.failures) == (JobStatus.ERROR, 3)
        assert bench.files() == ["source.mp4"]
    assert caplog.messages.count("engine-crashed") == 3


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
    assert "engine-cleanup-failed" in caplog.messages


async def test_a_progress_that_comes_too_late_is_dropped(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A report between the owner's cancel and the engine's end changes nothing."""
    reports = [
        (1, Progress(stage="x", fraction=0.1)),
        (2, Progress(stage="y", fraction=0.2)),
    ]
    async with bench_of([(3, None)], reports=reports).running() as bench:
        job = await bench.submit()
        await trio.sleep(1.5)
        # Past the service, which would have cut the attempt off.
        await bench.store.move(job.id, JobStatus.CANCELLED, at=bench.service.now())
        await trio.sleep(10)

        assert (await bench.service.get(job.id)).progress == 0.1
        assert bench.engine.ended == [3.0]


async def test_what_an_overtaken_attempt_made_is_refused_and_removed(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The result is that of the attempt which runs by then, and so are the files."""
    with caplog.at_level(logging.INFO, "vtrio.server"):
        async with bench_of([(10, None), (7, None)], workers=2).running() as bench:
            job = await bench.submit()
            await trio.sleep(5)
            now = bench.service.now()
            await bench.store.move(job.id, JobStatus.PENDING, at=now, attempt=1)
            await trio.sleep_until(11)
            assert bench.engine.ended == [10.0]
            assert (await bench.service.get(job.id)).status is JobStatus.RUNNING
            assert bench.files() == ["source.mp4"]

            await trio.sleep_until(13)
            ended = await bench.service.get(job.id)
            assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 2)
            assert ended.video is not None
            assert ended.video.parent.name == "attempt-2"
            assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
            assert bench.service.statistics().attempts == 0
    ends = [record for record in caplog.records if record.message == "attempt-ended"]
    assert [vars(record)["status"] for record in ends] == ["overtaken", "completed"]


async def test_the_next_attempt_may_begin_while_the_last_one_is_tidied(
    bench_of: BenchOf, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own place among the workers, and leaves no other's."""
    remove = files.remove

    async def remove_slowly(path: Path) -> None:
        await trio.sleep(3)
        await remove(path)

    monkeypatch.setattr(files, "remove", remove_slowly)
    async with bench_of([(1, STUMBLED), (5, None)], workers=2).running() as bench:
        job = await bench.submit()
        await trio.sleep(2)
        assert bench.service.statistics().attempts == 2
        await trio.sleep(3)
        assert bench.service.statistics().attempts == 1
        await trio.sleep(3)
        assert bench.service.statistics().attempts == 0
        assert (await bench.service.get(job.id)).status is JobStatus.COMPLETED
        assert bench.engine.attempts == [(0.0, job.id, 1), (1.0, job.id, 2)]


async def test_a_job_that_takes_too_long_ends_in_error(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """At the limit, exactly; there is no other attempt, and the next job has its turn."""
    made = bench_of([(10, None), (9.999, None)], service={"max_run_time": 10})
    # At the very instant the work may end or not; a moment later it may not.
    made.engine.script[0] = (10.001, None)
    async with made.running() as bench:
        job, following = await bench.submit(), await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert (ended.status, ended.attempt) == (JobStatus.ERROR, 1)
        assert ended.finished == Instant(10.0, NOON + timedelta(seconds=10))
        assert ended.error is not None
        assert ended.error.type == "urn:vtrio:problem:too-long"
        assert ended.error.detail == "which is 10 s"
        assert [at for at, _, _ in bench.engine.attempts] == [0.0, 10.0]
        assert (await bench.service.get(following.id)).status is JobStatus.COMPLETED
        assert bench.files() == ["out.mp4", "out.vtt", *["source.mp4"] * 2]


async def test_a_folder_that_cannot_be_made_is_a_failed_attempt(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands in the way of one attempt ends neither the job nor the service."""
    async with bench_of().running() as bench:
        first = await bench.submit()
        second = await bench.submit()
        (bench.service.path_of(second.source).parent / "attempt-1").touch()
        await trio.sleep(50)

        assert (await bench.service.get(first.id)).status is JobStatus.COMPLETED
        ended = await bench.service.get(second.id)
        assert (ended.status, ended.failures) == (JobStatus.COMPLETED, 1)
    assert "attempt-without-room" in caplog.messages


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


class Terminal(io.StringIO):
    """What somebody watches."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_the_log_of_an_error_has_no_values_in_it(stream: type[io.StringIO]) -> None:
    """It says where it was, and not what the variables held: a key may be in one."""
    printed = stream()
    configure(printed)
    headers = [("Authorization", "Bearer " + "secret"[::-1])]
    try:
        raise KeyError(len(headers))
    except KeyError:
        get_logger("vtrio.server").exception("request-failed")
    assert "KeyError: 1" in printed.getvalue()
    assert "terces" not in printed.getvalue()


async def test_a_failure_cannot_forge_a_line_of_the_log(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """What an engine found in a file is quoted, line breaks and all."""
    printed = io.StringIO()
    forged = 'x\n{"event": "server-ended"}'
    error = EngineError("no-speech", "Nobody speaks", forged, permanent=True)
    configure(printed)
    async with bench_of([(1, error)]).running() as bench:
        await bench.submit()
        await trio.sleep(10)
    told = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert [line["event"] for line in told] == [
        *("job-accepted", "attempt-started", "attempt-ended"),
    ]
    assert told[-1]["error"] == f"Nobody speaks: {forged}"


async def test_a_service_may_stand_in_its_folder(
    bench_of: BenchOf,
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an engine is told is absolute, as what it answers may be."""
    monkeypatch.chdir(tmp_path)
    async with bench_of(folder=Path()).running() as bench:
        job_id = (await bench.submit()).id
        await trio.sleep(11)
        record = await bench.store.get(job_id)
        assert record.status is JobStatus.COMPLETED
        assert str(record.video) == f"jobs/{job_id}/attempt-1/out.mp4"


def test_what_is_below_a_folder_is_told() -> None:
    """Below the root of the disk too; what only begins alike is not below it."""
    assert attempts._below(Path("/"), Path("/jobs/a")) == "jobs/a"
    assert attempts._below(Path("/data"), Path("/data/jobs/a")) == "jobs/a"
    with pytest.raises(ValueError, match="is not below '/data/'"):
        attempts._below(Path("/data"), Path("/data2/jobs/a"))
