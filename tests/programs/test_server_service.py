"""The job service in virtual time: attempts, cancelling, stopping, at exact instants."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.schedules import Fixed
from vtrio.server.engines import EngineError, Progress, Task, Translation
from vtrio.server.errors import BadField, KeyReused, Stopping, UnknownJob
from vtrio.server.service import JobService, Order, new_id
from vtrio.server.store import Changes, IdempotencyKey, Instant, JobRecord, MemoryStore

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BROKEN = EngineError("no-speech", "Nobody speaks", "0 words", permanent=True)
STUMBLED = EngineError("stumbled", "It stumbled", permanent=False)


@pytest.fixture(autouse=True)
def _inline_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do file work without threads: a virtual clock would jump while one runs."""

    async def run_inline(
        function: Callable[..., object], *args: object, **_: object
    ) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)


@dataclass
class ScriptedEngine:
    """Works for some seconds an attempt, then ends as the script says.

    The last line of the script is repeated. `cleaning_up` is how long a cancelled
    attempt takes to be gone, and `cleanup_error` what goes wrong then.
    """

    script: list[tuple[float, BaseException | None]] = field(
        default_factory=lambda: [(10.0, None)]
    )
    reports: list[tuple[float, Progress]] = field(default_factory=list)
    cleaning_up: float = 0.0
    cleanup_error: Exception | None = None
    attempts: list[tuple[float, str, int]] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    name: str = "scripted"

    def check(self, target_language: str, source_language: str | None) -> None:
        """Know every language but Klingon."""
        if "tlh" in (target_language, source_language):
            raise ValueError("language 'tlh' is not allowed")

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Follow the script."""
        assert not list(task.folder.iterdir())
        seconds, error = self.script[min(len(self.attempts), len(self.script) - 1)]
        began = trio.current_time()
        self.attempts.append((began, task.job_id, task.attempt))
        try:
            async with trio.open_nursery() as nursery:
                for after, progress in self.reports:
                    nursery.start_soon(self._report, began + after, report, progress)
                await trio.sleep(seconds)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.cleaning_up)
            if self.cleanup_error is not None:
                raise BaseExceptionGroup(
                    "", [self.cleanup_error, await _a_cancelled()]
                ) from None
            raise
        finally:
            self.ended.append(trio.current_time())
        if error is not None:
            raise error
        video, subtitles = task.folder / "out.mp4", task.folder / "out.vtt"
        video.write_bytes(b"dubbed")
        subtitles.write_text("WEBVTT")
        return Translation(
            video=video, subtitles=subtitles, media_seconds=3.5, source_language="en"
        )

    async def _report(
        self, when: float, report: Callable[[Progress], None], progress: Progress
    ) -> None:
        await trio.sleep_until(when)
        report(progress)


async def _a_cancelled() -> trio.Cancelled:
    """Return the exception with which trio cancels this task."""
    try:
        await trio.lowlevel.checkpoint()
    except trio.Cancelled as cancelled:
        return cancelled
    raise AssertionError("not cancelled")


class Bench:
    """A service that runs, and what a test needs around it."""

    def __init__(
        self, folder: Path, engine: ScriptedEngine, store: MemoryStore, workers: int
    ) -> None:
        self.engine = engine
        self.store = store
        self.folder = folder
        self.service = JobService(
            store, engine, folder, workers=workers, wall=lambda: NOON
        )

    async def submit(
        self,
        key: IdempotencyKey | None = None,
        target: str = "pt",
        source: str | None = None,
    ) -> JobRecord:
        """Submit a video of a few bytes."""
        upload = self.service.uploads / "upload.part"
        upload.parent.mkdir(parents=True, exist_ok=True)
        upload.write_bytes(b"video")
        order = Order(
            video=upload, suffix=".mp4", target_language=target, source_language=source
        )
        return (await self.service.submit(order, key)).record

    async def history(self) -> list[JobStatus]:
        """Return every status that was told of."""
        return [event.status for event in await self.store.events(0, 1000)]

    def files(self) -> list[str]:
        """Return the names of all files that are there."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@asynccontextmanager
async def running(
    folder: Path,
    engine: ScriptedEngine,
    *,
    workers: int = 1,
    store: MemoryStore | None = None,
) -> AsyncIterator[Bench]:
    """Run a service inside the block, and stop it at its end."""
    bench = Bench(folder, engine, store or MemoryStore(), workers)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.service.run)
        yield bench
        nursery.cancel_scope.cancel("the test is over")


