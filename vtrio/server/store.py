"""Where the jobs are kept.

A store commits the row of a job, its idempotency key and the event that tells of
the change in one go: an event exists for every change of status, and only then.
Each attempt at a job has a number, and whoever works on the job says which; what
an overtaken attempt has to say is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol, TypedDict, Unpack

import trio

from .._job import JobProblem, JobStatus, check_move
from .errors import KeyReused, UnknownJob

KEY_LIFETIME = 86_400.0
"""Seconds for which an idempotency key is remembered."""


class Overtaken(Exception):
    """An attempt spoke for a job that has gone on without it."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks: trio's, for durations, and the wall's, for people."""

    clock: float
    wall: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """All that the server knows of one job.

    `attempt` numbers the attempts; `failures` counts those that failed by
    themselves, which a stop of the server does not.
    """

    id: str
    status: JobStatus
    source: Path
    target_language: str
    source_language: str | None = None
    created: Instant
    started: Instant | None = None
    finished: Instant | None = None
    attempt: int = 0
    failures: int = 0
    progress: float | None = None
    stage: str | None = None
    media_seconds: float | None = None
    error: JobProblem | None = None
    video: Path | None = None
    subtitles: Path | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended, well or not."""
        return self.status.is_final


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One change of a job's status; cursors count up, without a gap."""

    cursor: int
    job_id: str
    status: JobStatus
    progress: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The client's key, and a digest of what was submitted with it."""

    value: str
    payload: str


@dataclass(frozen=True, slots=True)
class Submission:
    """The job of a submission, and whether this submission made it."""

    record: JobRecord
    created: bool


class Changes(TypedDict, total=False):
    """What may change together with the status of a job."""

    failures: int
    progress: float | None
    stage: str | None
    media_seconds: float | None
    source_language: str | None
    error: JobProblem | None
    video: Path | None
    subtitles: Path | None


