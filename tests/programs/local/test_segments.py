"""Sentences: where they end, and that no word of theirs is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._segments import (
    LONGEST_GAP,
    MOST_WORDS,
    Sentence,
    Word,
    sentences,
)


def spoken(text: str, *, pace: float = 0.4) -> list[Word]:
    """Return the words of a text, said evenly."""
    return [
        Word(text=f" {word}", start=index * pace, end=(index + 0.9) * pace)
        for index, word in enumerate(text.split())
    ]


def texts(found: list[Sentence]) -> list[str]:
    """Return what the sentences say."""
    return [sentence.text for sentence in found]


@pytest.mark.parametrize(
    "parts",
    [
        ["He left.", "She stayed."],
        ["And Mr. John Dashwood had leisure.", "He was young."],
        ["Is it J. Smith?", "Yes!", "It is Dr. Smith."],
        ["He said “go.”", "They went."],
        ["It opens at 5 p.m. on Monday.", "We close at 5 p.m.", "Then we go."],
        ["It cost 3.5 million."],
        ["Wait… what is it?"],
        ["Apples, pears, etc. are fruit."],
        ["So did I.", "Me too."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(parts: list[str]) -> None:
    """Full stops end a sentence; abbreviations and initials do not."""
    assert texts(sentences(spoken(" ".join(parts)))) == parts


def test_a_long_gap_ends_a_sentence() -> None:
    """Who is silent for more than a second has ended."""
    words = [
        Word(text=" one", start=0.0, end=0.5),
        Word(text=" two", start=1.5, end=2.0),
        Word(text=" three", start=3.1, end=3.5),
    ]

    assert texts(sentences(words)) == ["one two", "three"]


def test_a_word_in_pieces_stays_one_word() -> None:
    """A piece without a space before it belongs to the word before."""
    words = [
        Word(text=" an", start=0.0, end=0.2),
        Word(text=" ill", start=0.2, end=0.4),
        Word(text="-disposed", start=0.4, end=0.8),
        Word(text=" ", start=0.8, end=0.9),
        Word(text=" man.", start=0.9, end=1.2),
    ]

    assert texts(sentences(words)) == ["an ill-disposed man."]


def test_silence_before_a_word_is_not_part_of_it() -> None:
    """A recognizer gives a pause to the word after it; the sentence begins later."""
    words = [
        Word(text=" He", start=16.8, end=18.3),
        Word(text=" is.", start=18.3, end=19),
    ]

    assert sentences(words) == [Sentence(text="He is.", start=17.8, end=19)]


def test_a_very_long_sentence_is_cut_at_a_comma() -> None:
    """The translator gets no more than it can carry, in clauses."""
    text = " ".join(["word"] * 25 + ["comma,"] + ["word"] * 25)

    assert [len(part.split()) for part in texts(sentences(spoken(text)))] == [26, 25]


def test_a_very_long_sentence_without_commas_is_cut_at_a_pause() -> None:
    """Where there is no comma, the longest breath parts it."""
    words = spoken(" ".join(["word"] * 60))
    late = [
        replace(word, start=word.start + 0.5, end=word.end + 0.5) for word in words[28:]
    ]

    assert [len(t.split()) for t in texts(sentences(words[:28] + late))] == [28, 32]


_words = st.builds(
    Word,
    text=st.sampled_from([" a", " Mr.", " end.", " Why?", "-b", " c,", " ", " Big"]),
    start=st.floats(0, 100),
    end=st.floats(0, 100),
)


@given(st.lists(_words, max_size=150))
def test_no_word_is_lost_whatever_the_times(words: list[Word]) -> None:
    """Sentences hold all words in order, forwards in time, never too long."""
    found = sentences(words)

    said = "".join(word.text for word in words)
    assert "".join(texts(found)).replace(" ", "") == said.replace(" ", "")
    times = [time for part in found for time in (part.start, part.end)]
    assert times == sorted(times)
    assert all(1 <= len(part.text.split()) <= MOST_WORDS for part in found)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=50))
def test_a_gap_is_never_inside_a_sentence(gaps: list[float]) -> None:
    """As many sentences as gaps that are too long, and one."""
    now, words = 0.0, []
    for gap in gaps:
        now += gap
        words.append(Word(text=" a,", start=now, end=now + 0.1))
        now += 0.1
    long = sum(
        after.start - before.end > LONGEST_GAP for before, after in pairwise(words)
    )

    assert len(sentences(words)) >= long + 1
