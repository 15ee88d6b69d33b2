"""The job service: takes jobs, has the engine work on them, tells how they are.

One task hands out the waiting jobs to as many attempts as there are workers. An
attempt that fails by itself is made again, three times at most; one that its owner
cancels ends there; one that the stop of the server cuts off is put back. Another task
forgets what is kept no longer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import NoReturn

import trio

from .._checks import check_count, check_number
from .._job import IllegalMove, JobProblem, JobStatus
from ..schedules import Schedule
from . import files
from .advice import Advice
from .attempts import Attempt, Ending
from .board import Board
from .documents import PROBLEM_TYPES
from .engines import Engine, EngineError
from .errors import (
    BadField,
    NoRoom,
    ServeError,
    Stopping,
    TooManyWaiting,
    UnknownJob,
)
from .files import Patience
from .flushing import Flusher
from .folders import JOBS, UPLOADS, folders_of_jobs, job_folder, sweep, why_not
from .limits import Limits
from .logs import get_logger
from .metrics import Metrics
from .store import (
    NOBODY,
    IdempotencyKey,
    Instant,
    JobEvent,
    JobRecord,
    Store,
    Submission,
)
from .store.changing import KEY_LIFETIME

_log = get_logger("vtrio.server.jobs")

KEEP = 7 * 86_400.0
"""Seconds for which jobs are kept after their end, by default."""
MAX_RUN_TIME = 6 * 3600.0
"""Seconds that an attempt may take, by default."""
# A job that was running at so many deaths of the server is given up: it may have been
# the cause.
_MOST_DEATHS = 10
_TOO_DEADLY = JobProblem(
    type=f"{PROBLEM_TYPES}server-died",
    title="The server died too often while it worked on this job",
    detail=f"it did {_MOST_DEATHS} times, so the job itself may be the cause",
)
# Jobs that one transaction hands out: others want to write too.
_MOST_AT_ONCE = 50
# Seconds between two tries to write on a disk that is full.
_PAUSE_WHEN_FULL = 1.0
# How often what is too old is forgotten: so many times while it is kept, and at least
# so often, in seconds.
_ROUNDS = 20
_LONGEST_ROUND = 600.0


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
    held: int
    running: bool
    stopping: bool


@dataclass(slots=True, eq=False)
class _Running:
    """An attempt that is being made."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    gone: trio.Event = field(default_factory=trio.Event)


