"""The distribution of durations, learned from what polls tell of them.

A poll does not tell when a job ended, only between which polls; a wait that was given
up tells that the job lasts longer. From such intervals the model makes masses on cells
of equal width in log time:

1. Self-consistency (B. W. Turnbull, "The empirical distribution function with
   arbitrarily grouped, censored and truncated data", J. Royal Stat. Soc. B 38 (1976)
   290-295): the mass of each observation is spread over its interval in proportion to
   the current estimate there.
2. Smoothing between the rounds (B. W. Silverman et al., "A smoothed EM approach to
   indirect estimation problems", J. Royal Stat. Soc. B 52 (1990) 271-324), with several
   bandwidths. Each is weighted by the likelihood that it gives to each observation when
   left out, and by its own width, since narrow kernels are for those who have seen much.
   Averaging the densities keeps what is good in each; picking one does not.
3. A prior, uniform in log time, with the weight of two observations: so that no age is
   thought impossible that was merely not seen yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, compress
from math import log
from operator import add, mul, sub
from typing import TypeAlias

from ._inspection import Inspection, inspect
from ._smoothing import smooth, stay_rate

Interval: TypeAlias = tuple[float, float | None]
"""Seconds: still running at the first, over at the second; None where not seen."""

# Beyond these no duration is told from another. Seconds, or seconds a unit of work.
SHORTEST, LONGEST = 1e-4, 1e9

_CELLS = 280
# How far the cells go beyond the shortest and the longest duration seen.
_MARGIN = math.log(8)
# In log time: a few percent for durations that hardly vary, a factor of three for those
# of which hardly any was seen.
_BANDWIDTHS = (0.06, 0.12, 0.25, 0.5, 1.0)
_ROUNDS = 8
# A bandwidth of less weight than this is not looked at any more.
_NEGLIGIBLE = 1e-3
_PRIOR_WEIGHT = 2.0
# Of the prior, what lies beyond the cells.
_PRIOR_TAIL = 0.02
_LEAST_LIKELIHOOD = 1e-12
# How close a search for a request cost comes to the budget that it is for, and how
# long it may take: each step solves for a schedule.
_CLOSE_ENOUGH = 0.05
_SEARCH_STEPS = 5


class DurationModel:
    """A distribution of durations, and the schedules that are best for it.

    Never changes, apart from remembering the schedules that it was asked for.

    Args:
        intervals: what was seen; at least one of them ended.

    Attributes:
        ends: how many of the intervals ended.
        mean_end: the mean of the middles of those.
        ages: 0, and then the ends of the cells.
        masses: what ends in each cell, 0 for age 0; what is lacking to 1 ends later.
    """

    def __init__(self, intervals: Sequence[Interval]) -> None:
        ended = [(after, until) for after, until in intervals if until is not None]
        if not ended:
            raise ValueError("intervals: at least one must have ended")
        self.ends = len(ended)
        middles = (min((after + until) / 2, LONGEST) for after, until in ended)
        self.mean_end = math.fsum(middles) / len(ended)
        bounds = [_within(bound) for pair in ended for bound in pair if bound > 0]
        self._low = math.log(min(bounds, default=SHORTEST)) - _MARGIN
        high = math.log(max(bounds, default=SHORTEST)) + _MARGIN
        self._step = (high - self._low) / _CELLS
        self.ages = [
            0.0,
            *(math.exp(self._low + self._step * k) for k in range(1, _CELLS + 1)),
        ]
        cells = Counter(map(self._cells_of, intervals))
        self.masses, self.bandwidths = _fit(cells, self._step)
        self._ended = list(accumulate(self.masses))
        self._inspections: dict[object, Inspection] = {}
        self._costs: dict[object, float] = {}

    def __repr__(self) -> str:
        return f"<DurationModel ends={self.ends} mean={self.mean_end:.4g}>"

    def ended_by(self, age: float) -> float:
        """Return the share of jobs that end up to this age."""
        if age <= SHORTEST:
            return 0.0
        place = (math.log(age) - self._low) / self._step
        if place <= 0:
            return 0.0
        if place >= _CELLS:
            return self._ended[_CELLS]
        cell = int(place)
        return self._ended[cell] + (place - cell) * self.masses[cell + 1]

    def likelihood(self, interval: Interval) -> float:
        """Return the probability of what was seen; of an exact age, to 5 %."""
        after, until = interval
        if until == after:
            after, until = after / 1.05, after * 1.05
        total = self.ended_by(until) if until is not None else 1.0
        return max(total - self.ended_by(after), _LEAST_LIKELIHOOD)

    def inspection(
        self, request_cost: float, *, floor: float, ceiling: float
    ) -> Inspection:
        """Return the best looks where one is worth `request_cost` seconds of lag."""
        wanted = (request_cost, floor, ceiling)
        if (known := self._inspections.get(wanted)) is None:
            known = self._inspections[wanted] = inspect(
                self.ages,
                self.masses,
                request_cost,
                floor=floor,
                ceiling=ceiling,
                divide=True,
            )
        return known

    def cost_for(self, requests: float, *, floor: float, ceiling: float) -> float:
        """Return a request cost that spends about so many requests a job, not more.

        A higher cost never gives more requests, and they go about with its square
        root, less the one that nobody is spared: so a search by secants in logarithms
        ends after a few steps.
        """
        wanted = (requests, floor, ceiling)
        if (known := self._costs.get(wanted)) is None:

            def spent(cost: float) -> float:
                return self.inspection(cost, floor=floor, ceiling=ceiling).requests

            start = 0.02 * max(self.mean_end, SHORTEST)
            known = self._costs[wanted] = _cost_within(requests, spent, start)
        return known

    def _cells_of(self, interval: Interval) -> tuple[int, int]:
        """Return the cells of an interval: after the first, up to the second."""
        after, until = interval
        if until is None:
            return self._place(after, round), _CELLS + 1
        if after == until:
            end = max(self._place(until, math.ceil), 1)
            return end - 1, end
        # Polls that this model's own schedule made lie at the ends of cells.
        start = min(self._place(after, round), _CELLS - 1)
        return start, max(self._place(until, round), start + 1)

    def _place(self, age: float, rounded: Callable[[float], int]) -> int:
        if age <= 0:
            return 0
        place = (math.log(_within(age)) - self._low) / self._step
        return min(max(rounded(place), 0), _CELLS)


def _within(age: float) -> float:
    return min(max(age, SHORTEST), LONGEST)


def _fit(
    cells: Counter[tuple[int, int]], step: float
) -> tuple[list[float], dict[float, float]]:
    """Return the masses of age 0 and of all cells, and the bandwidths' weights."""
    flat = (1 - _PRIOR_TAIL) / _CELLS
    prior = [0.0, *([_PRIOR_WEIGHT * flat] * _CELLS), _PRIOR_WEIGHT * _PRIOR_TAIL]
    masses = [mass / _PRIOR_WEIGHT for mass in prior]
    judges = [_Judge(cells, bandwidth, step) for bandwidth in _BANDWIDTHS]
    weights: list[float] = []
    for _ in range(_ROUNDS):
        expected, beyond = _expected_counts(cells, masses)
        smoothed = [smooth(expected, judge.bandwidth / step) for judge in judges]
        scores = list(map(_Judge.score, judges, smoothed))
        best = max(scores)
        odds = [math.exp(score - best) for score in scores]
        # A bandwidth that has lost is not looked at any more.
        kept = [odd > _NEGLIGIBLE for odd in odds]
        judges = list(compress(judges, kept))
        odds = list(compress(odds, kept))
        weights = [odd / sum(odds) for odd in odds]
        mixed = [0.0] * _CELLS
        for weight, counts in zip(weights, compress(smoothed, kept), strict=True):
            mixed = list(map(add, mixed, map(weight.__mul__, counts)))
        masses = list(map(add, prior, [0.0, *mixed, beyond]))
        # The smoothing has lost what went beyond the ends.
        whole = math.fsum(masses)
        masses = [mass / whole for mass in masses]
    found = {judge.bandwidth: w for judge, w in zip(judges, weights, strict=True)}
    return masses[:-1], found


