"""One attempt at one job: the engine works, and its ending is written down.

Whatever is wrong with the engine or with the attempt's files stays with this job. What
is wrong with the store does not: it ends the service.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TypeAlias, assert_never

from .._job import IllegalMove, JobProblem, JobStatus
from . import files
from .documents import PROBLEM_TYPES
from .engines import Engine, EngineError, Progress, Task, Translation
from .errors import UnknownJob
from .flushing import Flusher
from .folders import attempt_folder
from .logs import get_logger
from .store import Changes, Instant, JobRecord, Overtaken, Store

_log = get_logger("vtrio.server.jobs")

_MOST_FAILURES = 3

Ending: TypeAlias = Translation | EngineError | None
"""How an attempt ended; None means that it was cut off."""


class Attempt:
    """One attempt at the job of a record, which was claimed for it.

    It may write into its own folder, which it makes, below `root`, the folder of the
    server; `now` tells the time on both clocks.
    """

    def __init__(
        self,
        record: JobRecord,
        engine: Engine,
        store: Store,
        flusher: Flusher,
        *,
        root: Path,
        now: Callable[[], Instant],
    ) -> None:
        self._record = record
        self._engine = engine
        self._store = store
        self._flusher = flusher
        self._root = root
        self._folder = root / attempt_folder(record.id, record.attempt)
        self._now = now

    async def work(self) -> Translation | EngineError:
        """Have the engine work, noting its progress, and return how that ended."""
        record = self._record
        task = Task(
            job_id=record.id,
            attempt=record.attempt,
            source=self._root / record.source,
            folder=self._folder,
            target_language=record.target_language,
            source_language=record.source_language,
        )
        if (failure := await self._make_folder()) is not None:
            return failure
        return await self._translate(task)

    async def conclude(self, ending: Ending) -> JobRecord | None:
        """Write down how it ended, and return the job as it then stands.

        None if the job has gone on without this attempt, or is gone.

        Raises:
            NoRoom: the disk is full, and the ending is not written down.
        """
        record = self._record
        status, changes = self._consequences(ending)
        moved = None
        with suppress(IllegalMove, Overtaken, UnknownJob):
            moved = await self._store.move(
                record.id, status, at=self._now(), attempt=record.attempt, **changes
            )
        _log.info(
            "attempt-ended",
            id=record.id,
            attempt=record.attempt,
            status=moved.status if moved else "overtaken",
            error=str(ending) if isinstance(ending, EngineError) else None,
        )
        return moved

    async def tidy(self) -> None:
        """Remove what the attempt wrote, which is not the job's result."""
        await files.remove(self._folder)

    def _consequences(self, ending: Ending) -> tuple[JobStatus, Changes]:
        """Say where the job goes after the attempt."""
        record = self._record
        match ending:
            case Translation():
                changes = Changes(
                    progress=1.0,
                    stage=None,
                    video=PurePath(_below(self._root, ending.video)),
                    subtitles=PurePath(_below(self._root, ending.subtitles)),
                )
                if ending.media_seconds is not None:
                    changes["media_seconds"] = ending.media_seconds
                if ending.source_language is not None:
                    changes["source_language"] = ending.source_language
                return JobStatus.COMPLETED, changes
            case EngineError():
                failures = record.failures + 1
                if not ending.permanent and failures < _MOST_FAILURES:
                    return JobStatus.PENDING, Changes(
                        failures=failures, progress=None, stage=None
                    )
                problem = JobProblem(
                    type=PROBLEM_TYPES + ending.kind,
                    title=ending.title,
                    detail=ending.detail,
                )
                return JobStatus.ERROR, Changes(
                    failures=failures, stage=None, error=problem
                )
            case None:
                return JobStatus.PENDING, Changes(progress=None, stage=None)
            case unknown:  # pragma: no cover - the type checker proves it
                assert_never(unknown)

    async def _make_folder(self) -> EngineError | None:
        try:
            await files.make_folder(self._folder)
        except OSError as error:
            return self._without_room(error)
        return None

    def _without_room(self, error: OSError) -> EngineError:
        """Log what the disk refused, and say without its words what that means."""
        _log.error(
            "attempt-without-room",
            id=self._record.id,
            attempt=self._record.attempt,
            error=str(error),
        )
        return EngineError(
            "no-room" if files.is_full(error) else "no-folder",
            "The server could not make room for the work",
            permanent=False,
        )

    async def _translate(self, task: Task) -> Translation | EngineError:
        """Have the engine work; whatever is wrong with it stays with this job."""
        try:
            made = await self._engine.translate(task, self._note)
            for path in (made.video, made.subtitles):
                # Elsewhere it would be swept, or outlive its job.
                _below(self._folder, path)
            # Its job must not be told completed before it would survive a power cut.
            await self._flusher.flush(made.video, made.subtitles)
            return made
        except EngineError as error:
            return error
        except Exception as error:  # noqa: BLE001 - isolation: one job must not end the others
            if isinstance(error, OSError) and files.is_full(error):
                return self._without_room(error)
            _log.exception("engine-crashed", id=task.job_id, attempt=task.attempt)
            return EngineError(
                "engine-crashed", "The engine failed unexpectedly", permanent=False
            )
        except BaseExceptionGroup as group:
            failed, rest = group.split(Exception)
            if failed is None or rest is None:
                raise
            # Its clean-up failed while it was being cancelled.
            _log.error(
                "engine-cleanup-failed",
                id=task.job_id,
                attempt=task.attempt,
                exc_info=failed,
            )
            raise rest from None

    def _note(self, progress: Progress) -> None:
        """Take in what the engine reports; what comes too late says nothing."""
        changes = Changes(
            stage=progress.stage, progress=_within_unit(progress.fraction)
        )
        if progress.media_seconds is not None:
            changes["media_seconds"] = progress.media_seconds
        if progress.source_language is not None:
            changes["source_language"] = progress.source_language
        with suppress(Overtaken, UnknownJob):
            self._store.note(self._record.id, attempt=self._record.attempt, **changes)


def _within_unit(fraction: float) -> float | None:
    return min(max(fraction, 0.0), 1.0) if math.isfinite(fraction) else None


def _below(folder: Path, path: Path) -> str:
    """Return what leads from a folder to a path below it, at a tenth of pathlib's cost.

    Raises:
        ValueError: it is not below it.
    """
    start = os.path.join(folder, "")  # noqa: PTH118 - a Path ends in no separator
    text = str(path)
    if not text.startswith(start):
        raise ValueError(f"{text!r} is not below {start!r}")
    return text.removeprefix(start)
