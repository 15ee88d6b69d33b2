"""Uploads: a multipart form whose file goes to disk as it comes in.

The file is never held in memory: it is hashed and written in a thread, piece by
piece, and the gate in front of the app lets in no more than the disk can take.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import trio
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from . import files
from .errors import BadField, BadUpload, TooLarge, TooSlow, WrongMediaType

LARGEST_UPLOAD = 2 * 1024**3
"""Bytes of the largest video taken by default."""

# What a form may have beside the video; ours has two short fields.
_LARGEST_FIELD = 4 * 1024
_LARGEST_MARGIN = 64 * 1024
_MOST_PARTS = 16
# Seconds without a byte after which an upload is given up.
_LONGEST_SILENCE = 60.0

_VIDEO = "video"
_TEXTS = ("target_language", "source_language")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedForm:
    """A form that has come in whole; its video lies under a temporary name."""

    video: Path
    suffix: str
    sha256: str
    size: int
    target_language: str
    source_language: str | None

    @property
    def digest(self) -> str:
        """What makes two submissions the same: the fields and the file's content."""
        fields = [self.target_language, self.source_language, self.sha256]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


class Source(Protocol):
    """Where the body comes from, piece by piece."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces."""
        ...


@dataclass(slots=True)
class _Video:
    """The file that is coming in."""

    path: Path
    largest: int
    suffix: str = ""
    seen: bool = False
    size: int = 0
    _file: BinaryIO | None = None
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        """Write and hash; runs in a thread."""
        self.size += len(data)
        if self.size > self.largest:
            raise TooLarge(
                f"the video is larger than the {self.largest} bytes that are taken"
            )
        if self._file is None:
            self._file = self.path.open("xb")
        self._file.write(data)
        self._hash.update(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class _Form:
    """Sorts the events of the decoder into fields and the bytes of the video."""

    def __init__(self, boundary: bytes, video: _Video) -> None:
        self._decoder = MultipartDecoder(boundary, max_parts=_MOST_PARTS)
        self._delimiter = b"--" + boundary
        self._held = b""
        self._video = video
        self._part: str | None = None
        self._texts: dict[str, bytearray] = {}

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
        if len(self._decoder.buffer) > _LARGEST_MARGIN:
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
                case Data(data=content):
                    self._add_text(content)
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

    def text(self, name: str) -> str | None:
        """Return a field that was given."""
        raw = self._texts.get(name)
        if raw is None:
            return None
        try:
            return raw.decode().strip()
        except UnicodeDecodeError:
            raise BadField(name, f"{name} is not UTF-8") from None

    def _begin(self, event: File | Field) -> None:
        self._part = event.name
        if self._part == _VIDEO:
            if self._video.seen:
                raise BadField(_VIDEO, "video was given twice: one job, one video")
            self._video.seen = True
            if isinstance(event, File):
                suffix = Path(event.filename).suffix
                self._video.suffix = suffix if _SUFFIX.fullmatch(suffix) else ""
        elif self._part in self._texts:
            raise BadField(self._part, f"{self._part} was given twice")
        elif self._part in _TEXTS:
            self._texts[self._part] = bytearray()

    def _add_text(self, content: bytes) -> None:
        if self._part not in self._texts:
            return  # a field that we do not know: clients may be ahead of us
        text = self._texts[self._part]
        text += content
        if len(text) > _LARGEST_FIELD:
            raise BadField(
                self._part, f"{self._part} is longer than {_LARGEST_FIELD} bytes"
            )


@asynccontextmanager
async def receive_form(
    body: Source,
    *,
    content_type: str | None,
    content_length: int | None,
    folder: Path,
    largest: int = LARGEST_UPLOAD,
) -> AsyncIterator[UploadedForm]:
    """Take a form in, and have its video under a temporary name inside the block.

    Whoever wants the video renames it; what is still there at the end of the block
    is removed, and so is what had come in if the client leaves or the form is bad.

    Raises:
        WrongMediaType, TooLarge, TooSlow, BadUpload, BadField: the form is refused.
    """
    boundary = _boundary(content_type)
    if content_length is not None and content_length > largest + _LARGEST_MARGIN:
        raise TooLarge(
            f"the body has {content_length} bytes, and a video of {largest} is the"
            " largest that is taken"
        )
    video = _Video(folder / f"{secrets.token_hex(16)}.part", largest)
    form = _Form(boundary, video)
    try:
        try:
            await _take_in(body, form, video)
        finally:
            video.close()
        yield _checked(form, video)
    finally:
        with trio.move_on_after(files.PATIENCE, shield=True):
            await files.remove(video.path)


async def _take_in(body: Source, form: _Form, video: _Video) -> None:
    with trio.move_on_after(_LONGEST_SILENCE) as silence:
        async for data in body:
            silence.deadline = float("inf")
            for content in form.feed(data):
                await trio.to_thread.run_sync(video.write, content)
            silence.deadline = trio.current_time() + _LONGEST_SILENCE
    if silence.cancelled_caught:
        raise TooSlow(f"nothing came in for {_LONGEST_SILENCE:g} s")
    for content in form.feed(None):
        await trio.to_thread.run_sync(video.write, content)


def _boundary(content_type: str | None) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind == "application/json":
        raise WrongMediaType(
            "a job from a source_url will be taken as JSON in a later version; until"
            " then send the video itself, as multipart/form-data"
        )
    if kind != "multipart/form-data":
        raise WrongMediaType(
            "send multipart/form-data with the parts 'video' and 'target_language'"
        )
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise BadUpload("the Content-Type has no boundary of 1 to 70 ASCII characters")
    return boundary.encode()


def _checked(form: _Form, video: _Video) -> UploadedForm:
    if not video.size:
        raise BadField("video", "video is missing or empty: send the file as a part")
    target = form.text("target_language")
    if not target:
        raise BadField(
            "target_language", "target_language is missing: name one, such as 'pt'"
        )
    return UploadedForm(
        video=video.path,
        suffix=video.suffix,
        sha256=video.sha256,
        size=video.size,
        target_language=target,
        source_language=form.text("source_language") or None,
    )
