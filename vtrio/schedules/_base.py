"""What a schedule is asked, and what a history is told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """All that a schedule may know when it is asked for the next delay.

    Seconds throughout.

    Attributes:
        age: since the job was submitted; since the wait began where that is unknown.
        start_age: the age at which this wait began: 0 for a fresh job.
        answers: answers so far in this wait, failed polls included; the answer to
            the submission counts where the wait began with it.
        failures: polls that have failed in a row; 0 after a good answer.
        hint: the pause that the server asked for with the last answer, if it did.
            The rules of the wait honour it whatever a schedule says.
        work: the amount of work, in seconds of media, where known.
        key: the class of the job, for a schedule that learns: one history a key.
        roll: drawn afresh for every delay, uniform in [0, 1).
        phase: drawn once a wait, uniform in [0, 1); spreads jobs submitted together.
    """

    age: float
    start_age: float = 0.0
    answers: int = 0
    failures: int = 0
    hint: float | None = None
    work: float | None = None
    key: str = ""
    roll: float = 0.5
    phase: float = 0.0


@runtime_checkable
class Schedule(Protocol):
    """When to ask next: a pure function of what is known of the job.

    Implementations hold settings only. They sleep not, draw no random numbers
    (`roll` and `phase` are handed in) and read no clock.
    """

    def delay(self, state: PollState) -> float:
        """Return the seconds from now to the next poll: finite and 0 or more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one wait saw of one job's duration, in seconds since submission.

    The job was still running at age `after` and had ended at age `until`; `until`
    is None if the wait ended first (right-censored). Where the server tells the
    duration exactly, the two are equal. `job` is the job's id where it is known: what
    a later wait sees of the same job takes the place of what an earlier one gave up.
    """

    after: float
    until: float | None
    key: str = ""
    work: float | None = None
    job: str = ""

    def __post_init__(self) -> None:
        until = self.after if self.until is None else self.until
        if not 0 <= self.after <= until < math.inf:
            raise ValueError(
                f"observation ({self.after!r}, {self.until!r}]: must begin at 0 or"
                " later, not end before it begins, and be finite"
            )


@runtime_checkable
class History(Protocol):
    """What learns: it takes in observations, apart from the questions."""

    def observe(self, observation: Observation) -> None:
        """Take in what a wait saw."""
        ...
