"""A history of durations in a small JSON file.

    {"format": "vtrio durations", "version": 1,
     "classes": {KEY: [[AFTER, UNTIL or null, WORK or null, JOB or null], ...]}}

Seconds since the submission; `JOB` is kept of waits that were given up alone, because a
later wait may go on. The file belongs to one program at a time: of several that write
it, the last one wins.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from ._checks import shorten
from ._errors import DamagedHistory
from ._threads import in_thread
from .schedules import DurationHistory, Observation

_log = logging.getLogger("vtrio.history")

_FORMAT = "vtrio durations"
_VERSION = 1
# A thousand classes of five hundred jobs are not a quarter of it.
_LARGEST = 128 * 2**20
# How long a wait that is over, or cancelled, may be held up by a slow disk.
_PATIENCE = 2.0
# It is written when a tenth more is to be remembered, and when a client closes.
_MORE = 0.1
# How many are restored before others have a turn: half a millisecond.
_SLICE = 200
_numbers = itertools.count()


class HistoryFile:
    """Keeps a history in a file: read once, written whole and then renamed.

    What is in a file that cannot be read stays as it is.
    """

    def __init__(self, path: Path, history: DurationHistory) -> None:
        self._path = path
        self._history = history
        self._loaded = False
        self._unsaved = 0
        self._turn = trio.Lock()

    async def load(self) -> None:
        """Read the file, once; that there is none yet is no error.

        Raises:
            DamagedHistory: it is not what was written.
            OSError: it cannot be read.
        """
        if self._loaded:
            return
        async with self._turn:
            if self._loaded:
                return
            observations = await in_thread(_read, self._path, abandon_on_cancel=True)
            self._loaded = True
            for count, observation in enumerate(observations):
                self._history.restore(observation)
                if count % _SLICE == _SLICE - 1:
                    with trio.CancelScope(shield=True):  # half of it is no history
                        await trio.lowlevel.checkpoint()

    def note(self) -> None:
        """Take in that there is one more job to remember."""
        self._unsaved += 1

    async def save(self, *, before: float, everything: bool) -> None:
        """Write the file if there is enough new in it, and time before an instant.

        Enough is a tenth, or anything if `everything` must be written. If it is cancelled, or too slow, what is new is written another time. An error
        is logged: it must not cost the result of a wait.
        """
        remembered = self._history.statistics().remembered
        deadline = min(before, trio.current_time() + _PATIENCE)
        enough = 1 if everything else max(1, _MORE * remembered)
        if self._unsaved >= enough and deadline > trio.current_time():
            with trio.CancelScope(deadline=deadline):
                await self._write()

    async def close(self) -> None:
        """Write whatever is new; shielded, and given up after two seconds."""
        if self._unsaved:
            with trio.move_on_after(_PATIENCE, shield=True) as patience:
                await self._write()
            if patience.cancelled_caught:
                _log.warning("history-not-saved path=%r: too slow", str(self._path))

    async def _write(self) -> None:
        if not self._loaded:
            return  # what is there must not be overwritten unread
        async with self._turn:
            unsaved = self._unsaved
            try:
                await in_thread(
                    _write,
                    self._path,
                    list(self._history.remembered()),
                    abandon_on_cancel=True,
                )
            except (OSError, ValueError) as error:
                _log.warning(
                    "history-not-saved path=%r error=%r", str(self._path), error
                )
            else:
                self._unsaved -= unsaved


def _read(path: Path) -> list[Observation]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return []
    if len(text) > _LARGEST:
        raise _damaged(path, f"it is larger than {_LARGEST} bytes")
    return _parse(text, path)


def _write(path: Path, observations: list[Observation]) -> None:
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    # One that was too slow may still be at work.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.{next(_numbers)}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(_format(observations))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _format(observations: list[Observation]) -> bytes:
    classes: dict[str, list[list[object]]] = {}
    for seen in observations:
        work = seen.work
        if work is not None and not math.isfinite(work):
            work = None
        row = [seen.after, seen.until, work]
        if seen.until is None and seen.job:
            row.append(seen.job)  # type: ignore[arg-type] # a row is of mixed kinds
        classes.setdefault(seen.key, []).append(row)  # type: ignore[arg-type]
    document = {"format": _FORMAT, "version": _VERSION, "classes": classes}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _parse(text: bytes, path: Path) -> list[Observation]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise _damaged(path, f'it does not say "format": "{_FORMAT}"')
    version = document.get("version")
    if version != _VERSION:
        raise _damaged(path, f"it is of version {shorten(version)}, not {_VERSION}")
    classes = document.get("classes")
    if not isinstance(classes, dict):
        raise _damaged(path, "its classes are missing")
    try:
        return [seen for key, rows in classes.items() for seen in _rows(key, rows)]
    except (ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from None


def _rows(key: str, rows: Any) -> Iterator[Observation]:
    if not isinstance(rows, list):
        raise ValueError(f"class {shorten(key)} is not a list")
    for row in rows:
        if not isinstance(row, list) or not 3 <= len(row) <= 4:
            raise ValueError(f"{shorten(row)} is not [after, until, work]")
        after, until, work, job = (*row, "")[:4]
        numbers = [after, *(value for value in (until, work) if value is not None)]
        for number in numbers:
            if (
                not isinstance(number, (int, float))
                or isinstance(number, bool)
                or not abs(number) <= sys.float_info.max
            ):
                raise ValueError(f"{shorten(number)} in {shorten(row)} is no number")
        if not isinstance(job, str):
            raise ValueError(f"{shorten(job)} in {shorten(row)} is no job")
        yield Observation(after=after, until=until, key=key, work=work, job=job)


def _damaged(path: Path, why: str) -> DamagedHistory:
    return DamagedHistory(
        f"history={str(path)!r} cannot be used: {why}; it was left as it is: repair it,"
        " or name another file"
    )
