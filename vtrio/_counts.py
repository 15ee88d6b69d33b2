"""How often something happened of late: counts in a ring of equal spans of time."""

from __future__ import annotations


class Counts:
    """Counts of the latest `size` spans of `width` seconds, the running one included.

    What is counted as late as now is never older than `size * width` seconds, so a
    total is never more than what that time has really held.
    """

    __slots__ = ("_counts", "_newest", "_size", "_width")

    def __init__(self, width: float, size: int) -> None:
        self._width = width
        self._size = size
        self._counts = [0] * size
        self._newest = -1

    def add(self, now: float) -> bool:
        """Count one more; tell whether it is the first of its span."""
        span = int(now // self._width)
        is_first = span != self._newest
        if is_first:
            self._turn_to(span)
        self._counts[span % self._size] += 1
        return is_first

    def total(self, now: float) -> int:
        """Return how many there were."""
        self._turn_to(int(now // self._width))
        return sum(self._counts)

    def rate(self, now: float) -> float:
        """Return how many there were a second, from the first that is remembered on."""
        total = self.total(now)
        if not total:
            return 0.0
        newest = self._newest
        oldest = next(
            span
            for span in range(newest - self._size + 1, newest + 1)
            if self._counts[span % self._size]
        )
        return total / max(self._width, now - oldest * self._width)

    def _turn_to(self, span: int) -> None:
        """Forget what has become too old."""
        # A clock that goes back is of another run; nothing here would mean anything.
        for passed in range(min(span - self._newest, self._size)):
            self._counts[(span - passed) % self._size] = 0
        self._newest = max(span, self._newest)
