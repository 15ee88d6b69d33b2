"""Showing what happens to many jobs: as cheap at a thousand of them as at ten.

Taking in a change is a matter of a few dictionaries. What is drawn is drawn at instants
of its own, however much has changed: the few that run longest, and the totals. Where
there is no terminal, each job has two lines, one when it is submitted and one when it is
over: what lies in between makes a log long and tells nobody anything. What was told once
is not told again for a thousand jobs, but counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

import trio

from .._errors import GaveUp, NoAnswer, VtrioError, WaitTimeout
from .._job import Job, JobStatus
from .._scopes import beside
from .drawing import JsonDrawing, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Jobs that are shown, of those that run.
MOST_SHOWN = 8
# Seconds between two pictures: with the one at the end, at most 5 are drawn in any second.
INTERVAL = 0.25
_LIKEWISE: dict[type[VtrioError], str] = {
    WaitTimeout: "not over in time",
    NoAnswer: "no answer",
}


@dataclass(frozen=True, slots=True)
class _Running:
    """A job that runs, as it is shown."""

    name: str
    since: float


class Tally:
    """How many jobs are where.

    Args:
        of: how many there are.
        submits: whether they are submitted here; otherwise all are already.
    """

    def __init__(self, of: int, *, submits: bool) -> None:
        self.of = of
        self.completed = 0
        self.failed = 0
        self.given_up = 0
        self._submitted = 0
        self._submits = submits
        self._running: dict[str, _Running] = {}

    def submitted(self) -> None:
        """Count a job that the server has taken."""
        self._submitted += 1

    def changed(self, job: Job, name: str, now: float) -> None:
        """Note where a job stands."""
        if job.status is not JobStatus.RUNNING:
            self._running.pop(job.id, None)
            return
        if job.id not in self._running:
            self._running[job.id] = _Running(name, now)

    def ended(self, job_id: str, error: VtrioError | None) -> None:
        """Count a job that is over, or is waited for no longer."""
        self._running.pop(job_id, None)
        if error is None:
            self.completed += 1
        elif isinstance(error, GaveUp):
            self.given_up += 1
        else:
            self.failed += 1

    @property
    def shown(self) -> list[_Running]:
        """The few that have been running longest."""
        return list(islice(self._running.values(), MOST_SHOWN))

    @property
    def over(self) -> int:
        """How many are waited for no longer."""
        return self.completed + self.failed + self.given_up

    def __str__(self) -> str:
        parts = [
            *([f"{self._submitted} submitted"] if self._submits else []),
            f"{len(self._running)} running",
            f"{self.completed} completed",
            f"{self.failed} failed",
            *([f"{self.given_up} given up"] if self.given_up else []),
        ]
        return f"{self.over} of {self.of}: {', '.join(parts)}"


class CrowdLines:
    """Two lines a job; what would be told again and again is counted."""

    def __init__(self, tally: Tally, stream: TextIO | None = None) -> None:
        self._tally = tally
        self._stream = sys.stderr if stream is None else stream
        self._told: Counter[str] = Counter()

    def submitted(self, job: Job, name: str) -> None:
        """Tell of a job that the server has taken."""
        self._tally.submitted()
        self._print(f"{name}: submitted as {job.id}")

    def changed(self, job: Job, name: str) -> None:
        """Note where a job stands."""
        self._tally.changed(job, name, trio.current_time())

    def downloaded(self, job: Job, name: str, path: Path) -> None:
        """Say nothing: a job that is over has one line."""

    def completed(self, job_id: str, name: str, output: Path | None) -> None:
        """Tell of a job that is over and well, and where its result lies."""
        self._tally.ended(job_id, None)
        where = "" if output is None else f", result in {output}"
        self._print(f"{name}: completed{where}")

    def failed(self, error: VtrioError, job_id: str, name: str) -> None:
        """Tell what went wrong, unless that was told of another job."""
        self._tally.ended(job_id, error)
        # One that was given up is told in words about itself, which say nothing new.
        what = _LIKEWISE.get(type(error)) or str(error)
        self._told[what] += 1
        if self._told[what] == 1:
            self._print(f"{name}: {error}")

    def timed_out(
        self, error: VtrioError, job_id: str, name: str, again: str | None
    ) -> None:
        """Tell of the first one; the command that goes on with all comes at the end."""
        self.failed(error, job_id, name)

    def finish(self) -> None:
        """Tell how often the same was to be told, and the totals."""
        for what, times in self._told.items():
            if times > 1:
                self._print(f"{times - 1} more: {what}")
        self._finish()

    def _finish(self) -> None:
        self._print(str(self._tally))

    def _print(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)


class Board(CrowdLines):
    """Bars of a few jobs, and the totals, on a terminal.

    Lines to be read afterwards wait for the next picture, since whatever is printed above
    the bars has them drawn anew.
    """

    def __init__(self, tally: Tally, console: Console) -> None:
        from rich.live import Live

        super().__init__(tally)
        self._console = console
        self._lines: list[str] = []
        self._began_at = trio.current_time()
        self._live = Live(self, console=console, auto_refresh=False)
        self.pictures = 0
        """How many were drawn."""

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()
        self._print_lines()

    async def keep_drawn(self) -> None:
        """Draw a picture every quarter of a second."""
        while True:
            await trio.sleep(INTERVAL)
            if self._lines:
                self._print_lines()
            else:
                self._live.refresh()

    def submitted(self, job: Job, name: str) -> None:
        """Count a job that the server has taken."""
        self._tally.submitted()

    def completed(self, job_id: str, name: str, output: Path | None) -> None:
        """Count a job that is over and well."""
        self._tally.ended(job_id, None)

    def _finish(self) -> None:
        """Add nothing: the totals are in the last picture."""

    def _print(self, line: str) -> None:
        self._lines.append(printable(line))

    def _print_lines(self) -> None:
        text, self._lines = "\n".join(self._lines), []
        if text:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        """Draw: rich asks for it whenever it draws, for whatever reason."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        self.pictures += 1
        now = trio.current_time()
        rows = Table.grid(padding=(0, 1), expand=True)
        rows.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        rows.add_column(width=24)
        rows.add_column(justify="right", no_wrap=True)
        for running in self._tally.shown:
            # How far each is would have to be asked for; that it runs is told.
            rows.add_row(
                Text(printable(running.name)),
                ProgressBar(pulse=True, animation_time=now),
                _clock(now - running.since),
            )
        rows.add_row(
            "",
            ProgressBar(total=self._tally.of, completed=self._tally.over),
            _clock(now - self._began_at),
        )
        return Group(rows, Text(str(self._tally)))


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


class JsonCrowd(JsonDrawing):
    """One object a line for each event, as for a few jobs."""

    def completed(self, job_id: str, name: str, output: Path | None) -> None:
        """Say nothing: the job's end was told, and what was downloaded too."""


CrowdDrawing = CrowdLines | JsonCrowd


@asynccontextmanager
async def open_crowd(
    *, as_json: bool, of: int, submits: bool
) -> AsyncIterator[CrowdDrawing]:
    """Choose how to show many jobs: as asked, with bars where they can be seen."""
    if as_json:
        yield JsonCrowd()
        return
    tally = Tally(of, submits=submits)
    console = _console() if sys.stderr.isatty() else None
    if console is None:
        lines = CrowdLines(tally)
        try:
            yield lines
        finally:
            lines.finish()
        return
    board = Board(tally, console)
    with board:
        try:
            async with beside(board.keep_drawn, name="vtrio: draw"):
                yield board
        finally:
            board.finish()


def _console() -> Console | None:
    """Make what is drawn on, where the extra that draws is installed."""
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return None
    return Console(stderr=True)
