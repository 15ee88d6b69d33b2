"""Sentences: where they end, and that no word of theirs is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._fit import fit
from vtrio.server.engines.local._segments import (
    LONGEST_GAP,
    MOST_WORDS,
    SHORTEST,
    Sentence,
    Word,
    sentences,
)
from vtrio.server.engines.local._subtitles import cues


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


def heard(*words: tuple[str, float, float]) -> list[Word]:
    """Return words with their times."""
    return [Word(text=f" {text}", start=start, end=end) for text, start, end in words]


def test_a_sentence_that_is_over_at_once_is_joined_to_its_neighbour() -> None:
    """There is no time to speak it on its own, nor to read it."""
    words = heard(("Yes.", 1.0, 1.0), ("Fine.", 1.0, 1.4), ("Well.", 1.4, 1.4))

    assert texts(sentences(words)) == ["Yes. Fine.", "Well."]
    assert texts(sentences(words, until=1.4)) == ["Yes. Fine. Well."]


def test_a_short_answer_with_silence_around_it_is_left_alone() -> None:
    """What counts is the time until the next sentence, not how long it was spoken."""
    words = heard(("Really?", 0.0, 0.5), ("Yes.", 2.0, 2.1), ("Good.", 3.0, 3.4))

    assert texts(sentences(words, until=5)) == ["Really?", "Yes.", "Good."]


def test_what_begins_behind_the_end_is_left_out() -> None:
    """A recognizer may hear words where the video is over already."""
    words = heard(("Good.", 0.0, 0.5), ("Thank", 3.0, 3.2), ("you.", 3.2, 3.4))

    assert texts(sentences(words, until=2.5)) == ["Good."]


def test_a_short_sentence_before_a_very_long_one_is_joined_backwards() -> None:
    """The translator gets no more than it can carry."""
    long = spoken(" ".join(["Word"] * MOST_WORDS))
    late = [replace(word, start=word.start + 1, end=word.end + 1) for word in long]
    words = [*heard(("One.", 0.0, 0.9), ("Two.", 0.9, 1.0)), *late]

    assert texts(sentences(words))[0] == "One. Two."


_tight = st.lists(
    st.tuples(
        st.sampled_from(["Yes.", "No!", "and", "so."]),
        st.sampled_from([0.0, 0.0, 0.05, 0.3, 1.5]),
        st.sampled_from([0.0, 0.0, 0.05, 0.3]),
    ),
    min_size=1,
    max_size=30,
)


@given(_tight)
def test_every_sentence_has_time_to_be_spoken_and_read(
    pieces: list[tuple[str, float, float]],
) -> None:
    """However tight the words: all are kept, and each sentence has its place."""
    now, words = 0.0, []
    for text, gap, length in pieces:
        words += heard((text, now + gap, now + gap + length))
        now += gap + length
    end = now + 0.001
    found = sentences(words, until=end)

    assert " ".join(texts(found)) == " ".join(text for text, _, _ in pieces)
    free_from = 0.0
    for part, following in zip(found, [*found[1:], None], strict=True):
        place = fit(
            0.1,
            start=part.start,
            free_from=free_from,
            until=following.start if following else end,
            max_stretch=1.8,
        )
        assert place.length > 0 or end < SHORTEST
        free_from = place.end
    shown = cues(found, end)
    assert all(round(cue.start * 1000) < round(cue.end * 1000) for cue in shown)


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
