"""What ffmpeg says about a file, read from its words: the wheel has no ffprobe."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DURATION = re.compile(r"^\s*Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_STREAM = re.compile(
    r"^\s*Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>[^)]*)\))?"
    r": (?P<kind>Video|Audio|Subtitle): (?P<codec>\w+)(?P<rest>.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream of a file: `kind` is `video`, `audio` or `subtitle`."""

    index: int
    kind: str
    codec: str
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


def parse_media(words: str) -> Media:
    """Read what `ffmpeg -i FILE` writes on stderr."""
    seconds = None
    if match := _DURATION.search(words):
        hours, minutes, rest = match.groups()
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    streams = tuple(
        Stream(
            index=int(match["index"]),
            kind=match["kind"].lower(),
            codec=match["codec"],
            language=match["language"],
            is_default="(default)" in match["rest"],
            is_cover="(attached pic)" in match["rest"],
        )
        for match in _STREAM.finditer(words)
    )
    return Media(seconds=seconds, streams=streams)
