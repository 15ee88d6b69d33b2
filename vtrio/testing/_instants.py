"""What time it is for something scripted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import trio
from trio.testing import MockClock

_DAWN = datetime(2026, 1, 1, tzinfo=UTC)


class Instants:
    """Instants of a virtual clock, which begins at 0; of another since its first use.

    Before the run it is 0: that is when a virtual clock begins, and when another one is
    first used.
    """

    def __init__(self) -> None:
        self._zero: float | None = None

    def now(self) -> float:
        """Return the instant."""
        if not trio.lowlevel.in_trio_run():
            return 0.0
        now = trio.current_time()
        if self._zero is None:
            self._zero = 0.0 if time_is_virtual() else now
        return now - self._zero

    def on_the_clock(self, instant: float) -> float:
        """Return what trio's clock says at an instant; it must have been asked once."""
        return instant + (self._zero or 0.0)


def time_is_virtual() -> bool:
    """Tell whether this run of trio has a clock that takes no real time."""
    return isinstance(trio.lowlevel.current_clock(), MockClock)


def wall(now: float) -> datetime:
    """Return a scripted server's time of day at an instant; at 0 the year 2026 begins."""
    return _DAWN + timedelta(seconds=now)
