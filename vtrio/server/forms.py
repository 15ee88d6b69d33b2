"""Multipart forms: what comes in is sorted into fields and the bytes of the video.

It does no I/O. A field is checked when its part ends, so that a form which is to be
refused is refused before its file has come in, where the fields come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from .errors import BadField, BadUpload, TooLarge

CheckLanguages: TypeAlias = Callable[[str, str | None], None]
"""Refuses a target language, or one with a source language, by a `BadField`."""

LARGEST_MARGIN = 64 * 1024
"""Bytes that a form may have beside the video; ours has two short fields."""

_LARGEST_FIELD = 4 * 1024
_MOST_PARTS = 16

_VIDEO = "video"
_TEXTS = ("target_language", "source_language")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


def serve_any_language(target: str, source: str | None) -> None:
    """Refuse nothing."""


class Form:
    """Sorts the events of the decoder into fields and the bytes of the video."""

    def __init__(
        self, boundary: bytes, check_languages: CheckLanguages = serve_any_language
    ) -> None:
        self._decoder = MultipartDecoder(boundary, max_parts=_MOST_PARTS)
        self._delimiter = b"--" + boundary
        self._held = b""
        self._check_languages = check_languages
        self._part: str | None = None
        self._has_video = False
        self._texts: dict[str, bytearray] = {}
        self._passed_over = 0
        self.suffix = ""
        """What the name of the video's file ended in, if that is plain."""

    def feed(self, data: bytes | None) -> Iterator[bytes]:
        """Take in a piece of the body, None at its end; give the video's bytes out."""
        self._held += data or b""
        if data is not None and self._ends_after_delimiter(self._held):
            return
        try:
            yield from self._decode(last=data is None)
        except RequestEntityTooLarge:
            raise TooLarge(f"the form has more than {_MOST_PARTS} parts") from None
        except ValueError as error:
            raise BadUpload(f"the form breaks off or is malformed: {error}") from None
        if len(self._decoder.buffer) > LARGEST_MARGIN:
            raise BadUpload("the headers of a part are too long, or there is no part")

    def _decode(self, *, last: bool) -> Iterator[bytes]:
        self._decoder.receive_data(self._held)
        self._held = b""
        if last:
            self._decoder.receive_data(None)
        while not isinstance(event := self._decoder.next_event(), NeedData):
            match event:
                case File() | Field():
                    self._begin(event)
                case Data(data=content) if self._part == _VIDEO:
                    yield content
                case Data(data=content, more_data=more):
                    self._add_text(content)
                    if not more:
                        self._end_text()
                case Epilogue():
                    return

    def _ends_after_delimiter(self, data: bytes) -> bool:
        """Tell whether a piece ends where the decoder would misread it.

        Werkzeug 3.1 takes the line break before a delimiter for content if it sees
        the delimiter but not yet what follows: the file would end in a stray CR.
        """
        # What the decoder keeps back may be the delimiter's beginning.
        tail = bytes(self._decoder.buffer[-2 * len(self._delimiter) :]) + data
        start = tail.rfind(self._delimiter)
        rest = tail[start + len(self._delimiter) :]
        if start < 0 or rest.strip(b" \t") not in (b"", b"-"):
            return False
        if len(rest) > _LARGEST_FIELD:
            raise BadUpload("a delimiter is followed by too many blanks")
        return True

    @property
    def target_language(self) -> str:
        """The language that the video is to speak."""
        language = self._text("target_language")
        if not language:
            raise BadField(
                "target_language", "target_language is missing: name one, such as 'pt'"
            )
        return language

    @property
    def source_language(self) -> str | None:
        """The language that the video speaks, if that was told."""
        return self._text("source_language") or None

    def _text(self, name: str) -> str | None:
        raw = self._texts.get(name)
        if raw is None:
            return None
        try:
            return raw.decode().strip()
        except UnicodeDecodeError:
            raise BadField(name, f"{name} is not UTF-8") from None

    def _begin(self, event: File | Field) -> None:
        self._part = event.name
        self._passed_over = 0
        if self._part == _VIDEO:
            if self._has_video:
                raise BadField(_VIDEO, "video was given twice: one job, one video")
            self._has_video = True
            if isinstance(event, File):
                suffix = Path(event.filename).suffix
                self.suffix = suffix if _SUFFIX.fullmatch(suffix) else ""
        elif self._part in self._texts:
            raise BadField(self._part, f"{self._part} was given twice")
        elif self._part in _TEXTS:
            self._texts[self._part] = bytearray()

    def _add_text(self, content: bytes) -> None:
        if self._part not in self._texts:
            # A field that we do not know: clients may be ahead of us.
            self._passed_over += len(content)
            if self._passed_over > _LARGEST_FIELD:
                raise TooLarge(
                    f"the form has a part longer than {_LARGEST_FIELD} bytes that is"
                    " not the video"
                )
            return
        text = self._texts[self._part]
        text += content
        if len(text) > _LARGEST_FIELD:
            raise BadField(
                self._part, f"{self._part} is longer than {_LARGEST_FIELD} bytes"
            )

    def _end_text(self) -> None:
        if self._part in self._texts:
            source = self.source_language
            if "target_language" in self._texts:
                self._check_languages(self.target_language, source)
