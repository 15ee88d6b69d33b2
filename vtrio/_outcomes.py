"""What a wait for many jobs gives: outcomes, changes, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass

from ._errors import VtrioError
from ._job import Job
from ._names import publish
from ._receipt import Receipt
from ._stalls import Stall


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the wait for one of many jobs ended.

    Attributes:
        job_id: which job.
        job: as it was last seen; None if nothing answered about it.
        receipt: what its wait cost.
        exception: None if the job is completed; otherwise what `wait` would have raised.
    """

    job_id: str
    job: Job | None
    receipt: Receipt
    exception: VtrioError | None = None

    def result(self) -> Job:
        """Return the completed job.

        Raises:
            VtrioError: the exception, as it is.
        """
        if self.exception is not None:
            raise self.exception
        assert self.job is not None  # noqa: S101 - completed, so it was seen
        return self.job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUpdate:
    """One thing that happened to one of many jobs.

    Attributes:
        job_id: which job.
        job: as it is now; None if the wait ended before anything answered about it.
        outcome: at the end of the wait for it; None before.
        stall: where it is reported as stalled, which happens once a phase at most.
    """

    job_id: str
    job: Job | None
    outcome: Outcome | None = None
    stall: Stall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatistics:
    """How a wait for many jobs stands.

    Attributes:
        waiting: jobs that are waited for.
        completed: those that are over and well.
        failed: those whose wait ended otherwise.
        stalled: how often one was reported as stalled, in the queue or at work.
        requests: requests that were made for them, failed ones too.
        rung: what tells of them at this moment: `feed`, `held`, `batch` or `single`.
    """

    waiting: int
    completed: int
    failed: int
    stalled: int
    requests: int
    rung: str


publish(FleetStatistics, JobUpdate, Outcome)
