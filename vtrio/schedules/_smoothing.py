"""Smoothing of binned masses, in time that does not depend on the bandwidth.

Three running means in a row make a kernel (a spline of second degree) that is within a
percent of a normal one, and a running mean is a difference of running sums: W. M. Wells,
"Efficient synthesis of Gaussian filters by cascaded uniform filters", IEEE PAMI 8 (1986)
234-239. A sum of normal kernels over 500 observations costs a hundred times as much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import sub

_PASSES = 3


def smooth(masses: Sequence[float], bandwidth: float) -> list[float]:
    """Spread each mass with a standard deviation of about `bandwidth` cells.

    What is spread beyond either end is lost.
    """
    out = list(masses)
    variance = bandwidth**2
    for passes in range(_PASSES, 0, -1):
        # A mean over 2r + 1 cells has a variance of ((2r + 1)**2 - 1) / 12.
        radius = max(0, round((math.sqrt(12 * max(variance, 0) / passes + 1) - 1) / 2))
        out = _running_mean(out, radius)
        variance -= ((2 * radius + 1) ** 2 - 1) / 12
    # The difference of two sums may be negative in its last digit.
    return [mass if mass > 0 else 0.0 for mass in out]


def _running_mean(masses: list[float], radius: int) -> list[float]:
    count = len(masses)
    radius = min(radius, count - 1)
    if radius == 0:
        return masses
    sums = list(accumulate(masses, initial=0.0))
    upper = sums[radius + 1 :] + [sums[-1]] * radius
    lower = [0.0] * radius + sums[: count - radius]
    share = 1 / (2 * radius + 1)
    return list(map(share.__mul__, map(sub, upper, lower)))


def stay_rate(width: float) -> float:
    """Return the share of a mass that is still in its interval after smoothing.

    The mass lies evenly in an interval of `width` bandwidths; the kernel is normal:
    erf(w / sqrt 2) - sqrt(2 / pi) / w * (1 - exp(-w**2 / 2)).
    """
    lost = math.sqrt(2 / math.pi) / width * -math.expm1(-width * width / 2)
    return math.erf(width / math.sqrt(2)) - lost
