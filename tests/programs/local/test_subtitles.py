"""Subtitles: what is shown when, in lines that fit, in both forms."""

from __future__ import annotations

import html
import re

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


_prose = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=60),
    min_size=1,
    max_size=60,
).map(" ".join)


@given(st.lists(st.tuples(_prose, st.floats(0, 9), st.floats(0, 9)), max_size=8))
def test_cues_hold_all_text_and_fit_the_screen(
    parts: list[tuple[str, float, float]],
) -> None:
    """Nothing is lost, no line is too wide, and no two cues overlap."""
    now, said = 0.0, []
    for text, gap, length in parts:
        said.append(Sentence(text=text, start=now + gap, end=now + gap + length))
        now += gap + length
    shown = cues(said, now)

    lines = [line for cue in shown for line in cue.lines]
    assert " ".join(lines).split() == " ".join(part.text for part in said).split()
    assert all(len(cue.lines) <= MOST_LINES for cue in shown)
    assert all(len(line) <= LINE_WIDTH or " " not in line for line in lines)
    times = [time for cue in shown for time in (cue.start, cue.end)]
    assert times == pytest.approx(sorted(times))
    blocks = to_webvtt(shown).split("\n\n")[1:-1]
    read = [html.unescape(line) for block in blocks for line in block.split("\n")[1:]]
    assert read == lines
    assert "-->" not in "".join(re.sub(r"(?m)^\d\S+ --> \S+$", "", "\n".join(blocks)))
