"""A client that waits for a fleet of jobs, in a process of its own.

It submits a few jobs that end at once and waits for them, so that what is imported,
connected and pooled at first use is there. Then it submits the fleet, prints
`submitted`, and reads for how many seconds it may wait at most. From that line to the
last outcome its clocks run. It prints what it found as JSON.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from vtrio import Job, VideoTranslationClient

from ._fleet_ledger import Ledger, Transport
from ._memory import forget_peak, peak, resident

_SUBMITTING = 16
_VIDEO = bytes(1000)


@asynccontextmanager
async def _open_client(
    url: str, library: str, seed: int
) -> AsyncIterator[VideoTranslationClient]:
    """Open a client as it comes, or over a library that is not its own."""
    rng = random.Random(seed)
    if library == "httpx":
        async with VideoTranslationClient(url, rng=rng) as client:
            yield client
        return
    async with (
        importlib.import_module(library).AsyncClient(timeout=None) as http,
        VideoTranslationClient(url, http=http, rng=rng) as client,
    ):
        yield client


async def _submit(client: VideoTranslationClient, jobs: int) -> list[Job]:
    submitted: list[Job] = []
    turns = iter(range(jobs))

    async def submit_some() -> None:
        for _ in turns:
            job = await client.submit(io.BytesIO(_VIDEO), to="pt")
            submitted.append(job)

    async with trio.open_nursery() as nursery:
        for _ in range(_SUBMITTING):
            nursery.start_soon(submit_some)
    return submitted


async def _wait_for_few(
    client: VideoTranslationClient, jobs: int, transport: Transport
) -> None:
    few = await _submit(client, jobs)
    # A key of their own: how long they take is no news of the others.
    async with client.as_completed(few, transport=transport, key="few") as outcomes:
        async for outcome in outcomes:
            outcome.result()


async def _wait_for_all(
    client: VideoTranslationClient,
    jobs: list[Job],
    transport: Transport,
    patience: float,
    ledger: Ledger,
) -> tuple[float, float]:
    """Return seconds of wall and of CPU until the last outcome was in our hand.

    What has not come within our patience is lost.
    """
    began = now = time.time()
    cpu = time.process_time()
    ended = None
    with trio.move_on_after(patience):
        async with client.as_completed(jobs, transport=transport) as outcomes:
            async for outcome in outcomes:
                now = time.time()
                done = outcome.result()
                assert done.finished_at is not None  # noqa: S101 - the server says it
                ledger.take_in(done, lag=now - done.finished_at.timestamp())
            ended = time.process_time()
    return now - began, (time.process_time() if ended is None else ended) - cpu


async def wait_for_fleet(options: argparse.Namespace) -> dict[str, Any]:
    """Submit the fleet, wait for it, and return what that took."""
    pid, number = os.getpid(), options.jobs
    async with _open_client(options.url, options.http, options.seed) as client:
        await _wait_for_few(client, options.warm_up, options.transport)
        gc.collect()
        before = resident(pid)
        jobs = await _submit(client, number)
        ledger = Ledger(job.id for job in jobs)
        print("submitted", flush=True)
        patience = float(await trio.to_thread.run_sync(sys.stdin.readline))
        forget_peak(pid)
        wall, cpu = await _wait_for_all(
            client, jobs, options.transport, patience, ledger
        )
        grown = peak(pid) - before
    return {
        "client_cpu_per_job": cpu / number,
        "client_rss_per_job": grown / number,
        "wall": wall,
        **ledger.figures(),
    }


def main() -> None:
    """Print what was found as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--transport", required=True)
    parser.add_argument("--http", required=True)
    parser.add_argument("--seed", type=int, required=True)
    print(json.dumps(trio.run(wait_for_fleet, parser.parse_args())), flush=True)


if __name__ == "__main__":
    main()
