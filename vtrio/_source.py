"""What a wait needs of a remote: the protocol that every source implements."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from ._job import Job, JobStatus, Sighting
from ._names import publish


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a source can do beyond telling the status of one job."""

    status_of_many: bool = False
    """It answers for a list of jobs in one request: it is a `ManySource`."""
    held_status: bool = False
    """It can hold such an answer back until something changes."""
    change_feed: bool = False
    """It tells all the caller's changes after a cursor: it is a `FeedSource`."""
    event_stream: bool = False
    """It can tell them as they come, in one answer that goes on: it is a
    `StreamSource`."""
    most_ids: int = 200
    """How many jobs one request may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One good answer about one job; seconds throughout.

    Attributes:
        job: what the answer said.
        age: how long ago the job was submitted, where the server says so.
        hint: the pause that the server asked for.
        ended_ago: how long the job had been over when the answer was made.
        run_time: how long it had been worked on, once it is over.
        size: bytes of the answer's body.
        cursor: where a feed of changes goes on after this answer, read before the job
            was, so that nothing is lost between the two.
    """

    job: Job
    age: float | None = None
    hint: float | None = None
    ended_ago: float | None = None
    run_time: float | None = None
    size: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One good answer about several jobs.

    Attributes:
        answers: about each job that the remote knows.
        missing: the ids that it does not know.
        held: whether it was held, or would have been: the remote knows how to.
        cursor: as in `Answer`, read before any of the jobs.
        hint: the pause in seconds that the server asked for.
        size: bytes of the answer's body.
    """

    answers: tuple[Answer, ...]
    missing: tuple[str, ...] = ()
    held: bool = False
    cursor: str | None = None
    hint: float | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one job's status.

    Attributes:
        job_id: which job.
        status: what it is since then.
        unknown_word: the remote's own word, where it is none of ours.
        progress: from 0 to 1, where it is told.
        at: the server's own time (aware, UTC).
        job: the whole job, where the remote tells that too; otherwise it is asked about
            when it has ended.
    """

    job_id: str
    status: JobStatus
    unknown_word: str | None = None
    progress: float | None = None
    at: datetime | None = None
    job: Job | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Changes in their order, and where to go on; otherwise as `Answers`."""

    changes: tuple[Change, ...]
    next: str
    held: bool = False
    hint: float | None = None
    size: int = 0


@runtime_checkable
class StatusSource(Protocol):
    """A remote that knows how jobs stand.

    A source translates: its wire to `Answer`, its errors to `TransientError` (asking
    again can help) and `Refused` (it cannot). It does not retry, sleep or decide.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this source can do beyond `status`."""
        ...

    async def status(self, job_id: str) -> Answer:
        """Ask once. Cancelling it leaves nothing behind.

        Raises:
            TransientError: no good answer this time.
            Refused: there will be none.
        """
        ...


@runtime_checkable
class ManySource(StatusSource, Protocol):
    """A source that tells of many jobs in one request."""

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """Ask once about up to `capabilities.most_ids` jobs.

        With `wait`, the remote is asked to hold its answer for so many seconds at most,
        until the status of one of the jobs changes or is final.

        Raises:
            TransientError: no good answer this time.
            Refused: there will be none, such as where the remote knows no lists.
        """
        ...


@runtime_checkable
class FeedSource(StatusSource, Protocol):
    """A source that tells what has changed."""

    async def changes(self, after: str | None, *, wait: float | None = None) -> Changes:
        """Ask once for the changes of all the caller's jobs after a cursor.

        With `wait`, the remote is asked to hold an empty answer for so many seconds at
        most. Without a cursor the feed begins with the oldest change that is kept.

        Raises:
            CursorExpired: the changes that follow the cursor are no longer kept.
            TransientError: no good answer this time.
            Refused: there will be none, such as where the remote knows no feed.
        """
        ...


class ChangeStream(Protocol):
    """An answer that tells of changes for as long as it goes on."""

    @property
    def heartbeat(self) -> float | None:
        """Seconds after which something comes in any case.

        None where it is a whole answer after all, as of a server that knows no streams.
        """
        ...

    async def receive(self) -> Changes:
        """Wait for what comes next; without changes where it only shows that it lives.

        Cancelled, it may have lost something: what follows the last cursor is then to
        be asked for anew, in another answer.

        Raises:
            trio.EndOfChannel: it has ended, as the server may have it at any time.
            TransientError: it was cut off, or makes no sense.
        """
        ...


@runtime_checkable
class StreamSource(FeedSource, Protocol):
    """A source that goes on telling what has changed."""

    def follow(
        self, after: str, *, wait: float
    ) -> AbstractAsyncContextManager[ChangeStream]:
        """Ask for the changes after a cursor, as they come; the block ends that.

        The remote is asked to say something every `wait` seconds at least, or, if it
        knows no streams, to hold its whole answer for so many.

        Raises:
            CursorExpired: the changes that follow the cursor are no longer kept.
            TransientError: no good answer this time.
            Refused: there will be none, such as where the remote knows no feed.
        """
        ...


def sighted(
    answer: Answer,
    *,
    asked_at: float,
    now: float,
    run: object,
    age: float | None = None,
) -> Job:
    """Return the job of an answer, with when and how it was seen.

    Where the answer does not tell the job's age, `age` is what is known otherwise.
    """
    seen = Sighting(
        at=now,
        run=run,
        age=age if answer.age is None else answer.age,
        retry_after=answer.hint,
        took=now - asked_at,
        cursor=answer.cursor,
    )
    return answer.job._with(seen, None)  # noqa: SLF001 - a method of the rules alone


publish(Answer, Capabilities, StatusSource)
publish(Answers, Change, Changes, ChangeStream, by="vtrio.sources")
publish(FeedSource, ManySource, StreamSource, by="vtrio.sources")
