"""What a client was told of a fleet of jobs: how late, of which ones, how often."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from vtrio import Job, JobStatus

from ._figures import percentile

Transport: TypeAlias = Literal["auto", "feed", "batch", "single"]
"""The best way to ask that may be used."""

_JOB = re.compile(r"(?<=/v1/translations/)(?!cancel$)[^/]+")


def what_is_asked(method: str, path: str) -> str:
    """Return the request without its query, and whichever job it is about."""
    return f"{method} {_JOB.sub('{id}', path)}"


class Ledger:
    """Counts outcomes by job, in a few dozen bytes a job: they are in the figures."""

    def __init__(self, job_ids: Iterable[str]) -> None:
        self._times_told = dict.fromkeys(job_ids, 0)
        self._lags = array("d")

    def take_in(self, done: Job, *, lag: float) -> None:
        """Take in that a job is told as completed, so many seconds after it was.

        Raises:
            RuntimeError: it is no job of the fleet, or not completed with a result.
        """
        if done.id not in self._times_told:
            raise RuntimeError(f"an outcome of {done.id!r}, which nobody waits for")
        if done.status is not JobStatus.COMPLETED or done.result is None:
            raise RuntimeError(
                f"an outcome that is not completed with a result: {done}"
            )
        self._times_told[done.id] += 1
        self._lags.append(lag)

    def figures(self) -> dict[str, Any]:
        """Return the lags in seconds, and how many jobs were lost and duplicated.

        Raises:
            RuntimeError: nothing was told at all.
        """
        if not self._lags:
            raise RuntimeError("no outcome came at all")
        times = self._times_told.values()
        return {
            "lag_p50": percentile(self._lags, 50),
            "lag_p99": percentile(self._lags, 99),
            "lag_max": max(self._lags),
            "lost": sum(told == 0 for told in times),
            "duplicated": sum(told > 1 for told in times),
        }
