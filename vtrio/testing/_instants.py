"""What time it is for something scripted."""

from __future__ import annotations

import trio
from trio.testing import MockClock


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


def time_is_virtual() -> bool:
    """Tell whether this run of trio has a clock that takes no real time."""
    return isinstance(trio.lowlevel.current_clock(), MockClock)
