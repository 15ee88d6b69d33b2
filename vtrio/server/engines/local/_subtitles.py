"""Subtitles as text: sentences cut into readable cues, as SubRip and as WebVTT."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
    """Cut sentences into cues, in order, without overlap, inside the video.

    Each ends after it begins, as WebVTT demands, in the milliseconds that are written:
    a sentence without time shares the cues of its neighbour.
    """
    limit = _milliseconds(media_seconds)
    spans: list[_Span] = []
    for index, sentence in enumerate(sentences):
        until, text = limit, sentence.text
        if index + 1 < len(sentences):
            until = min(_milliseconds(sentences[index + 1].start), limit)
        start = min(_milliseconds(sentence.start), until)
        if spans and spans[-1].start == spans[-1].end:
            late = spans.pop()
            text, start = f"{late.text} {text}", late.start
        end = max(_milliseconds(sentence.end), start + _milliseconds(SHORTEST))
        spans.append(_Span(text=text, start=start, end=min(end, until)))
    return [cue for span in _with_time(spans, limit) for cue in _cut(span)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A sentence with its time in whole milliseconds."""

    text: str
    start: int
    end: int


def _with_time(spans: Sequence[_Span], limit: int) -> list[_Span]:
    """Find time for the last one, if it begins at the end of the video."""
    if not spans or spans[-1].start < spans[-1].end:
        return list(spans)
    *others, last = spans
    free_from = others[-1].end if others else 0
    start = max(free_from, last.start - _milliseconds(SHORTEST))
    if start < last.end:
        return [*others, replace(last, start=start)]
    if others:
        text = f"{others[-1].text} {last.text}"
        return [*others[:-1], replace(others[-1], text=text)]
    return [replace(last, end=limit + 1)]  # a video without length


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


def _cut(span: _Span) -> list[Cue]:
    """Share the time of a sentence among its cues by their number of characters."""
    length = span.end - span.start
    groups = _wrap(span.text)
    if len(groups) > length:  # no time to show them one after the other
        rest = [line for group in groups[length - 1 :] for line in group]
        groups = [*groups[: length - 1], rest]
    total = sum(len(line) for group in groups for line in group)
    made = []
    spent, begin = 0, span.start
    for left, group in zip(range(len(groups) - 1, -1, -1), groups, strict=True):
        spent += sum(len(line) for line in group)
        stop = span.start + round(length * spent / total)
        # At least a millisecond for this one, and for each that is left.
        stop = min(max(stop, begin + 1), span.end - left)
        made.append(Cue(start=begin / 1000, end=stop / 1000, lines=tuple(group)))
        begin = stop
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
    rest, milliseconds = divmod(_milliseconds(seconds), 1000)
    minutes, second = divmod(rest, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{milliseconds:03}"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
