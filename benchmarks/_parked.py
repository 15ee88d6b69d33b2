"""Parked waits: what each takes while its next poll lies far ahead.

A job has been seen, and its schedule wants to see it again in an hour; nobody asks until
then. The waits are `as_completed` of one block for all, or a `wait` for each in a task of
its own; beside them, bare tasks that sleep for ever. Each measurement is in a process of
its own, in which a few waits have come and gone before. Memory is what is allocated by
then and still there, by `tracemalloc`; the jobs' own snapshots were there before.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import trio
from trio.testing import wait_all_tasks_blocked

from vtrio import Job, JobStatus, VideoTranslationClient
from vtrio.schedules import Fixed
from vtrio.sources import Answer, Capabilities

_INTERVAL = 3600.0
_FIRST_USE = 100


@dataclass(frozen=True, slots=True)
class Parked:
    """What all waits together took: seconds of the processor, and bytes."""

    start: float
    cancel: float
    held: int


class _Running:
    """A source of jobs that run, each of which is asked about once at most."""

    capabilities = Capabilities()

    def __init__(self) -> None:
        self._seen: set[str] = set()

    async def status(self, job_id: str) -> Answer:
        await trio.lowlevel.checkpoint()
        if job_id in self._seen:
            raise RuntimeError(f"{job_id} was asked about again: it was not parked")
        self._seen.add(job_id)
        return Answer(job=Job(id=job_id, status=JobStatus.RUNNING))


async def _bare(client: VideoTranslationClient, jobs: list[Job]) -> None:
    async with trio.open_nursery() as nursery:
        for _ in jobs:
            nursery.start_soon(trio.sleep_forever)


async def _one_block(client: VideoTranslationClient, jobs: list[Job]) -> None:
    async with client.as_completed(jobs) as outcomes:
        async for outcome in outcomes:
            raise RuntimeError(f"nothing was to end: {outcome}")


async def _single_waits(client: VideoTranslationClient, jobs: list[Job]) -> None:
    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(client.wait, job)


_Way: TypeAlias = Callable[[VideoTranslationClient, list[Job]], Awaitable[None]]
_WAYS: dict[str, _Way] = {
    "bare": _bare,
    "as_completed": _one_block,
    "wait": _single_waits,
}


async def measure_parked(way: str, number: int) -> Parked:
    """Start so many waits and cancel them; once more for their memory."""
    client = VideoTranslationClient(
        "http://parked.test", source=_Running(), schedule=Fixed(_INTERVAL)
    )
    async with client:
        ids = [f"{turn:022}" for turn in range(number)]
        jobs = [await client.get_job(job_id) for job_id in ids]
        await _park(_WAYS[way], client, jobs[:_FIRST_USE])
        start, cancel, _ = await _park(_WAYS[way], client, jobs)
        tracemalloc.start()
        _, _, held = await _park(_WAYS[way], client, jobs)
        tracemalloc.stop()
    return Parked(start=start, cancel=cancel, held=held)


async def _park(
    way: _Way, client: VideoTranslationClient, jobs: list[Job]
) -> tuple[float, float, int]:
    """Return the seconds of the processor to start and to cancel, and the bytes held.

    Bytes are what is allocated while `tracemalloc` traces, and 0 otherwise.
    """
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    async with trio.open_nursery() as nursery:
        began = time.process_time()
        nursery.start_soon(way, client, jobs)
        await wait_all_tasks_blocked()
        start = time.process_time() - began
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
        began = time.process_time()
        nursery.cancel_scope.cancel("all are measured")
    return start, time.process_time() - began, held
