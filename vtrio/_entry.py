"""One of many waits, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ._job import Job
from ._lines import Line
from ._session import Session
from ._source import Answer
from ._stalls import JobPhase

if TYPE_CHECKING:
    from ._fleet import Fleet


class Lesson(Protocol):
    """What learns from one wait."""

    def hear(self, job: Job) -> None:
        """Take in an answer."""

    def over(self) -> None:
        """Take in what the whole wait saw."""


class Entry:
    """One of many waits."""

    __slots__ = (
        "due_at",
        "early_at",
        "epoch",
        "fleet",
        "in_flight",
        "is_alone",
        "is_ended",
        "is_exact",
        "is_over",
        "lesson",
        "line",
        "looked_at",
        "number",
        "phase",
        "planned_at",
        "session",
        "since",
        "told_at",
        "turn_at",
        "word",
    )

    def __init__(self, fleet: Fleet, session: Session, lesson: Lesson) -> None:
        self.fleet = fleet
        self.session = session
        self.lesson = lesson
        self.number = 0  # which of its places on the heap counts
        self.due_at = 0.0
        self.early_at = 0.0  # from when it may be taken along
        self.planned_at = 0.0  # what its schedule wants
        self.turn_at = float("inf")  # of the last poll of a crowd, once it is drawn
        self.line: Line
        self.is_exact = False  # whether that must not be put off
        self.is_alone = False  # whether it cannot be asked about with others
        self.is_ended = False  # whether the feed has told its end
        self.is_over = False  # the wait; session and lesson are gone then
        self.in_flight = False
        self.epoch = -1
        self.looked_at = -1.0  # when the question was asked that was answered last
        self.told_at = -1.0  # when a change was told last
        self.word: str | None = None  # the status that was told last
        self.phase: JobPhase | None = None
        self.since = 0.0  # when the phase began, as far as is known

    def hear(self, answer: Answer, asked_at: float, now: float) -> None:
        """Take in what another wait for the job was answered."""
        self.fleet.overheard(self, answer, asked_at, now)

    def __repr__(self) -> str:
        name = "over" if self.is_over else self.session.job_id
        return f"<Entry {name}: {self.word}, due {self.due_at:g}>"
