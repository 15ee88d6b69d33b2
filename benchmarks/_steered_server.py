"""`vtrio serve`, whose jobs end when they are told to.

Everything is that of the command, but for the engine. It prints `waiting` when all
its jobs wait for the signal SIGUSR1; then the k-th of them ends at its share of the
time that was set, in the order in which they were submitted or, with `--shuffled`, in one
that is drawn. Of `--at-once` so many more, the first to come, each ends as soon as it
can. With `--disk-rate` what is uploaded is written as slowly as that. It ends when its
standard input does, so that it does not outlive whoever has started it.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import trio

import vtrio.server.engines
from vtrio.cli import main
from vtrio.server.engines import Engine, Progress, Task, Translation

# Seconds for the signal's own work to be over before the first job ends.
LEAD = 0.5


class SteeredEngine:
    """Ends its k-th job at k shares of a time after a signal; gives the upload back."""

    name = "simulated"

    def __init__(
        self,
        jobs: int,
        within: float,
        *,
        at_once: int = 0,
        shuffled: int | None = None,
    ) -> None:
        self._jobs = jobs
        self._ends = [within * turn / jobs for turn in range(jobs)]
        if shuffled is not None:
            random.Random(shuffled).shuffle(self._ends)
        self._begun = -at_once
        self._waiting = 0
        self._told = [trio.Event() for _ in self._ends]
        self._token: trio.lowlevel.TrioToken | None = None
        signal.signal(signal.SIGUSR1, self._hear)

    def check(self, target_language: str, source_language: str | None) -> None:
        """Refuse no language."""

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Wait for the signal, and then for the instant of this job."""
        turn = self._begun
        self._begun += 1
        self._token = trio.lowlevel.current_trio_token()
        made = await trio.to_thread.run_sync(make_result, task)
        if turn < 0:
            return made
        self._waiting += 1
        if self._waiting == self._jobs:
            print("waiting", flush=True)
        await self._told[turn].wait()
        return made

    def _hear(self, number: int, frame: object) -> None:
        # A handler may come between any two steps of trio's: it must not touch more.
        if self._token is not None:
            self._token.run_sync_soon(self._start, idempotent=True)

    def _start(self) -> None:
        # One task for all: a deadline for each would be work that no server has.
        trio.lowlevel.spawn_system_task(self._tell_them)

    async def _tell_them(self) -> None:
        began = trio.current_time() + LEAD
        for ends, told in sorted(
            zip(self._ends, self._told, strict=True), key=itemgetter(0)
        ):
            if began + ends > trio.current_time():
                await trio.sleep_until(began + ends)
            told.set()


def make_result(task: Task) -> Translation:
    """Give the upload back as what was made of it."""
    video = task.folder / "translated.mp4"
    os.link(task.source, video)
    subtitles = task.folder / "subtitles.vtt"
    subtitles.write_text("WEBVTT\n", encoding="utf-8")
    return Translation(video=video, subtitles=subtitles)


def end_with_the_parent() -> None:
    """End when standard input does, which is a pipe from whoever has started this."""

    def wait_for_its_end() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


def _slow_down_the_disk(rate: float) -> None:
    """Have what is written through `Path.open` unbuffered take its time."""

    class SlowFile(io.FileIO):
        def write(self, data: Any, /) -> int:
            began = time.monotonic()
            written = super().write(data)
            time.sleep(max(0.0, began + written / rate - time.monotonic()))
            return written

    quick = Path.open

    def slow(
        self: Path, mode: str = "r", buffering: int = -1, **text: str | None
    ) -> Any:
        if mode == "xb" and buffering == 0:
            return SlowFile(self, "x")
        return quick(self, mode, buffering, **text)

    Path.open = slow  # type: ignore[method-assign,assignment]


def _serve() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--within", type=float, required=True)
    parser.add_argument("--at-once", type=int, default=0)
    parser.add_argument("--shuffled", type=int, metavar="SEED")
    parser.add_argument("--disk-rate", type=float)
    parser.add_argument("flags", nargs="*")
    options = parser.parse_args()
    if options.disk_rate is not None:
        _slow_down_the_disk(options.disk_rate)
    end_with_the_parent()
    engine = SteeredEngine(
        options.jobs,
        options.within,
        at_once=options.at_once,
        shuffled=options.shuffled,
    )

    def choose(name: str | None = None, **_: object) -> Engine:
        return engine

    vtrio.server.engines.choose_engine = choose
    serve = ["serve", "--port", "0", "--engine", "simulated"]
    return main([*serve, *options.flags])


if __name__ == "__main__":
    sys.exit(_serve())
