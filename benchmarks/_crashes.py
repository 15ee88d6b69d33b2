"""A server that is killed again and again while jobs are submitted to it and run.

It is the real one, with the simulated engine. Whoever submits repeats what got no
answer, with the same key, at wherever the server is then.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from ._submissions import list_jobs
from ._wire import Connection, get, post

# Seconds that a server lives on average once it listens.
_LIFE = 0.4
# Of four kills one hits the start, and two the next submission, at most so many seconds
# after that began, because that is when most can go wrong; one comes at any time.
_AIMED_WITHIN = 0.01
_START = 1.0
_LONGEST_AIM = 1.0
_BEFORE_REPEATING = 0.02
# No server that works takes longer.
_LONGEST_LIFE = 6.0
_LONGEST_END = 60.0
_ROOT = Path(__file__).parent.parent


@dataclass
class _Place:
    """Where the server is, if it is anywhere, and a signal of each submission."""

    url: str | None = None
    _found: trio.Event = field(default_factory=trio.Event)
    _submitting: trio.Event = field(default_factory=trio.Event)

    async def wait(self) -> str:
        while self.url is None:
            await self._found.wait()
        return self.url

    def move(self, url: str | None) -> None:
        self.url = url
        if url is not None:
            self._found.set()
            self._found = trio.Event()

    async def wait_for_submission(self) -> None:
        await self._submitting.wait()

    def submission_begins(self) -> None:
        self._submitting.set()
        self._submitting = trio.Event()


@dataclass
class _Ledger:
    """Which id each key got, and how often that took more than one request."""

    ids: dict[str, str] = field(default_factory=dict)
    repeated: int = 0


async def crash(
    folder: Path, *, kills: int, jobs: int, tasks: int, seed: int
) -> dict[str, Any]:
    """Kill the server so often while tasks submit jobs; return what became of them.

    Raises:
        trio.TooSlowError: it took longer than with any server that works.
    """
    rng = random.Random(seed)
    place, ledger = _Place(), _Ledger()
    keys = iter([f"job-{number}" for number in range(jobs)])
    # So that the last jobs come with the last kills.
    pause = tasks * kills * _LIFE / jobs
    began = time.perf_counter()
    with trio.fail_after(kills * _LONGEST_LIFE + _LONGEST_END):
        async with trio.open_nursery() as servers:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_kill, servers, folder, place, kills, rng)
                for _ in range(tasks):
                    nursery.start_soon(_submit, keys, place, ledger, pause, rng)
            url = await place.wait()
            with trio.move_on_after(_LONGEST_END / 2):
                while await _unfinished(url):  # noqa: ASYNC110 - another process
                    await trio.sleep(0.1)
            found = await _judge(url, ledger)
            servers.cancel_scope.cancel("all is known")
    return {"kills": kills, "jobs": jobs, "repeated": ledger.repeated} | {
        **found,
        "seconds": time.perf_counter() - began,
    }


async def _submit(
    keys: Iterator[str],
    place: _Place,
    ledger: _Ledger,
    pause: float,
    rng: random.Random,
) -> None:
    for key in keys:
        await trio.sleep(rng.uniform(0, 2 * pause))
        while key not in ledger.ids:
            url = await place.wait()
            try:
                place.submission_begins()
                ledger.ids[key] = await _submit_once(url, key)
            except OSError:
                ledger.repeated += 1
                await trio.sleep(_BEFORE_REPEATING)


async def _submit_once(url: str, key: str) -> str:
    with await Connection.open(url) as connection:
        answer = await connection.ask(post(f"the video of {key}".encode(), key=key))
        job_id: str = answer.expect(202).json()["id"]
        return job_id


async def _kill(
    servers: trio.Nursery, folder: Path, place: _Place, kills: int, rng: random.Random
) -> None:
    """Start a server and kill it, so often; leave one that goes on."""
    for _ in range(kills):
        process = await servers.start(_serve, folder, place)
        manner = rng.randrange(4)
        if manner == 0:
            await trio.sleep(rng.uniform(0, _START))
        else:
            await place.wait()
            if manner in {1, 2}:
                with trio.move_on_after(_LONGEST_AIM):
                    await place.wait_for_submission()
                await trio.sleep(rng.uniform(0, _AIMED_WITHIN))
            else:
                await trio.sleep(rng.uniform(0, 2 * _LIFE))
        place.move(None)
        process.kill()
        await process.wait()
        place.move(None)  # it may have said where it listens just before
    await servers.start(_serve, folder, place)


async def _serve(
    folder: Path,
    place: _Place,
    *,
    task_status: trio.TaskStatus[trio.Process] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until it is killed, and say where it listens once it does."""
    flags = "--port 0 --engine simulated --durations uniform:0.05,0.3 --workers 8"
    with (folder / "server.log").open("ab") as log:
        process = await trio.lowlevel.open_process(
            [
                *(sys.executable, "-m", "vtrio", "serve", *flags.split()),
                *("--data-dir", str(folder / "data")),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=_ROOT,
        )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        task_status.started(process)
        told = b""
        while data := await process.stdout.receive_some():
            told += data
            if told.endswith(b"\n") and process.returncode is None:
                place.move(told.decode().split()[-1])
        if await process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"the server ended by itself: {_end_of(folder)}")
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def _end_of(folder: Path) -> str:
    return (folder / "server.log").read_text(errors="replace")[-2000:]


async def _unfinished(url: str) -> bool:
    unfinished = {"pending", "running"}
    return any(job["status"] in unfinished for job in await list_jobs(url))


async def _judge(url: str, ledger: _Ledger) -> dict[str, Any]:
    """Compare what the server has with what it was given, and with what it told."""
    listed = {job["id"]: job["status"] for job in await list_jobs(url)}
    statuses = Counter(listed.values())
    again = {key: await _submit_once(url, key) for key in ledger.ids}
    ends = await _ends_told(url)
    return {
        "statuses": dict(statuses),
        "completed": statuses["completed"],
        "lost": sum(job_id not in listed for job_id in ledger.ids.values()),
        "doubled": len(listed) - len(ledger.ids),
        "stuck": statuses["pending"] + statuses["running"],
        "ended_more_than_once": sum(number > 1 for number in ends.values()),
        "ended_untold": len(listed)
        - statuses["pending"]
        - statuses["running"]
        - len(ends),
        "keys_forgotten": sum(again[key] != ledger.ids[key] for key in again),
    }


async def _ends_told(url: str) -> Counter[str]:
    """Count the ends of each job that the feed tells of, from its beginning."""
    ends: Counter[str] = Counter()
    after = ""
    with await Connection.open(url) as connection:
        while True:
            answer = await connection.ask(get(f"/v1/events{after}"))
            page = answer.expect(200).json()
            if not page["events"]:
                return ends
            ends.update(
                event["id"]
                for event in page["events"]
                if event["status"] not in {"pending", "running"}
            )
            after = f"?after={page['next']}"
