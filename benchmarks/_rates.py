"""Throughput: requests in a closed loop, ours and those of a bare route in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from ._wire import Connection, get


async def paired_rates(
    url: str,
    pid: int,
    job_id: str,
    bare_url: str,
    bare_pid: int,
    connections: int,
    pairs: int,
    seconds: float,
) -> dict[str, list[float]]:
    """Return requests a second of a status that has not changed, and of a bare route.

    With them go the seconds that one of them takes of its server's processor, and the
    share of a core that the generator of the load has taken.
    """
    path = f"/v1/translations/{job_id}"
    with await Connection.open(url) as connection:
        etag = (await connection.ask(get(path))).expect(200).header("ETag")
    if etag is None:
        raise RuntimeError("the status of a job has no ETag")
    ours = get(path, {"If-None-Match": etag})
    names = "ours", "cpu", "bare", "bare_cpu", "generator"
    found: dict[str, list[float]] = {name: [] for name in names}
    # The first pair warms up.
    for turn in range(pairs + 1):
        busy = time.process_time()
        figures = (
            *await _rate(url, pid, ours, 304, connections, seconds),
            *await _rate(bare_url, bare_pid, get("/"), 200, connections, seconds),
            (time.process_time() - busy) / (2 * seconds),
        )
        if turn:
            for name, figure in zip(names, figures, strict=True):
                found[name].append(figure)
    return found


async def _rate(
    url: str, pid: int, request: bytes, status: int, connections: int, seconds: float
) -> tuple[float, float]:
    answered = [0] * connections
    opened = [await Connection.open(url) for _ in range(connections)]

    async def ask_on(which: int) -> None:
        with opened[which] as connection:
            while True:
                (await connection.ask(request)).expect(status)
                answered[which] += 1

    began, busy = time.perf_counter(), processor_time(pid)
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for which in range(connections):
                nursery.start_soon(ask_on, which)
    busy = processor_time(pid) - busy
    return sum(answered) / (time.perf_counter() - began), busy / sum(answered)


def processor_time(pid: int) -> float:
    """Return the seconds that a process has had of the processor."""
    _, _, after = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")
    user, system = after.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def ratios(ours: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Return the ratio of each pair."""
    return [own / other for own, other in zip(ours, bare, strict=True)]
