"""stamina under trio: it asks again for as long as asking raises.

It looks at exceptions only, so that a job that has not ended is one. The settings are
those of `stamina.retry` itself; the limit is its `timeout`.

https://stamina.hynek.me/en/stable/api.html#stamina.retry
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import httpx
import stamina
import trio
from stamina.instrumentation import set_on_retry_hooks

from . import Outcome, Report, Way
from ._running import ENDS, Get, wait_in_tasks

NAME = "stamina"
NEEDS: Sequence[str] = ("stamina", "tenacity", "httpx", "trio")
RUNS_ON = "trio"
DEFAULT = Way(
    "its own: 0.1 s x 2 up to 5 s, plus up to 1 s of jitter, 10 attempts",
    {},
)


class Unfinished(Exception):
    """The job has not ended yet."""


def tuned(interval: float) -> Way:
    """Return waits of one length, without a limit of attempts."""
    return Way(
        f"wait_initial = wait_max = {interval:g}, no jitter, attempts=None",
        {
            "wait_initial": interval,
            "wait_max": interval,
            "wait_jitter": 0.0,
            "wait_exp_base": 1.0,
            "attempts": None,
        },
    )


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a task for each; see `Peer`."""
    # It would log a warning for each answer "not yet", as if that were a failure.
    set_on_retry_hooks([])
    try:
        trio.run(wait_in_tasks, urls, partial(_wait, limit, way), report)
    finally:
        set_on_retry_hooks(None)


async def _wait(limit: float, way: Way, get: Get, url: str) -> Outcome:
    caller = stamina.AsyncRetryingCaller(timeout=limit, **way.settings)
    try:
        return await caller((httpx.HTTPError, Unfinished), _ask, get, url)
    except Unfinished:  # the limit, or that of attempts
        return "timeout"


async def _ask(get: Get, url: str) -> Outcome:
    response = await get(url)
    status: str = response.raise_for_status().json()["status"]
    if status not in ENDS:
        raise Unfinished
    return ENDS[status]
