"""Portuguese text to the phonemes that the voice model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._spoken import as_said

# Kokoro has letters of its own for pairs that espeak-ng ties together.
_PAIRS = {  # the IPA letters are meant: ruff takes some for Latin ones
    "a^ɪ": "I",  # noqa: RUF001
    "a^ʊ": "W",
    "e^ɪ": "A",  # noqa: RUF001
    "o^ʊ": "O",
    "ɔ^ɪ": "Y",  # noqa: RUF001
    "ə^ʊ": "Q",
    "t^ʃ": "ʧ",
    "d^ʒ": "ʤ",
    "t^s": "ʦ",
    "d^z": "ʣ",
}

# Where a long sentence may be taken apart, best first.
_BREAKS = (".!?…", ";:", ",—", " ")


class Phonemizer:
    """espeak-ng's idea of how a language sounds."""

    def __init__(self, language: str = "pt-br") -> None:
        import espeakng_loader  # type: ignore[import-untyped]
        from phonemizer.backend import (  # type: ignore[import-untyped]
            EspeakBackend,
        )
        from phonemizer.backend.espeak.wrapper import (  # type: ignore[import-untyped]
            EspeakWrapper,
        )

        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        self._backend: Any = EspeakBackend(
            language,
            preserve_punctuation=True,
            with_stress=True,
            tie="^",
            language_switch="remove-flags",
        )

    def phonemes(self, sentence: str) -> str:
        """Return a sentence in Kokoro's alphabet."""
        said = self._backend.phonemize([as_said(sentence)], strip=True)
        return to_kokoro(said[0]) if said else ""


def to_kokoro(tied: str) -> str:
    """Rewrite espeak-ng's phonemes, pairs tied by `^`, in Kokoro's alphabet."""
    for pair, letter in _PAIRS.items():
        tied = tied.replace(pair, letter)
    return " ".join(tied.replace("^", "").split())


def chunks(
    phonemes: str, vocabulary: Mapping[str, int], longest: int
) -> list[list[int]]:
    """Return the tokens, in pieces of at most `longest`, parted where one breathes."""
    known = "".join(letter for letter in phonemes if letter in vocabulary).strip()
    if not known:
        return []
    if len(known) <= longest:
        return [[vocabulary[letter] for letter in known]]
    cut = _cut(known, longest)
    return [
        *chunks(known[:cut], vocabulary, longest),
        *chunks(known[cut:], vocabulary, longest),
    ]


def _cut(text: str, longest: int) -> int:
    for marks in _BREAKS:
        # Not in the first third: a short piece is spoken badly.
        for at in range(longest, longest // 3, -1):
            if text[at - 1] in marks:
                return at
    return longest
