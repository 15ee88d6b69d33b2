"""What a wait needs of a remote: the protocol that every source implements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from ._job import Job, Sighting
from ._names import publish


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a source can do beyond telling the status of one job."""

    status_of_many: bool = False
    """It answers for a list of jobs in one request."""
    held_status: bool = False
    """It can hold an answer back until something changes."""
    change_feed: bool = False
    """It tells the changes of all the caller's jobs after a cursor."""


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
    """

    job: Job
    age: float | None = None
    hint: float | None = None
    ended_ago: float | None = None
    run_time: float | None = None
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


def sighted(answer: Answer, *, asked_at: float, now: float, run: object) -> Job:
    """Return the job of an answer, with when and how it was seen."""
    seen = Sighting(
        at=now,
        run=run,
        age=answer.age,
        retry_after=answer.hint,
        took=now - asked_at,
    )
    return replace(answer.job, seen=seen)


publish(Answer, Capabilities, StatusSource)
