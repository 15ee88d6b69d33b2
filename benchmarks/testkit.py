"""The test kit: what a virtual hour, a day of jobs, and the plugin unused really take.

Pairs are run in alternation, because a machine's speed drifts; the figure of a pair is
its difference. A promise is kept when the median is within it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._figures import print_table, spread
from ._options import BadOption
from ._plugin_start import PluginStart

SUMMARY = "the test kit: real time of a virtual hour, of 10,000 jobs, of its plugin"
# Starts of pytest take half a minute, however few.
QUICK = {"only": ["hour", "day"], "runs": 1, "turns": 5, "jobs": 100}

_HERE = Path(__file__).parent
_MOST_OF_AN_HOUR_MS = 120
_MOST_OF_A_DAY_SECONDS = 30
_JOBS_OF_A_DAY = 10_000
_MOST_OF_A_START_MS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to measure, and how much of it."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(_PARTS),
        default=list(_PARTS),
        metavar="PART",
        help="measure some of: hour, day, start (of pytest, with the plugin unused)",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=3,
        metavar="N",
        help="runs of pytest for the hour, and pairs of days; 3 if not given",
    )
    parser.add_argument(
        "--turns",
        type=int,
        default=30,
        metavar="N",
        help="pairs of tests in each run of pytest; 30 if not given",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=_JOBS_OF_A_DAY,
        metavar="N",
        help=f"jobs of a day; {_JOBS_OF_A_DAY} if not given",
    )
    parser.add_argument(
        "--starts",
        type=int,
        default=15,
        metavar="N",
        help="pairs of starts of pytest; 15 if not given",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all of it."""
    for name in ("runs", "turns", "jobs", "starts"):
        if getattr(options, name) < 1:
            raise BadOption(f"--{name} must be at least 1")
    return {
        part: measure(options)
        for part, measure in _PARTS.items()
        if part in options.only
    }


def _hour(options: argparse.Namespace) -> dict[str, Any]:
    """Compare a test of an hour with an empty one."""
    runs = [_turns(options.turns) for _ in range(options.runs)]
    # The first turn warms up, and pays for what is imported when it is first used.
    firsts = [hour[0] - empty[0] for hour, empty in runs]
    hours = [ms for hour, _ in runs for ms in hour[1:]]
    empties = [ms for _, empty in runs for ms in empty[1:]]
    over = [own - bare for own, bare in zip(hours, empties, strict=True)]
    found = {
        "turns": options.turns,
        "hour_ms": spread(hours),
        "empty_ms": spread(empties),
        "over_ms": spread(over),
        "first_use_over_ms": spread(firsts),
    }
    print_table(
        "Milliseconds of a test of one hour: 200 polls, two outages, a failure"
        f" ({options.runs} runs of {options.turns} pairs)",
        ["what", "median", "spread"],
        [
            _row("the hour", found["hour_ms"]),
            _row("an empty test", found["empty_ms"]),
            _row("the hour, over an empty test", found["over_ms"]),
            _row("likewise, first use, imports included", found["first_use_over_ms"]),
        ],
    )
    promise = _MOST_OF_AN_HOUR_MS
    return {**found, **_judge(found["over_ms"]["median"], promise, "ms over empty")}


