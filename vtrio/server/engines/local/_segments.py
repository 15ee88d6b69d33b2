"""From words with times to sentences: what is translated and spoken as one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A sentence with less time than this, until the next one, cannot be spoken or read.
SHORTEST = 0.2

# A speaker who is silent for longer has ended what was being said.
LONGEST_GAP = 1.0

# Recognizers give the silence before a word to the word: one that lasts longer than
# this is taken to have been spoken in its last half second.
_LONGEST_WORD = 1.0
_COMMON_WORD = 0.5

# The translator begins to drop clauses at about a hundred words.
MOST_WORDS = 40

# These never end a sentence, whatever follows.
_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "rev", "hon", "gen", "col", "capt", "lt"}
    | {"sgt", "vs", "no", "vol", "fig", "dept", "approx", "e.g", "i.e"}
)

_CLOSING = "\"')]}\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
_OPENING = "\"'([{\N{LEFT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word as heard; its text begins with a space unless it joins the one before."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What was said from `start` to `end`."""

    text: str
    start: float
    end: float


def sentences(words: Iterable[Word], until: float = math.inf) -> list[Sentence]:
    """Group words into sentences, in order and without overlap.

    A sentence ends at its full stop, question or exclamation mark, at a gap of more
    than a second, and, where it runs on for very long, at a comma. One that is over
    in no time is joined to its neighbour. What begins at `until`, which is the end of
    the video, or later is left out.
    """
    groups: list[list[Word]] = [[]]
    for word in _forwards(_joined(words)):
        group = groups[-1]
        if group and (
            word.start - group[-1].end > LONGEST_GAP
            or _ends_sentence(group[-1].text, word.text)
        ):
            groups.append([])
        groups[-1].append(word)
    found = [_sentence(part) for group in groups if group for part in _parts(group)]
    return _with_time(found, until)


def _joined(words: Iterable[Word]) -> list[Word]:
    """Put together what is one word: "ill" and "-disposed"."""
    whole: list[Word] = []
    for word in words:
        if not word.text.strip():
            continue
        if whole and not word.text[0].isspace():
            first = whole.pop()
            text = first.text + word.text
            whole.append(Word(text=text, start=first.start, end=word.end))
        else:
            whole.append(word)
    return whole


def _forwards(words: Iterable[Word]) -> Iterable[Word]:
    """Straighten times: recognizers let a word begin before the last one ended."""
    now = 0.0
    for word in words:
        start = word.start
        if word.end - start > _LONGEST_WORD:
            start = word.end - _COMMON_WORD
        start = max(start, now)
        now = max(word.end, start)
        yield Word(text=word.text, start=start, end=now)


def _ends_sentence(text: str, following: str) -> bool:
    # "etc.", "Inc." and the like end a sentence or not: the next word's case decides.
    if following.strip()[:1].islower():
        return False
    text = text.strip().rstrip(_CLOSING)
    if text.endswith(("?", "!", "…", "...")):
        return True
    if not text.endswith("."):
        return False
    bare = text[:-1].lstrip(_OPENING).lower()
    # An initial such as the J. of J. Smith; "I." is more often the pronoun.
    is_initial = len(bare) == 1 and bare.isalpha() and bare != "i"
    return bare not in _ABBREVIATIONS and not is_initial


def _parts(group: Sequence[Word]) -> list[Sequence[Word]]:
    """Cut a group that is too long, at the comma nearest to its middle if it has one."""
    if len(group) <= MOST_WORDS:
        return [group]
    middle = len(group) / 2
    # A cut is the index of the word that begins the second part; not at the edges.
    cuts = range(len(group) // 4, len(group) - len(group) // 4)
    clauses = [cut for cut in cuts if group[cut - 1].text.endswith((",", ";", ":"))]
    cut = min(
        clauses or [max(cuts, key=lambda cut: group[cut].start - group[cut - 1].end)],
        key=lambda cut: abs(cut - middle),
    )
    return [*_parts(group[:cut]), *_parts(group[cut:])]


def _with_time(found: Iterable[Sentence], until: float) -> list[Sentence]:
    """Join what has too little time to its follower, else to the one before."""
    kept: list[Sentence] = []
    # Rounding may put a last word a little behind the end.
    for sentence in (part for part in found if part.start < until + SHORTEST):
        if kept and _is_short(kept[-1], sentence.start) and _fit(kept[-1], sentence):
            kept[-1] = _together(kept[-1], sentence)
        else:
            _join_back(kept, sentence.start)
            kept.append(sentence)
    _join_back(kept, until)
    return [part for part in kept if part.start < until]


def _join_back(kept: list[Sentence], until: float) -> None:
    if len(kept) > 1 and _is_short(kept[-1], until) and _fit(*kept[-2:]):
        kept[-2:] = [_together(*kept[-2:])]


def _is_short(sentence: Sentence, until: float) -> bool:
    return until - sentence.start < SHORTEST


def _fit(first: Sentence, second: Sentence) -> bool:
    count = len(first.text.split()) + len(second.text.split())
    return count <= MOST_WORDS and second.start - first.end <= LONGEST_GAP


def _together(first: Sentence, second: Sentence) -> Sentence:
    text = f"{first.text} {second.text}"
    return Sentence(text=text, start=first.start, end=second.end)


def _sentence(words: Sequence[Word]) -> Sentence:
    text = re.sub(r"\s+", " ", "".join(word.text for word in words)).strip()
    return Sentence(text=text, start=words[0].start, end=words[-1].end)
