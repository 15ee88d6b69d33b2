"""What waiting costs over what cannot be spared: of a poll, and of a parked wait.

A poll through the client beside a bare GET with the same library, on a kept connection;
a wait whose next poll lies far ahead beside a bare trio task. All is run in alternation,
because a machine's speed drifts: ratios and differences are of one turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType
from typing import Any

import httpx
import trio

from vtrio import VideoTranslationClient

from ._figures import print_table, spread
from ._needs import package
from ._options import BadOption
from ._parked import Parked, measure_parked
from ._servers import apart, serving_bad

SUMMARY = "CPU of a poll over a bare GET, and of a parked wait over a bare task"
QUICK = {"polls": 200, "runs": 1, "waits": 1000}

_WAITS = {"as_completed": "in one `as_completed`", "wait": "a `wait` in a task each"}
# What is told of a parked wait, in its unit, and how that reads.
_FIGURES: dict[str, tuple[str, Callable[[Parked], float], str]] = {
    "start_us": ("CPU to start, us", lambda parked: parked.start * 1e6, ".1f"),
    "cancel_us": ("CPU to cancel, us", lambda parked: parked.cancel * 1e6, ".1f"),
    "bytes": ("memory, bytes", lambda parked: parked.held, ",.0f"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how much to measure."""
    for name, (default, told) in _AMOUNTS.items():
        parser.add_argument(
            f"--{name}",
            type=int,
            default=default,
            metavar="N",
            help=f"{told}; {default} if not given",
        )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both."""
    for name in _AMOUNTS:
        if getattr(options, name) < 1:
            raise BadOption(f"--{name} must be at least 1")
    with serving_bad() as url:
        polls = _polls(url, options)
    return {"runs": options.runs, "poll": polls, "parked": _parked(options)}


_AMOUNTS = {
    "polls": (2000, "polls of a run"),
    "runs": (7, "runs in alternation, besides one that warms up"),
    "waits": (10_000, "parked waits of a run"),
}


# --- a poll -------------------------------------------------------------------------


def _polls(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compare the CPU of polls through the client with that of bare GETs."""
    libraries: list[ModuleType] = [httpx]
    if (httpx2 := package("httpx2")) is not None:
        libraries.append(httpx2)
    results, rows = {}, []
    for library in libraries:
        bare_us: list[float] = []
        client_us: list[float] = []
        for _ in range(options.runs + 1):
            for taken, polls in ((bare_us, _bare_polls), (client_us, _client_polls)):
                cpu = trio.run(_cpu_of, polls, library, url, options.polls)
                taken.append(cpu / options.polls * 1e6)
        # The first pair warms up.
        found = {
            "polls": options.polls,
            "bare_us": spread(bare_us[1:]),
            "client_us": spread(client_us[1:]),
            **_compared(client_us[1:], bare_us[1:], "us"),
        }
        results[library.__name__] = found
        rows.append(
            [
                library.__name__,
                f"{found['bare_us']['median']:.0f}",
                f"{found['client_us']['median']:.0f}",
                *_cells(found["ratio"], ".2f"),
                *_cells(found["over_us"], ".0f"),
            ]
        )
    print_table(
        f"CPU of one poll on a kept connection (microseconds, {options.polls} polls,"
        f" {options.runs} pairs)",
        [
            *("library", "bare GET and JSON", "through the client"),
            *("ratio", "spread", "difference", "spread"),
        ],
        rows,
    )
    return results


async def _cpu_of(
    polls: Callable[[ModuleType, str, int], Awaitable[None]],
    library: ModuleType,
    url: str,
    count: int,
) -> float:
    started = time.process_time()
    await polls(library, url, count)
    return time.process_time() - started


async def _bare_polls(library: ModuleType, url: str, count: int) -> None:
    async with library.AsyncClient() as http:
        for _ in range(count):
            answer = await http.get(f"{url}/pending/status")
            if json.loads(answer.content)["result"] != "pending":
                raise RuntimeError("the server of the benchmark is not what it was")


async def _client_polls(library: ModuleType, url: str, count: int) -> None:
    async with library.AsyncClient() as http:
        client = VideoTranslationClient(
            f"{url}/pending",
            max_attempts=count,
            max_wait_time=None,
            initial_wait_time=0,
            jitter=0,
            http=http,
        )
        if await client.get_status() != "timeout":
            raise RuntimeError("the server of the benchmark is not what it was")


# --- a parked wait ------------------------------------------------------------------


def _parked(options: argparse.Namespace) -> dict[str, Any]:
    """Compare waits that are parked with bare tasks, each turn in fresh processes."""
    number = options.waits
    taken: dict[str, list[Parked]] = {"bare": [], **{way: [] for way in _WAITS}}
    for _ in range(options.runs):
        for way, runs in taken.items():
            runs.append(apart(measure_parked, way, number))
    figures = {
        way: {
            name: [of(each) / number for each in runs]
            for name, (_, of, _) in _FIGURES.items()
        }
        for way, runs in taken.items()
    }
    bare = figures.pop("bare")
    results: dict[str, Any] = {
        "waits": number,
        "bare": {name: spread(values) for name, values in bare.items()},
    }
    rows = []
    for way, told in _WAITS.items():
        results[way] = {}
        for name, (what, _, form) in _FIGURES.items():
            each = figures[way][name]
            found = {"each": spread(each), **_compared(each, bare[name])}
            results[way][name] = found
            rows.append(
                [
                    f"{told}: {what}",
                    f"{results['bare'][name]['median']:{form}}",
                    f"{found['each']['median']:{form}}",
                    *_cells(found["ratio"], ".2f"),
                    *_cells(found["over"], form),
                ]
            )
    print_table(
        f"One parked wait beside a bare task ({number:,} of each, {options.runs} turns)",
        ["what", "task", "wait", "ratio", "spread", "difference", "spread"],
        rows,
    )
    return results


# --- both ---------------------------------------------------------------------------


def _compared(
    ours: Sequence[float], bare: Sequence[float], unit: str = ""
) -> dict[str, dict[str, float]]:
    """Return the ratios and the differences, turn by turn."""
    pairs = list(zip(ours, bare, strict=True))
    over = "over" if not unit else f"over_{unit}"
    return {
        "ratio": spread([own / least for own, least in pairs]),
        over: spread([own - least for own, least in pairs]),
    }


def _cells(found: dict[str, float], form: str) -> list[str]:
    low, median, high = (f"{found[name]:{form}}" for name in ("min", "median", "max"))
    return [median, f"{low} to {high}"]
