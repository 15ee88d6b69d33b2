"""Servers, and whoever loads them, in processes of their own.

What a server logs goes to a file, as that of a server in use would.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple, Unpack

import trio

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")

_LISTENING = "listening on "
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    url: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def read_line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None  # noqa: S101 - a pipe was asked for
        return self.process.stdout.readline().strip()


@contextmanager
def starting(
    module: str, *arguments: object, log: Path
) -> Iterator[subprocess.Popen[str]]:
    """Start a module of Python as a program; it is killed at the end of the block."""
    with (
        log.open("a") as errors,
        subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=_ROOT,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def serving(module: str, *arguments: object, log: Path) -> Iterator[Server]:
    """Start a server, wait until it listens, and kill it at the end of the block.

    Raises:
        RuntimeError: it ended before it listened.
    """
    with starting(module, *arguments, log=log) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = process.stdout.readline().strip()
        if not line.startswith(_LISTENING):
            told = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{module} did not start:\n{told}")
        yield Server(line.removeprefix(_LISTENING), process)


@contextmanager
def serving_steered(
    folder: Path, *arguments: object, jobs: int, within: float = 0, flags: str = ""
) -> Iterator[Server]:
    """Start `vtrio serve` with jobs that end when they are told to."""
    with serving(
        f"{__package__}._steered_server",
        *("--jobs", jobs, "--within", within, *arguments),
        *("--", "--data-dir", folder / "data", "--workers", jobs, *flags.split()),
        log=folder / "steered.log",
    ) as server:
        yield server


@contextmanager
def serving_simulated(folder: Path, flags: str = "") -> Iterator[Server]:
    """Start `vtrio serve` with the simulated engine."""
    with serving(
        "vtrio",
        *("serve", "--port", 0, "--engine", "simulated"),
        *("--data-dir", folder / "data", *flags.split()),
        log=folder / "simulated.log",
    ) as server:
        yield server


@contextmanager
def serving_bare(folder: Path) -> Iterator[Server]:
    """Start the least that quart-trio and hypercorn can serve."""
    with serving(f"{__package__}._bare_server", log=folder / "bare.log") as server:
        yield server


@contextmanager
def serving_bad() -> Iterator[str]:
    """Start what serves `/status` on bare sockets, well and badly; yield its address."""
    with subprocess.Popen(
        [sys.executable, "-m", f"{__package__}._bad_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def apart(
    work: Callable[[Unpack[_Arguments]], Awaitable[_T]], *arguments: *_Arguments
) -> _T:
    """Run an async function under trio in a process of its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as processes:
        return processes.submit(partial(trio.run, work, *arguments)).result()