def _turns(turns: int) -> tuple[list[float], list[float]]:
    """Run the two tests in turns, and return what each took each time, in ms."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copy(_HERE / "_kit_tests.py", place / "test_kit.py")
        shutil.copy(_HERE / "_kit_times.py", place / "conftest.py")
        (place / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
        # These two plugins alone, because others take time in either test.
        plugins = ["-p", "pytest_trio.plugin", "-p", "vtrio.testing.plugin"]
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *plugins,
            ],
            cwd=place,
            # One turn more, which warms up.
            env={**os.environ, **alone, "TURNS": str(turns + 1)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the tests did not pass:\n{done.stdout}{done.stderr}")
        seconds = json.loads((place / "seconds.json").read_text(encoding="utf-8"))
    hour, empty = (
        [1000 * took for took in seconds[name]]
        for name in ("test_one_hour", "test_empty")
    )
    return hour, empty


def _day(options: argparse.Namespace) -> dict[str, Any]:
    """Compare a day of jobs through the kit with one without it."""
    kits, bares = [], []
    for _ in range(options.runs):
        bares.append(_live_a_day("bare", options))
        kits.append(_live_a_day("kit", options))
    found: dict[str, Any] = {
        "jobs": options.jobs,
        "polls": kits[0]["polls"],
        "seconds": spread([kit["seconds"] for kit in kits]),
        "cpu_seconds": spread([kit["cpu_seconds"] for kit in kits]),
        "bare_seconds": spread([bare["seconds"] for bare in bares]),
        "over_seconds": spread(
            [
                kit["seconds"] - bare["seconds"]
                for kit, bare in zip(kits, bares, strict=True)
            ]
        ),
        "polls_per_second": spread([kit["polls"] / kit["seconds"] for kit in kits]),
        "peak_mib": spread([kit["mib_at_peak"] for kit in kits]),
        "bare_peak_mib": spread([bare["mib_at_peak"] for bare in bares]),
    }
    told = {
        "seconds": "seconds",
        "cpu_seconds": "of these, on the processor",
        "bare_seconds": "the same client, without the kit",
        "over_seconds": "what the kit adds",
        "polls_per_second": "polls per second",
        "peak_mib": "MiB at the peak",
        "bare_peak_mib": "likewise, without the kit",
    }
    print_table(
        f"A virtual day of {options.jobs:,} jobs, {found['polls']:,} polls"
        f" ({options.runs} pairs of processes)",
        ["what", "median", "spread"],
        [_row(words, found[name], digits=2) for name, words in told.items()],
    )
    if options.jobs < _JOBS_OF_A_DAY:
        return found  # nothing is promised of so few
    promise = _MOST_OF_A_DAY_SECONDS
    return {**found, **_judge(found["seconds"]["median"], promise, "s")}


def _live_a_day(way: str, options: argparse.Namespace) -> dict[str, Any]:
    arguments = [way, "--jobs", str(options.jobs), "--seed", str(options.seed)]
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}._kit_jobs", *arguments],
        cwd=_HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _start(options: argparse.Namespace) -> dict[str, Any]:
    """Compare starts of pytest with the entry point of the plugin and without it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            start = PluginStart(Path(folder))
        except LookupError as error:
            print(f"\nthe plugin's part of pytest's start is left out: {error}")
            return {"left_out": str(error)}
        start.check_difference()
        over, over_on_cpu, without = [], [], []
        # The first pair warms up.
        for _ in range(options.starts + 1):
            wall, cpu = start.seconds(has_plugin=False)
            wall_with, cpu_with = start.seconds(has_plugin=True)
            without.append(wall * 1000)
            over.append((wall_with - wall) * 1000)
            over_on_cpu.append((cpu_with - cpu) * 1000)
        imports = start.imports()
    found = {
        "without_ms": spread(without[1:]),
        "over_ms": spread(over[1:]),
        "over_cpu_ms": spread(over_on_cpu[1:]),
    }
    print_table(
        "Milliseconds of wall time of pytest with one test that does nothing"
        f" ({options.starts} pairs of processes)",
        ["what", "median", "spread"],
        [
            _row("without the plugin", found["without_ms"]),
            _row("with it, over without", found["over_ms"]),
            _row("likewise, on the processor", found["over_cpu_ms"]),
        ],
    )
    # With its dots: the names of others may begin with ours.
    foreign = [name for name in imports if not f"{name}.".startswith("vtrio.")]
    print(f"imported because of the plugin: {', '.join(imports)}")
    print(f"trio, httpx or any other library among them: {'yes' if foreign else 'no'}")
    verdict = _judge(found["over_ms"]["median"], _MOST_OF_A_START_MS, "ms over without")
    return {**found, "imports": imports, "foreign_imports": foreign, **verdict}


def _judge(median: float, promise: float, unit: str) -> dict[str, Any]:
    kept = median <= promise
    print(f"promised: at most {promise:g} {unit}: {'kept' if kept else 'NOT KEPT'}")
    return {"promise": promise, "kept": kept}


def _row(told: str, found: dict[str, float], digits: int = 1) -> list[str]:
    low, median, high = (f"{found[k]:.{digits}f}" for k in ("min", "median", "max"))
    return [told, median, f"{low} to {high}"]


_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "hour": _hour,
    "day": _day,
    "start": _start,
}
