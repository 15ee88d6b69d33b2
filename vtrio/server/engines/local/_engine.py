"""The engine as the job service sees it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import trio

from .._base import EngineError, Progress, Task, Translation
from ._languages import check_languages
from ._process import run_attempt
from ._settings import LocalSettings
from ._setup import check_setup
from ._wire import Made, Request

# How long the removal of an attempt's scratch files may hold up whoever waits for its
# end. Beyond that it goes on by itself.
_TIDYING = 5.0


class LocalEngine:
    """Translates English videos to Brazilian Portuguese on this machine.

    Raises:
        ImportError: the packages of the `local` extra are not installed, or no ffmpeg.
        ValueError: a setting names a program, a model or a voice that is not there.
    """

    def __init__(self, settings: LocalSettings | None = None) -> None:
        self._settings = settings or LocalSettings()
        check_setup(self._settings)

    def __repr__(self) -> str:
        return f"<LocalEngine model={self._settings.model!r}>"

    @property
    def name(self) -> str:
        """The engine's word on the command line."""
        return "local"

    def check(self, target_language: str, source_language: str | None) -> None:
        """Refuse all but English to Brazilian Portuguese.

        Raises:
            ValueError: naming the language and what is allowed.
        """
        check_languages(target_language, source_language)

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Do the work of one attempt in a process group of its own.

        Cancelling it kills the group; once it has returned, whichever way, no process
        of the attempt runs and the task's folder holds finished files or none.

        Raises:
            EngineError: the attempt failed.
        """
        self.check(task.target_language, task.source_language)
        folder = task.folder.absolute()
        # All this in threads: a disk, or a network behind it, may be slow to answer.
        work = await trio.to_thread.run_sync(_make_work, folder)
        request = Request(
            source=task.source.absolute(),
            work=work,
            source_language=task.source_language,
            settings=self._settings,
        )
        # Isolated from the current folder: a stray numpy.py must not be imported.
        command = [sys.executable, "-P", "-m", __package__ or ""]
        try:
            made = await run_attempt(
                command, request, report, wall_time=self._settings.wall_time
            )
            return await trio.to_thread.run_sync(_take_out, made, work, folder)
        finally:
            with trio.move_on_after(_TIDYING, shield=True):
                await trio.to_thread.run_sync(_remove, work, abandon_on_cancel=True)


def _make_work(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="work-", dir=folder))


def _remove(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)


def _take_out(made: Made, work: Path, folder: Path) -> Translation:
    # The names are ours, not the worker's: what it says cannot lead out of the folder.
    try:
        video = (work / "video.mp4").rename(folder / "video.mp4")
        subtitles = (work / "subtitles.vtt").rename(folder / "subtitles.vtt")
    except FileNotFoundError as error:
        raise EngineError(
            "crashed",
            "The translation ended without its files",
            f"{Path(error.filename).name} is missing",
            permanent=False,
        ) from error
    return Translation(
        video=video,
        subtitles=subtitles,
        media_seconds=made.media_seconds,
        source_language=made.source_language,
        notes=made.notes,
    )
