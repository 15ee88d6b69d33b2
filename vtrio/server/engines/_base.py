"""What does the work: the interface between the job service and an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt at one job.

    `source` is the uploaded file; `folder` exists, is empty, belongs to this attempt
    alone, and takes whatever the engine writes.
    """

    job_id: str
    attempt: int
    source: Path
    folder: Path
    target_language: str
    source_language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an attempt has come: `fraction` runs from 0 to 1 over all stages.

    An engine that learns the length of the video or its language on the way tells
    of them here; None means nothing new.
    """

    stage: str
    fraction: float
    media_seconds: float | None = None
    source_language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What an attempt made: files inside the task's folder."""

    video: Path
    subtitles: Path
    media_seconds: float | None = None
    source_language: str | None = None
    notes: tuple[str, ...] = field(default=())


class EngineError(Exception):
    """An attempt failed.

    `kind` is a short stable word such as `no-speech` (it becomes the type of the
    problem document), `title` a sentence, `detail` what is particular to this job.
    `permanent` says that another attempt would fail alike: the input is at fault.
    """

    def __init__(
        self, kind: str, title: str, detail: str | None = None, *, permanent: bool
    ) -> None:
        super().__init__(kind, title, detail)
        self.kind = kind
        self.title = title
        self.detail = detail
        self.permanent = permanent

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}" if self.detail else self.title


class Engine(Protocol):
    """Translates videos."""

    @property
    def name(self) -> str:
        """The engine's word on the command line."""
        ...

    def check(self, target_language: str, source_language: str | None) -> None:
        """Refuse a pair of languages that this engine cannot serve.

        Raises:
            ValueError: naming the language and what is allowed.
        """
        ...

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Do the work of one attempt, calling `report` from the trio thread.

        Cancelling it stops the work: nothing of it runs on once it has returned.

        Raises:
            EngineError: the attempt failed.
        """
        ...
