"""The job service: takes jobs, has the engine work on them, tells how they are.

One task hands out the waiting jobs to as many attempts as there are workers. An
attempt that fails by itself is made again, three times at most; one that its owner
cancels ends there; one that the stop of the server cuts off is put back.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import trio

from .._checks import check_count
from .._job import IllegalMove, JobStatus
from ..schedules import (
    DurationHistory,
    Exponential,
    Followed,
    Learned,
    Observation,
    PollState,
    Schedule,
)
from . import files
from .attempts import Attempt, Ending
from .engines import Engine
from .errors import BadField, Stopping
from .files import Patience
from .folders import UPLOADS
from .store import IdempotencyKey, Instant, JobRecord, Store, Submission

_log = logging.getLogger("vtrio.server.jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to be done: an uploaded file, which the service takes over."""

    video: Path
    suffix: str
    target_language: str
    source_language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatistics:
    """What the service is doing at this moment."""

    workers: int
    attempts: int
    running: bool
    stopping: bool


class JobService:
    """Runs jobs for as long as `run` does.

    `retry_after` is asked with the age of a job when a client is told when to ask
    again; by default it learns from the jobs that were run. `wall` tells the time of day, for display alone. `patience` tells how long
    clean-up may take, and how long it may take to write an attempt's ending down.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        folder: Path,
        *,
        workers: int = 2,
        retry_after: Schedule | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience: Patience | None = None,
    ) -> None:
        check_count("workers", workers)
        self._store = store
        self._engine = engine
        self._folder = folder
        self._workers = workers
        self._free = trio.Semaphore(workers)
        self.durations = DurationHistory()
        """How long jobs took, from their submission on."""
        self._followed: dict[str, tuple[Followed, float]] = {}
        # Before a job has ended, a server that knows nothing had better be asked a
        # little too often than hold back clients that may know more.
        self._retry_after = retry_after or Learned(
            history=self.durations, cold=Exponential(1, 1.1, cap=20), spread=0
        )
        self._wall = wall
        self.patience = patience or Patience()
        self._attempts: dict[str, trio.CancelScope] = {}
        self._wake = trio.Event()
        self._running = False
        self._stopping = False

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "open"
        return (
            f"<JobService {state} engine={self._engine.name}"
            f" attempts={len(self._attempts)}/{self._workers}>"
        )

    @property
    def uploads(self) -> Path:
        """The folder for files that are still coming in; on the jobs' own disk."""
        return self._folder / UPLOADS

    def statistics(self) -> ServiceStatistics:
        """Return what the service is doing at this moment."""
        return ServiceStatistics(
            workers=self._workers,
            attempts=len(self._attempts),
            running=self._running,
            stopping=self._stopping,
        )

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        return Instant(trio.current_time(), self._wall())

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Work on jobs until cancelled; what then runs is put back.

        Raises:
            OSError: the folder cannot be used, or the store has failed.
        """
        await files.make_folder(self.uploads)
        async with trio.open_nursery() as nursery:
            self._running = True
            task_status.started()
            try:
                await self._hand_out(nursery)
            finally:
                self._running = False

    def refuse_work(self) -> None:
        """Take no new jobs and begin no attempts; what runs goes on."""
        self._stopping = True

    async def submit(self, order: Order, key: IdempotencyKey | None) -> Submission:
        """Accept a job, or find the one that the same key made before.

        Takes over the file of the order if it returns; it is gone then from where it
        was. If cancelled, the job was not accepted.

        Raises:
            Stopping: the server takes no new work.
            BadField: the engine does not serve these languages.
            KeyReused: the key came with another payload before.
            NoRoom: the disk is full.
        """
        self.check_open()
        self.check_languages(order.target_language, order.source_language)
        job_id = new_id()
        folder = self._folder / "jobs" / job_id
        source = folder / f"source{order.suffix}"
        accepted = False
        try:
            with files.refusing_when_full():
                await files.move_into(order.video, source)
            submission = await self._store.submit(
                JobRecord(
                    id=job_id,
                    status=JobStatus.PENDING,
                    source=source,
                    target_language=order.target_language,
                    source_language=order.source_language,
                    created=self.now(),
                ),
                key,
            )
            accepted = submission.created
        finally:
            if not accepted:
                with trio.move_on_at(self.patience.deadline(), shield=True):
                    await files.remove(folder)
        if accepted:
            _log.info("job-accepted id=%s to=%r", job_id, order.target_language)
            if (followed := self.durations.follow()) is not None:
                self._followed[job_id] = (followed, submission.record.created.clock)
            self._wake_up()
        return submission

    def check_open(self) -> None:
        """Refuse work that comes too late.

        Raises:
            Stopping: the server takes no new work.
        """
        if self._stopping:
            raise Stopping("the server is stopping: submit the job again in a moment")

    def check_languages(self, target: str, source: str | None) -> None:
        """Refuse what the engine cannot serve.

        Raises:
            BadField: naming the field whose language it is.
        """
        try:
            self._engine.check(target, source)
        except ValueError as error:
            at_fault = "target_language"
            if source is not None and self._serves(target):
                at_fault = "source_language"
            raise BadField(at_fault, str(error)) from error

    def _serves(self, target: str) -> bool:
        try:
            self._engine.check(target, None)
        except ValueError:
            return False
        return True

    async def get(self, job_id: str) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJob: there is none of this id.
        """
        return await self._store.get(job_id)

    async def cancel(self, job_id: str) -> tuple[JobRecord, bool]:
        """Cancel a job; return it, and whether this changed anything.

        It is cancelled when this returns; the work on it may take a moment more to
        be gone.

        Raises:
            UnknownJob: there is none of this id.
        """
        try:
            record = await self._store.move(
                job_id, JobStatus.CANCELLED, at=self.now(), stage=None
            )
        except IllegalMove:
            return await self._store.get(job_id), False
        _log.info("job-cancelled id=%s", job_id)
        self._learn(record)
        # The attempt may be between its claim and its start, or past its end: then
        # there is no scope, and what it has to say is refused by the store.
        if (scope := self._attempts.get(job_id)) is not None:
            scope.cancel("its owner cancelled the job")
        return record, True

    def age(self, record: JobRecord) -> float:
        """Return the seconds since the job was submitted."""
        return trio.current_time() - record.created.clock

    def ask_again_after(self, record: JobRecord) -> int | None:
        """Return the whole seconds after which to ask again; None for a final job."""
        if record.is_final:
            return None
        age, work = self.age(record), record.media_seconds
        if record.id in self._followed:
            self._followed[record.id][0].runs(age, work=work)
        state = PollState(age=age, start_age=age, answers=1, work=work)
        return max(1, math.ceil(self._retry_after.delay(state)))

    def _learn(self, record: JobRecord) -> None:
        """Take in how long a job took, from its submission on."""
        followed, _ = self._followed.pop(record.id, (None, 0.0))
        if followed is None or record.finished is None:
            return
        # Those that still run, and that nobody has asked about, last longer.
        for other, created in self._followed.values():
            other.runs(record.finished.clock - created)
        duration = record.finished.clock - record.created.clock
        # One that was cancelled would have taken longer.
        cancelled = record.status is JobStatus.CANCELLED
        followed.over(
            Observation(
                after=duration,
                until=None if cancelled else duration,
                work=record.media_seconds,
            )
        )

    async def _hand_out(self, nursery: trio.Nursery) -> NoReturn:
        while True:
            await self._free.acquire()
            record = await self._next()
            # No checkpoint between the claim and the start, because a job that is
            # claimed must have an attempt that puts it back.
            nursery.start_soon(
                self._attempt, record, name=f"attempt {record.attempt} at {record.id}"
            )

    async def _next(self) -> JobRecord:
        while True:
            # Taken before the claim, so that a job which comes after it wakes us.
            wake = self._wake
            if not self._stopping:
                record = await self._store.claim(self.now())
                if record is not None:
                    return record
            await wake.wait()

    def _wake_up(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    async def _attempt(self, record: JobRecord) -> None:
        """Make one attempt, and write down how it ended whatever ends it."""
        attempt = Attempt(
            record,
            self._engine,
            self._store,
            folder=self._folder / "jobs" / record.id / f"attempt-{record.attempt}",
            now=self.now,
        )
        ending: Ending = None
        scope = self._attempts[record.id] = trio.CancelScope()
        _log.info("attempt-started id=%s attempt=%d", record.id, record.attempt)
        try:
            with scope:
                ending = await attempt.work()
        finally:
            with trio.move_on_at(self.patience.deadline(), shield=True) as concluding:
                concluded = await attempt.conclude(ending)
                if concluded is not None and concluded.is_final:
                    self._learn(concluded)
                await attempt.tidy(concluded)
            if concluding.cancelled_caught:
                _log.error("attempt-not-concluded id=%s", record.id)
            del self._attempts[record.id]
            self._free.release()
            self._wake_up()  # the job may be waiting for its next attempt


def new_id() -> str:
    """Return an id of 144 random bits that does not look like an option."""
    while (job_id := secrets.token_urlsafe(18)).startswith(("-", "_")):
        pass
    return job_id
