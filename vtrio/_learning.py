"""What a client learns from its waits, and who uses it."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from ._checks import shorten
from ._history_file import HistoryFile
from ._job import Job
from ._session import Session
from .schedules import DurationHistory, Followed, History, Learned, Schedule

_log = logging.getLogger("vtrio.client")


class Learning:
    """The history of a client's waits; its file, if it has one.

    Raises:
        ValueError: two histories are meant, and they are not the same.
    """

    def __init__(
        self,
        history: History | str | os.PathLike[str] | None,
        schedule: Schedule | None,
    ) -> None:
        own = schedule.history if isinstance(schedule, Learned) else None
        self._file: HistoryFile | None = None
        self._others: History | None = None
        if isinstance(history, DurationHistory):
            if own is not None and own is not history:
                raise ValueError(
                    f"history={shorten(history)} together with {shorten(schedule)} is"
                    " not allowed: must be the history of that schedule, or not given"
                )
            self.durations = history
        else:
            self.durations = DurationHistory() if own is None else own
            if isinstance(history, (str, os.PathLike)):
                self._file = HistoryFile(Path(history), self.durations)
            else:
                self._others = history

    def bind(self, schedule: Schedule) -> Schedule:
        """Let a schedule that learns from its client learn from this one."""
        if isinstance(schedule, Learned) and schedule.history is None:
            return replace(schedule, history=self.durations)
        return schedule

    async def load(self) -> None:
        """Read the file, if there is one that was not read yet.

        Raises:
            DamagedHistory: it is not what was written.
            OSError: it cannot be read.
        """
        if self._file is not None:
            await self._file.load()

    def begin(self, session: Session) -> Lesson:
        """Follow a wait that begins."""
        return Lesson(session, self.durations, self._others, self._file)

    async def save(self, *, before: float, everything: bool) -> None:
        """Write the file, if there is one and enough is new, before an instant."""
        if self._file is not None:
            await self._file.save(before=before, everything=everything)

    async def close(self) -> None:
        """Write whatever is new, shielded and bounded."""
        if self._file is not None:
            await self._file.close()


class Lesson:
    """One wait, as it teaches; it is over once, however the wait ends."""

    def __init__(
        self,
        session: Session,
        durations: DurationHistory,
        others: History | None,
        file: HistoryFile | None,
    ) -> None:
        self._session = session
        self._durations = durations
        self._others = others
        self._file = file
        self._followed: Followed | None = None
        self._crowded = False
        self._take_in()

    def hear(self, job: Job) -> None:
        """Take in what an answer tells: the job runs."""
        if not job.is_final:
            self._take_in()

    def over(self) -> None:
        """Take in what the whole wait saw."""
        observation = self._session.observation()
        if self._followed is not None:
            self._followed.over(observation)
        elif observation is not None and not self._crowded:
            # Nobody saw it run: it is remembered, but proves no change, because
            # jobs that are over when a wait begins are no fair draw.
            self._durations.restore(observation)
        if observation is None:
            return
        if self._file is not None:
            self._file.note()
        if self._others is not None:
            try:
                self._others.observe(observation)
            except Exception:  # noqa: BLE001 - a history at fault must not cost a result
                _log.exception("history-failed observation=%r", observation)

    def _take_in(self) -> None:
        """Follow the job from when its age is known."""
        session = self._session
        age = session.running_age
        if age is None or self._crowded:
            return
        if self._followed is None:
            self._followed = self._durations.follow(
                session.key, job=session.job_id, age=age
            )
            self._crowded = self._followed is None
        if self._followed is not None:
            self._followed.runs(age, work=session.work)
