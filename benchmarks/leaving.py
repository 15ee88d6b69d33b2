"""Leaving a block of many waits: how long a cancel takes, and what it leaves behind.

A block waits for jobs that do not end, at the real server in a process of its own, on
each way to learn of an end. Its scope is cancelled, and the time runs until the block has
been left: its requests given up, its tasks ended. Tasks and sockets are counted before the
block and after it. With `cancel`, the jobs are cancelled on the server on the way out.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import trio

from vtrio import VideoTranslationClient

from ._figures import judge, print_table, spread
from ._fleet_ledger import Transport
from ._needs import need_linux
from ._options import BadOption
from ._servers import serving_simulated
from ._submissions import submit

SUMMARY = "leaving a block of many waits: how long it takes, and what is left"
QUICK = {"jobs": 100, "rounds": 1, "settling": 1.0}

_JOBS = 1000
_SETTLING = 3.0
_LONGEST_SETTLING = 60.0
_ROUNDS = 5
_PROMISED_MS = 50
_PROMISED_CANCEL_MS = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many jobs, and how often."""
    parser.add_argument("--jobs", type=int, default=_JOBS, metavar="N")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N")
    parser.add_argument(
        "--settling",
        type=float,
        default=_SETTLING,
        metavar="SECONDS",
        help="in which the waits are parked, and something is held;"
        f" {_SETTLING:g} if not given",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Leave blocks, print how long it took, and return that.

    Raises:
        BadOption: naming the option, the value and what is allowed.
    """
    for name in ("jobs", "rounds"):
        if getattr(options, name) < 1:
            raise BadOption(
                f"--{name}={getattr(options, name)} is not allowed: must be 1 or more"
            )
    if not 0 < options.settling <= _LONGEST_SETTLING:
        raise BadOption(
            f"--settling={options.settling:g} is not allowed: must be above 0, and"
            f" {_LONGEST_SETTLING:g} s at most"
        )
    need_linux()
    settling = options.settling
    flags = f"--durations fixed:86400 --max-waiting {options.jobs + 1}"
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_simulated(Path(folder), flags) as server,
    ):
        rows, results = [], {}
        ids = trio.run(submit, server.url, options.jobs, 100)
        for transport in get_args(Transport):
            rounds = [
                trio.run(_leave, server.url, ids, transport, "leave", settling)
                for _ in range(options.rounds)
            ]
            results[transport] = _summary(rounds)
        results["cancel"] = _summary(
            [trio.run(_leave, server.url, ids, "auto", "cancel", settling)]
        )
        for name, told in results.items():
            times = told["ms"]
            rows.append(
                [
                    name,
                    f"{times['median']:.1f}",
                    f"{times['min']:.1f} to {times['max']:.1f}",
                    *(str(told[what]) for what in ("tasks", "sockets")),
                ]
            )
    print_table(
        f"leaving {options.jobs:,} waits, {options.rounds} times each",
        ["transport", "ms", "spread", "tasks left", "sockets left"],
        rows,
    )
    worst = max(told["ms"]["median"] for k, told in results.items() if k != "cancel")
    results["promised"] = {
        "leaving": judge(worst, _PROMISED_MS, "ms, leaving"),
        "cancelling": judge(
            results["cancel"]["ms"]["max"], _PROMISED_CANCEL_MS, "ms, with a cancel"
        ),
    }
    return results


async def _leave(
    url: str, ids: list[str], transport: Transport, on_exit: Any, settling: float
) -> tuple[float, int, int]:
    """Return the milliseconds that leaving took, and what tasks and sockets it left."""
    async with VideoTranslationClient(url) as client:
        tasks, sockets = _tasks(), _sockets()
        cancelled_at = 0.0
        with trio.CancelScope() as scope:
            async with client.as_completed(
                ids, transport=transport, on_exit=on_exit
            ) as outcomes:
                await trio.sleep(settling)
                if outcomes.waiting != len(ids):
                    raise RuntimeError(f"some have ended: {outcomes!r}")
                gc.collect()
                cancelled_at = time.perf_counter()
                scope.cancel("to see how long that takes")
                await trio.sleep_forever()
        took = time.perf_counter() - cancelled_at
        left_tasks = _tasks() - tasks
    return took * 1000, left_tasks, _sockets() - sockets


def _summary(rounds: list[tuple[float, int, int]]) -> dict[str, Any]:
    times, tasks, sockets = zip(*rounds, strict=True)
    return {"ms": spread(times), "tasks": max(tasks), "sockets": max(sockets)}


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def _sockets() -> int:
    """Count the sockets of this process."""
    return sum(
        os.path.realpath(entry).rpartition("/")[2].startswith("socket:")
        for entry in Path("/proc/self/fd").iterdir()
    )
