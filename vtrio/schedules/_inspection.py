"""The optimal inspection schedule: at which ages to look at a job.

A job ends at an unknown age T. Whoever asks at ages x1 < x2 < ... learns of the end at
the first xi >= T, and pays one request for every look and xi - T seconds of lag. With c
the seconds of lag that one request is worth, the best ages make E[c * requests + lag]
least. This is the problem of optimal checking of reliability theory: R. E. Barlow,
L. C. Hunter, F. Proschan, "Optimum checking procedures", J. SIAM 11 (1963) 1078-1095;
J. B. Keller, "Optimum checking schedules for systems subject to random failure",
Management Science 21 (1974) 256-260, where the density of checks goes with the square
root of the hazard rate.

Here the distribution is a list of cells, and the solution is exact on it. Let V(i) be
what is still to be paid after a look at age q_i, weighted by mass: with W and M the
running sums of the masses w and of w * q,

    V(i) = min over j > i of
             c * (1 - W(i))                               one more look at what still runs
           + q_j * (W(j) - W(i)) - (M(j) - M(i))          the lag of what ended up to q_j
           + V(j)

The best j never falls as i grows (the terms have the Monge property, because the only
one that ties i to j is -q_j * W(i)), so each i needs only look from its own successor
to that of i + 1. A floor and a ceiling for the intervals keep that property, since both
ends of the window that they leave rise with i.

Where a request is worth little, the best interval is narrower than a cell. The mass of
a cell lies evenly in it, so n looks at even distances save w * width / 2 * (1 - 1 / n)
of lag and cost c * (n - 1) * (1 - W(i) - w / 2) more: that is least for the square root
of w * width / (2 * c * (1 - W(i) - w / 2)), which is Keller's density.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import mul, sub

# Beyond the last cell nothing is known but that the job has outlived all others.
TAIL_FACTOR = 1.5
# An age that came out of one sum and is looked up after another is the same age.
_SLIP = 1e-9
# The next looks from the two ends of a cell are near each other within so many cells.
_NEAR = 8
_MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Inspection:
    """When to look next from any age on; ages and intervals in one unit.

    Attributes:
        ages: 0, and then the ends of the cells, rising.
        following: for each of the ages, the index of the next look.
        parts: for each of the ages, into how many intervals the next cell is divided,
            where the next look is at its end.
        requests: looks that a job is expected to cost up to the last cell.
        lag: the lag that is expected of the jobs that end within the cells.
        floor, ceiling: between which every interval lies.
    """

    ages: Sequence[float]
    following: Sequence[int]
    parts: Sequence[int]
    requests: float
    lag: float
    floor: float = 0.0
    ceiling: float = math.inf

    def next_after(self, age: float) -> float:
        """Return the age of the next look, for a job that still ran at this age."""
        ages = self.ages
        if age >= ages[-1] * (1 - _SLIP):
            look = age * TAIL_FACTOR
        else:
            cell = bisect_right(ages, age * (1 + _SLIP)) - 1
            first, second = self.following[cell], self.following[cell + 1]
            look = ages[first]
            if (parts := self.parts[cell]) > 1:
                look = age + (look - ages[cell]) / parts
            # Looks at ages that differ must not fall together, or jobs that were
            # spread meet again. Between looks that lie far apart nothing is to be seen.
            elif cell and second - first <= _NEAR:
                inside = max(0.0, age - ages[cell]) / (ages[cell + 1] - ages[cell])
                look += inside * (ages[second] - look)
        return min(max(look, age + self.floor), age + self.ceiling)


def inspect(
    ages: Sequence[float],
    masses: Sequence[float],
    request_cost: float,
    *,
    floor: float = 0.0,
    ceiling: float = math.inf,
    divide: bool = False,
) -> Inspection:
    """Solve for the best looks; `masses[k]` ends within (ages[k - 1], ages[k]].

    `ages[0]` and `masses[0]` are 0. What the masses lack to 1 ends after the last age,
    or never: it pays for looks, and is looked at geometrically from then on. With
    `divide`, masses lie evenly in their cells, and cells may be divided; else they lie
    at the ends.
    """
    last = len(ages) - 1
    ended = list(accumulate(masses))
    moment = list(accumulate(map(mul, masses, ages)))
    following, parts = [last] * (last + 1), [1] * (last + 1)
    requests, lags = [0.0] * (last + 1), [0.0] * (last + 1)
    # What choosing j costs apart from -q_j * W(i): q_j * W(j) - M(j) + V(j).
    choice = [0.0] * (last + 1)
    choice[last] = ages[last] * ended[last] - moment[last]
    nearest = furthest = last
    for i in range(last - 1, -1, -1):
        gone = ended[i]
        # The window of what is allowed; where no cell ends inside it, the nearest one.
        while nearest - 1 > i and ages[nearest - 1] - ages[i] >= floor:
            nearest -= 1
        while furthest > nearest and ages[furthest] - ages[i] > ceiling:
            furthest -= 1
        furthest = max(furthest, nearest)
        window = slice(nearest, furthest + 1)
        costs = list(map(sub, choice[window], map(gone.__mul__, ages[window])))
        more = saved = 0.0
        if divide and nearest == i + 1:
            width, mass = ages[nearest] - ages[i], masses[nearest]
            running = 1 - gone - mass / 2
            count = _parts(width * mass, request_cost * running, width, floor)
            more = (count - 1) * running
            saved = width * mass / 2 * (1 - 1 / count)
            costs[0] += request_cost * more - saved
        least = min(costs)
        j = following[i] = furthest = nearest + costs.index(least)
        if j > i + 1 or not more:
            more = saved = 0.0
        else:
            parts[i] = count
        choice[i] = ages[i] * gone + request_cost * (1 - gone) + least
        requests[i] = 1 - gone + more + requests[j]
        caught = ended[j] - gone
        lags[i] = ages[j] * caught - (moment[j] - moment[i]) - saved + lags[j]
    # Masses that lie evenly in their cells wait for half a cell longer.
    within = sum(
        m * (b - a) for m, (a, b) in zip(masses[1:], pairwise(ages), strict=True)
    )
    return Inspection(
        ages=ages,
        following=following,
        parts=parts,
        requests=requests[0],
        lag=lags[0] + (within / 2 if divide else 0.0),
        floor=floor,
        ceiling=ceiling,
    )


def _parts(spread: float, looks: float, width: float, floor: float) -> int:
    """Return into how many parts a cell is best divided.

    From n - 1 parts to n saves spread / (2 * n * (n - 1)), where `spread` is width *
    mass, and costs `looks`: what one more look costs the jobs that run.
    """
    best = 0.0 if looks <= 0 else spread / (2 * looks)
    most = math.inf if floor <= 0 else width / floor
    count = min((math.sqrt(1 + 4 * best) + 1) / 2, most, _MOST_PARTS)
    return max(1, int(count))
