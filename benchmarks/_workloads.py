"""The workloads of the schedules' benchmark: how long jobs last.

The six named distributions and the percentile table are those of `vtrio serve --engine
simulated`; the others are a change of regime, jobs that fail or never end, and jobs
whose length goes with the length of their media.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from vtrio._distributions import Durations
from vtrio.schedules._inspection import TAIL_FACTOR, inspect

from ._options import BadOption

_POINTS = 20_000
_CELLS = 2500


class Job(NamedTuple):
    """One job: seconds that it lasts, and seconds of media where they matter."""

    duration: float
    work: float | None = None


class Regime(Protocol):
    """One distribution of durations; `horizon` is when waits give up."""

    @property
    def horizon(self) -> float: ...

    def draw(self, rng: random.Random) -> Job:
        """Draw a job."""
        ...

    def points(self) -> list[tuple[float, float]]:
        """Return the distribution as durations, rising, each with its weight."""
        ...


@dataclass(frozen=True)
class Named:
    """A family of `vtrio._distributions`, stretched."""

    durations: Durations
    stretch: float = 1.0
    horizon: float = math.inf

    def draw(self, rng: random.Random) -> Job:
        """Draw a job."""
        return Job(self.stretch * self.durations.at(rng.random()))

    def points(self) -> list[tuple[float, float]]:
        """Return its quantiles."""
        at, weight = self.durations.at, 1 / _POINTS
        return [
            (self.stretch * at((k + 0.5) / _POINTS), weight) for k in range(_POINTS)
        ]


@dataclass(frozen=True)
class Trace:
    """Durations from a file, drawn with replacement."""

    durations: tuple[float, ...]
    horizon: float = math.inf

    def draw(self, rng: random.Random) -> Job:
        """Draw a job."""
        return Job(rng.choice(self.durations))

    def points(self) -> list[tuple[float, float]]:
        """Return the whole file."""
        return [(value, 1 / len(self.durations)) for value in sorted(self.durations)]


@dataclass(frozen=True)
class Faulty:
    """Some fail at a third of their time, and some never end."""

    durations: Durations
    horizon: float
    failing: float = 0.05
    endless: float = 0.01

    def draw(self, rng: random.Random) -> Job:
        """Draw a job."""
        kind, duration = rng.random(), self.durations.at(rng.random())
        if kind < self.endless:
            return Job(math.inf)
        return Job(duration / 3 if kind < self.endless + self.failing else duration)

    def points(self) -> list[tuple[float, float]]:
        """Return the quantiles of the three kinds, by their shares."""
        plain = Named(self.durations).points()
        usual = 1 - self.failing - self.endless
        ending = [(value, weight * usual) for value, weight in plain]
        ending += [(value / 3, weight * self.failing) for value, weight in plain]
        return [*sorted(ending), (math.inf, self.endless)]


@dataclass(frozen=True)
class Media:
    """Jobs that last 1.5 times their media, give or take."""

    median: float = 60.0
    sigma: float = 1.0
    ratio: float = 1.5
    noise: float = 0.15
    horizon: float = math.inf

    def draw(self, rng: random.Random) -> Job:
        """Draw a job, whose length of media may be known."""
        media = self.median * math.exp(rng.gauss(0, self.sigma))
        return Job(self.ratio * media * math.exp(rng.gauss(0, self.noise)), media)

    def points(self) -> list[tuple[float, float]]:
        """Return the quantiles of the durations, which are lognormal themselves."""
        sigma = math.hypot(self.sigma, self.noise)
        median = self.ratio * self.median
        return Named(Durations("lognormal", (median, sigma))).points()


@dataclass(frozen=True)
class Workload:
    """What is waited for: regimes, each from a number of jobs on."""

    name: str
    regimes: tuple[tuple[int, Regime], ...]

    def regime(self, job: int) -> int:
        """Return the place of the regime in which the job of this number runs."""
        firsts = [first for first, _ in self.regimes]
        return bisect_right(firsts, job) - 1


def _simple(name: str, family: str, stretch: float = 1.0) -> Workload:
    return Workload(name, ((0, Named(Durations.parse(family), stretch)),))


_LOGNORMAL = Durations.parse("lognormal:60,0.5")
GROWS_AFTER, SHRINKS_AFTER = 150, 300

WORKLOADS: tuple[Workload, ...] = (
    _simple("uniform(5, 15) s", "uniform:5,15"),
    _simple("lognormal, median 60 s, sigma 0.5", "lognormal:60,0.5"),
    _simple("lognormal, median 600 s, sigma 0.8", "lognormal:600,0.8"),
    _simple("exponential, mean 60 s", "exponential:60"),
    _simple("bimodal, 20 s and 300 s", "bimodal:20,300,0.3"),
    _simple("Weibull, shape 0.6, scale 60 s", "weibull:0.6,60"),
    _simple("percentile table", "genai"),
    _simple("percentile table, 20 times", "genai", 20.0),
    Workload(
        "change of regime",
        (
            (0, Named(_LOGNORMAL)),
            (GROWS_AFTER, Named(_LOGNORMAL, 5.0)),
            (SHRINKS_AFTER, Named(_LOGNORMAL)),
        ),
    ),
    Workload(
        "failures and never-ending jobs",
        ((0, Faulty(_LOGNORMAL, horizon=20 * _LOGNORMAL.at(0.5))),),
    ),
    Workload("media length", ((0, Media()),)),
)


def read_trace(path: Path) -> Workload:
    """Read durations from a file, one in seconds a line.

    Raises:
        BadOption: naming the line and what is allowed, or why it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption(f"{path} cannot be read: {error}") from error
    durations = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            seconds = float(line)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise BadOption(
                f"{path}, line {number}: {line.strip()[:40]!r} is not a duration: must"
                " be a number of seconds, 0 or more"
            )
        durations.append(seconds)
    if not any(durations):
        raise BadOption(f"{path}: there must be a duration above 0 in it")
    return Workload(path.stem, ((0, Trace(tuple(durations))),))


