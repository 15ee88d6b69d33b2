"""Where the results of videos go, and that no two of them go to one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from ._translation import Video


def path_of(video: Video) -> Path | None:
    """Return where a video lies; None where that is not known."""
    name = video if isinstance(video, (str, os.PathLike)) else _name_of_file(video)
    return None if name is None else Path(name)


def _name_of_file(file: IO[bytes]) -> str | None:
    name = getattr(file, "name", None)  # a number, where it was opened by one
    return name if isinstance(name, str) else None


def result_name(video: Path, to: str) -> str:
    """Name the result after the video and the language: talk.mp4 in pt is talk.pt.mp4."""
    return f"{video.stem}.{to}{video.suffix}"


def subtitles_of(output: Path) -> Path:
    """Say where the subtitles of a result go: beside it."""
    return output.with_suffix(".vtt")


class Places:
    """The places that files lie in or will be put into."""

    def __init__(self) -> None:
        self._inputs: set[Path] = set()
        self._outputs: set[Path] = set()
        self._folders: dict[Path, Path] = {}

    def take(self, output: Path, source: Path | None) -> Path | None:
        """Take the places of a result and its subtitles; `source` is what it is made of.

        Returns the place that is taken already, or None.
        """
        if source is not None:
            place = self._place(source)
            if place in self._outputs:
                return source
            self._inputs.add(place)
        for path in (output, subtitles_of(output)):
            place = self._place(path)
            if place in self._outputs or place in self._inputs:
                return path
            self._outputs.add(place)
        return None

    def _place(self, path: Path) -> Path:
        # A result replaces what has its name, so a link of that name is a file like any
        # other; the folders on the way are looked at, each once.
        parent = path.parent
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = Path(os.path.realpath(parent))
        return folder / path.name
