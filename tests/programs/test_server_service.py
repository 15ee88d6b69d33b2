"""The job service in virtual time: submitting, cancelling, stopping, exactly."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.schedules import Fixed
from vtrio.server.engines import EngineError
from vtrio.server.errors import (
    BadField,
    KeyReused,
    Stopping,
    TooManyWaiting,
    UnknownJob,
)
from vtrio.server.limits import Limits
from vtrio.server.service import new_id
from vtrio.server.store import IdempotencyKey, Instant, writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.programs.conftest import BenchOf

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def at(second: float) -> Instant:
    """Make an instant some seconds after noon, which is 0 on trio's clock."""
    return Instant(second, NOON + timedelta(seconds=second))


async def test_a_job_runs_and_completes(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """It starts at once, takes what the engine takes, and keeps its result."""
    async with bench_of().running() as bench:
        await trio.sleep(5)
        job = await bench.submit()
        assert (job.status, job.created) == (JobStatus.PENDING, at(5.0))

        await trio.sleep(20)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.COMPLETED
        assert ended.started == at(5.0)
        assert ended.finished == at(15.0)
        assert (ended.progress, ended.stage) == (1.0, None)
        assert (ended.media_seconds, ended.source_language) == (3.5, "en")
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        assert bench.service.age(ended) == 20.0


async def test_cancelling_a_waiting_job_means_that_it_never_runs(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """It is cancelled at once and passed over."""
    async with bench_of().running() as bench:
        await bench.submit()
        waiting = await bench.submit()
        await trio.sleep(1)

        record, changed = await bench.service.cancel(waiting.id)

        assert (record.status, changed) == (JobStatus.CANCELLED, True)
        await trio.sleep(50)
        assert len(bench.engine.attempts) == 1


async def test_cancelling_a_running_job_ends_its_attempt(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """The job is cancelled promptly; its worker is free once the engine has let go."""
    async with bench_of(cleaning_up=2).running() as bench:
        job = await bench.submit()
        following = await bench.submit()
        await trio.sleep(1)

        record, changed = await bench.service.cancel(job.id)

        assert (record.status, changed) == (JobStatus.CANCELLED, True)
        assert record.finished == at(1.0)
        await trio.sleep(50)
        assert bench.engine.ended[0] == 3.0
        assert bench.engine.attempts[1] == (3.0, following.id, 1)
        assert await bench.service.get(job.id) == record
        folder = bench.service.path_of(job.source).parent
        assert [path.name for path in folder.iterdir()] == ["source.mp4"]


@pytest.mark.parametrize("removed", [False, True])
async def test_a_job_cancelled_as_it_is_claimed_is_not_worked_on(
    removed: bool,
    bench_of: BenchOf,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    """Both are in one transaction, and either may be told of it first: chance has it."""
    gates: list[trio.Event] = []

    async def in_thread(work: Callable[..., object], *arguments: object) -> object:
        if gates:
            await gates[0].wait()
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(writer, "in_thread", in_thread)
    async with bench_of().running() as bench:
        service = bench.service
        for begun in range(1, 11):
            await bench.submit()
            await wait_all_tasks_blocked()
            job = await bench.submit()
            await trio.sleep(9)
            ask = service.remove if removed else service.cancel
            async with trio.open_nursery() as nursery:
                gates.append(trio.Event())
                await trio.sleep(2)  # the first one ends, which waits for the gate
                # It keeps the writer busy until both have come.
                nursery.start_soon(bench.store.forget, at(-1), at(-1))
                await wait_all_tasks_blocked()
                gates.pop().set()
                gates.append(trio.Event())
                await wait_all_tasks_blocked()
                nursery.start_soon(ask, job.id)
                await wait_all_tasks_blocked()
                gates.pop().set()
            await trio.sleep(20)
            assert len(bench.engine.attempts) == begun
        assert len(bench.files()) == 10 * 3 + (0 if removed else 10)


async def test_cancelling_what_has_ended_changes_nothing(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A final job is given back as it is; an unknown one is named."""
    async with bench_of().running() as bench:
        job = await bench.submit()
        await trio.sleep(50)

        record, changed = await bench.service.cancel(job.id)

        assert (record.status, changed) == (JobStatus.COMPLETED, False)
        with pytest.raises(UnknownJob, match="'nobody'"):
            await bench.service.cancel("nobody")


async def test_stopping_puts_running_jobs_back(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A job that the stop cuts off is pending again, and that counts as no failure."""
    async with bench_of(cleaning_up=1).running() as bench:
        job = await bench.submit()
        await trio.sleep(1)
        assert bench.service.statistics().running

    assert trio.current_time() == 2.0
    assert not bench.service.statistics().running
    async with bench.open():
        record = await bench.store.get(job.id)
        assert (record.status, record.failures) == (JobStatus.PENDING, 0)
        assert (record.progress, record.stage, record.started) == (None, None, None)
        assert (record.attempt, record.deaths) == (1, 0)
        assert bench.files() == ["source.mp4"]


@pytest.mark.parametrize("instant", [0.0, 0.001, 1.0, 1.5, 2.0, 5.0, 9.999, 10.0])
async def test_a_stop_at_any_moment_leaves_no_job_running(
    instant: float, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Whenever the service is cut off, each job is waiting or has ended."""
    stumbled = EngineError("stumbled", "It stumbled", permanent=False)
    made = bench_of([(1, stumbled), (9, None)], workers=2)
    with trio.CancelScope() as scope:
        async with made.running() as bench:
            for _ in range(3):
                await bench.submit()
            await trio.sleep_until(instant)
            scope.cancel()
            await trio.sleep_forever()

    assert trio.current_time() == instant
    assert bench.service.statistics().attempts == 0
    async with made.open():
        page = await bench.store.events("", None, 1000)
        latest = {event.job_id: event.status for event in page.events}
        assert len(latest) == 3
        assert JobStatus.RUNNING not in latest.values()
        assert sum(bench.store.counts.values()) == 3
        assert bench.store.counts[JobStatus.RUNNING] == 0


async def test_a_submission_cancelled_at_any_step_is_whole_or_nothing(
    bench_of: BenchOf, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Cut off after any number of checkpoints, it leaves a job or no trace."""
    accepted = []
    for steps in range(8):
        folder = tmp_path / str(steps)
        folder.mkdir()
        async with bench_of(folder=folder).open() as bench:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, steps, scope)
                    await bench.submit()
            told = await bench.history()
            accepted.append(len(told))
            upload = bench.service.uploads / "upload.part"
            upload.unlink(missing_ok=True)  # the route's part
            assert bench.files() == (["source.mp4"] if told else [])
    assert accepted[0] == 0
    assert accepted[-1] == 1


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_a_service_that_stops_takes_no_new_work(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """It refuses submissions and begins no attempt, and lets go on what runs."""
    async with bench_of().running() as bench:
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
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """The second upload of the same key is removed; another payload is refused."""
    key = IdempotencyKey("k", "payload")
    async with bench_of().running() as bench:
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
    target: str,
    source: str | None,
    field: str,
    bench_of: BenchOf,
    autojump_clock: MockClock,
) -> None:
    """The refusal says which field is at fault, and nothing is kept."""
    async with bench_of().open() as bench:
        with pytest.raises(BadField, match="'tlh'") as caught:
            await bench.submit(target=target, source=source)
        assert caught.value.field == field
        assert await bench.history() == []


async def test_the_pause_grows_with_the_age_of_the_job(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """It is in whole seconds, at least 1, at most the cap, and none for a final job."""
    async with bench_of([(300, None)]).running() as bench:
        job = await bench.submit()
        pauses = []
        for age in (0, 1, 10, 60, 250):
            await trio.sleep_until(age)
            pauses.append(bench.service.ask_again_after(job))
        assert pauses == [1, 2, 2, 7, 20]
        await trio.sleep_until(301)
        assert bench.service.ask_again_after(await bench.service.get(job.id)) is None


async def test_the_pause_comes_from_the_schedule(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A schedule of one's own is asked instead of the one that learns."""
    async with bench_of(service={"retry_after": Fixed(2.01)}).open() as bench:
        assert bench.service.ask_again_after(await bench.submit()) == 3


def test_ids_can_be_typed_and_are_never_alike() -> None:
    """They are safe in a URL and do not look like an option."""
    ids = {new_id() for _ in range(5000)}
    assert len(ids) == 5000
    assert all(len(job_id) == 24 and job_id[0].isalnum() for job_id in ids)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("workers", 0), ("workers", 1.5), ("keep", 0), ("max_run_time", -1)],
)
async def test_a_setting_that_makes_no_sense_is_refused_by_name(
    setting: str, value: float, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """No worker, or half of one; nothing kept; no time to work."""
    bench = bench_of(service={setting: value})
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match=f"{setting}=")):
        async with bench.open():
            pass  # pragma: no cover - it is not opened


async def test_no_more_jobs_wait_than_may(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """One more is refused and leaves nothing; when one has begun there is room."""
    async with bench_of(service={"limits": Limits(waiting=2)}).running() as bench:
        for _ in range(3):
            await bench.submit()
            await wait_all_tasks_blocked()

        with pytest.raises(TooManyWaiting, match="2 jobs wait"):
            bench.service.check_room()
        with pytest.raises(TooManyWaiting, match="2 jobs wait"):
            await bench.submit()
        assert bench.files() == ["source.mp4"] * 3

        await trio.sleep(11)
        bench.service.check_room()
        await bench.submit()


async def test_what_cannot_be_removed_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean-up tells the log, and raises nothing that would hide what went before."""
    from vtrio.server import files

    def refuse(path: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(files, "remove_now", refuse)
    with caplog.at_level(logging.WARNING, "vtrio.server"):
        await files.remove(tmp_path / "x")
    assert caplog.messages == ["remove-failed"]
    assert caplog.records[0].error == "not yours"  # type: ignore[attr-defined]
