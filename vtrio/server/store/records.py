"""What the store keeps, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import TypedDict

from ..._job import JobProblem, JobStatus

NOBODY = ""
"""The owner of jobs that were submitted without a key."""


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

    Attributes:
        id: what the job is called on the wire.
        number: counts the jobs in the order in which they came; 0 before it is kept.
        owner: the id of the API key that submitted it, or `NOBODY`.
        source: the upload; paths are relative to the folder of the server.
        attempt: numbers the attempts.
        failures: attempts that failed by themselves, which the server's stop or death
            is not.
        deaths: how often the server died while the job was running.
    """

    id: str
    status: JobStatus
    source: PurePath
    target_language: str
    source_language: str | None = None
    created: Instant
    number: int = 0
    owner: str = NOBODY
    started: Instant | None = None
    finished: Instant | None = None
    attempt: int = 0
    failures: int = 0
    deaths: int = 0
    progress: float | None = None
    stage: str | None = None
    media_seconds: float | None = None
    error: JobProblem | None = None
    video: PurePath | None = None
    subtitles: PurePath | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended, well or not."""
        return self.status.is_final


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One change of a job's status; cursors count up over all jobs."""

    cursor: int
    owner: str
    job_id: str
    status: JobStatus
    progress: float | None
    at: Instant


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The client's key, and a digest of what was submitted with it."""

    value: str
    payload: str


@dataclass(frozen=True, slots=True)
class Submission:
    """The job of a submission, and whether this submission made it.

    `record` is the job as it was when it was made, so that a submission which comes
    again has the same answer. All that has become of it since is told by the events
    after `cursor`.
    """

    record: JobRecord
    created: bool
    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events in their order, and the cursor behind which the next ones are."""

    events: tuple[JobEvent, ...]
    next: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """A key that clients may have; of its secret the store has but a digest."""

    id: str
    name: str
    digest: bytes
    created: Instant
    revoked: Instant | None = None

    def __repr__(self) -> str:
        state = "revoked" if self.revoked else "valid"
        return f"<ApiKeyRecord {self.id} {self.name!r} {state}>"


class Changes(TypedDict, total=False):
    """What may change together with the status of a job."""

    failures: int
    deaths: int
    progress: float | None
    stage: str | None
    media_seconds: float | None
    source_language: str | None
    error: JobProblem | None
    video: PurePath | None
    subtitles: PurePath | None
