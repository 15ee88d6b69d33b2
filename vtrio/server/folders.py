"""The folder of a server: its layout, and that it belongs to one server at a time.

    vtrio.sqlite3           the store
    lock                    locked for as long as the server runs
    uploads/                what is coming in, under temporary names
    jobs/ID/source.mp4      an upload that was accepted
    jobs/ID/attempt-1/      what an attempt has made

The system lets go of the lock when the process is gone, however it ended.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import IO

import trio

from .._threads import in_thread
from . import files
from .errors import ServeError
from .logs import get_logger

_log = get_logger("vtrio.server.files")

UPLOADS = "uploads"
"""The folder for files that are still coming in; on the jobs' own disk."""
JOBS = "jobs"
"""The folder of all jobs, one folder each."""

_LOCK = "lock"
# What people send is nobody else's to read, whatever the umask and the folder above.
_OWN = 0o700
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
_TEMPORARY = f"vtrio-{os.getuid()}-"
# Until it is locked it has another name, so that nobody takes it for left behind.
_NEW = f"vtrio-new-{os.getuid()}-"


def job_folder(job_id: str) -> PurePath:
    """Return where the files of a job are, below the folder of the server."""
    return PurePath(JOBS) / job_id


def attempt_folder(job_id: str, attempt: int) -> PurePath:
    """Return where an attempt puts what it makes."""
    return job_folder(job_id) / f"attempt-{attempt}"


def default_data_dir(port: int, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a server keeps its jobs that was not told; each port has its own."""
    home = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "vtrio" / str(port)


def make_data_dir(path: Path) -> None:
    """Make a data directory; one that is new is its owner's alone, with what is in it.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(mode=_OWN, parents=True, exist_ok=True)


@asynccontextmanager
async def lock_folder(
    data_dir: Path | None, patience: files.Patience
) -> AsyncIterator[Path]:
    """Have a data directory alone, for the length of a block.

    Without one it is a temporary folder, which is removed at the end; those of servers
    that were killed are removed too. The path that is given back is absolute.

    Raises:
        ServeError: the folder cannot be used, or another server has it.
    """
    try:
        folder, lock = await in_thread(_lock_one, data_dir)
    except OSError as error:
        raise ServeError(why_not(data_dir, error)) from error
    with lock:
        try:
            yield folder
        finally:
            if data_dir is None:
                with trio.move_on_at(patience.deadline(), shield=True):
                    await files.remove(folder)


async def sweep(root: Path, known: Mapping[str, int]) -> None:
    """Remove what belongs to no job, as a server leaves it that was killed.

    `known` has the jobs that there are, and the number of the attempt whose files
    count: those of earlier ones, and of an attempt that was cut off, do not.
    """
    await in_thread(_sweep, root, known)


async def folders_of_jobs(root: Path) -> list[str]:
    """Return the ids of the jobs that have a folder."""
    return await in_thread(_names, root / JOBS)


def _lock_one(data_dir: Path | None) -> tuple[Path, IO[bytes]]:
    if data_dir is not None:
        # What engines give back is, and it is compared as text; a link stays a link.
        data_dir = data_dir.absolute()
        return data_dir, _lock(data_dir)
    _remove_left_over()
    new = Path(tempfile.mkdtemp(prefix=_NEW))
    try:
        lock = _lock(new)
    except OSError:
        files.remove_now(new)
        raise
    return new.rename(new.with_name(_TEMPORARY + new.name.removeprefix(_NEW))), lock


def _lock(data_dir: Path) -> IO[bytes]:
    make_data_dir(data_dir)
    # It is not inherited: what the server starts does not keep the lock.
    lock = (data_dir / _LOCK).open("ab")
    try:
        _hold(lock)
        files.remove_now(data_dir / UPLOADS)
        for name in (UPLOADS, JOBS):
            (data_dir / name).mkdir(mode=_OWN, exist_ok=True)
    except BaseException:
        lock.close()
        raise
    return lock


def _hold(lock: IO[bytes]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise
        # Some network disks have no locks.
        _log.warning("folder-not-locked", path=lock.name, error=str(error))


def _remove_left_over() -> None:
    """Remove the temporary folders of servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        try:
            with (folder / _LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files.remove_now(folder)
            _log.warning("left-over-removed", path=str(folder))
        except OSError as error:
            if error.errno not in _TAKEN:
                _log.warning("remove-failed", path=str(folder), error=str(error))


def why_not(data_dir: Path | None, error: OSError) -> str:
    """Say in a sentence why a data directory, or a temporary one, cannot be used."""
    name = repr(str(data_dir or tempfile.gettempdir()))
    if error.errno in _TAKEN:
        return (
            f"the data directory {name} is in use by another server: end that one, or"
            " pass another --data-dir"
        )
    return (
        f"the data directory {name} cannot be used ({error.strerror}): pass another"
        " --data-dir"
    )


def _sweep(root: Path, known: Mapping[str, int]) -> None:
    for folder in (root / JOBS).iterdir():
        if folder.name not in known:
            _remove_or_log(folder)
            continue
        current = f"attempt-{known[folder.name]}"
        for path in folder.glob("attempt-*"):
            if path.name != current:
                _remove_or_log(path)


def _remove_or_log(path: Path) -> None:
    # It is in nobody's way: no attempt has the number of an earlier one.
    try:
        files.remove_now(path)
    except OSError as error:
        _log.warning("remove-failed", path=str(path), error=str(error))


def _names(folder: Path) -> list[str]:
    # What else may lie there has perhaps a name that no store can be asked for.
    return [path.name for path in folder.iterdir() if path.name.isascii()]
