"""A plain client of aiohttp that polls as many are written: no package is like it.

1 s, doubled after each answer, each drawn from +- 0.5 s around and never below 0; ten
attempts. The limit is looked at between requests. An error of aiohttp's costs an
attempt.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import aiohttp

from . import Outcome, Report, Way
from ._running import CONNECTIONS, ENDS

NAME = "aiohttp"
NEEDS: Sequence[str] = ("aiohttp",)
RUNS_ON = "asyncio"
DEFAULT = Way(
    "1 s x 2 +- 0.5 s, 10 attempts: the small client that many begin with",
    {"initial": 1.0, "factor": 2.0, "jitter": 0.5, "attempts": 10},
)


def tuned(interval: float) -> Way:
    """Return even waits, without a limit of attempts."""
    return Way(
        f"{interval:g} s, without end",
        {"initial": interval, "factor": 1.0, "jitter": 0.0, "attempts": None},
    )


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a task for each; see `Peer`."""
    asyncio.run(_wait_for_all(urls, limit, way, report))


async def _wait_for_all(
    urls: Sequence[str], limit: float, way: Way, report: Report
) -> None:
    async def run(url: str) -> None:
        try:
            outcome = await _wait(session, url, limit, way)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            report(url, "raised", type(error).__name__)
        else:
            report(url, outcome)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with (
        aiohttp.ClientSession(connector=connector, raise_for_status=True) as session,
        asyncio.TaskGroup() as group,
    ):
        for url in urls:
            group.create_task(run(url))


async def _wait(
    session: aiohttp.ClientSession, url: str, limit: float, way: Way
) -> Outcome:
    clock = asyncio.get_running_loop().time
    began = clock()
    delay, jitter = way.settings["initial"], way.settings["jitter"]
    attempt = 1
    while True:
        try:
            async with session.get(url) as response:
                status: str = (await response.json())["status"]
        except aiohttp.ClientError:
            pass
        else:
            if status in ENDS:
                return ENDS[status]
        if attempt == way.settings["attempts"] or clock() - began >= limit:
            return "timeout"
        await asyncio.sleep(max(0.0, delay + random.uniform(-jitter, jitter)))
        if clock() - began >= limit:
            return "timeout"
        delay *= way.settings["factor"]
        attempt += 1
