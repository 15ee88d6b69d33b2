"""Subtitles: what is shown when, in lines that fit, in both forms."""

from __future__ import annotations

import html
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._segments import Sentence
from vtrio.server.engines.local._subtitles import (
    LINE_WIDTH,
    MOST_LINES,
    cues,
    to_srt,
    to_webvtt,
)


def test_subtitles_are_written_in_both_forms() -> None:
    """SubRip for the video, WebVTT for the browser, markup in neither."""
    shown = cues([Sentence(text="Um <b> & {dois}.", start=1.5, end=3723.25)], 4000)

    assert to_srt(shown) == (
        "1\n00:00:01,500 --> 01:02:03,250\nUm ‹b› & (dois).\n\n"  # noqa: RUF001
    )
    assert to_webvtt(shown) == (
        "WEBVTT\n\n00:00:01.500 --> 01:02:03.250\nUm &lt;b&gt; &amp; {dois}.\n\n"
    )
    assert to_webvtt([], ["made --> faster"]) == "WEBVTT\n\nNOTE made -> faster\n\n"


def test_lines_are_of_about_the_same_length() -> None:
    """A sentence a little longer than a line does not leave a word alone."""
    text = "E o Sr. John Dashwood tinha então de lazer"  # 42 letters
    (cue,) = cues([Sentence(text=f"{text} hoje", start=0, end=4)], 10)

    assert [len(line) for line in cue.lines] == [21, 25]


def test_a_short_sentence_stays_long_enough_to_be_read() -> None:
    """It may last into the silence after it, not into the next sentence."""
    said = [
        Sentence(text="Sim.", start=0, end=0.2),
        Sentence(text="Não.", start=0.5, end=0.6),
    ]

    assert [(cue.start, cue.end) for cue in cues(said, 1.0)] == [(0, 0.5), (0.5, 1.0)]


def test_a_sentence_without_text_is_not_shown() -> None:
    """A translation may come out empty."""
    assert cues([Sentence(text=" ", start=0, end=1)], 10) == []


@pytest.mark.parametrize(
    ("times", "media_seconds", "shown"),
    [
        ([(1, 1), (1, 1.4)], 1.4, [("Sim. Não.", 1, 1.4)]),
        ([(0, 1), (2, 2)], 2, [("Sim.", 0, 1), ("Não.", 1.2, 2)]),
        ([(0, 2), (2, 2)], 2, [("Sim. Não.", 0, 2)]),
        ([(2, 2), (2, 2)], 2, [("Sim. Não.", 1.2, 2)]),
        ([(0, 0), (0, 0)], 0, [("Sim. Não.", 0, 0.001)]),
    ],
)
def test_a_sentence_without_time_is_shown_all_the_same(
    times: list[tuple[float, float]],
    media_seconds: float,
    shown: list[tuple[str, float, float]],
) -> None:
    """It is shown with its neighbour, or in the silence before it."""
    said = [
        Sentence(text=text, start=start, end=end)
        for text, (start, end) in zip(("Sim.", "Não."), times, strict=True)
    ]

    made = [
        (" ".join(cue.lines), cue.start, cue.end) for cue in cues(said, media_seconds)
    ]
    assert made == shown


def milliseconds(seconds: float) -> int:
    """Return the time as it is written."""
    return round(seconds * 1000)


_prose = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=60),
    min_size=1,
    max_size=60,
).map(" ".join)


# Of sentences that are over at once, or follow each other in less than a millisecond.
_times = st.sampled_from([0.0, 0.0004, 0.001, 0.1]) | st.floats(0, 9)


@given(st.lists(st.tuples(_prose, _times, _times), max_size=8))
def test_cues_hold_all_text_and_fit_the_screen(
    parts: list[tuple[str, float, float]],
) -> None:
    """Nothing is lost, no line is too wide, each has its time, and none overlap."""
    now, said = 0.0, []
    for text, gap, length in parts:
        said.append(Sentence(text=text, start=now + gap, end=now + gap + length))
        now += gap + length
    shown = cues(said, now)

    lines = [line for cue in shown for line in cue.lines]
    assert " ".join(lines).split() == " ".join(part.text for part in said).split()
    times = [(milliseconds(cue.start), milliseconds(cue.end)) for cue in shown]
    assert all(start < end for start, end in times)
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    # Where there is no time to show more cues one after the other, one holds the rest.
    assert all(
        len(cue.lines) <= MOST_LINES or end - start == 1
        for cue, (start, end) in zip(shown, times, strict=True)
    )
    assert all(len(line) <= LINE_WIDTH or " " not in line for line in lines)
    blocks = to_webvtt(shown).split("\n\n")[1:-1]
    read = [html.unescape(line) for block in blocks for line in block.split("\n")[1:]]
    assert read == lines
    assert "-->" not in "".join(re.sub(r"(?m)^\d\S+ --> \S+$", "", "\n".join(blocks)))
