"""File work, done in threads so that a slow disk holds nobody else up."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from .._threads import in_thread
from .errors import NoRoom, NotReady
from .flushing import flush_now
from .logs import get_logger

_log = get_logger("vtrio.server.files")

_PATIENCE = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)


class Patience:
    """How long clean-up may take: five seconds, and no longer than the server has.

    What is left after that is removed when a server starts again.
    """

    def __init__(self) -> None:
        self._end = math.inf

    def end_at(self, instant: float) -> None:
        """Leave no time beyond an instant, at which the server has to have ended."""
        self._end = instant

    def deadline(self) -> float:
        """Return until when clean-up that begins now may take."""
        return min(trio.current_time() + _PATIENCE, self._end)


async def make_folder(path: Path) -> None:
    """Make a folder, and those above it."""

    def make() -> None:
        path.mkdir(parents=True, exist_ok=True)

    await in_thread(make)


async def move_into(source: Path, target: Path) -> None:
    """Rename a file into a folder of its own, such that it is there after a power cut.

    Its content has to be flushed already.
    """

    def move() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        flush_now(target.parent)
        flush_now(target.parent.parent)

    await in_thread(move)


async def remove(path: Path) -> None:
    """Remove a file or a folder if it is there.

    It is for clean-up: it logs what it cannot do instead of raising it, because an
    error of clean-up in a request that is cancelled would be lost. Call it in a scope
    with a shield and the deadline of a `Patience`.
    """
    try:
        await in_thread(remove_now, path, abandon_on_cancel=True)
    except OSError as error:
        _log.warning("remove-failed", path=str(path), error=str(error))


def remove_now(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Tell whether an error means that a disk, or the share of it, is full."""
    return error.errno in _FULL


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turn a full disk, or too many open files, into what a client is told.

    Raises:
        NoRoom: the disk is full.
        NotReady: the process has as many files open as it may.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _TOO_MANY_OPEN:
            _log.error("too-many-open-files", error=str(error))
            raise NotReady(
                "the server has as many files open as it may: try again later, or tell"
                " whoever runs it"
            ) from error
        if not is_full(error):
            raise
        _log.error("disk-full", error=str(error))
        raise NoRoom(
            "the server's disk is full: try again later, or tell whoever runs it"
        ) from error
