"""So many requests a second, and a few at once: a token bucket."""

from __future__ import annotations

from .._checks import check_number
from ._faults import Fault, too_many

# What a rate brings by an instant is rounded; a token that lacks this much is whole.
_ROUNDING = 1e-9


class Allowance:
    """What a server lets through; what is beyond it gets `refusal`.

    Args:
        rate: requests a second.
        burst: how many at once, after a pause.
        retry_after: seconds that a refusal asks to wait; None for no word of it.
        now: the instant from which on it holds.
        before: what held until then; without that the bucket is full.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        retry_after: float | None,
        *,
        now: float,
        before: Allowance | None,
    ) -> None:
        check_number("rate", rate, above=0)
        check_number("burst", burst, least=1)
        self.refusal: Fault = too_many(retry_after=retry_after)
        self._rate = rate
        self._burst = burst
        self._filled_at = now
        self._tokens = float(burst)
        if before is not None:
            self._tokens = min(self._burst, before.fill(now))

    def lets_through(self, now: float) -> bool:
        """Take in a request, and tell whether it is within what is allowed."""
        if self.fill(now) < 1 - _ROUNDING:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    def fill(self, now: float) -> float:
        """Take in what has come by an instant, and return what there is then."""
        come = self._rate * (now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + come)
        self._filled_at = now
        return self._tokens
