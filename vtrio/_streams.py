"""Whether a feed may be asked for as a stream, by what came of those before."""

from __future__ import annotations

from ._ladder import ABSENT_REST

# A stream that does not come through, or not whole, is not asked for again soon: after
# twice as long with each in a row.
_FIRST_REST = 60.0


class Streams:
    """What streams of a feed have come to."""

    def __init__(self) -> None:
        self._from = -float("inf")
        self._rest = _FIRST_REST

    def may_use(self, now: float) -> bool:
        """Tell whether one may be asked for; the held feed is there in any case."""
        return now >= self._from

    def failed(self, now: float) -> None:
        """Take in that one did not come through, or that there are none."""
        self._from = now + self._rest
        self._rest = min(2 * self._rest, ABSENT_REST)

    def lived(self) -> None:
        """Take in that one has told something, or was silent for a beat and spoke."""
        self._rest = _FIRST_REST
