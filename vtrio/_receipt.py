"""What a wait cost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ._names import publish


class DelayReason(StrEnum):
    """Why a wait paused for as long as it did."""

    SCHEDULE = "schedule"
    """The schedule said so."""
    HINT = "hint"
    """The server asked for a longer pause."""
    LAST_POLL = "last poll"
    """Cut, so that one last poll fits before the deadline."""
    DEADLINE = "deadline"
    """Nothing more can be learned before the deadline."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One pause between polls: planned seconds, and why."""

    seconds: float
    reason: DelayReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one wait cost, in seconds, polls and bytes.

    Attributes:
        job_id: the job that was waited for; empty where the server has just one.
        waited: from the beginning of the wait to its end.
        polls: requests for the status, failed ones and one cut off included.
        failures: polls that failed in passing, which the wait survived.
        errors: what was wrong with them, in order; the latest thousand.
        bytes_received: bodies of all answers.
        delays: every pause before a poll, in order, with its reason; the latest
            thousand.
        lag: how long the job had been over when the final answer was made, where the
            server said so.
        lag_bounds: what the polls alone tell of that lag: the job may have ended the
            instant before the final answer, and was last seen running when the upper
            bound began. None without a final answer, or where the job's age at an end
            seen by the first poll is not known.
        unknown_words: status words of the server that are none of ours; the first
            twenty.
        told_by: how the end was learned of: by a poll of this job alone (`single`), of
            many (`batch`), one of many that was held (`held`), or by the feed (`feed`).
    """

    job_id: str
    waited: float
    polls: int
    failures: int = 0
    errors: tuple[str, ...] = ()
    bytes_received: int = 0
    delays: tuple[Delay, ...] = ()
    lag: float | None = None
    lag_bounds: tuple[float, float] | None = None
    unknown_words: tuple[str, ...] = ()
    told_by: str = "single"


publish(Delay, DelayReason, Receipt)
