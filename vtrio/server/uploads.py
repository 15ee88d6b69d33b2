"""Uploads: a multipart form whose file goes to disk as it comes in.

The file is never held in memory: it is hashed and written in a thread, piece by
piece, and the gate in front of the app lets in no more than the disk can take.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
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
from .limits import Limits

# Seconds of which each has to bring as much of an upload as the slowest rate makes.
_WINDOW = 60.0


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

    def flush(self) -> None:
        """Have the disk keep what was written; runs in a thread."""
        if self._file is not None:
            with files.refusing_when_full():
                os.fsync(self._file.fileno())

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
    limits: Limits,
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
    if content_length is not None and content_length > limits.upload + LARGEST_MARGIN:
        raise TooLarge(
            f"the body has {content_length} bytes, and a video of {limits.upload} is"
            " the largest that is taken"
        )
    video = _Video(folder / f"{secrets.token_hex(16)}.part", limits.upload)
    form = Form(boundary, check_languages)
    patience = patience or files.Patience()
    try:
        try:
            await _take_in(body, form, video, limits.upload_rate)
        finally:
            video.close()
        yield _checked(form, video)
    finally:
        with trio.move_on_at(patience.deadline(), shield=True):
            await files.remove(video.path)


async def _take_in(body: Source, form: Form, video: _Video, rate: int) -> None:
    taken = 0
    pace = _Pace(rate)
    with trio.CancelScope(deadline=pace.deadline) as waiting:
        async for data in body:
            # The disk has all the time that it needs: only the client is hurried.
            waiting.deadline = math.inf
            began = trio.current_time()
            taken += len(data)
            if taken > video.largest + LARGEST_MARGIN:
                raise TooLarge(
                    f"the body is longer than a form with a video of {video.largest}"
                    " bytes, which is the largest that is taken"
                )
            for content in form.feed(data):
                await in_thread(video.write, content)
            pace.came(len(data), now=trio.current_time(), began=began)
            waiting.deadline = pace.deadline
    if waiting.cancelled_caught:
        raise TooSlow(
            f"less than {pace.least} bytes came in within {_WINDOW:g} s: the upload has"
            " to be faster"
        )
    for content in form.feed(None):
        await in_thread(video.write, content)
    await in_thread(video.flush)


class _Pace:
    """When an upload that brings too little is to be given up.

    Time that we took ourselves does not count.
    """

    def __init__(self, rate: int) -> None:
        self.least = max(1, math.ceil(rate * _WINDOW))
        self.deadline = trio.current_time() + _WINDOW
        self._came = 0

    def came(self, size: int, *, now: float, began: float) -> None:
        """Take in that so much has come; with enough of it a new window begins."""
        self._came += size
        if self._came >= self.least:
            self._came = 0
            self.deadline = now + _WINDOW
        else:
            self.deadline += now - began


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