class JobService:
    """Runs jobs for as long as `run` does.

    `retry_after` is asked with the age of a job when a client is told when to ask
    again; by default it learns from the jobs that were run. `keep` is how many seconds
    a job is kept after its end, `max_run_time` how many an attempt may take. `wall`
    tells the time of day. `patience` tells how long clean-up may take.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        folder: Path,
        *,
        workers: int = 2,
        limits: Limits | None = None,
        keep: float = KEEP,
        max_run_time: float = MAX_RUN_TIME,
        retry_after: Schedule | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience: Patience | None = None,
    ) -> None:
        check_count("workers", workers)
        check_number("keep", keep, above=0)
        check_number("max_run_time", max_run_time, above=0)
        self.store = store
        self.limits = limits or Limits()
        self.board = Board(self.limits.held)
        self.metrics = Metrics(self)
        self.advice = Advice(retry_after)
        self.patience = patience or Patience()
        self._engine = engine
        # Engines may answer with absolute paths, which have to be below it.
        self._folder = folder.absolute()
        self._flusher = Flusher()
        self._workers = workers
        self._keep = keep
        self._max_run_time = max_run_time
        self._wall = wall
        # By job and number: the next attempt may begin while the last one is tidied.
        self._attempts: dict[tuple[str, int], _Running] = {}
        self._wake = trio.Event()
        self._running = False
        self._stopping = False
        store.listeners.append(self._hear)

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "open"
        return (
            f"<JobService {state} engine={self._engine.name}"
            f" attempts={len(self._attempts)}/{self._workers} held={self.board.held}>"
        )

    @property
    def uploads(self) -> Path:
        """The folder for files that are still coming in; on the jobs' own disk."""
        return self._folder / UPLOADS

    @property
    def is_ready(self) -> bool:
        """Tell whether jobs are taken and worked on."""
        return self._running and not self._stopping

    def path_of(self, file: PurePath) -> Path:
        """Return where a file of a job lies."""
        return self._folder / file

    def statistics(self) -> ServiceStatistics:
        """Return what the service is doing at this moment."""
        return ServiceStatistics(
            workers=self._workers,
            attempts=len(self._attempts),
            held=self.board.held,
            running=self._running,
            stopping=self._stopping,
        )

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        return Instant(trio.current_time(), self._wall())

    def age(self, record: JobRecord) -> float:
        """Return the seconds since the job was submitted."""
        # A clock that was set back must not make it negative.
        return max(trio.current_time() - record.created.clock, 0.0)

    def ask_again_after(self, record: JobRecord) -> int | None:
        """Return the whole seconds after which to ask again; None for a final job."""
        if record.is_final:
            return None
        return self.advice.ask_again_after(record, age=self.age(record))

    # --- running --------------------------------------------------------------------

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take up what an earlier server left, then work on jobs until cancelled.

        What then runs is put back.

        Raises:
            ServeError: the folder cannot be used, or its disk is full.
            StoreFailed: the store cannot be used any more.
        """
        try:
            await self._take_up()
        except OSError as error:
            raise ServeError(why_not(self._folder, error)) from error
        except NoRoom as error:
            raise ServeError(
                "the server's disk is full, and the jobs that ran when the last server"
                " died cannot be put back: make room, and start the server again"
            ) from error
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forget)
            self._running = True
            task_status.started()
            try:
                await self._hand_out(nursery)
            finally:
                self._running = False

    def refuse_work(self) -> None:
        """Take no new jobs, begin no attempts, hold no requests; what runs goes on."""
        self._stopping = True
        self.board.release()

    async def _take_up(self) -> None:
        for folder in (self.uploads, self._folder / JOBS):
            await files.make_folder(folder)
        for record in await self.store.take_up(
            self.now(), most_deaths=_MOST_DEATHS, too_deadly=_TOO_DEADLY
        ):
            _log.warning(
                "job-taken-up", id=record.id, status=record.status, deaths=record.deaths
            )
        known = await self.store.get_many(await folders_of_jobs(self._folder))
        counting = {
            record.id: record.attempt if record.status is JobStatus.COMPLETED else 0
            for record in known.values()
        }
        await sweep(self._folder, counting)
        for record in known.values():
            if not record.is_final:
                self.advice.begun(record, age=self.age(record))

    async def _hand_out(self, nursery: trio.Nursery) -> NoReturn:
        while True:
            # Taken before the look, so that a job which comes after it wakes us.
            wake = self._wake
            free = min(self._workers - len(self._attempts), _MOST_AT_ONCE)
            if self._stopping or not free or not self.store.counts[JobStatus.PENDING]:
                await wake.wait()
                continue
            try:
                records = await self.store.claim(self.now(), free)
            except NoRoom:
                _log.error("claim-without-room")
                await trio.sleep(_PAUSE_WHEN_FULL)
                continue
            # No checkpoint between the claim and the start, because a job that is
            # claimed must have an attempt that puts it back.
            for record in records:
                if not self._is_current(record):
                    continue
                running = self._attempts[record.id, record.attempt] = _Running()
                nursery.start_soon(
                    self._attempt,
                    record,
                    running,
                    name=f"attempt {record.attempt} at {record.id}",
                )

    def _is_current(self, record: JobRecord) -> bool:
        """Tell whether a job still runs that was claimed a moment ago.

        Its owner may have cancelled or removed it in the claim's own transaction, and
        have looked for an attempt before there was one.
        """
        known = self.store.remembered(record.id)
        return known is not None and known.status is JobStatus.RUNNING

    async def _attempt(self, record: JobRecord, running: _Running) -> None:
        """Make one attempt, and write down how it ended whatever ends it."""
        attempt = Attempt(
            record,
            self._engine,
            self.store,
            self._flusher,
            root=self._folder,
            now=self.now,
        )
        ending: Ending = None
        _log.info("attempt-started", id=record.id, attempt=record.attempt)
        self.metrics.job_started(record)
        try:
            with running.scope:
                with trio.move_on_after(self._max_run_time) as limit:
                    ending = await attempt.work()
                if limit.cancelled_caught:
                    ending = EngineError(
                        "too-long",
                        "The job took longer than a job may here",
                        f"which is {self._max_run_time:g} s",
                        permanent=True,
                    )
        finally:
            # Shielded where it has to be, and bounded by the disk and by patience.
            concluded = await self._conclude(  # noqa: ASYNC102 - see there
                attempt, record, ending
            )
            if concluded is not None and concluded.is_final:
                self._ended(concluded)
            del self._attempts[record.id, record.attempt]
            running.gone.set()
            self._wake_up()  # the job may be waiting for its next attempt

    async def _conclude(
        self, attempt: Attempt, record: JobRecord, ending: Ending
    ) -> JobRecord | None:
        """Write the ending down, however long the disk is full; then tidy up."""
        while True:
            try:
                with trio.CancelScope(
                    shield=True
                ):  # a transaction, bounded by the disk
                    concluded = await attempt.conclude(ending)
                break
            except NoRoom:
                _log.error("attempt-not-concluded", id=record.id)
                await trio.sleep(_PAUSE_WHEN_FULL)
        if concluded is None or concluded.status is not JobStatus.COMPLETED:
            with trio.move_on_at(self.patience.deadline(), shield=True):
                await attempt.tidy()
        return concluded

    async def _forget(self) -> NoReturn:
        """Remove what is kept no longer, again and again."""
        while True:
            now = self.now()
            try:
                for job_id in await self.store.forget(
                    ended_before=_before(now, self._keep),
                    keys_before=_before(now, KEY_LIFETIME),
                ):
                    _log.info("job-forgotten", id=job_id)
                    await files.remove(self._folder / job_folder(job_id))
            except NoRoom:
                _log.error("forgetting-without-room")
            await trio.sleep(min(self._keep / _ROUNDS, _LONGEST_ROUND))

    def _wake_up(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    def _hear(self, events: Sequence[JobEvent], gone: Sequence[str]) -> None:
        """Pass on what the store has committed."""
        self.board.tell(events, gone)
        self.metrics.hear(events)
        if any(event.status is JobStatus.PENDING for event in events):
            self._wake_up()

    def _ended(self, record: JobRecord) -> None:
        self.advice.ended(record)
        self.metrics.job_ended(record)

    # --- what owners ask for --------------------------------------------------------

    async def submit(
        self, order: Order, key: IdempotencyKey | None, owner: str = NOBODY
    ) -> Submission:
        """Accept a job, or find the one that the same key made before.

        Takes over the file of the order if it returns; it is gone then from where it
        was. If cancelled, the job was not accepted.

        Raises:
            Stopping: the server takes no new work.
            BadField: the engine does not serve these languages.
            KeyReused: the key came with another payload before.
            TooManyWaiting: as many jobs wait as may.
            NoRoom: the disk is full.
        """
        self.check_open()
        self.check_languages(order.target_language, order.source_language)
        job_id = new_id()
        source = job_folder(job_id) / f"source{order.suffix}"
        accepted = False
        try:
            with files.refusing_when_full():
                await files.move_into(order.video, self._folder / source)
            submission = await self.store.submit(
                JobRecord(
                    id=job_id,
                    owner=owner,
                    status=JobStatus.PENDING,
                    source=source,
                    target_language=order.target_language,
                    source_language=order.source_language,
                    created=self.now(),
                ),
                key,
                most_waiting=self.limits.waiting,
            )
            accepted = submission.created
        finally:
            if not accepted:
                with trio.move_on_at(self.patience.deadline(), shield=True):
                    await files.remove(self._folder / job_folder(job_id))
        if accepted:
            _log.info("job-accepted", id=job_id, to=order.target_language, owner=owner)
            self.advice.begun(submission.record)
        else:
            _log.info("job-accepted-before", id=submission.record.id, owner=owner)
        return submission

    def check_open(self) -> None:
        """Refuse work that comes too late.

        Raises:
            Stopping: the server takes no new work.
        """
        if self._stopping:
            raise Stopping("the server is stopping: submit the job again in a moment")

    def check_room(self) -> None:
        """Refuse a job that would wait behind too many, before its file comes in.

        Raises:
            TooManyWaiting: as many jobs wait as may.
        """
        if self.store.counts[JobStatus.PENDING] >= self.limits.waiting:
            raise TooManyWaiting(
                f"{self.limits.waiting} jobs wait for a worker, and that is all that"
                " may: submit the job again later"
            )

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

    async def get(self, job_id: str, owner: str = NOBODY) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJob: its owner has none of this id.
        """
        record = await self.store.get(job_id)
        if record.owner != owner:
            raise UnknownJob(job_id)
        return record

    async def get_many(
        self, job_ids: Sequence[str], owner: str = NOBODY
    ) -> list[JobRecord]:
        """Return those of these jobs that the owner has, in the order of the ids."""
        found = await self.store.get_many(dict.fromkeys(job_ids))
        return [
            record
            for job_id in dict.fromkeys(job_ids)
            if (record := found.get(job_id)) is not None and record.owner == owner
        ]

    async def cancel(self, job_id: str, owner: str = NOBODY) -> tuple[JobRecord, bool]:
        """Cancel a job; return it, and whether this changed anything.

        It is cancelled when this returns; the work on it may take a moment more to
        be gone.

        Raises:
            UnknownJob: its owner has none of this id.
        """
        known = await self.get(job_id, owner)
        if known.is_final:
            return known, False
        try:
            record = await self.store.move(
                job_id, JobStatus.CANCELLED, at=self.now(), stage=None
            )
        except IllegalMove:
            return await self.get(job_id, owner), False
        _log.info("job-cancelled", id=job_id)
        self._ended(record)
        # The attempt may be past its end: then what it has to say is refused by the
        # store.
        for running in self._attempts_at(job_id):
            running.scope.cancel("its owner cancelled the job")
        return record, True

    async def cancel_many(
        self, job_ids: Sequence[str], owner: str = NOBODY
    ) -> dict[str, tuple[JobRecord, bool]]:
        """Cancel those of these jobs that there are; see `cancel`."""
        found: dict[str, tuple[JobRecord, bool]] = {}

        async def cancel_one(job_id: str) -> None:
            with suppress(UnknownJob):
                found[job_id] = await self.cancel(job_id, owner)

        # Side by side, because then they share a transaction.
        async with trio.open_nursery() as nursery:
            for job_id in job_ids:
                nursery.start_soon(cancel_one, job_id)
        return found

    async def remove(self, job_id: str, owner: str = NOBODY) -> None:
        """Forget a job, its upload and its result; one that runs is cancelled first.

        Raises:
            UnknownJob: its owner has none of this id.
        """
        was_final = (await self.get(job_id, owner)).is_final
        record = await self.store.remove(job_id, self.now())
        _log.info("job-removed", id=job_id, status=record.status)
        if not was_final:
            self._ended(record)
        with trio.move_on_at(self.patience.deadline(), shield=True):
            for running in self._attempts_at(job_id):
                running.scope.cancel("its owner removed the job")
                await running.gone.wait()
        # An engine that will not let go is no reason to keep what its owner sent.
        with trio.move_on_at(self.patience.deadline(), shield=True):
            await files.remove(self._folder / job_folder(job_id))

    def _attempts_at(self, job_id: str) -> list[_Running]:
        return [
            running for (known, _), running in self._attempts.items() if known == job_id
        ]


def new_id() -> str:
    """Return an id of 144 random bits that does not look like an option."""
    while (job_id := secrets.token_urlsafe(18)).startswith(("-", "_")):
        pass
    return job_id


def _before(now: Instant, seconds: float) -> Instant:
    return replace(
        now, clock=now.clock - seconds, wall=now.wall - timedelta(seconds=seconds)
    )
