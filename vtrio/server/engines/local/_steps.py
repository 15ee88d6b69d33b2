"""Progress over all stages as one number that only rises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .._base import Progress

_T = TypeVar("_T")

# Each stage's share of the time, measured on 21 to 45 s of speech on two cores.
SHARES = {
    "extracting": 0.03,
    "recognizing": 0.33,
    "translating": 0.04,
    "speaking": 0.55,
    "muxing": 0.05,
}

# More often is not worth a message, which costs the server a write.
_PACE = 0.25


class Steps:
    """Where an attempt stands; tells of it when there is something new."""

    def __init__(
        self,
        tell: Callable[[Progress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._stage = ""
        self._base = 0.0
        self._share = 0.0
        self._told = 0.0
        self._told_at = clock()

    def enter(self, stage: str) -> None:
        """Begin a stage, which ends the one before."""
        self._base += self._share
        self._stage, self._share = stage, SHARES[stage]
        self._send(self._base)

    def reach(self, part: float) -> None:
        """Say how much of this stage is done, from 0 to 1."""
        fraction = self._base + self._share * min(max(part, 0.0), 1.0)
        if fraction > self._told and self._clock() >= self._told_at + _PACE:
            self._send(fraction)

    def through(self, items: Sequence[_T]) -> Iterator[_T]:
        """Yield the items of a stage, reaching further with each."""
        for number, item in enumerate(items):
            self.reach(number / len(items))
            yield item

    def learn(
        self, *, media_seconds: float | None = None, source_language: str | None = None
    ) -> None:
        """Pass on what was found out on the way."""
        self._send(
            self._told, media_seconds=media_seconds, source_language=source_language
        )

    def finish(self) -> None:
        """Say that all is done."""
        self._send(1.0)

    def _send(
        self,
        fraction: float,
        *,
        media_seconds: float | None = None,
        source_language: str | None = None,
    ) -> None:
        # The shares' sum may pass 1 by a rounding error.
        self._told = min(max(fraction, self._told), 1.0)
        self._told_at = self._clock()
        self._tell(
            Progress(
                stage=self._stage,
                fraction=self._told,
                media_seconds=media_seconds,
                source_language=source_language,
            )
        )