def _expected_counts(
    cells: Counter[tuple[int, int]], masses: Sequence[float]
) -> tuple[list[float], float]:
    """Spread what was seen by the current masses: counts a cell, and beyond them."""
    below = list(accumulate(masses))
    # What each cell's mass is multiplied with, as steps up and down.
    steps = [0.0] * (len(masses) + 1)
    for (start, end), count in cells.items():
        share = count / max(below[end] - below[start], _LEAST_LIKELIHOOD)
        steps[start + 1] += share
        steps[end + 1] -= share
    spread = map(mul, masses, accumulate(steps))
    # The difference of two sums may be negative in its last digit.
    counts = [count if count > 0 else 0.0 for count in spread]
    return counts[1:-1], counts[-1]


class _Judge:
    """Scores one bandwidth by the likelihood of each observation, itself left out.

    Of those that are known to last longer, and no more, little could be left out.
    """

    def __init__(
        self, cells: Counter[tuple[int, int]], bandwidth: float, step: float
    ) -> None:
        self.bandwidth = bandwidth
        ended = [(pair, count) for pair, count in cells.items() if pair[1] <= _CELLS]
        self._starts = [start for (start, _), _ in ended]
        self._ends = [end for (_, end), _ in ended]
        self._counts = [count for _, count in ended]
        widths = [end - start for (start, end), _ in ended]
        # What the others do not add: the prior does, and its own mass is left out.
        own = {
            width: _PRIOR_WEIGHT * width / _CELLS - stay_rate(width * step / bandwidth)
            for width in set(widths)
        }
        self._own = [own[width] for width in widths]

    def score(self, smoothed: Sequence[float]) -> float:
        """Return the logarithm of the likelihood, and of the bandwidth's own odds.

        But for what all bandwidths have in common: the number of the others.
        """
        below = list(accumulate(smoothed, initial=0.0))
        at = below.__getitem__
        others = map(sub, map(at, self._ends), map(at, self._starts))
        shares = map(add, others, self._own)
        # A conditional is twice as quick as `max`, and this is half of all the work.
        least = _LEAST_LIKELIHOOD
        logs = [log(share if share > least else least) for share in shares]  # noqa: FURB136
        return log(self.bandwidth) + math.fsum(map(mul, self._counts, logs))


def _cost_within(
    requests: float, spent: Callable[[float], float], start: float
) -> float:
    """Search for a cost at which no more than `requests` are spent, but hardly less."""
    aim = math.log((requests - 1) * (1 - _CLOSE_ENOUGH / 2))
    # Logarithms of costs, and of what they spend beyond one request.
    dear: tuple[float, float] | None = None
    cheap: tuple[float, float] | None = None
    guess = math.log(start)
    for _ in range(_SEARCH_STEPS):
        at_guess = spent(math.exp(guess))
        point = (guess, math.log(max(at_guess - 1, 1e-6)))
        if at_guess > requests:
            cheap = point
        else:
            dear = point
            if at_guess - 1 >= (requests - 1) * (1 - _CLOSE_ENOUGH):
                break
        if cheap is None or dear is None:
            guess += min(max(2 * (point[1] - aim), -7.0), 7.0)
        else:
            share = (cheap[1] - aim) / (cheap[1] - dear[1])
            guess = cheap[0] + min(max(share, 0.1), 0.9) * (dear[0] - cheap[0])
    return math.exp(dear[0] if dear is not None else guess)
