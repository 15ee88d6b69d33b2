"""Sounds: from written words to phonemes, and both ways in pieces that models take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._phonemes import Phonemizer, chunks, to_kokoro
from vtrio.server.engines.local._speak import _MARGIN, _trim
from vtrio.server.engines.local._spoken import as_said
from vtrio.server.engines.local._stages import HEARING_RATE
from vtrio.server.engines.local._windows import windows


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("O Sr. e a Sra. Silva", "O senhor e a senhora Silva"),
        ("Custa R$ 20,50.", "Custa 20 vírgula 50 reais."),
        ("Custou US$ 1.500.", "Custou 1500 dólares."),
        ("Às 15h30, às 15:30 ou às 9h", "Às 15 e 30, às 15 e 30 ou às 9 horas"),
        ("Em 2.000.000 de casas", "Em 2000000 de casas"),
        ("Sobe 5% ao ano", "Sobe 5 por cento ao ano"),
        ("Ele chegou.", "Ele chegou."),
    ],
)
def test_what_a_voice_gets_wrong_is_written_out(written: str, said: str) -> None:
    """Abbreviations, money, times and numbers are put into words."""
    assert as_said(written) == said


def test_tied_pairs_become_letters_of_kokoro() -> None:
    """What the voice model has one letter for is not given to it as two."""
    assert to_kokoro("t^ʃˈi  a^ʊ e^ɪ d^ʒ o^x") == "ʧˈi W A ʤ ox"  # noqa: RUF001


def test_portuguese_has_phonemes() -> None:
    """espeak-ng knows Brazilian Portuguese, and keeps the punctuation."""
    phonemes = Phonemizer().phonemes("Bom dia, gente.")

    assert phonemes == "bˈoŋ ʤˈiæ, ʒˈAŋʧy."  # noqa: RUF001


@given(st.text("abc ,.!;", max_size=300), st.integers(4, 40))
def test_no_piece_is_longer_than_the_voice_can_say(text: str, longest: int) -> None:
    """Pieces keep all tokens but the spaces at their edges, and are never empty."""
    vocabulary = {letter: number for number, letter in enumerate("abc ,.!")}
    pieces = chunks(text, vocabulary, longest)

    assert all(0 < len(piece) <= longest for piece in pieces)
    space = vocabulary[" "]
    kept = [token for piece in pieces for token in piece if token != space]
    known = [vocabulary[letter] for letter in text if letter in vocabulary]
    assert kept == [token for token in known if token != space]


def test_a_long_piece_is_parted_where_one_breathes() -> None:
    """A full stop is a better place than a space."""
    vocabulary = {letter: number for number, letter in enumerate("ab. ")}
    back = {number: letter for letter, number in vocabulary.items()}
    pieces = chunks("aaaa bb. aa bbb aaa", vocabulary, 14)

    assert ["".join(back[t] for t in piece) for piece in pieces] == [
        "aaaa bb.",
        "aa bbb aaa",
    ]


def test_windows_hold_all_sound_and_end_where_it_is_quiet() -> None:
    """Nothing is lost, nothing is too long, and the cut falls into the pause."""
    samples = np.full(25 * HEARING_RATE, 8000, np.int16)
    samples[9 * HEARING_RATE : 10 * HEARING_RATE] = 0
    parts = list(windows(samples, window=10, search=4))

    assert 9 <= parts[1][0] <= 10
    assert sum(len(sound) for _, sound in parts) == len(samples)
    assert max(len(sound) for _, sound in parts) <= 10 * HEARING_RATE
    assert parts[0][1].dtype == np.float32
    assert parts[0][1][0] == pytest.approx(8000 / 32768)
    assert list(windows(samples[:0])) == []


def test_a_voice_is_kept_without_the_silence_around_it() -> None:
    """A margin stays, because speech begins softly; silence alone leaves nothing."""
    sound = np.zeros(24_000, np.float32)
    assert len(_trim(sound)) == 0
    sound[10_000:12_000] = 0.5
    assert len(_trim(sound)) == 2_000 - 1 + 2 * _MARGIN
    sound[0] = 0.5
    assert len(_trim(sound)) == 12_000 - 1 + _MARGIN
