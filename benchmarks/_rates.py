"""Throughput: requests in a closed loop, ours and those of a bare route in turns."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from ._wire import Connection, get


async def paired_rates(
    url: str, job_id: str, bare_url: str, connections: int, pairs: int, seconds: float
) -> dict[str, list[float]]:
    """Return requests a second of a status that has not changed, and of a bare route.

    With them goes how busy the generator of the load was, as a share of a core.
    """
    path = f"/v1/translations/{job_id}"
    with await Connection.open(url) as connection:
        etag = (await connection.ask(get(path))).expect(200).header("ETag")
    if etag is None:
        raise RuntimeError("the status of a job has no ETag")
    ours = get(path, {"If-None-Match": etag})
    found: dict[str, list[float]] = {"ours": [], "bare": [], "generator": []}
    # The first pair warms up.
    for turn in range(pairs + 1):
        busy = time.process_time()
        rates = [
            await _rate(url, ours, 304, connections, seconds),
            await _rate(bare_url, get("/"), 200, connections, seconds),
        ]
        busy = (time.process_time() - busy) / (2 * seconds)
        if turn:
            for name, value in zip(found, [*rates, busy], strict=True):
                found[name].append(value)
    return found


async def _rate(
    url: str, request: bytes, status: int, connections: int, seconds: float
) -> float:
    answered = [0] * connections
    opened = [await Connection.open(url) for _ in range(connections)]

    async def ask_on(which: int) -> None:
        with opened[which] as connection:
            while True:
                (await connection.ask(request)).expect(status)
                answered[which] += 1

    began = time.perf_counter()
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for which in range(connections):
                nursery.start_soon(ask_on, which)
    return sum(answered) / (time.perf_counter() - began)


def ratios(ours: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Return the ratio of each pair."""
    return [own / other for own, other in zip(ours, bare, strict=True)]
