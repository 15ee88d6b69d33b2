"""One wait: what a poll costs, how exact the deadline is, how quick the start.

Pairs are run in alternation, because a machine's speed drifts; the figure of a pair
is its ratio, or its difference.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import trio

from vtrio import VideoTranslationClient

from ._figures import print_table, spread

SUMMARY = "one wait: CPU of a poll, exactness of the deadline, time to start"

_BEHAVIOURS = {
    "never finishes": "pending",
    "never answers": "silent",
    "drips a byte a second": "drip",
    "503, Retry-After: 3600": "busy",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how much to measure."""
    parser.add_argument("--polls", type=int, default=2000, metavar="N")
    parser.add_argument("--runs", type=int, default=7, metavar="N")
    parser.add_argument("--deadline", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--starts", type=int, default=15, metavar="N")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all of it."""
    with _server() as url:
        results = {
            "overhead": _overhead(url, options),
            "deadline": _deadlines(url, options),
        }
    return {**results, "start": _starts(options)}


@contextmanager
def _server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", f"{__package__}._bad_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _overhead(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compare the CPU of polls through the client with that of bare GETs."""
    libraries: list[ModuleType] = [httpx]
    try:
        import httpx2
    except ModuleNotFoundError:
        print("httpx2 is not installed: left out")
    else:
        libraries.append(httpx2)
    results, rows = {}, []
    for library in libraries:
        bare_us, client_us, ratios = [], [], []
        for _ in range(options.runs + 1):
            bare = trio.run(_cpu_of, _bare_polls, library, url, options.polls)
            ours = trio.run(_cpu_of, _client_polls, library, url, options.polls)
            bare_us.append(bare / options.polls * 1e6)
            client_us.append(ours / options.polls * 1e6)
            ratios.append(ours / bare)
        # The first pair warms up.
        found = {
            "polls": options.polls,
            "bare_us": spread(bare_us[1:]),
            "client_us": spread(client_us[1:]),
            "ratio": spread(ratios[1:]),
        }
        results[library.__name__] = found
        rows.append(
            [
                library.__name__,
                f"{found['bare_us']['median']:.0f}",
                f"{found['client_us']['median']:.0f}",
                f"{found['ratio']['median']:.2f}",
                f"{found['ratio']['min']:.2f} to {found['ratio']['max']:.2f}",
            ]
        )
    print_table(
        f"CPU of one poll on a kept connection (microseconds, {options.polls} polls,"
        f" {options.runs} pairs)",
        ["library", "bare GET and JSON", "through the client", "ratio", "spread"],
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
