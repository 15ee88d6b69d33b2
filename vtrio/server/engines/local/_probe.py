"""What ffmpeg says about a file, read from its words: the wheel has no ffprobe.

Between them stand the file's own words, its metadata. They are told apart by their
indentation and place, and a description that contradicts itself is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_BEGIN = "Input #0, "
_DURATION = re.compile(r"^ {2}Duration: (?:(\d+):(\d\d):(\d\d(?:\.\d+)?)|N/A), ")
# Two spaces, or four before ffmpeg 5. Metadata of the whole file has four as well, but
# stands before the duration; that of streams and chapters has six or more.
_STREAM = re.compile(
    r"^(?: {2}| {4})Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?"
    r"(?:\((?P<language>[^)]*)\))?: (?P<kind>[A-Z][a-z]+): (?P<codec>\w+)"
    r"(?P<details>(?: \([^)]*\))*)(?:, (?P<form>\w+))?(?P<rest>.*)$"
)

# In a table of frames: the unit of its times; a frame's time to be shown, and for how
# long.
_UNIT = re.compile(r"#tb 0: (\d+/[1-9]\d*)$")
_FRAME = re.compile(r"0, +-?\d+, +(-?\d+), +(\d+),")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream of a file: `kind` is `video`, `audio`, `subtitle` or another.

    `pixels` is how a picture's colours are kept, such as `yuv420p`; None if unknown.
    """

    index: int
    kind: str
    codec: str
    pixels: str | None
    language: str | None
    is_default: bool
    is_cover: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A video: its moving picture, its main sound, and its length if it tells."""

    picture: Stream
    sound: Stream
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A file as ffmpeg describes it; `seconds` is None where it does not know."""

    seconds: float | None
    streams: tuple[Stream, ...]

    def main(self, kind: str) -> Stream | None:
        """Return the main stream of a kind; a cover image is no moving picture."""
        fitting = [
            stream
            for stream in self.streams
            if stream.kind == kind and not stream.is_cover
        ]
        default = (stream for stream in fitting if stream.is_default)
        return next(default, fitting[0] if fitting else None)


def matters(line: str) -> bool:
    """Tell whether a line is more than metadata, of which a file may hold any amount."""
    return not line.startswith(" ") or bool(
        _DURATION.match(line) or _STREAM.match(line)
    )


def parse_media(lines: Iterable[str]) -> Media:
    """Read what `ffmpeg -i FILE` writes on stderr, line by line."""
    durations: list[float | None] = []
    streams: dict[int, Stream] = {}
    for line in _description(lines):
        if match := _DURATION.match(line):
            durations.append(_seconds(*match.groups()))
        elif durations and (match := _STREAM.match(line)):
            stream = _stream(match)
            # One that belongs to two programs is told twice, in the same words.
            if streams.setdefault(stream.index, stream) != stream:
                return Media(seconds=None, streams=())
    if sorted(streams) != list(range(len(streams))):
        return Media(seconds=None, streams=())
    return Media(
        seconds=durations[0] if len(durations) == 1 else None,
        streams=tuple(streams[index] for index in range(len(streams))),
    )


def last_end(table: Iterable[str]) -> float:
    """Return the instant at which the last frame of `ffmpeg -f framecrc` ends."""
    unit, end = Fraction(0), 0
    for line in table:
        if match := _FRAME.match(line):
            # Not the last line's: frames stand in the order of decoding.
            end = max(end, int(match[1]) + int(match[2]))
        elif match := _UNIT.match(line):
            unit = Fraction(match[1])
    return float(unit * end)


def _description(lines: Iterable[str]) -> Iterable[str]:
    """Yield the indented lines below the input's name."""
    inside = False
    for line in lines:
        if not line.startswith(" "):
            if inside:
                return
            inside = line.startswith(_BEGIN)
        elif inside:
            yield line


def _seconds(
    hours: str | None, minutes: str | None, seconds: str | None
) -> float | None:
    if hours is None or minutes is None or seconds is None:
        return None
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _stream(match: re.Match[str]) -> Stream:
    kind = match["kind"].lower()
    return Stream(
        index=int(match["index"]),
        kind=kind,
        codec=match["codec"],
        pixels=match["form"] if kind == "video" else None,
        language=match["language"],
        is_default="(default)" in match["rest"],
        is_cover="(attached pic)" in match["rest"],
    )
