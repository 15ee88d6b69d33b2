"""Stands in for the governor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Governor:
    def __init__(
        self, *, max_in_flight: int = 20, max_rate: float | None = None
    ) -> None:
        self.max_in_flight = max_in_flight
        self._limiter = trio.CapacityLimiter(max_in_flight)

    @asynccontextmanager
    async def turn(self, due_at: float, *, held: bool = False) -> AsyncIterator[None]:
        if held:
            yield
        else:
            async with self._limiter:
                yield
