"""How busy a process and the machine are: over all of a time, and in its busiest part."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from ._rates import processor_time

BUSIEST = 5
"""Seconds of what is called the busiest part."""

MOST_BUSY = 0.9
"""With less of it left, it is the server or the machine that is measured."""

_Reading: TypeAlias = tuple[float, float, float]
"""An instant, and the seconds of the process and of all idleness so far."""


class Load:
    """Reads once a second how busy a process and the machine are; a block.

    After it, `busy` is the share of a core that the process took, `server`, and the share
    of all cores that anybody did, `machine`: over the whole block, and in its busiest 5 s
    (`server_busiest`, `machine_busiest`), which need not be the same for both.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._readings: list[_Reading] = []
        self._over = threading.Event()
        self._reading = threading.Thread(target=self._read_on, daemon=True)
        self.busy: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._readings.append(self._read())
        self._reading.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._reading.join()
        if error is None:
            self._readings.append(self._read())
            self.busy = sum_up_load(self._readings, os.cpu_count() or 1)

    def _read_on(self) -> None:
        while not self._over.wait(1.0):
            try:
                self._readings.append(self._read())
            except OSError:  # the process has ended, which others tell of
                return

    def _read(self) -> _Reading:
        cpu = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        idle = (int(cpu[4]) + int(cpu[5])) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), processor_time(self._pid), idle


def sum_up_load(readings: Sequence[_Reading], cores: int) -> dict[str, float]:
    """Return the shares of the whole time, and those of the busiest seconds."""
    server, machine = _shares(readings[0], readings[-1], cores)
    parts = [
        _shares(first, last, cores)
        for first, last in zip(readings, readings[BUSIEST:], strict=False)
    ] or [(server, machine)]
    return {
        "server": server,
        "machine": machine,
        "server_busiest": max(part for part, _ in parts),
        "machine_busiest": max(part for _, part in parts),
    }


def is_saturated(busy: Mapping[str, float]) -> bool:
    """Tell whether, in its busiest seconds, it is not the contenders that were measured."""
    return max(busy["server_busiest"], busy["machine_busiest"]) > MOST_BUSY


def _shares(first: _Reading, last: _Reading, cores: int) -> tuple[float, float]:
    wall, server, idle = (b - a for a, b in zip(first, last, strict=True))
    return server / wall, 1 - min(1.0, idle / (wall * cores))
