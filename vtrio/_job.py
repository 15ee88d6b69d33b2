"""What a translation job is: its statuses, the moves between them, one snapshot.

The statuses and the moves are data, so that the server, the client and the
documentation read the same table. Nothing here knows how a remote spells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from ._names import publish
from ._receipt import Receipt


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether a job in this status will never change again."""
        return self in FINAL


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.ERROR, JobStatus.CANCELLED})

# A running job goes back to pending when its server stops or its attempt is lost:
# it will be attempted again, and its owner need not know.
ALLOWED_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType(
    {
        JobStatus.PENDING: frozenset({JobStatus.RUNNING, *FINAL}),
        JobStatus.RUNNING: frozenset({JobStatus.PENDING, *FINAL}),
        JobStatus.COMPLETED: frozenset(),
        JobStatus.ERROR: frozenset(),
        JobStatus.CANCELLED: frozenset(),
    }
)


class IllegalMove(ValueError):
    """A job was told to go where the table of moves does not lead."""


def check_move(job_id: str, current: JobStatus, following: JobStatus) -> None:
    """Refuse a change of status that the table does not allow.

    Raises:
        IllegalMove: naming the job, where it stands and where it was to go.
    """
    if following not in ALLOWED_MOVES[current]:
        allowed = ", ".join(sorted(ALLOWED_MOVES[current])) or "nothing: it is final"
        raise IllegalMove(
            f"job {job_id!r} is {current} and cannot become {following}"
            f" (allowed: {allowed})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProblem:
    """Why a job ended in error, in the words of the server."""

    type: str = "about:blank"
    title: str = "The job failed"
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """Where the result of a completed job lies; addresses as the server gave them."""

    video_url: str | None = None
    subtitles_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """When and how a job was seen, so that a wait can go on from there.

    Attributes:
        at: the instant, on the clock of the trio run in which it was seen.
        run: a token of that run. In another one `at` means nothing, so a sighting
            becomes None when it is pickled.
        age: seconds since the job's submission, where known.
        retry_after: the pause in seconds that the server asked for.
        took: seconds that the answer took.
        cursor: where a feed of changes goes on after it, where the server says so.
    """

    at: float
    run: object = None
    age: float | None = None
    retry_after: float | None = None
    took: float = 0.0
    cursor: str | None = None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return (type(None), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as one answer described it.

    A snapshot: it never changes. `progress` runs from 0 to 1; `media_seconds` is
    the length of the video. The three instants are the server's own (aware, UTC)
    and for display: clocks differ. `unknown_word` is the server's word for the
    status where it is none of ours; `status` is then `RUNNING`. `receipt` says what
    the wait cost that delivered this job.
    """

    id: str
    status: JobStatus
    progress: float | None = None
    stage: str | None = None
    target_language: str | None = None
    source_language: str | None = None
    media_seconds: float | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: JobProblem | None = None
    result: JobResult | None = None
    unknown_word: str | None = None
    seen: Sighting | None = field(default=None, compare=False, repr=False)
    receipt: Receipt | None = field(default=None, compare=False, repr=False)

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended, well or not."""
        return self.status.is_final

    @property
    def word(self) -> str:
        """The status in the server's own word."""
        return self.unknown_word or self.status

    def _with(self, seen: Sighting | None, receipt: Receipt | None) -> Job:
        """Return the same with these: `dataclasses.replace` takes four times as long."""
        return Job(
            id=self.id,
            status=self.status,
            progress=self.progress,
            stage=self.stage,
            target_language=self.target_language,
            source_language=self.source_language,
            media_seconds=self.media_seconds,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            error=self.error,
            result=self.result,
            unknown_word=self.unknown_word,
            seen=seen,
            receipt=receipt,
        )


publish(Job, JobProblem, JobResult, JobStatus)
