"""Many jobs at once: how many requests, how late, what it takes of the processor.

One client waits for a fleet of jobs that end evenly within some seconds. Its clocks,
and the counts, begin when all are submitted; lag is from the end of a job, as the server
tells it, to the moment at which the outcome is in the hand of whoever waits.

Which of them ends when is drawn. In the order of their submission, which takes longer
than they have to end, the first would end at a higher age than the last, and whoever
learns from the one would be misled about the other.

In real time the server is the command `vtrio serve`, but for an engine that ends jobs at
set instants, and it and the client have a process each. `requests` are those that the
server logs. `client_cpu_per_job` is the processor's time of the client's process from
when all are submitted to the last outcome. `client_rss_per_job` is the most that its
process has in memory in that time, less what it had before the first submission but
after a few jobs for what is done at first use: the jobs are in it, and the list and the
ledger of this benchmark, some 60 bytes a job. `server_cpu_per_job` is of that same time.
`wall` ends with the last outcome.

With `--virtual` the server is the scripted one of `vtrio.testing` and time is virtual,
but for `client_cpu_per_job`, which is that of the whole process, the scripted server's
work in it. What memory the client has is measured in a second run; see
`_fleet_virtual.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from . import _fleet_real, _fleet_virtual
from ._ending import ending_within
from ._figures import judge, print_table
from ._fleet_ledger import Transport
from ._needs import need_linux
from ._options import BadOption

SUMMARY = "many jobs at once: requests, lag, CPU and memory of one client"
# In real time `scale` has some.
QUICK = {"jobs": 200, "over": 2.0, "virtual": True}

_TRANSPORTS = get_args(Transport)
_LIBRARIES = ("httpx", "httpx2")
_MOST_JOBS = 1_000_000
_LONGEST_OVER = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many jobs, how quick, and by which way to wait for them."""
    parser.add_argument(
        "--jobs", type=int, default=1000, metavar="N", help="1000 if not given"
    )
    parser.add_argument(
        "--over",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="within which the jobs end; 10 if not given",
    )
    parser.add_argument(
        "--transport",
        choices=_TRANSPORTS,
        default=_TRANSPORTS[0],
        help="the best way to ask that may be used; auto if not given",
    )
    parser.add_argument(
        "--virtual",
        action="store_true",
        help="in virtual time, with a scripted server",
    )
    parser.add_argument(
        "--http",
        choices=_LIBRARIES,
        default=_LIBRARIES[0],
        help="the client's library; httpx if not given",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Wait for the fleet, print what that took, and return it."""
    _check(options)
    results, requests = wait_for(options)
    _print(options, results, requests)
    return results


def wait_for(options: argparse.Namespace) -> tuple[dict[str, Any], Counter[str]]:
    """Wait for a fleet, and return what that took, and its requests by what they ask.

    Raises:
        RuntimeError: it was not over in time, or nothing was told.
        Skipped: in real time, where processes cannot be looked at.
    """
    if not options.virtual:
        need_linux()
    way = _fleet_virtual if options.virtual else _fleet_real
    with (
        ending_within(way.longest(options.jobs, options.over)),
        tempfile.TemporaryDirectory(prefix="vtrio-benchmark-") as folder,
    ):
        found, requests = way.measure(options, Path(folder))
    return {
        "jobs": options.jobs,
        "over": options.over,
        "transport": options.transport,
        **{name: found[name] for name in _TOLD},
    }, requests


def _check(options: argparse.Namespace) -> None:
    if not 1 <= options.jobs <= _MOST_JOBS:
        raise BadOption(
            f"--jobs {options.jobs} is not allowed: must be from 1 to {_MOST_JOBS:,}"
        )
    if not 0 < options.over <= _LONGEST_OVER:
        raise BadOption(
            f"--over {options.over:g} is not allowed: must be above 0, and"
            f" {_LONGEST_OVER:g} s at most"
        )
    if importlib.util.find_spec(options.http) is None:
        raise BadOption(
            f"--http {options.http} is not allowed: it is not installed (vtrio[bench])"
        )


def _print(
    options: argparse.Namespace, results: dict[str, Any], requests: Counter[str]
) -> None:
    where = "virtual time" if options.virtual else "the real server"
    print_table(
        f"{options.jobs:,} jobs ending within {options.over:g} s, transport"
        f" {options.transport}, {where}",
        ["what", "figure", "unit"],
        [
            [
                told,
                "-" if (value := results[name]) is None else f"{value * scale:{form}}",
                unit,
            ]
            for name, (told, scale, form, unit) in _TOLD.items()
        ],
    )
    for asked, number in requests.most_common():
        print(f"{number:>9,}  {asked}")
    case = options.transport, options.virtual, options.jobs, options.over
    for name, promise in {**_PROMISES.get(case, {}), **_ALWAYS}.items():
        told, scale, _, unit = _TOLD[name]
        judge(results[name] * scale, promise, f"{unit}, {told}".removeprefix(", "))


# What each figure is called, and how it reads.
_TOLD = {
    "requests": ("requests", 1, ",.0f", ""),
    "requests_per_job": ("requests a job", 1, ".4f", ""),
    "lag_p50": ("lag, p50", 1e3, ".1f", "ms"),
    "lag_p99": ("lag, p99", 1e3, ".1f", "ms"),
    "lag_max": ("lag, max", 1e3, ".1f", "ms"),
    "client_cpu_per_job": ("client's CPU a job", 1e6, ".0f", "us"),
    "client_rss_per_job": ("client's memory a job", 1e-3, ".2f", "kB"),
    "server_cpu_per_job": ("server's CPU a job", 1e6, ".0f", "us"),
    "lost": ("lost", 1, ".0f", "jobs"),
    "duplicated": ("told more than once", 1, ".0f", "jobs"),
    "wall": ("wall", 1, ".2f", "s"),
}

# What is promised, in the units above: on two cores that nobody else uses.
_PROMISES: dict[tuple[str, bool, int, float], dict[str, float]] = {
    ("auto", False, 1000, 10): {
        "requests_per_job": 0.6,
        "lag_p99": 60,
        "client_cpu_per_job": 600,
    },
    ("auto", False, 10_000, 20): {
        "requests_per_job": 0.1,
        "lag_p99": 150,
        "client_cpu_per_job": 120,
        "client_rss_per_job": 4,
    },
    ("auto", True, 100_000, 20): {"requests_per_job": 0.02, "client_rss_per_job": 3},
}
_ALWAYS: dict[str, float] = {"lost": 0, "duplicated": 0}
