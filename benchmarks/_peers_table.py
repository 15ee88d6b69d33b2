"""The tables of the rounds, and the verdicts on them in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ._figures import print_table
from ._rounds_verdicts import MOST_OVERSHOOT

_HEADER = (
    *("contender", "settings", "requests a job"),
    *("lag p50", "p95", "p99", "mean", "missed", "raised", "overshoot"),
    *("CPU a job", "wall"),
)
_LONGEST = 44

IN_OUTAGE: Mapping[str, str] = MappingProxyType(
    {
        "lag": "mean lag",
        "requests": "requests in it",
        "raised": "waits that raised",
        "missed": "missed jobs",
    }
)
"""What ours is compared in where the server is out for a while, in words."""


def print_round(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print one row a contender, by the requests that it made; ours are marked."""
    ranked = sorted(rows, key=lambda row: float(row["requests_per_job"]))
    header, cells = [*_HEADER], [_cells(row) for row in ranked]
    if all("requests_in_outage" in row for row in ranked):
        header.insert(3, "in the outage")
        for row, own in zip(ranked, cells, strict=True):
            own.insert(3, f"{row['requests_in_outage'] / row['jobs']:.2f}")
    print_table(title, header, cells)
    print(
        "* ours. Lag in s, missed jobs counted as if learned of at the limit."
        " Overshoot in ms, CPU in ms, wall in s."
    )
    if any(row["saturated"] for row in ranked):
        print("~ The server or the machine was saturated: its queue is in the figures.")
    print_troubles(ranked)


def print_troubles(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line of whatever a contender should not have done."""
    for row in rows:
        if row["error"]:
            print(f"{row['slug']}: its process raised {row['error']}")
        if row["not_given_up"]:
            print(f"{row['slug']}: {row['not_given_up']:,} waits went on for too long")
        if row["told_before_the_end"]:
            print(
                f"{row['slug']}: {row['told_before_the_end']:,} ends were told before"
                " they came"
            )


def _cells(row: Mapping[str, Any]) -> list[str]:
    lag = row["lag_with_missed"]
    late = f"{row['overshoot'] * 1e3:.0f}"
    return [
        named(row),
        shortened(row["way"]),
        f"{row['requests_per_job']:.2f}",
        *(f"{lag[name]:.3f}" for name in ("p50", "p95", "p99", "mean")),
        f"{row['missed']:,}",
        f"{row['raised']:,}",
        late if row["ended"] else f"> {late}",
        f"{row['cpu_per_job'] * 1e3:.2f}",
        f"{row['wall']:.1f}",
    ]


def named(row: Mapping[str, Any]) -> str:
    """Return a contender's name, with marks: ours, and of a saturated turn."""
    marks = f"{'*' * (row['kind'] == 'ours')}{'~' * row.get('saturated', False)}"
    return f"{row['slug']} {marks}".strip()


def shortened(title: str) -> str:
    """Return a title as far as there is room for it."""
    return title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…"


def print_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Say of each peer which of ours is ahead of it, and where none is.

    Of ours, say whether it kept what it promises.
    """
    for verdict in verdicts:
        print()
        for found in verdict["single_polls"]:
            print(f"{found['size']:,} jobs, single polls, {_about_polls(found)}")
        for found in verdict["ladder"]:
            print(f"{found['size']:,} jobs, ladder, {_about_ladder(found)}")
        behind = default_behind(verdict)
        if behind:
            print(
                f"{verdict['size']:,} jobs, single polls: the default knob is NOT ahead"
                f" in both of {', '.join(behind)}"
            )
        _print_broken(verdict["broken"])
        missed = {name: n for name, n in verdict["missed"].items() if n}
        print(f"missed by ours: {missed or '0 (promised)'}")
        late = max(verdict["overshoot"].values(), default=0.0)
        kept = "kept" if late <= MOST_OVERSHOOT else "NOT KEPT"
        print(f"overshoot of ours: {late * 1e3:.0f} ms (promised 50 ms: {kept})")


def print_outage_verdict(verdict: Mapping[str, Any]) -> None:
    """Say of each peer in what ours is not ahead of it in the outage."""
    print()
    for pair in verdict["pairs"]:
        behind = [word for name, word in IN_OUTAGE.items() if not pair[name]]
        told = f"NOT ahead in {', '.join(behind)}" if behind else "ahead"
        print(f"outage, {pair['ours']} against {pair['peer']}: {told}")
    _print_broken(verdict["broken"])


def default_behind(verdict: Mapping[str, Any]) -> list[str]:
    """Return the peers of which the default knob is not ahead, in requests and lag."""
    return [
        one["peer"]
        for one in verdict["single_polls"]
        if one["default_knob"] is not None and not one["default_knob"]["ahead"]
    ]


def _print_broken(broken: Sequence[str]) -> None:
    if broken:
        print(f"no verdict on {', '.join(broken)}, whose process raised")


def _about_polls(found: Mapping[str, Any]) -> str:
    peer = found["peer"]
    default = found["default_knob"]
    told = ""
    if default is not None:
        told = f" (the default: {_figures(default)})"
    if found["knob"] is None:
        return f"against {peer}: ours is NOT ahead, whatever the knob{told}"
    return f"against {peer}: ahead at x {found['knob']:g}: {_figures(found)}{told}"


def _figures(found: Mapping[str, Any]) -> str:
    asked, lag = found["requests_per_job"], found["mean_lag"]
    return (
        f"{asked['ours']:.2f} against {asked['peer']:.2f} requests a job,"
        f" {lag['ours']:.2f} against {lag['peer']:.2f} s"
    )


def _about_ladder(found: Mapping[str, Any]) -> str:
    behind = [
        word
        for name, word in (
            ("requests", "requests"),
            ("lag", "mean lag"),
            ("lag_p99", "p99 of the lag"),
            ("cpu", "CPU"),
        )
        if not found[name]
    ]
    if not behind:
        return f"against {found['peer']}: ahead in requests, lag and CPU"
    return f"against {found['peer']}: NOT ahead in {', '.join(behind)}"
