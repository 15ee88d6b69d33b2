"""Medians with their spread, percentiles, and a table to print them in."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that as many in a hundred do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def lags_in_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum, in milliseconds."""
    return {
        "p50": percentile(seconds, 50) * 1000,
        "p99": percentile(seconds, 99) * 1000,
        "max": max(seconds) * 1000,
    }


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print rows in columns that fit."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, ["-" * width for width in widths], *rows):
        cells = zip(row, widths, strict=True)
        first, *rest = (
            f"{cell:{'<' if k == 0 else '>'}{w}}" for k, (cell, w) in enumerate(cells)
        )
        print("  ".join([first, *rest]).rstrip())


def judge(
    value: float, promise: float, unit: str, *, least: bool = False
) -> dict[str, object]:
    """Say whether a figure is within what is promised, and return that."""
    kept = value >= promise if least else value <= promise
    bound = "least" if least else "most"
    print(f"promised: at {bound} {promise:g} {unit}: {'kept' if kept else 'NOT KEPT'}")
    return {"promise": promise, "kept": kept}
