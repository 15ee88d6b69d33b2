"""How a job ended, and how long it took, as far as an answer tells."""

from __future__ import annotations

from ._errors import JobCancelled, JobEnded, JobFailed
from ._job import Job, JobStatus
from ._source import Answer


def told_duration(answer: Answer, age: float | None) -> float | None:
    """Return the job's duration by the server's own times, where it tells enough."""
    if age is not None and answer.ended_ago is not None:
        return max(0.0, age - answer.ended_ago)
    created, finished = answer.job.created_at, answer.job.finished_at
    if created is None or finished is None or finished < created:
        return None
    return (finished - created).total_seconds()


def ending_of(job: Job, what: str) -> JobEnded:
    """Return what a wait raises for a job that ended without a result."""
    if job.status is JobStatus.CANCELLED:
        return JobCancelled(f"{what} was cancelled on the server")
    problem = job.error
    if problem is None:
        return JobFailed(f"{what} ended in error; the server does not say why")
    detail = f": {problem.detail}" if problem.detail else ""
    return JobFailed(f"{what} ended in error: {problem.title}{detail}")
