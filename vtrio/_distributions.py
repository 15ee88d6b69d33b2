"""Named distributions of durations, as inverse cumulative distributions.

Each is a pure function from a roll in [0, 1) to seconds, so that whoever draws
owns the generator and a seed fixes everything. They serve the simulated engine,
the scripted sources of the tests, and the benchmarks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()

# Percentiles (percent, seconds) of 26,392 succeeded jobs of a production
# generative-AI service: Alibaba cluster-trace-v2026-GenAI, Nov-Dec 2024.
_GENAI = (
    *((0, 3), (1, 8), (2.5, 10), (5, 11), (10, 13), (20, 16), (30, 18), (40, 20)),
    *((50, 23), (60, 26), (70, 30), (80, 38), (90, 53), (95, 70), (97.5, 86)),
    *((99, 106), (99.5, 119), (99.9, 160), (100, 567)),
)


def _fixed(roll: float, seconds: float) -> float:
    return seconds


def _uniform(roll: float, low: float, high: float) -> float:
    return low + (high - low) * roll


def _lognormal(roll: float, median: float, sigma: float) -> float:
    return median * math.exp(sigma * _NORMAL.inv_cdf(max(roll, 1e-12)))


def _exponential(roll: float, mean: float) -> float:
    return -mean * math.log1p(-roll)


def _weibull(roll: float, shape: float, scale: float) -> float:
    return scale * float((-math.log1p(-roll)) ** (1 / shape))


def _bimodal(roll: float, first: float, second: float, sigma: float) -> float:
    """Half the jobs around each median; the halves of the roll pick and draw."""
    median, within = (first, 2 * roll) if roll < 0.5 else (second, 2 * roll - 1)
    return _lognormal(within, median, sigma)


def _genai(roll: float) -> float:
    """Interpolate the table geometrically: durations are skewed to the right."""
    percent = 100 * roll
    above = min(bisect_right(_GENAI, percent, key=lambda row: row[0]), len(_GENAI) - 1)
    (p0, low), (p1, high) = _GENAI[above - 1], _GENAI[above]
    return float(low * (high / low) ** ((percent - p0) / (p1 - p0)))


_FAMILIES: dict[str, tuple[Callable[..., float], tuple[str, ...]]] = {
    "fixed": (_fixed, ("seconds",)),
    "uniform": (_uniform, ("low", "high")),
    "lognormal": (_lognormal, ("median", "sigma")),
    "exponential": (_exponential, ("mean",)),
    "weibull": (_weibull, ("shape", "scale")),
    "bimodal": (_bimodal, ("first", "second", "sigma")),
    "genai": (_genai, ()),
}


@dataclass(frozen=True, slots=True)
class Durations:
    """A distribution of durations, written as `family:number,number`.

    >>> Durations.parse("uniform:5,15").at(0.5)
    10.0
    """

    family: str
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.family not in _FAMILIES:
            raise ValueError(
                f"durations {self.family!r}: the family must be one of {families()}"
            )
        names = _FAMILIES[self.family][1]
        fitting = len(self.numbers) == len(names)
        if not fitting or not all(math.isfinite(n) and n >= 0 for n in self.numbers):
            wanted = (
                f"{self.family}:{','.join(names).upper()}" if names else "no number"
            )
            raise ValueError(
                f"durations {str(self)!r}: {self.family} takes {wanted}, each a finite"
                " number that is not negative"
            )
        if self.family == "uniform" and self.numbers[0] > self.numbers[1]:
            raise ValueError(f"durations {str(self)!r}: low must not be above high")
        if self.family == "weibull" and self.numbers[0] == 0:
            raise ValueError(f"durations {str(self)!r}: shape must be above 0")

    @classmethod
    def parse(cls, text: str) -> Durations:
        """Read `family:number,number`.

        Raises:
            ValueError: naming the text and what is allowed.
        """
        family, _, rest = text.partition(":")
        try:
            numbers = tuple(float(part) for part in rest.split(",")) if rest else ()
        except ValueError:
            raise ValueError(
                f"durations {text!r}: must be written as family:number,number with a"
                f" family of {families()}"
            ) from None
        return cls(family, numbers)

    def __str__(self) -> str:
        numbers = ",".join(f"{number:g}" for number in self.numbers)
        return f"{self.family}:{numbers}" if numbers else self.family

    def at(self, roll: float) -> float:
        """Return the seconds at or below which the share `roll` of all jobs ends."""
        return _FAMILIES[self.family][0](roll, *self.numbers)


def families() -> str:
    """Return the names of all families, for messages."""
    return ", ".join(sorted(_FAMILIES))
