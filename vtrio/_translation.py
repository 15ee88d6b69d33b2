"""What the translation of many videos gives: what became of each, and how it stands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ._job import Job
from ._names import publish
from ._receipt import Receipt

Video = str | os.PathLike[str] | IO[bytes]
"""A path, or a binary file that can be sought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What became of one of many videos.

    Attributes:
        video: as it was given.
        job: as it was last seen; None if the video was not submitted.
        receipt: what the wait for the job cost; None if there was none.
        path: where the result lies; None if it does not.
        subtitles: where its subtitles lie; None if there are none.
        exception: None if the result is there; otherwise what `submit`, `wait` or
            `download` would have raised.
    """

    video: Video
    job: Job | None = None
    receipt: Receipt | None = None
    path: Path | None = None
    subtitles: Path | None = None
    exception: Exception | None = None

    def result(self) -> Path:
        """Return where the result lies.

        Raises:
            VtrioError, OSError, ValueError: the exception, as it is.
        """
        if self.exception is not None:
            raise self.exception
        assert self.path is not None  # noqa: S101 - without an exception it lies there
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationStatistics:
    """How the translation of many videos stands.

    Attributes:
        taken: videos that were taken from those given.
        submitting: those that are being submitted.
        waiting: jobs that are waited for.
        fetching: those whose results are being fetched, or about to be.
        completed: those whose results are there.
        failed: those that ended otherwise.
        requests: requests that were made for the waits.
        rung: what tells of the jobs at this moment; see `FleetStatistics`.
    """

    taken: int
    submitting: int
    waiting: int
    fetching: int
    completed: int
    failed: int
    requests: int
    rung: str


publish(Translation, TranslationStatistics)
