"""The pictures of the peers: requests against lag, lag by percentile, requests by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._pictures import make_logarithmic, new_figure, save, set_legend
from ._rounds_figures import PERCENTILES

_OURS = "tab:blue"
_LADDER = "tab:red"
_LADDER_LABEL = "vtrio, ladder"
_LEARNED_LABEL = "vtrio, Learned on single polls, its knob turned"
_MOST_SECONDS = 130.0


def draw_peers(results: Mapping[str, Any], path: Path) -> None:
    """Draw the frontier, and beside it the percentiles of lag and the herd."""
    rounds = results["rounds"]
    if rounds:
        _draw_frontiers(rounds, path)
        _draw_percentiles(rounds[-1], path.with_stem(f"{path.stem}-lag"))
        _draw_herd(rounds[-1], path.with_stem(f"{path.stem}-herd"))


def _draw_frontiers(rounds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw requests against lag, every contender as a point, of the larger sizes."""
    shown = rounds[-2:]
    made = new_figure(1, len(shown))
    if made is None:
        return
    figure, panels = made
    for panel, one in zip(panels, shown, strict=True):
        rows = one["contenders"]
        colors = _colors(rows)
        for kind, mark, label in (
            ("default", "x", "peers, with their defaults"),
            ("tuned", "s", "peers, tuned in hindsight"),
        ):
            peers = [row for row in rows if row["kind"] == kind]
            for row in peers:
                panel.plot(*_spot(row), mark, color=colors[row["name"]], ms=6)
                if kind == "default":  # those who are tuned are in one place
                    _name(panel, row)
            if peers:  # one line of the legend for all of them
                panel.plot([], [], mark, color="0.4", ms=6, label=label)
        turned = _learned(rows)
        if turned:
            spots = [_spot(row) for row in turned]
            panel.plot(
                *zip(*spots, strict=True),
                "o-",
                color=_OURS,
                ms=4,
                lw=1.2,
                label=_LEARNED_LABEL,
            )
            own = [_spot(row) for row in turned if row["knob"] == 1]
            for spot in own:
                panel.plot(*spot, "o", color=_OURS, ms=9, label="vtrio, its default")
        for row in _ladders(rows):
            panel.plot(*_spot(row), "*", color=_LADDER, ms=15, label=_LADDER_LABEL)
        make_logarithmic(panel)
        panel.set_xlabel("requests a job")
        panel.set_ylabel("mean lag, s (missed jobs until the deadline)")
        panel.set_title(f"{one['size']:,} jobs at once of each", fontsize=10)
    set_legend(figure, panels[-1], 3)
    save(figure, path)


def _draw_percentiles(one: Mapping[str, Any], path: Path) -> None:
    """Draw how many of the jobs were learned of within which lag."""
    made = new_figure()
    if made is None:
        return
    figure, (panel,) = made
    colors = _colors(one["contenders"])
    for row in one["contenders"]:
        if row["kind"] == "ours" and row["knob"] not in {None, 1}:
            continue
        lags = [max(lag, 1e-3) for lag in row["lag_with_missed"]["percentiles"]]
        panel.plot(
            PERCENTILES,
            lags,
            _line(row),
            color=_color(row, colors),
            lw=2.2 if row["kind"] == "ours" else 1.0,
            label=_label(row),
        )
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("per cent of the jobs")
    panel.set_ylabel("lag at most, s (missed jobs until the deadline)")
    panel.set_title(f"{one['size']:,} jobs at once of each", fontsize=10)
    set_legend(figure, panel, 3)
    save(figure, path)


def _draw_herd(one: Mapping[str, Any], path: Path) -> None:
    """Draw who asks how much when all jobs have begun together."""
    made = new_figure()
    if made is None:
        return
    figure, (panel,) = made
    colors = _colors(one["contenders"])
    width = one["bin"]
    for row in one["contenders"]:
        is_usual = row["kind"] == "default" or row["knob"] in {None, 1}
        counts = [int(count) for count in row["requests_by_bin"].split()]
        if row["kind"] == "tuned" or not is_usual or not counts:
            continue
        times, rates = _by_seconds(counts, width)
        panel.plot(
            times,
            rates,
            _line(row),
            color=_color(row, colors),
            lw=2.0 if row["kind"] == "ours" else 0.9,
            label=_label(row),
        )
    panel.set_yscale("symlog", linthresh=1)
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("seconds since all jobs began")
    panel.set_ylabel("requests a second")
    panel.set_title(
        f"{one['size']:,} jobs that begin together, of each with its defaults",
        fontsize=10,
    )
    set_legend(figure, panel, 3)
    save(figure, path)


def _by_seconds(counts: Sequence[int], width: float) -> tuple[list[int], list[int]]:
    """Add bins up to whole seconds."""
    each = max(1, round(1 / width))
    rates = [sum(counts[at : at + each]) for at in range(0, len(counts), each)]
    rates = rates[: int(_MOST_SECONDS)]
    return list(range(len(rates))), rates


def _colors(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    names = dict.fromkeys(row["name"] for row in rows if row["kind"] != "ours")
    palette = (
        *("tab:green", "tab:orange", "tab:purple", "tab:brown"),
        *("tab:pink", "tab:olive", "tab:cyan", "tab:gray"),
    )
    return {name: palette[turn % len(palette)] for turn, name in enumerate(names)}


def _color(row: Mapping[str, Any], colors: Mapping[str, str]) -> str:
    if row["kind"] != "ours":
        return colors[row["name"]]
    return _LADDER if row["knob"] is None else _OURS


def _line(row: Mapping[str, Any]) -> str:
    return "--" if row["kind"] == "tuned" else "-"


def _label(row: Mapping[str, Any]) -> str:
    if row["kind"] != "ours":
        return f"{row['name']}{', tuned' if row['kind'] == 'tuned' else ''}"
    return _LADDER_LABEL if row["knob"] is None else "vtrio, Learned on single polls"


def _learned(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    turned = [row for row in rows if row["knob"] is not None]
    return sorted(turned, key=lambda row: float(row["knob"]))


def _ladders(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == "ours" and row["knob"] is None]


def _spot(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["requests_per_job"], max(row["lag_with_missed"]["mean"], 1e-3)


def _name(panel: Any, row: Mapping[str, Any]) -> None:
    panel.annotate(
        row["name"],
        _spot(row),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=6.5,
        color="0.35",
    )