class Store(Protocol):
    """Keeps jobs. Each method happens whole, or not at all if it raises.

    A method that is cancelled before it has taken effect has no effect; once it
    has, it returns.
    """

    async def submit(self, record: JobRecord, key: IdempotencyKey | None) -> Submission:
        """Keep a new pending job, or find the one that this key made before.

        Raises:
            KeyReused: the key came with another payload before.
        """
        ...

    async def get(self, job_id: str) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJob: there is none of this id.
        """
        ...

    async def claim(self, at: Instant) -> JobRecord | None:
        """Set the pending job that has waited longest running; None if none waits."""
        ...

    async def move(
        self,
        job_id: str,
        status: JobStatus,
        *,
        at: Instant,
        attempt: int | None = None,
        **changes: Unpack[Changes],
    ) -> JobRecord:
        """Change a job's status, in the name of an attempt or of its owner (None).

        Raises:
            UnknownJob: there is none of this id.
            IllegalMove: the table of moves does not lead there.
            Overtaken: it is not this attempt that runs.
        """
        ...

    async def note(
        self, job_id: str, *, attempt: int, **changes: Unpack[Changes]
    ) -> None:
        """Keep what a running attempt has learnt, without an event.

        Raises:
            UnknownJob: there is none of this id.
            Overtaken: it is not this attempt that runs.
        """
        ...

    async def events(self, after: int, limit: int) -> Sequence[JobEvent]:
        """Return the events after a cursor, in order, at most `limit` of them."""
        ...

    async def close(self) -> None:
        """Let go of whatever the store holds open."""
        ...


@dataclass(frozen=True, slots=True)
class _KeyRow:
    payload: str
    job_id: str
    clock: float


class MemoryStore:
    """A store that forgets when the process ends.

    Every method passes its checkpoint first and then does its work without one, so
    that nothing can come between the parts of a commit.
    """

    def __init__(self, *, events_kept: int = 100_000) -> None:
        self._jobs: dict[str, JobRecord] = {}
        self._keys: dict[str, _KeyRow] = {}
        self._events: deque[JobEvent] = deque(maxlen=events_kept)
        self._cursor = 0
        # May hold jobs that were cancelled while they waited: `claim` skips them.
        self._waiting: deque[str] = deque()

    def __repr__(self) -> str:
        return f"<MemoryStore jobs={len(self._jobs)} cursor={self._cursor}>"

    async def submit(self, record: JobRecord, key: IdempotencyKey | None) -> Submission:
        """Keep a new pending job, or find the one that this key made before."""
        await trio.lowlevel.checkpoint()
        self._forget_keys(record.created.clock - KEY_LIFETIME)
        if key is not None and (row := self._keys.get(key.value)) is not None:
            if row.payload != key.payload:
                raise KeyReused(
                    f"the Idempotency-Key {key.value[:80]!r} came before with another"
                    " payload: take a fresh key for another job"
                )
            return Submission(self._jobs[row.job_id], created=False)
        if record.id in self._jobs:
            raise ValueError(f"there is a job {record.id!r} already")
        self._commit(record, record.created)
        if key is not None:
            self._keys[key.value] = _KeyRow(
                key.payload, record.id, record.created.clock
            )
        return Submission(record, created=True)

    async def get(self, job_id: str) -> JobRecord:
        """Return one job."""
        await trio.lowlevel.checkpoint()
        return self._find(job_id)

    async def claim(self, at: Instant) -> JobRecord | None:
        """Set the pending job that has waited longest running; None if none waits."""
        await trio.lowlevel.checkpoint()
        while self._waiting:
            record = self._find(self._waiting.popleft())
            if record.status is JobStatus.PENDING:
                running = replace(
                    record,
                    status=JobStatus.RUNNING,
                    started=at,
                    attempt=record.attempt + 1,
                )
                self._commit(running, at)
                return running
        return None

    async def move(
        self,
        job_id: str,
        status: JobStatus,
        *,
        at: Instant,
        attempt: int | None = None,
        **changes: Unpack[Changes],
    ) -> JobRecord:
        """Change a job's status, in the name of an attempt or of its owner (None)."""
        await trio.lowlevel.checkpoint()
        record = self._find(job_id)
        check_move(job_id, record.status, status)
        if attempt is not None:
            _check_attempt(record, attempt)
        moved = replace(record, **changes, status=status)
        if status.is_final:
            moved = replace(moved, finished=at)
        if status is JobStatus.PENDING:
            moved = replace(moved, started=None)
        self._commit(moved, at)
        return moved

    async def note(
        self, job_id: str, *, attempt: int, **changes: Unpack[Changes]
    ) -> None:
        """Keep what a running attempt has learnt, without an event."""
        await trio.lowlevel.checkpoint()
        record = self._find(job_id)
        _check_attempt(record, attempt)
        self._jobs[job_id] = replace(record, **changes)

    async def events(self, after: int, limit: int) -> Sequence[JobEvent]:
        """Return the events after a cursor, in order, at most `limit` of them."""
        await trio.lowlevel.checkpoint()
        oldest = self._cursor - len(self._events)
        return tuple(islice(self._events, max(after - oldest, 0), None))[:limit]

    async def close(self) -> None:
        """Let go of nothing: memory needs no closing."""
        await trio.lowlevel.checkpoint()

    def _find(self, job_id: str) -> JobRecord:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise UnknownJob(job_id) from None

    def _commit(self, record: JobRecord, at: Instant) -> None:
        """Write row, queue and event; none of the steps can fail."""
        self._jobs[record.id] = record
        if record.status is JobStatus.PENDING:
            self._waiting.append(record.id)
        self._cursor += 1
        self._events.append(
            JobEvent(
                cursor=self._cursor,
                job_id=record.id,
                status=record.status,
                progress=record.progress,
                at=at.wall,
            )
        )

    def _forget_keys(self, before: float) -> None:
        """Drop the keys that are too old; the oldest come first."""
        while self._keys:
            oldest = next(iter(self._keys))
            if self._keys[oldest].clock > before:
                return
            del self._keys[oldest]


def _check_attempt(record: JobRecord, attempt: int) -> None:
    if record.status is not JobStatus.RUNNING or record.attempt != attempt:
        raise Overtaken(
            f"attempt {attempt} at job {record.id!r} was overtaken: the job is"
            f" {record.status} at attempt {record.attempt}"
        )
