"""The schedules of others, as they stand in their sources or their documentation.

Each is here without its limit of attempts, and asks first after its first delay.
Kubernetes' wait and polling2 have no schedule of their own: the caller names a fixed
interval, and the best one in hindsight stands for theirs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Delays = Callable[[random.Random], Iterator[float]]


@dataclass(frozen=True)
class Rival:
    """A schedule by its delays; `random` where they are drawn anew for each job.

    Where they are all alike, `interval` says so.
    """

    name: str
    delays: Delays
    random: bool = False
    interval: float | None = None


def _even(name: str, interval: float) -> Rival:
    return Rival(name, _fixed(interval), interval=interval)


def _fixed(interval: float) -> Delays:
    def delays(rng: random.Random) -> Iterator[float]:
        while True:
            yield interval

    return delays


def exponential(initial: float, factor: float, cap: float | None = None) -> Delays:
    """Return delays that grow by a factor, up to a cap."""

    def delays(rng: random.Random) -> Iterator[float]:
        delay = initial
        while True:
            yield delay
            delay *= factor
            if cap is not None:
                delay = min(delay, cap)

    return delays


def _full_jitter(delays: Delays) -> Delays:
    """Draw each delay between nothing and what it would be."""

    def drawn(rng: random.Random) -> Iterator[float]:
        for delay in delays(rng):
            yield rng.uniform(0, delay)

    return drawn


def _within(delays: Delays, *, seconds: float = 0.0, share: float = 0.0) -> Delays:
    """Draw each delay from a band around what it would be, never below 0."""

    def drawn(rng: random.Random) -> Iterator[float]:
        for delay in delays(rng):
            band = seconds + share * delay
            yield max(0.0, delay + rng.uniform(-band, band))

    return drawn


def _counting(most: int) -> Delays:
    def delays(rng: random.Random) -> Iterator[float]:
        yield from range(1, most)
        while True:
            yield most

    return delays


RIVALS = (
    Rival("the seed: 1 s x 2 +- 0.5 s", _within(exponential(1, 2), seconds=0.5), True),
    Rival(
        "google-api-core: 1 s x 1.5 up to 20 s, full jitter",
        _full_jitter(exponential(1, 1.5, 20)),
        True,
    ),
    Rival(
        "google-api-core async: 1 s x 2 up to 60 s, full jitter",
        _full_jitter(exponential(1, 2, 60)),
        True,
    ),
    _even("azure-core: 30 s", 30),
    _even("botocore: 5 s", 5),
    _even("botocore, Transcribe: 10 s", 10),
    _even("botocore, MediaConvert: 20 s", 20),
    Rival(
        "heygen-cli: 2 s x 2 up to 30 s +- 25 %",
        _within(exponential(2, 2, 30), share=0.25),
        True,
    ),
    _even("replicate: 0.5 s", 0.5),
    _even("openai: 1 s", 1),
    _even("fal: 0.1 s", 0.1),
    Rival("runwayml: 6 +- 1.5 s", _within(_fixed(6), seconds=1.5), True),
    _even("assemblyai: 3 s", 3),
    Rival("databricks: 1, 2, ... 10 s", _counting(10)),
)