async def test_a_job_runs_and_completes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It starts at once, takes what the engine takes, and keeps its result."""
    async with running(tmp_path, ScriptedEngine()) as bench:
        await trio.sleep(5)
        job = await bench.submit()
        assert (job.status, job.created) == (JobStatus.PENDING, Instant(5.0, NOON))

        await trio.sleep(20)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.COMPLETED
        assert ended.started == Instant(5.0, NOON)
        assert ended.finished == Instant(15.0, NOON)
        assert (ended.progress, ended.stage) == (1.0, None)
        assert (ended.media_seconds, ended.source_language) == (3.5, "en")
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        assert bench.service.age(ended) == 20.0


async def test_as_many_attempts_run_as_there_are_workers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Two workers take five jobs two by two, in the order of submission."""
    async with running(tmp_path, ScriptedEngine(), workers=2) as bench:
        jobs = [(await bench.submit()).id for _ in range(5)]
        await wait_all_tasks_blocked()
        assert bench.service.statistics().attempts == 2

        await trio.sleep(100)

        begun = [(at, job_id) for at, job_id, _ in bench.engine.attempts]
        assert begun == list(zip([0, 0, 10, 10, 20], jobs, strict=True))
        assert repr(bench.service) == "<JobService open engine=scripted attempts=0/2>"


async def test_an_attempt_that_fails_by_itself_is_made_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A failure that need not happen again is survived, and leaves no files."""
    engine = ScriptedEngine([(2, STUMBLED), (3, STUMBLED), (4, None)])
    async with running(tmp_path, engine) as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.COMPLETED
        assert (ended.attempt, ended.failures) == (3, 2)
        assert [at for at, _, _ in engine.attempts] == [0.0, 2.0, 5.0]
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
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The third attempt that fails is the last; its reason is the job's."""
    async with running(tmp_path, ScriptedEngine([(2, STUMBLED)])) as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.ERROR
        assert ended.finished == Instant(6.0, NOON)
        assert ended.error is not None
        assert ended.error.type == "urn:vtrio:problem:stumbled"
        assert len(bench.engine.attempts) == 3


async def test_a_permanent_failure_ends_the_job_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Where the input is at fault there is one attempt."""
    async with running(tmp_path, ScriptedEngine([(2, BROKEN)])) as bench:
        job = await bench.submit()
        await trio.sleep(50)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.ERROR
        assert ended.error is not None
        assert (ended.error.title, ended.error.detail) == ("Nobody speaks", "0 words")
        assert len(bench.engine.attempts) == 1
        assert bench.files() == ["source.mp4"]


async def test_an_engine_that_breaks_breaks_one_job_alone(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody foresaw is logged, counted as a failure, and kept in."""
    engine = ScriptedEngine([*[(2.0, KeyError("secret"))] * 3, (2, None)])
    async with running(tmp_path, engine) as bench:
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
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Reports show in the job at their instants; nonsense is kept within 0 and 1."""
    engine = ScriptedEngine(
        reports=[
            (1, Progress(stage="hearing", fraction=-1, media_seconds=9.0)),
            (2, Progress(stage="hearing", fraction=0.5, source_language="en")),
            (3, Progress(stage="speaking", fraction=7)),
            (4, Progress(stage="speaking", fraction=float("nan"))),
        ]
    )
    seen = []
    async with running(tmp_path, engine) as bench:
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


async def test_cancelling_a_waiting_job_means_that_it_never_runs(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It is cancelled at once and passed over."""
    async with running(tmp_path, ScriptedEngine()) as bench:
        await bench.submit()
        waiting = await bench.submit()
        await trio.sleep(1)

        record, changed = await bench.service.cancel(waiting.id)

        assert (record.status, changed) == (JobStatus.CANCELLED, True)
        await trio.sleep(50)
        assert len(bench.engine.attempts) == 1


