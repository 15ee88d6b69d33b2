"""tenacity under trio: it asks again for as long as the answer is not the last.

Its bare default asks again at once, and for ever. What its documentation says about
polling ("Most things don't like to be polled as fast as possible") is `wait_fixed(2)`;
the condition is the one combined there, of exceptions and results. It sleeps with
trio's sleep where trio runs.

https://tenacity.readthedocs.io/en/latest/#waiting-before-retrying
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import httpx
import tenacity
import trio

from . import Outcome, Report, Way
from ._running import ENDS, Get, wait_in_tasks

NAME = "tenacity"
NEEDS: Sequence[str] = ("tenacity", "httpx", "trio")
RUNS_ON = "trio"
DEFAULT = Way(
    "wait_fixed(2), stop_after_delay: its documentation's example of polling",
    {"wait_fixed": 2.0, "stop": "stop_after_delay"},
)


def tuned(interval: float) -> Way:
    """Return a fixed wait, and the stop that does not sleep beyond the limit."""
    return Way(
        f"wait_fixed({interval:g}), stop_before_delay",
        {"wait_fixed": interval, "stop": "stop_before_delay"},
    )


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a task for each; see `Peer`."""
    trio.run(wait_in_tasks, urls, partial(_wait, limit, way), report)


async def _wait(limit: float, way: Way, get: Get, url: str) -> Outcome:
    stop = getattr(tenacity, way.settings["stop"])
    retrying = tenacity.AsyncRetrying(
        wait=tenacity.wait_fixed(way.settings["wait_fixed"]),
        stop=stop(limit),
        retry=tenacity.retry_if_exception_type(httpx.HTTPError)
        | tenacity.retry_if_result(_is_unfinished),
    )
    try:
        return ENDS[await retrying(_ask, get, url)]
    except tenacity.RetryError:
        return "timeout"


async def _ask(get: Get, url: str) -> str:
    response = await get(url)
    status: str = response.raise_for_status().json()["status"]
    return status


def _is_unfinished(status: str) -> bool:
    return status not in ENDS
