"""google-api-core: the polling future of Google's clients, in threads.

Its documentation of `PollingFuture.result` keeps two things apart, and so does this:
`polling` is how often to ask, with the limit as its `timeout`; `retry` is what is done
where asking fails, by default what `google.api_core.retry.Retry()` does (1 s x 2 up to
60 s, for 120 s; 500, 503, 429 and connection errors). Every pause of both is drawn
between 0 and what it would be, so that a mean is half of what is set.

https://googleapis.dev/python/google-api-core/latest/futures.html
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from functools import partial
from typing import Any

import requests
from google.api_core import exceptions
from google.api_core.future.polling import (
    DEFAULT_POLLING,
    POLLING_PREDICATE,
    PollingFuture,
)
from google.api_core.retry import Retry

from . import Outcome, Report, Way
from ._requests import TIMEOUT, open_session
from ._running import ENDS, wait_in_threads

NAME = "google-api-core"
NEEDS: Sequence[str] = ("google-api-core", "requests", "urllib3")
RUNS_ON = "threads"
DEFAULT = Way("its DEFAULT_POLLING: 1 s x 1.5 up to 20 s, full jitter", {})


class JobFailed(exceptions.GoogleAPICallError):
    """The job ended in error."""


class JobFuture(PollingFuture):
    """The end of one job, as a subclass of the package's own is written."""

    def __init__(
        self, session: requests.Session, url: str, polling: Retry, retry: Retry
    ) -> None:
        super().__init__(polling=polling)
        self._session = session
        self._url = url
        self._retry = retry

    def done(self, retry: Retry | None = None) -> bool:
        """Ask whether the job has ended, and keep how."""
        if not self._result_set:
            status = (retry or self._retry)(self._ask)()
            if ENDS.get(status) == "completed":
                self.set_result(status)
            elif status in ENDS:
                self.set_exception(JobFailed(f"the job is {status}"))
        ended: bool = self._result_set
        return ended

    def cancel(self) -> bool:
        """Tell that a job cannot be cancelled from here."""
        return False

    def cancelled(self) -> bool:
        """Tell that it was not."""
        return False

    def _ask(self) -> str:
        response = self._session.get(self._url, timeout=TIMEOUT)
        if not response.ok:
            raise exceptions.from_http_response(response)
        status: str = response.json()["status"]
        return status


def tuned(interval: float) -> Way:
    """Return even pauses with that mean."""
    return Way(
        f"initial = maximum = {2 * interval:g}, full jitter: {interval:g} s on average",
        {"initial": 2 * interval, "maximum": 2 * interval, "multiplier": 1.0},
    )


def tuned_for_limit(limit: float) -> Way:
    """Return short pauses: a longer one, drawn from 0 on, may end anywhere."""
    return Way(
        "initial = maximum = 0.1, full jitter: many requests, for one just before the limit",
        {"initial": 0.1, "maximum": 0.1, "multiplier": 1.0},
    )


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a thread for each; see `Peer`."""
    with open_session() as session:
        wait_in_threads(urls, partial(_wait, session, limit, way), report)


def _wait(session: requests.Session, limit: float, way: Way, url: str) -> Outcome:
    polling, retry = retries(way, limit)
    try:
        JobFuture(session, url, polling, retry).result(timeout=limit)
    except concurrent.futures.TimeoutError:
        return "timeout"
    except JobFailed:
        return "failed"
    return "completed"


def retries(way: Way, limit: float) -> tuple[Retry, Retry]:
    """Return how often to ask, and what is done where asking fails."""
    pauses: dict[str, Any] = dict(way.settings)
    if not pauses:
        return DEFAULT_POLLING, Retry()
    polling = Retry(predicate=POLLING_PREDICATE, **pauses)
    return polling, Retry(timeout=limit, **pauses)
