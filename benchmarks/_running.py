"""Several scenarios, each in a process of its own: none is in another's figures.

They run one after the other; quickly, where no figure is worth anything, as many at once
as there are cores, and what each prints comes when it is over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

_ROOT = Path(__file__).parent.parent


def run_each(names: Sequence[str], folder: Path, *, seed: int, quick: bool) -> int:
    """Run scenarios, each of which writes NAME.json and its pictures into a folder.

    What a scenario prints is shown, and the seconds it took; the last line names those
    that failed.

    Returns:
        1 if one failed, 0 otherwise.
    """
    return trio.run(_run_each, names, folder.resolve(), seed, quick)


def read_results(names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the results by name, of those scenarios that have written some."""
    results: dict[str, Any] = {}
    for name in names:
        path = folder / f"{name}.json"
        if path.exists():
            results |= json.loads(path.read_text(encoding="utf-8"))["results"]
    return results


async def _run_each(names: Sequence[str], folder: Path, seed: int, quick: bool) -> int:
    at_once = (os.cpu_count() or 1) if quick else 1
    limiter = trio.CapacityLimiter(at_once)
    became: dict[str, str] = {}

    async def run_one(name: str) -> None:
        try:
            became[name] = await _run(name, folder, seed, quick, apart=at_once > 1)
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
    return 1 if failed else 0


async def _run(name: str, folder: Path, seed: int, quick: bool, *, apart: bool) -> str:
    """Run one; return what became of it, and in how many seconds."""
    path = folder / f"{name}.json"
    path.unlink(missing_ok=True)  # what is there in the end is of this run
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
        return f"failed with the status {done.returncode}, after {took:.1f} s"
    if not path.exists():
        return "skipped, as it says above"
    return f"{took:.1f} s"
