"""Ask when the job is likely to be done."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._checks import check_number, shorten
from ._base import PollState, Schedule
from ._durations import DurationModel
from ._exponential import Exponential
from ._history import DurationHistory

# What one request is worth where nothing else is said: so much of the mean duration.
REQUEST_SHARE = 0.02
# Amounts of work within an eighth of each other share one table of looks: what
# that costs goes with the square of the difference, and is far below a percent.
_WORK_STEP = math.log(1.25)
_LONGEST_DELAY = 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Poll at the ages that are best for the durations seen so far.

    With c the seconds of lag that one request is worth, the ages make
    E[c * requests + lag] least for the distribution that the history teaches (see
    `vtrio.schedules` for where the formulas are from). Before the first end is seen
    there is nothing to judge by, and `cold` says when to ask.

    After polls that failed, the next one comes 1, 2, 4 ... seconds later, if that is
    sooner: what was to be learned then has not been.

    Args:
        history: what the durations are learned from. None stands for the history of
            the client that uses this schedule; without one, `cold` is all.
        request_cost: how many seconds of lag one request is worth; the more, the
            fewer requests. By default 2 % of the mean of the ends seen.
        requests_per_job: in its place: how many requests a job may cost in the mean.
        floor: the shortest interval, in seconds.
        ceiling: the longest interval, in seconds; None for no limit.
        spread: jobs that are submitted together would be polled together; each poll is
            shifted at random within this part of the interval around it.
        cold: what is done before the first end is seen.

    Raises:
        ValueError: naming the parameter, the value and what is allowed.
    """

    history: DurationHistory | None = None
    request_cost: float | None = None
    requests_per_job: float | None = None
    floor: float = 0.05
    ceiling: float | None = None
    spread: float = 0.25
    cold: Schedule = Exponential(1, 1.5)  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if self.history is not None and not isinstance(self.history, DurationHistory):
            raise ValueError(
                f"history={shorten(self.history)} is not allowed: must be a"
                " DurationHistory"
            )
        if self.request_cost is not None:
            check_number("request_cost", self.request_cost, above=0)
        if self.requests_per_job is not None:
            check_number("requests_per_job", self.requests_per_job, above=1)
            if self.request_cost is not None:
                raise ValueError(
                    f"requests_per_job={self.requests_per_job!r} together with"
                    f" request_cost={self.request_cost!r} is not allowed: must be one"
                    " or the other, since each follows from the other"
                )
        check_number("floor", self.floor, above=0)
        if self.ceiling is not None:
            check_number("ceiling", self.ceiling, least=self.floor)
        check_number("spread", self.spread, least=0, most=1)
        if isinstance(self.cold, type) or not isinstance(self.cold, Schedule):
            raise ValueError(
                f"cold={shorten(self.cold)} is not allowed: must be a schedule"
            )

    def delay(self, state: PollState) -> float:
        """Return the seconds to the best next look at a job of this age."""
        delay, interval = self._look(state)
        # Two rolls make a triangle, whose edges are soft; the one of the whole wait
        # keeps jobs apart that were together once.
        roll = (state.phase + state.roll) / 2
        delay += (roll - 0.5) * self.spread * interval
        if state.failures:
            delay = min(delay, 2.0 ** min(state.failures - 1, 30))
        return min(max(delay, self.floor), self._longest)

    @property
    def _longest(self) -> float:
        return max(_LONGEST_DELAY, self.floor) if self.ceiling is None else self.ceiling

    def _look(self, state: PollState) -> tuple[float, float]:
        """Return the delay before spreading, and the local interval."""
        history = self.history
        belief = None if history is None else history.belief(state.key, state.work)
        if belief is None:
            delay = self.cold.delay(state)
            return delay, delay
        unit = 1.0
        if belief.work != 1:
            unit = math.exp(round(math.log(belief.work) / _WORK_STEP) * _WORK_STEP)
        inspection = belief.model.inspection(
            self._cost(belief.model, belief.mean_end / unit, unit),
            floor=self.floor / unit,
            ceiling=self._longest / unit,
        )
        age = state.age / belief.work
        look = inspection.next_after(age)
        following = inspection.next_after(look)
        # The first look comes after a long pause, and close before the second.
        interval = min(look - age, following - look)
        return (look - age) * belief.work, interval * belief.work

    def _cost(self, model: DurationModel, mean_end: float, unit: float) -> float:
        """Return what one request is worth, in units."""
        if self.requests_per_job is not None:
            return model.cost_for(
                self.requests_per_job,
                floor=self.floor / unit,
                ceiling=self._longest / unit,
            )
        if self.request_cost is not None:
            return self.request_cost / unit
        return REQUEST_SHARE * max(mean_end, 1e-9)
