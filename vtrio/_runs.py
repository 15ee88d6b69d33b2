"""Which run of trio an instant belongs to: a clock counts in its own run alone."""

from __future__ import annotations

from dataclasses import replace

import trio

from ._job import Job
from ._source import Answer, sighted

_run_token: trio.lowlevel.RunVar[object] = trio.lowlevel.RunVar("vtrio-run")


def this_run() -> object:
    """Return a token of this run of trio: what its clock says counts in it alone."""
    try:
        return _run_token.get()
    except LookupError:
        token = object()
        _run_token.set(token)
        return token


def require_trio() -> None:
    """Refuse to go on under another library.

    Raises:
        RuntimeError: saying how to start.
    """
    if not trio.lowlevel.in_trio_task():
        raise RuntimeError(
            "vtrio runs under trio only; start your program with trio.run(main)"
        )


def of_this_run(job: Job | str) -> Job | None:
    """Return what is known of a job; when it was seen counts in this run alone."""
    if isinstance(job, str):
        return None
    if job.seen is not None and job.seen.run is not this_run():
        return replace(job, seen=None)
    return job


def submitted_at_of(job: Job | str | None) -> float | None:
    """Return the instant of a job's submission, where this run has seen its age."""
    known = of_this_run(job) if isinstance(job, Job) else None
    if known is None or known.seen is None or known.seen.age is None:
        return None
    return known.seen.at - known.seen.age


def seen_now(answer: Answer, *, asked_at: float) -> Job:
    """Return the job of an answer that has just come."""
    now = trio.current_time()
    return sighted(answer, asked_at=asked_at, now=now, run=this_run())
