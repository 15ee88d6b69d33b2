"""Several scenarios, each in a process of its own: none is in another's figures.

They run one after the other; quickly, where no figure is worth anything, as many at once
as there are cores, and what each prints comes when it is over.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of several scenarios.

    Attributes:
        status: 1 if one failed, 0 otherwise.
        written: those that have written results.
    """

    status: int
    written: Sequence[str]


def run_each(names: Sequence[str], folder: Path, *, seed: int, quick: bool) -> Ran:
    """Run scenarios, each of which writes NAME.json and its pictures into a folder.

    What is there of a scenario is replaced when it has succeeded, and not before. What
    it prints is shown, and the seconds it took; the last line names those that failed.

    Raises:
        SystemExit: on SIGTERM, after those that ran have been ended.
    """
    return trio.run(_run_all, names, folder.resolve(), seed, quick)


def read_results(
    names: Sequence[str], folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options and the results of scenarios, by name."""
    options: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for name in names:
        path = folder / f"{name}.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        options |= document["options"]
        results |= document["results"]
    return options, results


async def _run_all(names: Sequence[str], folder: Path, seed: int, quick: bool) -> Ran:
    """Run them; end them when this program is told to end."""
    told: list[int] = []
    ran = Ran(1, [])

    async def end_when_told(signals: AsyncIterator[int]) -> None:
        async for number in signals:
            told.append(number)
            nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_told, signals)
            ran = await _run_each(names, folder, seed, quick)
            nursery.cancel_scope.cancel()
    if told:
        raise SystemExit(128 + told[0])
    return ran


async def _run_each(names: Sequence[str], folder: Path, seed: int, quick: bool) -> Ran:
    at_once = (os.cpu_count() or 1) if quick else 1
    limiter = trio.CapacityLimiter(at_once)
    became: dict[str, str] = {}
    written: list[str] = []

    async def run_one(name: str) -> None:
        try:
            run = partial(_run, name, folder, seed, quick, apart=at_once > 1)
            became[name], wrote = await run()
            if wrote:
                written.append(name)
        finally:
            limiter.release_on_behalf_of(name)

    async with trio.open_nursery() as nursery:
        for name in names:
            await limiter.acquire_on_behalf_of(name)
            nursery.start_soon(run_one, name)
    print()
    for name in names:
        print(f"{name:10} {became[name]}")
    failed = [name for name in names if became[name].startswith("failed")]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return Ran(1 if failed else 0, [name for name in names if name in written])


async def _run(
    name: str, folder: Path, seed: int, quick: bool, *, apart: bool
) -> tuple[str, bool]:
    """Run one; return what became of it, in how many seconds, and if it has written."""
    # Beside the results, so that it takes nothing to move new ones there.
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as place:
        path = Path(place) / f"{name}.json"
        command = [sys.executable, "-m", __package__, name]
        command += ["--seed", str(seed), "--json", str(path)]
        if quick:
            command.append("--quick")
        if not apart:
            print(f"\n=== {name}", flush=True)
        began = time.monotonic()
        done = await trio.run_process(
            command,
            capture_stdout=apart,
            stderr=subprocess.STDOUT if apart else None,
            check=False,
            cwd=_ROOT,
        )
        took = time.monotonic() - began
        if apart:
            print(f"\n=== {name}\n{done.stdout.decode(errors='replace')}", flush=True)
        if done.returncode:
            return (
                f"failed with the status {done.returncode}, after {took:.1f} s",
                False,
            )
        if not path.exists():
            return "skipped, as it says above", False
        replace_results(name, path.parent, folder)
        return f"{took:.1f} s", True


def replace_results(name: str, new: Path, folder: Path) -> None:
    """Move a scenario's results and pictures to where its former ones are."""
    for path in _results_of(name, folder):
        path.unlink()
    for path in _results_of(name, new):
        path.replace(folder / path.name)


def _results_of(name: str, folder: Path) -> list[Path]:
    patterns = f"{name}.json", f"{name}.png", f"{name}-*.png"
    return [path for pattern in patterns for path in folder.glob(pattern)]
