"""A healthy client beside bad ones, and the end of a server that has such clients."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from ._figures import percentile
from ._servers import Server, apart, starting
from ._submissions import submit
from ._wire import Connection, get

_BETWEEN_POLLS = 0.01
_SETTLING = 1.0
_LARGE = 8 * 1024**2
_LONGEST_STOP = 60.0


async def polls(url: str, path: str, seconds: float) -> list[float]:
    """Poll in a closed loop at a modest rate; return how long each poll took."""
    took: list[float] = []
    with await Connection.open(url) as connection:
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            (await connection.ask(get(path))).expect(200)
            took.append(time.perf_counter() - began)
            await trio.sleep(_BETWEEN_POLLS)
    return took


@contextmanager
def _bad_clients(
    url: str, video_path: str, number: int, log: Path
) -> Iterator[subprocess.Popen[str]]:
    module = f"{__package__}._bad_clients"
    with starting(module, url, video_path, number, log=log) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        if not process.stdout.readline():
            raise RuntimeError(f"the bad clients failed:\n{log.read_text()}")
        yield process


def besiege(
    server: Server, folder: Path, *, number: int, pairs: int, seconds: float
) -> dict[str, Any]:
    """Measure a healthy client with bad ones and without, in turns; then stop it."""
    (job_id,) = apart(submit, server.url, 1, _LARGE)
    path = f"/v1/translations/{job_id}"
    apart(_until_completed, server.url, path)
    log = folder / "bad-clients.log"
    alone: list[list[float]] = []
    besieged: list[list[float]] = []
    returns = 0
    apart(polls, server.url, path, seconds)  # warms up
    for _ in range(pairs):
        alone.append(apart(polls, server.url, path, seconds))
        with _bad_clients(server.url, f"{path}/video", number, log) as crowd:
            time.sleep(_SETTLING)
            besieged.append(apart(polls, server.url, path, seconds))
            returns += _ask(crowd)["returns"]
    found = {"alone_ms": _p99(alone), "besieged_ms": _p99(besieged), "returns": returns}
    with _bad_clients(server.url, f"{path}/video", number, log) as crowd:
        time.sleep(_SETTLING)
        found["standing"] = _ask(crowd)["standing"]
        found["seconds_to_stop"] = stop(server)
    return found


def stop(server: Server) -> float:
    """Send SIGTERM, and return the seconds until the process has ended."""
    began = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(_LONGEST_STOP)
    except subprocess.TimeoutExpired:
        return float("inf")
    return time.perf_counter() - began


def _p99(runs: list[list[float]]) -> dict[str, float]:
    """Return the 99th percentile of all runs together, and the ends of those of each."""
    each = [percentile(run, 99) * 1000 for run in runs]
    together = percentile([took for run in runs for took in run], 99) * 1000
    return {"min": min(each), "all": together, "max": max(each)}


def _ask(crowd: subprocess.Popen[str]) -> dict[str, int]:
    assert crowd.stdin is not None  # noqa: S101 - a pipe was asked for
    assert crowd.stdout is not None  # noqa: S101 - likewise
    crowd.stdin.write("\n")
    crowd.stdin.flush()
    told: dict[str, int] = json.loads(crowd.stdout.readline())
    return told


async def _until_completed(url: str, path: str) -> None:
    with await Connection.open(url) as connection:
        while True:
            answer = (await connection.ask(get(path))).expect(200)
            if answer.json()["status"] == "completed":
                return
            await trio.sleep(0.05)
