"""Downloads: a file, or a part of it, read in pieces as the client takes them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from quart import Request, Response
from quart.wrappers.response import ResponseBody

from .._threads import in_thread
from .ranges import read_range

# Quart's own body reads 8 KiB at a time, with two thread hops for each, and leaves
# the file open where it is cancelled while it opens it.
_PIECE = 256 * 1024


async def answer_with_file(
    request: Request, path: Path, *, etag: str, content_type: str, closing: ExitStack
) -> Response:
    """Answer with a file, the part of it that was asked for, or that it is the same.

    It is opened here, so that the answer is of the file as it is now whatever becomes
    of its name, and closed with `closing`, which has to outlive the answer.

    Raises:
        BadRange: none of the bytes asked for exists.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "ETag": etag,
        "Vary": "Authorization",
        # The simulated engine gives back what was uploaded, whatever it was.
        "X-Content-Type-Options": "nosniff",
    }
    if request.if_none_match.contains_weak(etag.strip('"')):
        response = Response(b"", status=304, headers=headers)
        del response.headers["Content-Length"], response.headers["Content-Type"]
        return response
    # Not abandoned when cancelled: what was opened is what gets closed.
    file, size = await in_thread(_open, path)
    closing.callback(file.close)
    part = None
    # Of all methods, only GET knows ranges (RFC 9110, 14.2).
    if request.method == "GET" and request.headers.get("If-Range", etag) == etag:
        part = read_range(request.headers.get("Range"), size)
    start, stop = part or (0, size)
    response = Response(
        # hypercorn drops the body of a HEAD, but only after it was read.
        FileSlice(file, start, start if request.method == "HEAD" else stop),
        status=200 if part is None else 206,
        headers=headers,
        content_type=content_type,
    )
    response.content_length = stop - start
    if part is not None:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response


class FileSlice(ResponseBody):
    """The bytes of an open file from `start` on, before `stop`."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        self._file = file
        self._position = start
        self._stop = stop

    async def __aenter__(self) -> Self:
        """Open nothing: the file is open."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close nothing: whoever opened the file closes it."""

    def __aiter__(self) -> Self:
        """Iterate over itself, once."""
        return self

    async def __anext__(self) -> bytes:
        """Read the next piece."""
        piece = await in_thread(self._read)
        if not piece:
            raise StopAsyncIteration
        self._position += len(piece)
        return piece

    def _read(self) -> bytes:
        size = min(_PIECE, self._stop - self._position)
        return os.pread(self._file.fileno(), size, self._position)


def _open(path: Path) -> tuple[IO[bytes], int]:
    file = path.open("rb", buffering=0)
    return file, os.fstat(file.fileno()).st_size