def mean_of(regime: Regime) -> float:
    """Return the mean duration of the jobs that end."""
    ending = [(value, weight) for value, weight in regime.points() if value < math.inf]
    whole = math.fsum(weight for _, weight in ending)
    return math.fsum(value * weight for value, weight in ending) / whole


def best_looks(regime: Regime, request_cost: float) -> list[float]:
    """Return the ages at which looks at jobs of this distribution cost least."""
    points = regime.points()
    ages = _candidates([value for value, _ in points if value <= regime.horizon])
    if regime.horizon < math.inf:
        ages = [age for age in ages if age < regime.horizon] + [regime.horizon]
    masses = [0.0] * len(ages)
    at = 0
    for value, weight in points:
        while at < len(ages) and ages[at] < value:
            at += 1
        if at == len(ages):
            break
        masses[at] += weight
    inspection = inspect([0.0, *ages], [0.0, *masses], request_cost)
    looks, place = [], 0
    while place < len(ages):
        place = inspection.following[place]
        looks.append(inspection.ages[place])
    # A fresh job may last longer than all the points.
    beyond = [looks[-1] * TAIL_FACTOR**k for k in range(1, 20)]
    return looks + [age for age in beyond if age < regime.horizon]


def _candidates(values: Sequence[float]) -> list[float]:
    """Return ages among which the best looks are sought.

    Where each duration that can come is known, the best looks are at such durations:
    sooner would miss it, later would add nothing but lag. Elsewhere cells so narrow
    do as well that the difference cannot be seen.
    """
    distinct = sorted({value for value in values if value > 0})
    if len(distinct) < _POINTS:
        return distinct
    low, high = math.log(distinct[0]), math.log(distinct[-1]) + 1e-9
    return [math.exp(low + (high - low) * k / _CELLS) for k in range(_CELLS + 1)]
