"""One wait: how exact the deadline is at bad servers, and how quick the start.

Starts are run in pairs, in alternation, because a machine's speed drifts; the figure of
a pair is its difference. What a poll costs is measured by `overhead`.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from typing import Any

import trio

from vtrio import VideoTranslationClient

from ._figures import print_table, spread
from ._servers import serving_bad

SUMMARY = "one wait: exactness of the deadline at bad servers, time to start"
QUICK = {"runs": 2, "deadline": 0.3, "starts": 2}

_BEHAVIOURS = {
    "never finishes": "pending",
    "never answers": "silent",
    "drips a byte a second": "drip",
    "503, Retry-After: 3600": "busy",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how much to measure."""
    parser.add_argument("--runs", type=int, default=7, metavar="N")
    parser.add_argument("--deadline", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--starts", type=int, default=15, metavar="N")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all of it."""
    with serving_bad() as url:
        deadlines = _deadlines(url, options)
    return {"deadline": deadlines, "start": _starts(options)}


def _deadlines(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure how long after the deadline `get_status` returns 'timeout'."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    places = {told: f"{url}/{path}" for told, path in _BEHAVIOURS.items()}
    places["refuses connections"] = nobody
    results, rows = {}, []
    for told, place in places.items():
        late = [
            trio.run(_overshoot, place, options.deadline) * 1000
            for _ in range(options.runs)
        ]
        results[told] = {"deadline": options.deadline, "overshoot_ms": spread(late)}
        rows.append([told, f"{min(late):.1f}", f"{max(late):.1f}"])
    print_table(
        f"Milliseconds after a deadline of {options.deadline:g} s ({options.runs} runs)",
        ["server", "earliest", "latest"],
        rows,
    )
    return results


async def _overshoot(url: str, limit: float) -> float:
    client = VideoTranslationClient(
        url, max_wait_time=limit, max_attempts=None, initial_wait_time=0.1
    )
    started = time.perf_counter()
    if await client.get_status() != "timeout":
        raise RuntimeError("the server of the benchmark is not what it was")
    return time.perf_counter() - started - limit


def _starts(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what starting costs over what cannot be spared."""
    pairs = {
        "vtrio --version, over a bare interpreter": (
            ["-m", "vtrio", "--version"],
            ["-c", "pass"],
        ),
        "touching the client, over import trio, httpx": (
            ["-c", "import vtrio; vtrio.VideoTranslationClient"],
            ["-c", "import trio, httpx"],
        ),
    }
    results, rows = {}, []
    for told, (ours, bare) in pairs.items():
        over = []
        for _ in range(options.starts + 1):
            alone = _wall_of(bare)
            over.append((_wall_of(ours) - alone) * 1000)
        results[told] = {"over_ms": spread(over[1:])}
        found = results[told]["over_ms"]
        rows.append(
            [
                told,
                f"{found['median']:.0f}",
                f"{found['min']:.0f} to {found['max']:.0f}",
            ]
        )
    print_table(
        f"Milliseconds of wall time to start ({options.starts} pairs)",
        ["what", "median", "spread"],
        rows,
    )
    return results


def _wall_of(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
