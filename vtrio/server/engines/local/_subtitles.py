"""Subtitles as text: sentences cut into readable cues, as SubRip and as WebVTT."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ._segments import Sentence

# Two lines of 42 characters: the common rule of broadcasters for Latin scripts.
LINE_WIDTH = 42
MOST_LINES = 2

# The least time for which a cue can be read at all, where there is room for it.
SHORTEST = 0.8


_MARKUP = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "{": "(",
        "}": ")",
        "\\": "/",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What stands on the screen from `start` to `end`."""

    start: float
    end: float
    lines: tuple[str, ...]


def cues(sentences: Sequence[Sentence], media_seconds: float) -> list[Cue]:
    """Cut sentences into cues, in order, without overlap, inside the video."""
    made: list[Cue] = []
    for index, sentence in enumerate(sentences):
        following = sentences[index + 1].start if index + 1 < len(sentences) else None
        limit = media_seconds if following is None else min(following, media_seconds)
        start = min(sentence.start, limit)
        end = min(max(sentence.end, start + SHORTEST), limit)
        made += _cut(sentence.text, start, end)
    return made


def to_srt(cues: Iterable[Cue]) -> str:
    """Return SubRip, as ffmpeg reads it."""
    blocks = [
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n"
        + "\n".join(_without_markup(line) for line in cue.lines)
        for number, cue in enumerate(cues, start=1)
    ]
    return "".join(f"{block}\n\n" for block in blocks)


def to_webvtt(cues: Iterable[Cue], notes: Iterable[str] = ()) -> str:
    """Return WebVTT, as browsers read it; they pass the notes over, people need not."""
    remarks = [f"NOTE {note.replace('-->', '->')}" for note in notes]
    blocks = [
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        for cue in cues
    ]
    return "WEBVTT\n\n" + "".join(f"{block}\n\n" for block in (*remarks, *blocks))


def _cut(text: str, start: float, end: float) -> list[Cue]:
    """Share the time of a sentence among its cues by their number of characters."""
    groups = _wrap(text)
    total = sum(len(line) for group in groups for line in group)
    made = []
    spent = 0
    for group in groups:
        begin = start + (end - start) * spent / total
        spent += sum(len(line) for line in group)
        stop = start + (end - start) * spent / total
        made.append(Cue(start=begin, end=stop, lines=tuple(group)))
    return made


def _wrap(text: str) -> list[list[str]]:
    """Break text into cues of lines of about the same length."""
    # A word longer than a line stays whole: it is better read than broken.
    lines = _lines(text, LINE_WIDTH)
    if not lines:
        return []
    count = -(-len(lines) // MOST_LINES) * min(len(lines), MOST_LINES)
    # The narrowest width that needs no more lines spreads the words evenly.
    for width in range(max(len(text) // count, 1), LINE_WIDTH):
        if len(even := _lines(text, width)) <= count:
            lines = even
            break
    return [lines[at : at + MOST_LINES] for at in range(0, len(lines), MOST_LINES)]


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _without_markup(line: str) -> str:
    # ffmpeg reads <b> and {\an8} as markup, and SubRip knows no way to escape them.
    return line.translate(_MARKUP)


def _time(seconds: float, point: str) -> str:
    whole = round(seconds * 1000)
    rest, milliseconds = divmod(whole, 1000)
    minutes, second = divmod(rest, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{milliseconds:03}"
