"""Showing what happens: JSON lines, plain lines, or bars on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from .._errors import VtrioError
from .._job import Job

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# A bar that is redrawn more often costs more than it tells.
_REDRAWS_A_SECOND = 5


class Drawing(Protocol):
    """What a command tells while it runs; `name` is what the user calls the job."""

    def submitted(self, job: Job, name: str) -> None:
        """The server has taken a job."""

    def changed(self, job: Job, name: str) -> None:
        """An answer has come."""

    def downloaded(self, job: Job, name: str, path: Path) -> None:
        """A result lies there."""

    def failed(self, error: VtrioError, job_id: str, name: str) -> None:
        """A job, or the asking for it, has ended badly."""

    def timed_out(
        self, error: VtrioError, job_id: str, name: str, again: str | None
    ) -> None:
        """The wait was given up; the command takes it up again, if anything can."""


def document_of(job: Job) -> dict[str, Any]:
    """Write a job as the members of its document on the wire."""
    return {
        "id": job.id,
        "status": job.word,
        "progress": job.progress,
        "stage": job.stage,
        "target_language": job.target_language,
        "source_language": job.source_language,
        "media_seconds": job.media_seconds,
        "created_at": _rfc3339(job.created_at),
        "started_at": _rfc3339(job.started_at),
        "finished_at": _rfc3339(job.finished_at),
        "error": None if job.error is None else asdict(job.error),
        "result": None if job.result is None else asdict(job.result),
    }


def _rfc3339(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def describe(job: Job) -> str:
    """Write how a job stands in a few words."""
    share = None if job.progress is None else f"{job.progress:.0%}"
    why = None if job.error is None else job.error.title
    return printable(
        " ".join(part for part in (job.word, job.stage, share, why) if part)
    )


def printable(text: str) -> str:
    """Write what a server said so that it cannot steer the terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


class JsonDrawing:
    """One object a line on standard output, and nothing else there."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def submitted(self, job: Job, name: str) -> None:
        """Tell of a job that the server has taken."""
        self._last[job.id] = describe(job)
        self._print("submitted", document_of(job), name)

    def changed(self, job: Job, name: str) -> None:
        """Tell of a change; an answer that brings none is not told."""
        if self._last.get(job.id) != describe(job):
            self._last[job.id] = describe(job)
            self._print("status", document_of(job), name)

    def downloaded(self, job: Job, name: str, path: Path) -> None:
        """Tell where a result lies."""
        self._print("downloaded", document_of(job), name, path=str(path))

    def failed(self, error: VtrioError, job_id: str, name: str) -> None:
        """Tell what went wrong, beside the job as it was last seen."""
        self._print("failed", _last_seen(error, job_id), name, message=str(error))

    def timed_out(
        self, error: VtrioError, job_id: str, name: str, again: str | None
    ) -> None:
        """Tell the command that takes the wait up again."""
        more = {} if again is None else {"again": again}
        self._print("timeout", _last_seen(error, job_id), name, **more)

    def _print(
        self, event: str, document: dict[str, Any], name: str, **more: str
    ) -> None:
        # Of jobs that were named by their ids there is no file to tell.
        file = {} if name == document["id"] else {"file": name}
        print(json.dumps({"event": event, **document, **file, **more}), flush=True)


def _last_seen(error: VtrioError, job_id: str) -> dict[str, Any]:
    return document_of(error.job) if error.job is not None else {"id": job_id or None}


class LineDrawing:
    """One line a change."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._last: dict[str, str] = {}

    def submitted(self, job: Job, name: str) -> None:
        """Tell of a job that the server has taken."""
        self._last[job.id] = describe(job)
        self._print(f"{name}: submitted as {job.id}")

    def changed(self, job: Job, name: str) -> None:
        """Tell of a change; an answer that brings none is not told."""
        if self._last.get(job.id) != describe(job):
            self._last[job.id] = describe(job)
            self._print(f"{name}: {describe(job)}")

    def downloaded(self, job: Job, name: str, path: Path) -> None:
        """Tell where a result lies."""
        self._print(f"{name}: result in {path}")

    def failed(self, error: VtrioError, job_id: str, name: str) -> None:
        """Tell what went wrong."""
        self._print(f"{name}: {error}")

    def timed_out(
        self, error: VtrioError, job_id: str, name: str, again: str | None
    ) -> None:
        """Tell the command that takes the wait up again."""
        self._print(f"{name}: {error}")
        if again is not None:
            self._print(f"to go on: {again}")

    def _print(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)


class BarDrawing(LineDrawing):
    """A bar a job, on a terminal; what is left to read afterwards is a line."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def submitted(self, job: Job, name: str) -> None:
        """Begin a bar."""
        self.changed(job, name)

    def changed(self, job: Job, name: str) -> None:
        """Move the bar; one that has ended goes, its line comes elsewhere."""
        bar = self._bars.get(job.id)
        if bar is None:
            bar = self._bars[job.id] = self._progress.add_task(name, total=1.0)
        self._progress.update(
            bar,
            description=printable(f"{name}: {job.stage or job.word}"),
            completed=1.0 if job.is_final else job.progress or 0.0,
        )

    def _print(self, line: str) -> None:
        self._progress.console.print(
            printable(line), markup=False, highlight=False, soft_wrap=True
        )


@contextmanager
def open_drawing(*, as_json: bool) -> Iterator[Drawing]:
    """Choose how to show: as asked, with bars where they can be seen, else in lines."""
    if as_json:
        yield JsonDrawing()
        return
    progress = _bars() if sys.stderr.isatty() else None
    if progress is None:
        yield LineDrawing()
        return
    with progress:
        yield BarDrawing(progress)


def _bars() -> Progress | None:
    """Make the bars, where the extra that draws them is installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ModuleNotFoundError:
        return None
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        refresh_per_second=_REDRAWS_A_SECOND,
    )
