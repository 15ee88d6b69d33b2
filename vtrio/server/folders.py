"""The folder of one run, and those that servers left behind which were killed.

A server locks its folder for as long as it runs. The system lets go of the lock when
the process is gone, however it ended, so a folder without a lock is nobody's.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

import trio

from .._threads import in_thread
from . import files
from .errors import ServeError

_log = logging.getLogger("vtrio.server.files")

_NAME = "vtrio-run-"
# Until it is locked it has another name, so that nobody takes it for left behind.
_NEW_NAME = "vtrio-new-"

UPLOADS = "uploads"
"""The folder, inside that of the run, for files that are still coming in."""


@asynccontextmanager
async def folder_for_run(
    data_dir: Path | None, patience: files.Patience
) -> AsyncIterator[Path]:
    """Make a folder for this run alone, and remove it: the store forgets its jobs.

    In a data directory, what servers left there that are gone is removed too.

    Raises:
        ServeError: the folder cannot be made.
    """
    try:
        run = await in_thread(_Run, data_dir)
    except OSError as error:
        raise ServeError(
            f"the data directory {str(data_dir or tempfile.gettempdir())!r} cannot be"
            f" used"
            f" ({error.strerror}): pass another --data-dir"
        ) from error
    with closing(run):
        try:
            if data_dir is not None:
                await in_thread(_sweep, data_dir)
            yield run.folder
        finally:
            with trio.move_on_at(patience.deadline(), shield=True):
                await files.remove(run.folder)


class _Run:
    """A folder that is locked until it is closed; making one blocks."""

    def __init__(self, data_dir: Path | None) -> None:
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=_NEW_NAME, dir=data_dir))
        with ExitStack() as undo:
            undo.callback(files.remove_now, new)
            self._lock = undo.enter_context(closing(_Lock(new)))
            self._lock.try_to_hold()
            (new / UPLOADS).mkdir()
            name = _NAME + new.name.removeprefix(_NEW_NAME)
            self.folder = new.rename(new.with_name(name))
            undo.pop_all()

    def close(self) -> None:
        self._lock.close()


class _Lock:
    """A lock on a folder, which its process loses when it ends."""

    def __init__(self, folder: Path) -> None:
        # It is not inherited: what the server starts does not keep the lock.
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def try_to_hold(self) -> bool:
        """Take the lock unless another process has it, or there are no locks here."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)


def _sweep(data_dir: Path) -> None:
    """Remove the folders whose server is gone."""
    for folder in data_dir.glob(f"{_NAME}*"):
        try:
            with closing(_Lock(folder)) as lock:
                if lock.try_to_hold():
                    files.remove_now(folder)
                    _log.warning("left-over-removed folder=%r", str(folder))
        except OSError as error:
            _log.warning("remove-failed path=%r error=%r", str(folder), error)
