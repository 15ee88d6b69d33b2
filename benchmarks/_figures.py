"""Medians with their spread, and a table to print them in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
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
