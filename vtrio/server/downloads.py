"""Downloads: a file, or a part of it, read in pieces as the client takes them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import trio
from quart.wrappers.response import ResponseBody

# Quart's own body reads 8 KiB at a time, with two thread hops for each, and leaves
# the file open where it is cancelled while it opens it.
_PIECE = 256 * 1024


class FileSlice(ResponseBody):
    """The bytes of a file from `start` on, before `stop`."""

    def __init__(self, path: Path, start: int, stop: int) -> None:
        self._path = path
        self._position = start
        self._stop = stop
        self._file: BinaryIO  # while the block lasts

    async def __aenter__(self) -> Self:
        """Open the file."""
        # Not abandoned when cancelled: what was opened is what gets closed.
        self._file = await trio.to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file; nothing is buffered, so this waits for nothing."""
        self._file.close()

    def __aiter__(self) -> Self:
        """Iterate over itself, once."""
        return self

    async def __anext__(self) -> bytes:
        """Read the next piece."""
        piece = await trio.to_thread.run_sync(self._read)
        if not piece:
            raise StopAsyncIteration
        self._position += len(piece)
        return piece

    def _open(self) -> BinaryIO:
        file = self._path.open("rb", buffering=0)
        file.seek(self._position)
        return file

    def _read(self) -> bytes:
        size = min(_PIECE, self._stop - self._position)
        return self._file.read(size) if size else b""
