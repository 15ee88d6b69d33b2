"""A fleet of jobs at the real server, in real time: server and client a process each.

Requests are counted in the server's own log, where each has its line: those too that
the client gave up, which no counter of answers knows.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._fleet_ledger import what_is_asked
from ._rates import processor_time
from ._servers import serving_steered, starting
from ._siege import stop

# Jobs that end at once, for what is done at first use.
_WARM_UP = 64
# Seconds from the last end until what has not been told is lost, unless all of it would
# take too long: so many take single polls of 10,000 jobs, of which each is slow.
_PATIENCE = 45.0
_LEAST_PATIENCE = 15.0
# What stopping the server, counting and removing its data may take.
_CLOSING = 15.0
_SUBMISSION = "POST /v1/translations"


def longest(jobs: int, over: float) -> float:
    """Return after how many seconds all of it is given up, as when nothing moves."""
    return 60 + 2 * _intended(jobs, over)


def _intended(jobs: int, over: float) -> float:
    """Return how many seconds all of it should take: 148 for 10,000 jobs over 20 s."""
    return 48 + jobs / 125 + over


@dataclass(frozen=True, slots=True)
class _Client:
    """The client's process, and what it logs, which is how it fails."""

    process: subprocess.Popen[str]
    log: Path

    def read_line(self) -> str:
        assert self.process.stdout is not None  # noqa: S101 - a pipe was asked for
        if line := self.process.stdout.readline():
            return line.strip()
        told = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"the client ended before its time:\n{told}")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None  # noqa: S101 - a pipe was asked for
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@contextmanager
def _waiting(url: str, options: argparse.Namespace, log: Path) -> Iterator[_Client]:
    """Start a client; it is killed at the end of the block."""
    with starting(
        f"{__package__}._fleet_client",
        *(url, "--jobs", options.jobs, "--warm-up", _WARM_UP),
        *("--transport", options.transport),
        *("--http", options.http, "--seed", options.seed),
        log=log,
    ) as process:
        yield _Client(process, log)


class AccessLog:
    """The requests that a server logs from now on, submissions aside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin = path.stat().st_size

    def count(self) -> Counter[str]:
        """Count them by what they ask for, whichever job that is about."""
        found: Counter[str] = Counter()
        with self._path.open("rb") as log:
            log.seek(self._begin)
            for line in log:
                if b'"event": "request"' not in line:
                    continue
                entry = json.loads(line)
                found[what_is_asked(entry["method"], entry["path"])] += 1
        # The line of one may follow upon its answer when this log has begun.
        del found[_SUBMISSION]
        return found


def measure(
    options: argparse.Namespace, folder: Path
) -> tuple[dict[str, Any], Counter[str]]:
    """Have a client wait for the jobs of a server.

    Returns:
        What that took, and its requests by what they ask for.

    Raises:
        RuntimeError: one of the two ended before its time, or nothing was told.
    """
    jobs, over = options.jobs, options.over
    until = time.monotonic() + _intended(jobs, over)
    steered = folder, "--at-once", _WARM_UP, "--shuffled", options.seed
    with (
        serving_steered(*steered, jobs=jobs, within=over) as server,
        _waiting(server.url, options, folder / "client.log") as client,
    ):
        if client.read_line() != "submitted" or server.read_line() != "waiting":
            raise RuntimeError("the server ended before all of its jobs waited")
        log = AccessLog(folder / "steered.log")
        cpu = processor_time(server.pid)
        os.kill(server.pid, signal.SIGUSR1)
        left = until - _CLOSING - time.monotonic() - over
        client.tell(str(over + max(_LEAST_PATIENCE, min(_PATIENCE, left))))
        found = json.loads(client.read_line())
        cpu = processor_time(server.pid) - cpu
        client.process.wait()
        stop(server)  # so that what it held to the end is logged too
        requests = log.count()
    return {
        **found,
        "requests": requests.total(),
        "requests_per_job": requests.total() / jobs,
        "server_cpu_per_job": cpu / jobs,
    }, requests
