"""The same interval, always."""

from __future__ import annotations

from dataclasses import dataclass

from .._checks import check_number
from ._base import PollState


@dataclass(frozen=True, slots=True)
class Fixed:
    """Ask every `interval` seconds."""

    interval: float

    def __post_init__(self) -> None:
        check_number("interval", self.interval, least=0)

    def delay(self, state: PollState) -> float:
        """Return the interval, whatever the state."""
        return self.interval
