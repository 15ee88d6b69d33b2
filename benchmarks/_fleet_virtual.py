"""A fleet of jobs at a scripted server, in virtual time: all in one process.

Instants are exact: a job ends when its script says so, and each answer takes the server
a millisecond. The client is given the jobs by their ids, as one that takes up what
another program has submitted.

The memory is the client's alone. It is measured in a run of its own, with 10,000 jobs
at most, by `tracemalloc`: of each piece of memory that was allocated since the wait
began, and is still there, that knows the innermost frames which were on the stack. A
piece that has the code of `vtrio.testing` among them is the scripted server's, and one
that has this benchmark's as the very innermost is the benchmark's. The rest is what the
wait has taken, in the client, in trio and in httpx; what the server's own code calls
too deep to be known is in it, so the figure is not flattered. It is the most of two
moments: when all jobs are waited for and none has ended, and when half of them have.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

import vtrio.testing
from vtrio.testing import ScriptedServer, after, job

from ._fleet_ledger import Ledger, Transport, what_is_asked

_LATENCY = 0.001
# Seconds of virtual time, as in real time: before the first end, and after the last one
# until what has not been told is lost.
_LEAD = 0.5
_PATIENCE = 45.0

_MOST_MEASURED = 10_000
# Below the server's own code: writing JSON is as deep. More take much longer.
_FRAMES = 4
_SERVER = str(Path(vtrio.testing.__file__).parent)
_BENCHMARK = str(Path(__file__).parent)


def longest(jobs: int, over: float) -> float:
    """Return how many seconds all of it may take: 620 for 100,000 jobs."""
    return 120 + jobs / 200


class _Fleet:
    """Jobs that end evenly within some seconds, in an order that is drawn."""

    def __init__(self, jobs: int, over: float, seed: int) -> None:
        self.over = over
        self._ends = [_LEAD + over * turn / jobs for turn in range(jobs)]
        random.Random(seed).shuffle(self._ends)

    @property
    def ids(self) -> list[str]:
        """As long as those of `vtrio serve`."""
        return [f"{turn:022}" for turn in range(len(self._ends))]

    def end_of(self, job_id: str) -> float:
        """Return the instant at which a job ends."""
        return self._ends[int(job_id)]


async def _wait(
    fleet: _Fleet, transport: Transport, seed: int, *, measuring: bool
) -> dict[str, Any]:
    server = ScriptedServer(latency=_LATENCY, feed_documents=True, feed_streams=True)
    ids = fleet.ids
    for job_id in ids:
        script = job("running", after(fleet.end_of(job_id), "completed"))
        server.add(script, id=job_id)
    ledger = Ledger(ids)
    before = len(server.exchanges)
    sizes = [0]
    wall = 0.0
    async with (
        server.client(rng=random.Random(seed)) as client,
        trio.open_nursery() as nursery,
    ):
        if measuring:
            tracemalloc.start(_FRAMES)
            nursery.start_soon(_measure, fleet, sizes)
        cpu_before = time.process_time()
        with trio.move_on_after(_LEAD + fleet.over + _PATIENCE):
            async with client.as_completed(ids, transport=transport) as outcomes:
                async for outcome in outcomes:
                    done = outcome.result()
                    wall = trio.current_time()
                    ledger.take_in(done, lag=wall - fleet.end_of(done.id))
        cpu = time.process_time() - cpu_before
        nursery.cancel_scope.cancel("all are told")
    tracemalloc.stop()
    asked = Counter(what_is_asked(e.method, e.path) for e in server.exchanges[before:])
    return {
        **ledger.figures(),
        "wall": wall,
        "client_cpu_per_job": cpu / len(ids),
        "client_rss_per_job": max(sizes) / len(ids),
        "asked": asked,
    }


async def _measure(fleet: _Fleet, sizes: list[int]) -> None:
    """Measure the client's memory when all jobs are waited for, and later."""
    just_before = _LEAD - _LATENCY
    for share in (0, 0.5):
        await trio.sleep_until(just_before + share * fleet.over)
        sizes.append(_size_of_client())


def _size_of_client() -> int:
    groups = tracemalloc.take_snapshot().statistics("traceback")
    return sum(
        group.size
        for group in groups
        if _is_clients([f.filename for f in group.traceback])
    )


def _is_clients(files: Sequence[str]) -> bool:
    return not files[-1].startswith(_BENCHMARK) and not any(
        file.startswith(_SERVER) for file in files
    )


def measure(
    options: argparse.Namespace, folder: Path
) -> tuple[dict[str, Any], Counter[str]]:
    """Have a client wait for the jobs of a scripted server, once more for its memory.

    Returns:
        What that took, and its requests by what they ask for.

    Raises:
        RuntimeError: nothing was told, or something else than what was to be.
    """
    jobs, over, seed = options.jobs, options.over, options.seed

    def run(number: int, *, measuring: bool) -> dict[str, Any]:
        fleet = _Fleet(number, over, seed)
        wait = partial(_wait, fleet, options.transport, seed, measuring=measuring)
        return trio.run(wait, clock=MockClock(autojump_threshold=0))

    found = run(jobs, measuring=False)
    measured = run(min(jobs, _MOST_MEASURED), measuring=True)
    requests: Counter[str] = found.pop("asked")
    return {
        **found,
        "requests": requests.total(),
        "requests_per_job": requests.total() / jobs,
        "client_rss_per_job": measured["client_rss_per_job"],
        "server_cpu_per_job": None,
    }, requests
