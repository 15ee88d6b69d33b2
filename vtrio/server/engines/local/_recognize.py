"""Speech recognition with faster-whisper."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...._checks import shorten
from .._base import EngineError
from ._complaints import fit_for_strangers
from ._faults import says_no_memory
from ._models import whisper_model
from ._segments import Word
from ._settings import LocalSettings
from ._stages import HEARING_RATE, Guess, Samples

# A language is guessed from so much speech; more changes the guess rarely.
_GUESS_FROM = 30 * HEARING_RATE


class WhisperRecognizer:
    """A Whisper model on the processor; `Recognizer` says what it promises."""

    def __init__(self, settings: LocalSettings) -> None:
        folder = whisper_model(settings.model, settings.cache)
        if Path(folder).is_dir():
            # Read when the hub's client is imported: must be set before that.
            os.environ["HF_HUB_OFFLINE"] = "1"
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]

        try:
            self._model: Any = WhisperModel(
                folder,
                device="cpu",
                compute_type="int8",
                cpu_threads=settings.threads,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _not_loaded(error, settings, folder) from error

    def detect(self, sound: Samples) -> Guess | None:
        """Guess the language of what is spoken first; None if nobody speaks."""
        speech = _speech(sound)
        if speech is None:
            return None
        seconds = len(speech) / HEARING_RATE
        if not self._model.model.is_multilingual:
            return Guess(language="en", probability=1.0, seconds=seconds)
        language, probability, _ = self._model.detect_language(audio=speech)
        return Guess(language=language, probability=probability, seconds=seconds)

    def recognize(self, sound: Samples, language: str) -> Iterator[Word]:
        """Yield the words in order, as they are found."""
        segments, _ = self._model.transcribe(
            sound,
            language=language,
            beam_size=5,
            word_timestamps=True,
            # Without it music and noise are heard as "Thank you."
            vad_filter=True,
            # With it one slip is repeated to the end of the window.
            condition_on_previous_text=False,
        )
        for segment in segments:
            for word in segment.words or ():
                yield Word(text=word.word, start=float(word.start), end=float(word.end))


def _not_loaded(error: Exception, settings: LocalSettings, folder: str) -> Exception:
    if says_no_memory(error):
        return MemoryError(str(error))
    # A name may be one to fetch, and the network be back for the next attempt. Only a
    # plain ValueError says that there is no model of this name.
    is_settled = Path(folder).is_dir() or type(error) is ValueError
    return EngineError(
        "bad-model" if is_settled else "no-model",
        "The recognition model cannot be loaded",
        f"model={shorten(settings.model)}: {fit_for_strangers(str(error))}",
        permanent=is_settled,
    )


def _speech(sound: Samples) -> Samples | None:
    """Return the first spoken parts, put together."""
    from faster_whisper.vad import (  # type: ignore[import-untyped]
        get_speech_timestamps,
    )

    parts = [sound[at["start"] : at["end"]] for at in get_speech_timestamps(sound)]
    return np.concatenate(parts)[:_GUESS_FROM] if parts else None
