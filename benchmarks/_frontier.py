"""The frontier: requests against lag, every schedule as a point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._pictures import make_logarithmic, new_figure, save, set_legend

# Enough to see what differs; the table has them all.
_PANELS = (
    "uniform(5, 15) s",
    "lognormal, median 60 s, sigma 0.5",
    "bimodal, 20 s and 300 s",
    "percentile table",
)
_LEARNED_AFTER = (10, 30, 100, 300)
_KNOB = "Learned, request_cost x "


def draw_frontiers(workloads: list[dict[str, Any]], path: Path) -> None:
    """Draw some of the workloads, or the only one; skipped without matplotlib."""
    shown = [workload for workload in workloads if workload["name"] in _PANELS]
    shown = shown or workloads[:1]
    columns = 2 if len(shown) > 1 else 1
    made = new_figure(-(-len(shown) // columns), columns)
    if made is None:
        return
    figure, panels = made
    for panel, workload in zip(panels, shown, strict=False):
        _draw(panel, workload)
    set_legend(figure, panels[0], 3)
    save(figure, path)


def _draw(panel: Any, workload: dict[str, Any]) -> None:
    """Draw one workload; lag as a share of the mean duration."""
    mean = workload["mean_duration"]

    def points(rows: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
        requests = [row["requests"] for row in rows]
        return requests, [100 * row["lag"] / mean for row in rows]

    rows = workload["schedules"]
    learned = [
        row
        for row in rows
        if row["name"] == "Learned" and row["observed"] in _LEARNED_AFTER
    ]
    turned = [
        row
        for row in rows
        if row["name"].startswith(_KNOB)
        or (row["name"] == "Learned" and row["observed"] == 30)
    ]
    turned.sort(key=lambda row: row["requests"])
    hindsight = [row for row in rows if row["name"].endswith("in hindsight")]
    seed = [row for row in rows if row["name"] == "Exponential(1, 2)"]
    special = {id(row) for row in [*learned, *turned, *hindsight, *seed]}
    others = [row for row in rows if row["observed"] is None and id(row) not in special]
    # Of two in one place, others' names are worth more than ours.
    others.sort(key=lambda row: ":" not in row["name"])
    panel.plot(
        *points(turned),
        "-",
        color="tab:blue",
        lw=1.2,
        label="Learned, 30 jobs, its knob turned",
    )
    panel.plot(
        *points(learned),
        "o",
        color="tab:blue",
        ms=6,
        label="Learned after 10, 30, 100, 300 jobs",
    )
    panel.plot(
        *points([workload["optimal"]]),
        "*",
        color="black",
        ms=13,
        label="the optimum for this distribution",
    )
    panel.plot(
        *points(hindsight),
        "s",
        color="tab:green",
        ms=6,
        label="fixed, backoff: best in hindsight",
    )
    panel.plot(*points(seed), "D", color="tab:red", ms=6, label="Exponential(1, 2)")
    panel.plot(*points(others), "x", color="0.45", ms=6, label="others, as they stand")
    named = set()
    for row in others:
        spot = (row["requests"], 100 * row["lag"] / mean)
        if spot in named:
            continue
        named.add(spot)
        panel.annotate(
            row["name"].partition(":")[0],
            spot,
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=6.5,
            color="0.35",
        )
    make_logarithmic(panel)
    panel.set_xlabel("requests a job")
    panel.set_ylabel("mean lag, % of the mean duration")
    panel.set_title(workload["name"], fontsize=10)
