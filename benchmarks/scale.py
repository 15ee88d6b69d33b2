"""Waiting for more and more jobs: what one takes, drawn against how many there are.

Each point is a fleet as `fleet` measures it. Over sockets server and client are processes
in real time; in virtual time, which is marked so, the server is the scripted one, whose
work is in the CPU, and the memory is the client's alone, of 10,000 jobs at most.

The time within which the jobs end is the same for all points, and so more of them end in
a second: 500 of 10,000 over 20 s, which the server can serve. Single polls, for contrast,
are made over sockets alone, and of no more jobs than it can answer for one by one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import fleet
from ._figures import judge
from ._needs import Skipped
from ._options import BadOption
from ._pictures import make_logarithmic, new_figure, save, set_legend

SUMMARY = "cost against number of jobs: requests, lag, CPU and memory of each"
QUICK = {
    "sockets": [100],
    "virtual": [100, 300],
    "single_up_to": 100,
    "over": 2.0,
}

_SOCKETS = [100, 300, 1000, 3000, 10_000]
_VIRTUAL = [100, 300, 1000, 3000, 10_000, 30_000, 100_000]
_SINGLE_UP_TO = 1000
_OVER = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many jobs, where, and how quick."""
    for name, default in (("sockets", _SOCKETS), ("virtual", _VIRTUAL)):
        parser.add_argument(
            f"--{name}",
            type=int,
            nargs="*",
            default=default,
            metavar="N",
            help=f"numbers of jobs; {' '.join(map(str, default))} if not given",
        )
    parser.add_argument(
        "--single-up-to",
        type=int,
        default=_SINGLE_UP_TO,
        metavar="N",
        help="as many jobs over sockets are waited for by single polls too;"
        f" {_SINGLE_UP_TO} if not given",
    )
    parser.add_argument(
        "--over",
        type=float,
        default=_OVER,
        metavar="SECONDS",
        help=f"within which the jobs end; {_OVER:g} if not given",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure point by point, and print each as it comes."""
    for option, numbers in (("sockets", options.sockets), ("virtual", options.virtual)):
        if any(number < 1 for number in numbers):
            raise BadOption(f"--{option} must be numbers of at least 1")
    print(f"\nJobs that end within {options.over:g} s, one client")
    print(_LINE.format(*_COLUMNS))
    points: list[dict[str, Any]] = []
    for how in _plan(options):
        try:
            found, _ = fleet.wait_for(how)
        except Skipped as reason:
            print(_LINE.format(f"{how.jobs:,}", how.transport, f"skipped: {reason}"))
            continue
        points.append({"virtual": how.virtual, **found})
        print(_LINE.format(*_cells(points[-1])), flush=True)
    wrong = sum(point["lost"] + point["duplicated"] for point in points)
    judge(wrong, 0, "jobs, lost or told more than once")
    return {"over": options.over, "points": points}


def _plan(options: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """Yield what `fleet` is to measure, the largest last."""
    for virtual, numbers in ((False, options.sockets), (True, options.virtual)):
        for jobs in sorted(numbers):
            singly = not virtual and jobs <= options.single_up_to
            for transport in ("auto", "single") if singly else ("auto",):
                yield argparse.Namespace(
                    jobs=jobs,
                    transport=transport,
                    virtual=virtual,
                    over=options.over,
                    seed=options.seed,
                    http="httpx",
                )


_COLUMNS = (
    *("jobs", "transport", "where", "requests a job", "lag p50, ms", "p99, ms"),
    *("CPU a job, us", "memory a job, kB"),
)
_LINE = "{:>7}  {:9}  {:12}  {:>14}  {:>11}  {:>9}  {:>13}  {:>16}"


def _cells(point: dict[str, Any]) -> list[str]:
    return [
        f"{point['jobs']:,}",
        point["transport"],
        "virtual time" if point["virtual"] else "sockets",
        f"{point['requests_per_job']:.4f}",
        f"{point['lag_p50'] * 1e3:.1f}",
        f"{point['lag_p99'] * 1e3:.1f}",
        f"{point['client_cpu_per_job'] * 1e6:.0f}",
        f"{point['client_rss_per_job'] / 1e3:.2f}",
    ]


# --- the picture --------------------------------------------------------------------

_PANELS = (
    ("requests_per_job", 1, "requests a job"),
    ("lag_p99", 1e3, "lag, p99, ms"),
    ("client_cpu_per_job", 1e6, "CPU a job, us"),
    ("client_rss_per_job", 1e-3, "memory a job, kB"),
)
_COLOURS = {"auto": "tab:blue", "single": "tab:red"}


def draw_pictures(results: dict[str, Any], path: Path) -> None:
    """Draw each cost against the number of jobs; virtual time is hollow and dashed."""
    made = new_figure(2, 2)
    if made is None:
        return
    figure, panels = made
    for panel, (name, scale, told) in zip(panels, _PANELS, strict=True):
        for transport, colour in _COLOURS.items():
            for virtual in (False, True):
                points = [
                    (point["jobs"], point[name] * scale)
                    for point in results["points"]
                    if (point["transport"], point["virtual"]) == (transport, virtual)
                ]
                if points:
                    panel.plot(
                        *zip(*points, strict=True),
                        "o--" if virtual else "o-",
                        color=colour,
                        mfc="white" if virtual else colour,
                        label=f"{transport}, "
                        + ("virtual time" if virtual else "sockets, real time"),
                    )
        make_logarithmic(panel)
        panel.set_xlabel("jobs")
        panel.set_ylabel(told)
    set_legend(figure, panels[0], 4)
    save(figure, path)
