"""Waking somebody who waits for an instant, or for news."""

from __future__ import annotations

import math

import trio


class Bell:
    """Rings once for all that has happened since it was last heard."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """Wake whoever listens; or let whoever listens next go on at once."""
        self._rung.set()

    async def heard(self, until: float = math.inf) -> None:
        """Wait until it rings, or until an instant of trio's clock, and be heard once."""
        with trio.move_on_at(until):
            await self._rung.wait()
        if self._rung.is_set():
            self._rung = trio.Event()