async def test_cancelling_a_running_job_ends_its_attempt(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The job is cancelled promptly; its worker is free once the engine has let go."""
    async with running(tmp_path, ScriptedEngine(cleaning_up=2)) as bench:
        job = await bench.submit()
        following = await bench.submit()
        await trio.sleep(1)

        record, changed = await bench.service.cancel(job.id)

        assert (record.status, changed) == (JobStatus.CANCELLED, True)
        assert record.finished == Instant(1.0, NOON)
        await trio.sleep(50)
        assert bench.engine.ended[0] == 3.0
        assert bench.engine.attempts[1] == (3.0, following.id, 1)
        assert await bench.service.get(job.id) == record
        assert len(list(job.source.parent.iterdir())) == 1


async def test_cancelling_what_has_ended_changes_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A final job is given back as it is; an unknown one is named."""
    async with running(tmp_path, ScriptedEngine()) as bench:
        job = await bench.submit()
        await trio.sleep(50)

        record, changed = await bench.service.cancel(job.id)

        assert (record.status, changed) == (JobStatus.COMPLETED, False)
        with pytest.raises(UnknownJob, match="'nobody'"):
            await bench.service.cancel("nobody")


async def test_a_cleanup_that_fails_is_logged_and_stays_with_its_job(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine whose clean-up raises while it is cancelled does not end the service."""
    engine = ScriptedEngine(cleanup_error=OSError("disk gone"))
    async with running(tmp_path, engine) as bench:
        job = await bench.submit()
        following = await bench.submit()
        await trio.sleep(1)

        await bench.service.cancel(job.id)
        await trio.sleep(50)

        assert (await bench.service.get(job.id)).status is JobStatus.CANCELLED
        assert (await bench.service.get(following.id)).status is JobStatus.COMPLETED
    assert any("engine-cleanup-failed" in record.message for record in caplog.records)


async def test_stopping_puts_running_jobs_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A job that the stop cuts off is pending again, and that counts as no failure."""
    async with running(tmp_path, ScriptedEngine(cleaning_up=1)) as bench:
        job = await bench.submit()
        await trio.sleep(1)
        assert bench.service.statistics().running

    assert trio.current_time() == 2.0
    record = await bench.store.get(job.id)
    assert (record.status, record.failures) == (JobStatus.PENDING, 0)
    assert (record.progress, record.stage, record.started) == (None, None, None)
    assert not bench.service.statistics().running

    bench.engine.attempts.clear()
    async with running(tmp_path, ScriptedEngine(), store=bench.store) as again:
        await trio.sleep(50)
        assert (await again.service.get(job.id)).attempt == 2


@pytest.mark.parametrize("instant", [0.0, 0.001, 1.0, 1.5, 2.0, 5.0, 9.999, 10.0])
async def test_a_stop_at_any_moment_leaves_no_job_running(
    instant: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Whenever the service is cut off, each job is waiting or has ended."""
    engine = ScriptedEngine([(1, STUMBLED), (9, None)])
    with trio.CancelScope() as scope:
        async with running(tmp_path, engine, workers=2) as bench:
            for _ in range(3):
                await bench.submit()
            await trio.sleep_until(instant)
            scope.cancel()
            await trio.sleep_forever()

    assert trio.current_time() == instant
    latest = {e.job_id: e.status for e in await bench.store.events(0, 1000)}
    assert len(latest) == 3
    assert JobStatus.RUNNING not in latest.values()
    assert bench.service.statistics().attempts == 0


async def test_a_submission_cancelled_at_any_step_is_whole_or_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Cut off after any number of checkpoints, it leaves a job or no trace."""
    accepted = []
    for steps in range(8):
        folder = tmp_path / str(steps)
        bench = Bench(folder, ScriptedEngine(), MemoryStore(), 1)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, steps, scope)
                await bench.submit()
        events = await bench.store.events(0, 10)
        accepted.append(len(events))
        upload = bench.service.uploads / "upload.part"
        upload.unlink(missing_ok=True)  # the route's part
        assert bench.files() == (["source.mp4"] if events else [])
    assert accepted[0] == 0
    assert accepted[-1] == 1


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_a_service_that_stops_takes_no_new_work(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It refuses submissions and begins no attempt, and lets go on what runs."""
    async with running(tmp_path, ScriptedEngine()) as bench:
        first, second = await bench.submit(), await bench.submit()
        await trio.sleep(1)

        bench.service.refuse_work()

        with pytest.raises(Stopping):
            await bench.submit()
        await trio.sleep(50)
        assert (await bench.service.get(first.id)).status is JobStatus.COMPLETED
        assert (await bench.service.get(second.id)).status is JobStatus.PENDING
        assert "stopping" in repr(bench.service)


async def test_a_replayed_submission_keeps_one_job_and_one_file(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The second upload of the same key is removed; another payload is refused."""
    key = IdempotencyKey("k", "payload")
    async with running(tmp_path, ScriptedEngine()) as bench:
        first = await bench.submit(key)
        again = await bench.submit(key)
        with pytest.raises(KeyReused):
            await bench.submit(IdempotencyKey("k", "another"))

        assert first.id == again.id
        assert bench.files() == ["source.mp4"]


@pytest.mark.parametrize(
    ("target", "source", "field"),
    [
        ("tlh", None, "target_language"),
        ("tlh", "en", "target_language"),
        ("pt", "tlh", "source_language"),
    ],
)
async def test_a_language_that_the_engine_lacks_is_named(
    target: str, source: str | None, field: str, tmp_path: Path
) -> None:
    """The refusal says which field is at fault, and nothing is kept."""
    bench = Bench(tmp_path, ScriptedEngine(), MemoryStore(), 1)
    with pytest.raises(BadField, match="'tlh'") as caught:
        await bench.submit(target=target, source=source)
    assert caught.value.field == field
    assert await bench.history() == []


async def test_a_store_that_fails_ends_the_service(
    tmp_path: Path, autojump_clock: MockClock
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

    bench = Bench(tmp_path, ScriptedEngine(), FullStore(), 1)
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.service.run)
            await bench.submit()
            await trio.sleep(50)
    assert trio.current_time() == 10.0


async def test_a_store_that_hangs_cannot_hold_a_worker_for_ever(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
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

    async with running(tmp_path, ScriptedEngine(), store=HangingStore()) as bench:
        job = await bench.submit()
        await bench.submit()
        await trio.sleep(20)
        assert [at for at, _, _ in bench.engine.attempts] == [0.0, 15.0]
    assert f"attempt-not-concluded id={job.id}" in caplog.messages


async def test_a_progress_that_comes_too_late_is_dropped(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A report between the owner's cancel and the engine's end changes nothing."""

    class SlowStore(MemoryStore):
        async def note(
            self, job_id: str, *, attempt: int, **changes: Unpack[Changes]
        ) -> None:
            await trio.sleep(1)
            await super().note(job_id, attempt=attempt, **changes)

    engine = ScriptedEngine(
        [(3, None)], reports=[(1, Progress(stage="x", fraction=0.1))]
    )
    async with running(tmp_path, engine, store=SlowStore()) as bench:
        job = await bench.submit()
        await trio.sleep(1.5)
        await bench.store.move(job.id, JobStatus.CANCELLED, at=bench.service.now())
        await trio.sleep(10)

        assert (await bench.service.get(job.id)).progress is None
        assert bench.engine.ended == [3.0]


async def test_the_pause_grows_with_the_age_of_the_job(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It is in whole seconds, at least 1, at most the cap, and none for a final job."""
    async with running(tmp_path, ScriptedEngine([(300, None)])) as bench:
        job = await bench.submit()
        pauses = []
        for age in (0, 1, 10, 60, 250):
            await trio.sleep_until(age)
            pauses.append(bench.service.ask_again_after(job))
        assert pauses == [1, 2, 2, 7, 20]
        await trio.sleep_until(301)
        assert bench.service.ask_again_after(await bench.service.get(job.id)) is None


def test_the_pause_comes_from_the_schedule(tmp_path: Path) -> None:
    """A schedule of one's own is asked, and its fractions are rounded up."""
    job = JobRecord(
        id="j",
        status=JobStatus.PENDING,
        source=tmp_path,
        target_language="pt",
        created=Instant(0, NOON),
    )

    async def ask() -> list[int | None]:
        return [
            JobService(
                MemoryStore(), ScriptedEngine(), tmp_path, retry_after=Fixed(interval)
            ).ask_again_after(job)
            for interval in (0, 2.01, 5)
        ]

    assert trio.run(ask) == [1, 3, 5]


def test_ids_can_be_typed_and_are_never_alike() -> None:
    """They are safe in a URL and do not look like an option."""
    ids = {new_id() for _ in range(5000)}
    assert len(ids) == 5000
    assert all(len(job_id) == 24 and job_id[0].isalnum() for job_id in ids)


def test_the_workers_are_counted(tmp_path: Path) -> None:
    """No worker, or half of one, is refused by name."""
    for workers in (0, 1.5):
        with pytest.raises(ValueError, match="workers="):
            JobService(
                MemoryStore(),
                ScriptedEngine(),
                tmp_path,
                workers=workers,  # type: ignore[arg-type]
            )


async def test_what_cannot_be_removed_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean-up tells the log, and raises nothing that would hide what went before."""
    from vtrio.server import files

    def refuse(path: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(files, "_remove", refuse)
    with caplog.at_level(logging.WARNING, "vtrio.server"):
        await files.remove(tmp_path / "x")
    assert "remove-failed" in caplog.text
