"""botocore's waiter, asking a URL over botocore's own HTTP session, in threads.

A waiter has no delay of its own: each service's model has one. The example is the
nearest job, Amazon Transcribe's `TranscriptionJobCompleted`, whose model is part of
the package: 10 s. The retries of botocore's clients are no part of a waiter; an answer
of 500 to 504 is an acceptor's `retry`, as models have it for errors that pass.

https://docs.aws.amazon.com/boto3/latest/reference/services/transcribe/waiter/TranscriptionJobCompleted.html
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.exceptions import WaiterError  # type: ignore[import-untyped]
from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped]
from botocore.waiter import Waiter, WaiterModel  # type: ignore[import-untyped]

from . import Outcome, Report, Way
from ._running import CONNECTIONS, ENDS, wait_in_threads

NAME = "botocore"
NEEDS: Sequence[str] = ("botocore", "urllib3")
RUNS_ON = "threads"
DEFAULT = Way(
    "Delay=10: Amazon Transcribe's TranscriptionJobCompleted, of its own models",
    {"Delay": 10},
)


def tuned(interval: float) -> Way:
    """Return that delay."""
    return Way(f"Delay={interval:g}", {"Delay": interval})


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a thread for each; see `Peer`."""
    asking = _Asking()
    try:
        wait_in_threads(urls, partial(_wait, asking, limit, way), report)
    finally:
        asking.close()


def attempts(limit: float, way: Way) -> int:
    """Return the limit as a waiter knows it: as many looks as begin within the limit.

    The first is at the beginning, and after the last it does not sleep. One that is due
    just at the limit is the last of them.
    """
    delay: float = way.settings["Delay"]
    pauses = math.ceil(limit / delay)
    return pauses + 1 if pauses * delay <= limit else max(1, pauses)


class _Asking:
    """The operation of the waiter, and its session."""

    def __init__(self) -> None:
        self._session = URLLib3Session(max_pool_connections=CONNECTIONS)
        # Its pool opens more than it keeps, and throws them away.
        self._turns = threading.BoundedSemaphore(CONNECTIONS)

    def __call__(self, *, url: str) -> dict[str, Any]:
        """Return what a method of a client returns, its error in its own form."""
        with self._turns:
            answer = self._session.send(AWSRequest("GET", url).prepare())
        code = answer.status_code
        metadata = {"HTTPStatusCode": code}
        if code >= 300:
            error = {"Code": str(code), "Message": answer.text}
            return {"Error": error, "ResponseMetadata": metadata}
        return {**json.loads(answer.content), "ResponseMetadata": metadata}

    def close(self) -> None:
        """Close what is kept."""
        self._session.close()


def _wait(asking: _Asking, limit: float, way: Way, url: str) -> Outcome:
    waiter = Waiter("JobCompleted", _model().get_waiter("JobCompleted"), asking)
    config = {**way.settings, "MaxAttempts": attempts(limit, way)}
    try:
        waiter.wait(url=url, WaiterConfig=config)
    except WaiterError as error:
        status = error.last_response.get("status")
        if ENDS.get(status) == "failed":
            return "failed"
        if "Max attempts exceeded" in str(error):
            return "timeout"
        raise
    return "completed"


def _model() -> WaiterModel:
    """Return a model of the form that services have."""
    ends = [
        ("success", "path", "completed"),
        ("failure", "path", "error"),
        ("failure", "path", "cancelled"),
        *(("retry", "status", code) for code in (500, 502, 503, 504)),
    ]
    acceptors = [
        {"state": state, "matcher": matcher, "argument": "status", "expected": expected}
        for state, matcher, expected in ends
    ]
    waiter = {
        "operation": "GetJob",
        "delay": 10,
        "maxAttempts": 180,
        "acceptors": acceptors,
    }
    return WaiterModel({"version": 2, "waiters": {"JobCompleted": waiter}})
