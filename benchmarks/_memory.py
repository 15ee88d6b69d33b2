"""Memory of a server: while a large upload comes in, and with many held requests."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import trio

from ._wire import FORM_END, Connection, post_head

_PIECE = 256 * 1024
_CONNECTING = 64
# Memory has settled when its last readings are as near to one another.
_READINGS = 6
_BETWEEN_READINGS = 0.25
_LIKENESS = 0.002
_LONGEST_SETTLING = 45.0


def resident(pid: int) -> int:
    """Return the bytes that a process has in memory."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """Return the most bytes that a process has had in memory since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Count the peak from here on; see proc_pid_clear_refs(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _status(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in text.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


async def upload(url: str, size: int) -> float:
    """Upload a video of a size as fast as it is taken; return the seconds it took."""
    piece = bytes(_PIECE)
    began = time.perf_counter()
    with await Connection.open(url) as connection:
        await connection.send(post_head(size))
        for _ in range(size // _PIECE):
            await connection.send(piece)
        await connection.send(piece[: size % _PIECE])
        (await connection.ask(FORM_END)).expect(202)
    return time.perf_counter() - began


async def bytes_a_held_request(url: str, pid: int, request: bytes, held: int) -> float:
    """Hold requests; return by how much each has the server grow.

    A tenth of them is held before, because what is imported and pooled at first use is
    not a request's.
    """
    async with trio.open_nursery() as nursery:
        before = await _hold(nursery, url, pid, request, held // 10)
        after = await _hold(nursery, url, pid, request, held)
        nursery.cancel_scope.cancel("all are measured")
    return (after - before) / held


async def _hold(
    nursery: trio.Nursery, url: str, pid: int, request: bytes, held: int
) -> int:
    """Hold some more requests, and return what the server then has in memory."""
    limiter = trio.CapacityLimiter(_CONNECTING)

    async def ask() -> None:
        async with limiter:
            connection = await Connection.open(url)
            await connection.send(request)
        nursery.start_soon(never_answered, connection)

    async def never_answered(connection: Connection) -> None:
        with connection:
            answer = await connection.receive()
            raise RuntimeError(f"answered instead of held: {answer}")

    async with trio.open_nursery() as asking:
        for _ in range(held):
            asking.start_soon(ask)
    return await _settled(pid)


async def _settled(pid: int) -> int:
    readings: deque[int] = deque(maxlen=_READINGS)
    with trio.move_on_after(_LONGEST_SETTLING):
        while (
            len(readings) < _READINGS
            or max(readings) - min(readings) > _LIKENESS * readings[-1]
        ):
            await trio.sleep(_BETWEEN_READINGS)
            readings.append(resident(pid))
    return readings[-1]
