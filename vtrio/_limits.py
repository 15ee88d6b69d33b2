"""When a wait gives up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ._checks import check_count, check_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to give up; None is never. Seconds, from the beginning of the wait.

    `max_total_time` is the limit of many waits, where that is what ends this one;
    `max_silence` ends a wait to which nothing has answered for so long;
    `request_timeout` is what one poll alone may take.
    """

    max_wait_time: float | None = None
    max_total_time: float | None = None
    max_attempts: int | None = None
    max_silence: float | None = None
    request_timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.max_wait_time is not None and self.max_wait_time != math.inf:
            check_number("max_wait_time", self.max_wait_time, above=0)
        if self.max_attempts is not None:
            check_count("max_attempts", self.max_attempts)
        if self.max_silence is not None:
            check_number("max_silence", self.max_silence, above=0)
        check_number("request_timeout", self.request_timeout, above=0)
