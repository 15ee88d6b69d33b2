"""Uploads: a multipart form whose file goes to disk as it comes in.

The file is never held in memory: it is hashed and written in a thread, piece by
piece, and the gate in front of the app lets in no more than the disk can take.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import trio
from werkzeug.http import parse_options_header

from .._threads import in_thread
from . import files
from .errors import BadField, BadUpload, TooLarge, TooSlow, WrongMediaType
from .forms import LARGEST_MARGIN, CheckLanguages, Form, serve_any_language

LARGEST_UPLOAD = 2 * 1024**3
"""Bytes of the largest video taken by default."""

# Seconds without a byte after which an upload is given up.
_LONGEST_SILENCE = 60.0


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
    size: int = 0
    _file: IO[bytes] | None = None
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        """Write and hash; runs in a thread."""
        self.size += len(data)
        if self.size > self.largest:
            raise TooLarge(
                f"the video is larger than the {self.largest} bytes that are taken"
            )
        self._hash.update(data)
        with files.refusing_when_full():
            if self._file is None:
                # What comes in is in large pieces; and what is in no buffer cannot
                # fail once more when the file is closed.
                self._file = self.path.open("xb", buffering=0)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@asynccontextmanager
async def receive_form(
    body: Source,
    *,
    content_type: str | None,
    content_length: int | None,
    folder: Path,
    largest: int = LARGEST_UPLOAD,
    check_languages: CheckLanguages = serve_any_language,
    patience: files.Patience | None = None,
) -> AsyncIterator[UploadedForm]:
    """Take a form in, and have its video under a temporary name inside the block.

    Whoever wants the video renames it; what is still there at the end of the block
    is removed, and so is what had come in if the client leaves or the form is bad.

    Raises:
        WrongMediaType, TooLarge, TooSlow, BadUpload, BadField: the form is refused.
        NoRoom: the disk is full.
    """
    boundary = _boundary(content_type)
    if content_length is not None and content_length > largest + LARGEST_MARGIN:
        raise TooLarge(
            f"the body has {content_length} bytes, and a video of {largest} is the"
            " largest that is taken"
        )
    video = _Video(folder / f"{secrets.token_hex(16)}.part", largest)
    form = Form(boundary, check_languages)
    patience = patience or files.Patience()
    try:
        try:
            await _take_in(body, form, video)
        finally:
            video.close()
        yield _checked(form, video)
    finally:
        with trio.move_on_at(patience.deadline(), shield=True):
            await files.remove(video.path)


async def _take_in(body: Source, form: Form, video: _Video) -> None:
    taken = 0
    with trio.move_on_after(_LONGEST_SILENCE) as silence:
        async for data in body:
            silence.deadline = float("inf")
            taken += len(data)
            if taken > video.largest + LARGEST_MARGIN:
                raise TooLarge(
                    f"the body is longer than a form with a video of {video.largest}"
                    " bytes, which is the largest that is taken"
                )
            for content in form.feed(data):
                await in_thread(video.write, content)
            silence.deadline = trio.current_time() + _LONGEST_SILENCE
    if silence.cancelled_caught:
        raise TooSlow(f"nothing came in for {_LONGEST_SILENCE:g} s")
    for content in form.feed(None):
        await in_thread(video.write, content)


def _boundary(content_type: str | None) -> bytes:
    kind, options = parse_options_header(content_type)
    kind = kind.lower()
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


def _checked(form: Form, video: _Video) -> UploadedForm:
    if not video.size:
        raise BadField("video", "video is missing or empty: send the file as a part")
    return UploadedForm(
        video=video.path,
        suffix=form.suffix,
        sha256=video.sha256,
        size=video.size,
        target_language=form.target_language,
        source_language=form.source_language,
    )
