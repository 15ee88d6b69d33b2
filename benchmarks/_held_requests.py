"""Promptness of held requests: from the end of a job to the last byte of its answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from datetime import datetime

import trio

from ._wire import Connection, get

HOLD = {"Prefer": "wait=60"}
_LONGEST_WAIT = 90.0
_HELD = "vtrio_held_requests"


async def lags_of_held(url: str, pid: int, ids: Sequence[str]) -> list[float]:
    """Hold a request for each job, then have the jobs end; return each lag."""
    lags: list[float] = []

    async def hold(job_id: str) -> None:
        with await Connection.open(url) as connection:
            answer = await connection.ask(get(f"/v1/translations/{job_id}", HOLD))
            job = answer.expect(200).json()
            if job["status"] != "completed":
                raise RuntimeError(f"an answer before the end of its job: {job}")
            lags.append(answer.at - wall(job["finished_at"]))

    with trio.fail_after(_LONGEST_WAIT):
        async with trio.open_nursery() as nursery:
            for job_id in ids:
                nursery.start_soon(hold, job_id)
            await until_held(url, len(ids))
            os.kill(pid, signal.SIGUSR1)
    return lags


async def until_held(url: str, number: int) -> None:
    """Wait until a server holds as many requests."""
    with await Connection.open(url) as connection:
        while await held(connection) < number:  # noqa: ASYNC110 - another process
            await trio.sleep(0.1)


async def held(connection: Connection) -> int:
    """Return how many requests a server says that it holds."""
    metrics = (await connection.ask(get("/metrics"))).expect(200).body.decode()
    (line,) = (line for line in metrics.splitlines() if line.startswith(_HELD))
    return int(float(line.split()[1]))


def wall(instant: str) -> float:
    """Return what the wall clock showed, in seconds, at an instant of the wire."""
    return datetime.fromisoformat(instant).timestamp()
