"""The tables of the README, from the results that lie in `results/`.

python -m benchmarks._readme      writes them into the README, between their marks
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ._peers_table import IN_OUTAGE, default_behind
from ._rounds_verdicts import MOST_OVERSHOOT

_HERE = Path(__file__).parent
README = _HERE.parent / "README.md"
RESULTS = _HERE / "results"

_COLUMNS = (
    ("`Exponential(1, 2)`", "Exponential(1, 2)", None),
    ("google-api-core", "google-api-core: 1 s x 1.5 up to 20 s, full jitter", None),
    ("fixed, best in hindsight", "Fixed, the best in hindsight", None),
    ("`Learned`, after 0 jobs", "Learned", 0),
    ("10", "Learned", 10),
    ("30", "Learned", 30),
    ("100", "Learned", 100),
    ("300", "Learned", 300),
)


def with_tables(text: str) -> str:
    """Return a text with the tables between their marks made anew.

    A table whose results are missing stays as it is.

    Raises:
        ValueError: results are of a quick run, of a few contenders, or not complete.
    """
    for name, (scenario, table) in _TABLES.items():
        path = RESULTS / f"{scenario}.json"
        if not path.exists():
            continue
        document = json.loads(path.read_text(encoding="utf-8"))
        _check(path, document.get("options", {}).get(scenario, {}))
        results = document["results"][scenario]
        if results.get("unfinished"):
            raise ValueError(f"{path.name} is not complete: not for the README")
        made = table(results)
        text = re.sub(
            rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)",
            partial(_fill, made),
            text,
            flags=re.DOTALL,
        )
    return text


def _check(path: Path, options: dict[str, Any]) -> None:
    for name in ("quick", "only"):
        if options.get(name):
            raise ValueError(
                f"{path.name} is of a run with --{name}: not for the README"
            )


def _fill(table: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}{table}{marks[2]}"


def _schedules(results: dict[str, Any]) -> str:
    """Return the ratios to the optimum."""
    return _table(
        ["jobs last", *(title for title, _, _ in _COLUMNS)],
        (_ratios(workload) for workload in results["workloads"]),
    )


def _ratios(workload: dict[str, Any]) -> list[str]:
    ratios = {
        (row["name"], row["observed"]): row["ratio"] for row in workload["schedules"]
    }
    cells = [f"{ratios[name, observed]:.2f}" for _, name, observed in _COLUMNS]
    return [workload["name"], *cells]


def _scale(results: dict[str, Any]) -> str:
    """Return what one of many jobs takes, by how many there are."""
    return _table(
        [
            *("jobs", "where", "transport", "requests a job", "lag, p50", "p99"),
            *("CPU a job", "memory a job"),
        ],
        (
            [
                f"{point['jobs']:,}",
                "virtual time" if point["virtual"] else "sockets",
                f"`{point['transport']}`",
                f"{point['requests_per_job']:.3f}",
                f"{point['lag_p50'] * 1e3:.0f} ms",
                f"{point['lag_p99'] * 1e3:,.0f} ms",
                f"{point['client_cpu_per_job'] * 1e6:,.0f} us",
                f"{point['client_rss_per_job'] / 1e3:.1f} kB",
            ]
            for point in results["points"]
        ),
    )


def _overhead(results: dict[str, Any]) -> str:
    """Return what a poll and a parked wait cost beside what cannot be spared."""
    rows = []
    for library, poll in results["poll"].items():
        bare, ours = poll["bare_us"]["median"], poll["client_us"]["median"]
        rows.append(
            [
                f"a poll, {library}: CPU",
                f"{bare:,.0f} us",
                f"{ours:,.0f} us",
                *_compared(poll["ratio"], poll["over_us"], "us"),
            ]
        )
    parked = results["parked"]
    for way, told in _PARKED.items():
        for name, (what, unit) in _PARKED_FIGURES.items():
            found = parked[way][name]
            rows.append(
                [
                    f"{told}: {what}",
                    f"{parked['bare'][name]['median']:,.0f} {unit}",
                    f"{found['each']['median']:,.0f} {unit}",
                    *_compared(found["ratio"], found["over"], unit),
                ]
            )
    return _table(["what", "bare", "with vtrio", "ratio", "difference"], rows)


def _peers(results: dict[str, Any]) -> str:
    """Return what each contender made of the largest round, ours first."""
    one = results["rounds"][-1]
    rows = sorted(
        one["contenders"],
        key=lambda row: (row["kind"] != "ours", float(row["requests_per_job"])),
    )
    return _table(
        [
            *(
                f"{one['size']:,} jobs at once",
                "requests a job",
                "mean lag",
                "lag, p99",
            ),
            *("CPU a job", "missed at the deadline", "after it"),
        ],
        (
            [
                _contender(row),
                f"{row['requests_per_job']:.3g}",
                f"{row['lag_with_missed']['mean']:.2f} s",
                f"{row['lag_with_missed']['p99']:.2f} s",
                f"{row['cpu_per_job'] * 1e3:.1f} ms",
                f"{row['missed']:,}",
                _late(row),
            ]
            for row in rows
            if row["knob"] in {None, 1} or row["kind"] != "ours"
        ),
    ) + _saturated(rows)


def _saturated(rows: Sequence[dict[str, Any]]) -> str:
    """Name those in whose figures there is more than their own doing."""
    names = [row["slug"] for row in rows if row["saturated"]]
    if not names:
        return ""
    return (
        "\nThe server or the machine was saturated, so that lag and misses are its"
        f" queue's as well, in the turns of {', '.join(names)}.\n"
    )


def _contender(row: dict[str, Any]) -> str:
    if row["kind"] != "ours":
        return f"{row['name']}, {'tuned' if row['kind'] == 'tuned' else 'default'}"
    if row["knob"] is None:
        return "**vtrio**"
    return "**vtrio**, single polls alone"


def _late(row: dict[str, Any]) -> str:
    late = f"{row['overshoot'] * 1e3:,.0f} ms"
    return late if row["ended"] else f"> {late}"


def _not_ahead(results: dict[str, Any]) -> str:
    """Say where ours is not ahead, in sentences."""
    lines = []
    for verdict in results["verdicts"]:
        behind = [one["peer"] for one in verdict["single_polls"] if one["knob"] is None]
        if behind:
            lines.append(
                f"With {verdict['size']:,} jobs and single polls alone, no value of the"
                f" knob asks no more and learns of the end sooner than"
                f" {', '.join(behind)}."
            )
        behind = default_behind(verdict)
        if behind:
            lines.append(
                f"With {verdict['size']:,} jobs and single polls alone, the default knob"
                f" is not ahead, in requests and lag both, of {', '.join(behind)}."
            )
        for what in ("requests", "lag", "lag_p99", "cpu"):
            behind = [one["peer"] for one in verdict["ladder"] if not one[what]]
            if behind:
                lines.append(
                    f"With {verdict['size']:,} jobs, the ladder is not ahead in"
                    f" {_WHAT[what]} of {', '.join(behind)}."
                )
        lines += _not_kept(verdict)
        lines += _broken(f"With {verdict['size']:,} jobs", verdict["broken"])
    if results["outage"] is not None:
        lines += _not_ahead_in_outage(results["outage"]["verdict"])
    told = lines or ["Nowhere in this run."]
    return "".join(f"- {line}\n" for line in told)


def _not_kept(verdict: dict[str, Any]) -> list[str]:
    """Say what ours missed, and by how much it was late."""
    told = [
        f"{name} missed {jobs:,}" for name, jobs in verdict["missed"].items() if jobs
    ]
    told += [
        f"{name} was {late * 1e3:,.0f} ms late"
        for name, late in verdict["overshoot"].items()
        if late > MOST_OVERSHOOT
    ]
    if not told and not verdict["kept"]:
        told = ["a process of ours raised"]
    if not told:
        return []
    line = f"With {verdict['size']:,} jobs, ours did not keep its promise: "
    return [f"{line}{', '.join(told)}."]


def _not_ahead_in_outage(verdict: dict[str, Any]) -> list[str]:
    lines = []
    for name in dict.fromkeys(pair["ours"] for pair in verdict["pairs"]):
        pairs = [pair for pair in verdict["pairs"] if pair["ours"] == name]
        for what, words in IN_OUTAGE.items():
            behind = [pair["peer"] for pair in pairs if not pair[what]]
            if behind:
                lines.append(
                    f"In the outage, {name} is not ahead in {words} of"
                    f" {', '.join(behind)}."
                )
    return lines + _broken("In the outage", verdict["broken"])


def _broken(where: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"{where}, there is no verdict on {', '.join(names)}: its process raised."]


def _outage(results: dict[str, Any]) -> str:
    """Return what each contender did while the server was out, and what it came to."""
    one = results["outage"]
    if one is None:
        return "There was no outage in this run.\n"
    begins, ends = one["outage"]
    rows = sorted(
        one["contenders"],
        key=lambda row: (row["kind"] != "ours", row["requests_in_outage"]),
    )
    return _table(
        [
            f"{one['size']:,} jobs, an outage of {ends - begins:g} s",
            *("requests a job in it", "raised", "missed", "mean lag"),
        ],
        (
            [
                _contender(row),
                f"{row['requests_in_outage'] / row['jobs']:.2f}",
                f"{row['raised']:,}",
                f"{row['missed']:,}",
                f"{row['lag_with_missed']['mean']:.2f} s",
            ]
            for row in rows
            if row["knob"] in {None, 1} or row["kind"] != "ours"
        ),
    )


_WHAT = {
    "requests": "requests",
    "lag": "mean lag",
    "lag_p99": "the 99th percentile of lag",
    "cpu": "CPU",
}


def _deadline(results: dict[str, Any]) -> str:
    """Return when each gave up, and what it had reported by then."""
    rows = sorted(
        results["contenders"],
        key=lambda row: (row["kind"] != "ours", row["missed"], row["overshoot"]),
    )
    return _table(
        ["", "reported of those that ended in time", "over, after the deadline"],
        (
            [
                f"**{row['slug']}**" if row["kind"] == "ours" else row["slug"],
                f"{row['reported']} of {row['waits']}",
                _over(row),
            ]
            for row in rows
        ),
    )


def _over(row: dict[str, Any]) -> str:
    if not row["ended"]:
        return f"> {row['overshoot'] * 1e3:,.0f} ms"
    after = row["after"]
    return f"{after['min'] * 1e3:,.0f} to {after['max'] * 1e3:,.0f} ms"


_PARKED = {
    "as_completed": "a parked wait of `as_completed`",
    "wait": "a parked `wait` in a task",
}
_PARKED_FIGURES = {
    "start_us": ("CPU to start", "us"),
    "cancel_us": ("CPU to cancel", "us"),
    "bytes": ("memory", "bytes"),
}


def _compared(
    ratio: dict[str, float], over: dict[str, float], unit: str
) -> tuple[str, str]:
    """Return ratio and difference: median, and the least and the most in brackets."""
    return (
        f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})",
        f"{over['median']:,.0f} ({over['min']:,.0f} to {over['max']:,.0f}) {unit}",
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        f"| {' | '.join(header)} |",
        "|---" + "|--:" * (len(header) - 1) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


# What stands between the marks of a name, of which scenario's results.
_TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "schedules": ("schedules", _schedules),
    "scale": ("scale", _scale),
    "overhead": ("overhead", _overhead),
    "peers": ("peers", _peers),
    "not ahead": ("peers", _not_ahead),
    "outage": ("peers", _outage),
    "deadline": ("deadline", _deadline),
}


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
