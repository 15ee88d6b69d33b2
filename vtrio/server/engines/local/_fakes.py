"""Stand-ins for the models: quick, deterministic, chosen by setting like any other.

LocalSettings(recognizer="vtrio.server.engines.local._fakes:FakeRecognizer", ...)
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from ._segments import Word
from ._settings import LocalSettings
from ._stages import HEARING_RATE, Guess, Samples

SPOKEN = ("This", "is", "a", "test.", "It", "has", "two", "sentences.")


class FakeRecognizer:
    """Hears the same two sentences in anything that is not silent.

    The setting `model` is the language that it claims to hear.
    """

    def __init__(self, settings: LocalSettings) -> None:
        known = len(settings.model) == 2
        self._language = settings.model if known else "en"

    def detect(self, sound: Samples) -> Guess | None:
        """Claim the language; silence has none."""
        if not sound.any():
            return None
        return Guess(language=self._language, probability=0.95, seconds=1.0)

    def recognize(self, sound: Samples, language: str) -> Iterator[Word]:
        """Spread the words evenly over the sound."""
        if sound.any():
            step = len(sound) / HEARING_RATE / len(SPOKEN)
            for index, text in enumerate(SPOKEN):
                start = index * step
                yield Word(text=f" {text}", start=start, end=start + step * 0.9)


class StuckRecognizer(FakeRecognizer):
    """Starts a child that sleeps, then computes for ever without listening."""

    def recognize(self, sound: Samples, language: str) -> Iterator[Word]:
        """Yield one word and no more."""
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        yield Word(text=" stuck", start=0.0, end=len(sound) / HEARING_RATE / 2)
        while True:
            time.monotonic()


class FakeTranslator:
    """Turns every word round."""

    def __init__(self, settings: LocalSettings) -> None:
        pass

    def translate(self, sentence: str) -> str:
        """Return the words of the sentence, each from behind."""
        return " ".join(word[::-1] for word in sentence.split())


class FakeSpeaker:
    """Hums for a twelfth of a second a letter."""

    rate = 24_000

    def __init__(self, settings: LocalSettings) -> None:
        pass

    def speak(self, sentence: str) -> Samples:
        """Return a hum as long as the sentence."""
        times = np.arange(len(sentence) * self.rate // 12) / self.rate
        return (0.5 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)
