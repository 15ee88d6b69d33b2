"""Our own ways to wait, in the form of a peer.

Each wait begins with what `submit` gives back, a job that was seen pending at age 0, as
in a program that waits for what it has submitted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from vtrio import (
    Exponential,
    Job,
    JobStatus,
    Learned,
    Schedule,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio._errors import JobEnded
from vtrio._history_file import HistoryFile
from vtrio._job import Sighting
from vtrio._outcomes import Outcome
from vtrio._runs import this_run
from vtrio.schedules import DurationHistory

from ._learning_runs import believed_cost
from ._peers import Outcome as Word
from ._peers import Report, Way

NAME = "vtrio"
NEEDS = ("vtrio",)
RUNS_ON = "trio"
DEFAULT = Way("ladder", {"transport": "auto"})
SEEDS = Way(
    "Exponential(1, 2), as get_status polls",
    {"transport": "single", "schedule": "exponential"},
)
LEARNED_COLD = Way("Learned, cold", {"transport": "single"})


def learned(factor: float, history: Path) -> Way:
    """Return `Learned` on single polls, with its knob turned, after what a file holds.

    The file is read, and never written.
    """
    title = "Learned" if factor == 1 else f"Learned, request_cost x {factor:g}"
    settings = {"transport": "single", "factor": factor, "history": str(history)}
    return Way(title, settings)


def learning(history: Path) -> Way:
    """Return `Learned` on single polls that writes what it has seen to a file."""
    settings = {"transport": "single", "save": str(history)}
    return Way("Learned, cold", settings)


def tuned(interval: float) -> Way:
    """Return what is waited with to warm up: nothing of ours is tuned by an interval."""
    return LEARNED_COLD


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait for all in one block; see `Peer`."""
    trio.run(_wait_for_all, urls, limit, way.settings, report)


async def _wait_for_all(
    urls: Sequence[str], limit: float, settings: Mapping[str, Any], report: Report
) -> None:
    base_url = urls[0].partition("/v1/translations/")[0]
    by_id = {url.rpartition("/")[2]: url for url in urls}
    now, run = trio.current_time(), this_run()
    jobs = [
        Job(
            id=job_id,
            status=JobStatus.PENDING,
            seen=Sighting(at=now, run=run, age=0.0),
        )
        for job_id in by_id
    ]
    async with VideoTranslationClient(
        base_url,
        schedule=await _schedule(settings),
        history=settings.get("save"),
    ) as client:
        waits = partial(
            client.as_completed,
            max_wait_time=limit,
            transport=settings["transport"],
        )
        async with waits(jobs) as outcomes:
            async for outcome in outcomes:
                report(by_id[outcome.job_id], *_told(outcome))


async def _schedule(settings: Mapping[str, Any]) -> Schedule | None:
    """Return the schedule of a client; None for the default."""
    if settings.get("schedule") == "exponential":
        return Exponential(1.0, 2.0, jitter=0.5, from_age=False)
    if "history" not in settings:
        return None
    history = DurationHistory()
    await HistoryFile(Path(os.fspath(settings["history"])), history).load()
    if settings["factor"] == 1:
        return Learned(history=history)
    cost = settings["factor"] * believed_cost(history)
    return Learned(history=history, request_cost=cost)


def _told(outcome: Outcome) -> tuple[Word, str]:
    match outcome.exception:
        case None:
            return "completed", ""
        case WaitTimeout():
            return "timeout", ""
        case JobEnded() as error:
            return "failed", str(error)
        case error:
            return "raised", str(error)
