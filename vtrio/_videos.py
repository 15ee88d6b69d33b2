"""Opening what is to be submitted."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

from ._checks import shorten
from ._threads import in_thread


async def open_video(
    video: str | os.PathLike[str] | IO[bytes],
) -> tuple[IO[bytes], str]:
    """Open a path, or take a file as it is; return it with the name to send."""
    if isinstance(video, (str, os.PathLike)):
        path = Path(video)
        opened = await in_thread(path.open, "rb")
        return opened, _as_name(os.fspath(path))
    is_text = isinstance(video, io.TextIOBase)
    if is_text or not hasattr(video, "read") or not video.seekable():
        raise ValueError(
            f"video={shorten(video)} is not allowed: must be a path or a file opened"
            " in binary mode, not a pipe"
        )
    name = getattr(video, "name", None)
    return video, _as_name(name) if isinstance(name, str) else "video"


def _as_name(path: str) -> str:
    """Return a file's name as text that can be sent, whatever bytes it is made of."""
    return Path(path).name.encode("utf-8", "replace").decode("utf-8")
