"""Who is ahead of whom, in what; and whether ours kept what it promises.

There is no verdict on a peer whose process has raised. Nothing here reads a clock or a
socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_OVERSHOOT = 0.05
"""Seconds that ours may be late."""


def compare(size: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say for each peer which of ours is ahead of it, and in what.

    On single polls ours must ask no more and learn of it sooner in the mean, with some
    value of the knob. The ladder must be ahead in requests, in lag and in CPU at once.
    Jobs that were missed count with the lag until the limit. Ours keeps what it promises
    where it misses nothing, is late by `MOST_OVERSHOOT` at most and never raises.
    """
    peers, broken = _peers(rows)
    ours = [row for row in rows if row["kind"] == "ours"]
    knobs = [row for row in ours if row["knob"] is not None]
    ladders = [row for row in ours if row["knob"] is None]
    polls = []
    for peer in peers:
        ahead = [row for row in knobs if _is_ahead(row, peer)]
        best = min(ahead, key=_mean_lag, default=None)
        own = next((row for row in knobs if row["knob"] == 1), None)
        if knobs:
            polls.append(
                {
                    "size": size,
                    "peer": peer["slug"],
                    "knob": None if best is None else best["knob"],
                    "knobs": [row["knob"] for row in ahead],
                    "requests_per_job": _pair(best, peer, _requests),
                    "mean_lag": _pair(best, peer, _mean_lag),
                    "default_knob": None
                    if own is None
                    else {
                        "requests_per_job": _pair(own, peer, _requests),
                        "mean_lag": _pair(own, peer, _mean_lag),
                        "ahead": _is_ahead(own, peer),
                    },
                }
            )
    ladder = [
        {
            "size": size,
            "peer": peer["slug"],
            "requests": _requests(row) < _requests(peer),
            "lag": _mean_lag(row) < _mean_lag(peer),
            "lag_p99": _lag_p99(row) < _lag_p99(peer),
            "cpu": row["cpu_per_job"] < peer["cpu_per_job"],
        }
        for row in ladders
        for peer in peers
    ]
    return {
        "size": size,
        "single_polls": polls,
        "ladder": ladder,
        "broken": broken,
        "missed": {row["slug"]: row["missed"] for row in ours},
        "overshoot": {row["slug"]: row["overshoot"] for row in ours},
        "kept": all(
            row["missed"] == 0
            and row["overshoot"] <= MOST_OVERSHOOT
            and not row["error"]
            for row in ours
        ),
    }


def compare_outage(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say for each peer in what ours, with its defaults, is ahead of it in an outage.

    Its mean lag must be less, and it may neither ask nor raise nor miss more.
    """
    peers, broken = _peers(rows)
    ours = [row for row in rows if row["kind"] == "ours" and row["knob"] in {None, 1}]
    return {
        "broken": broken,
        "pairs": [
            {
                "ours": row["slug"],
                "peer": peer["slug"],
                "lag": _mean_lag(row) < _mean_lag(peer),
                "requests": row["requests_in_outage"] <= peer["requests_in_outage"],
                "raised": row["raised"] <= peer["raised"],
                "missed": row["missed"] <= peer["missed"],
            }
            for row in ours
            for peer in peers
        ],
    }


def _peers(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the peers, and the names of those whose process has raised."""
    peers = [row for row in rows if row["kind"] != "ours"]
    sound = [row for row in peers if not row["error"]]
    return sound, [row["slug"] for row in peers if row["error"]]


def _is_ahead(ours: Mapping[str, Any], peer: Mapping[str, Any]) -> bool:
    return (
        ours["missed"] <= peer["missed"]
        and _requests(ours) <= _requests(peer)
        and _mean_lag(ours) < _mean_lag(peer)
    )


def _requests(row: Mapping[str, Any]) -> float:
    return float(row["requests_per_job"])


def _mean_lag(row: Mapping[str, Any]) -> float:
    return float(row["lag_with_missed"]["mean"])


def _lag_p99(row: Mapping[str, Any]) -> float:
    return float(row["lag_with_missed"]["p99"])


def _pair(
    ours: Mapping[str, Any] | None, peer: Mapping[str, Any], figure: Any
) -> dict[str, float | None]:
    return {"ours": None if ours is None else figure(ours), "peer": figure(peer)}
