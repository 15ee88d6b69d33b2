"""The job server, killed again and again: is any job lost, doubled or stuck?

The server is the real one with the simulated engine, killed by SIGKILL at random
moments of its start and of its life, and started again on the same data. Tasks submit
jobs to it all the while, and repeat with the same key what got no answer.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import trio

from ._crashes import crash
from ._figures import print_table
from ._options import BadOption

SUMMARY = "the job server, killed at random moments: what becomes of its jobs"
QUICK = {"kills": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how often to kill, and how much to submit."""
    parser.add_argument(
        "--kills", type=int, default=200, metavar="N", help="200 if not given"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="ten for each kill if not given"
    )
    parser.add_argument(
        "--tasks", type=int, default=8, metavar="N", help="8 if not given"
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Kill it so often, print what is left, and return that."""
    jobs = 10 * options.kills if options.jobs is None else options.jobs
    if min(options.kills, jobs, options.tasks) < 1:
        raise BadOption("--kills, --jobs and --tasks must be at least 1")
    with tempfile.TemporaryDirectory(prefix="vtrio-benchmark-") as folder:
        how = {"kills": options.kills, "tasks": options.tasks, "seed": options.seed}
        found = trio.run(partial(crash, Path(folder), jobs=jobs, **how))
    faults = sum(found[name] for name in _FAULTS) + jobs - found["completed"]
    print_table(
        f"{found['kills']} kills in {found['seconds']:.0f} s, {jobs} jobs of which"
        f" {found['completed']} completed, {found['repeated']} submissions repeated",
        ["what", "jobs"],
        [[told, str(found[name])] for name, told in _FAULTS.items()],
    )
    print(f"promised: all jobs completed, once: {'NOT KEPT' if faults else 'kept'}")
    return {**found, "kept": not faults}


_FAULTS = {
    "lost": "lost: accepted, and not there",
    "doubled": "doubled: a job more than its key made",
    "stuck": "stuck: not ended",
    "ended_more_than_once": "told of as ended more than once",
    "ended_untold": "ended, and not told of",
    "keys_forgotten": "made anew by the same key, or refused",
}
