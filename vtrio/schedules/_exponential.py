"""Exponential backoff."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._checks import check_number
from ._base import PollState

# Beyond any wait that makes sense, and far below where a float overflows.
_LONGEST_DELAY = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Exponential:
    """Wait `initial` seconds, then `factor` times as long after every answer.

    After answer k the delay is `min(cap, initial * factor**(k - 1))`, plus a uniform
    draw from ±`jitter` seconds, never below 0. A wait that is taken up at an age
    continues where one from the submission on would be: delays from the start add up
    to `initial * (factor**n - 1) / (factor - 1)`, solved for n. With
    `from_age=False` it counts its own answers only.
    """

    initial: float = 1.0
    factor: float = 2.0
    cap: float | None = None
    jitter: float = 0.0
    from_age: bool = True

    def __post_init__(self) -> None:
        check_number("initial", self.initial, least=0)
        check_number("factor", self.factor, least=1)
        if self.cap is not None:
            check_number("cap", self.cap, least=0)
        check_number("jitter", self.jitter, least=0)

    def delay(self, state: PollState) -> float:
        """Return the next delay; `state.roll` places it inside the jitter's band."""
        steps = max(state.answers - 1, 0)
        if self.from_age:
            steps += self._steps_before(state.start_age)
        delay = min(self._grown(steps), self._longest)
        return max(0.0, delay + (2 * state.roll - 1) * self.jitter)

    @property
    def _longest(self) -> float:
        return _LONGEST_DELAY if self.cap is None else self.cap

    def _grown(self, steps: int) -> float:
        """Multiply out, but never overflow: 2.0**1024 is an error, not a delay."""
        if self.initial == 0:
            return 0.0
        exponent = math.log(self.initial) + steps * math.log(self.factor)
        if exponent > math.log(_LONGEST_DELAY):
            return _LONGEST_DELAY
        try:
            return float(self.initial * self.factor**steps)
        except OverflowError:  # the power alone, before a tiny initial delay tames it
            return math.exp(exponent)

    def _steps_before(self, age: float) -> int:
        if age <= 0 or self.initial == 0 or self.factor == 1:
            return 0
        # An initial delay may be so small that the division overflows.
        grown = min(age * (self.factor - 1) / self.initial, 1e300)
        # A hair more, or the age of exactly the third poll would count as before it.
        return int(math.log1p(grown) / math.log(self.factor) + 1e-9)
