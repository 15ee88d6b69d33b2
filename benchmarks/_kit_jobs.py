"""A virtual day of jobs in a process of its own: `kit`, or `bare` without the kit.

Both have the same client ask about the same jobs at the same instants. The bare way
answers each question with a document made beforehand, through httpx's own transport for
tests, which checks nothing and writes nothing down: less cannot be done.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import trio
from trio.testing import MockClock

from vtrio import JobStatus, VideoTranslationClient
from vtrio.schedules import Fixed
from vtrio.testing import ScriptedServer, Steady, after, job

DAY = 86_400.0
INTERVAL = 300.0
POLLS_EACH = 5
# The first poll comes at once, and the last one when the job is over for half an interval.
DURATION = INTERVAL * (POLLS_EACH - 1.5)

_URL = "http://bare.test"


class _Kit:
    """The kit's server, and its client."""

    def __init__(self) -> None:
        self._server = ScriptedServer(only_virtual_time=True)
        self.client = self._server.client(schedule=Fixed(INTERVAL))

    def submit(self) -> str:
        """Have one job more, and return its id."""
        script = job("pending", after(30, "running"), after(DURATION, "completed"))
        return self._server.add(script).id

    def count_polls(self) -> int:
        """Compare the script with what happened, and say how often was asked."""
        self._server.check()
        if {len(each.polls) for each in self._server.jobs()} != {POLLS_EACH}:
            raise RuntimeError(f"not every job was asked about {POLLS_EACH} times")
        return len(self._server.polls)


class _Bare:
    """What is left without the kit: the client, httpx, and answers made beforehand."""

    def __init__(self) -> None:
        self._submitted_at: list[float] = []
        self._polls = 0
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.client = VideoTranslationClient(
            _URL, http=http, rng=Steady(), schedule=Fixed(INTERVAL)
        )

    def submit(self) -> str:
        """Have one job more, and return its id."""
        self._submitted_at.append(trio.current_time())
        return str(len(self._submitted_at) - 1)

    def count_polls(self) -> int:
        """Say how often was asked."""
        return self._polls

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self._polls += 1
        job_id = request.url.path.rpartition("/")[2]
        age = trio.current_time() - self._submitted_at[int(job_id)]
        status = "completed" if age >= DURATION else "running"
        return httpx.Response(
            200,
            headers={"content-type": "application/json", "job-age": f"{age:.3f}"},
            content=_DOCUMENTS[status] % job_id.encode(),
        )


_DOCUMENTS = {
    status: json.dumps({"id": "%s", "status": status}).encode()
    for status in ("running", "completed")
}
_WAYS: dict[str, Callable[[], _Kit | _Bare]] = {"kit": _Kit, "bare": _Bare}


async def _live_a_day(way: _Kit | _Bare, instants: list[float]) -> int:
    """Wait for a job from each instant on, and return how many completed."""
    completed = 0

    async def wait(job_id: str) -> None:
        nonlocal completed
        done = await way.client.wait(job_id)
        completed += done.status is JobStatus.COMPLETED

    async with trio.open_nursery() as nursery:
        for at in instants:
            await trio.sleep_until(at)
            nursery.start_soon(wait, way.submit())
    return completed


def live_a_day(name: str, jobs: int, seed: int) -> dict[str, Any]:
    """Measure one day: seconds of wall and of CPU, and MiB before and at the peak."""
    rng = random.Random(seed)
    instants = sorted(rng.uniform(0, DAY) for _ in range(jobs))
    before = _peak_mib()
    cpu, wall = time.process_time(), time.perf_counter()
    way = _WAYS[name]()
    clock = MockClock(autojump_threshold=0)
    completed = trio.run(_live_a_day, way, instants, clock=clock)
    polls = way.count_polls()
    found = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "mib_before": before,
        "mib_at_peak": _peak_mib(),
        "polls": polls,
    }
    if completed != jobs or polls != POLLS_EACH * jobs:
        raise RuntimeError(f"{completed} of {jobs} jobs completed, with {polls} polls")
    return found


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes there, KiB everywhere else.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Print what one day was as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=_WAYS)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    print(json.dumps(live_a_day(options.way, options.jobs, options.seed)))


if __name__ == "__main__":
    main()
