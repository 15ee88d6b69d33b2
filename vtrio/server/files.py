"""File work, done in threads so that a slow disk holds nobody else up."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import trio

_log = logging.getLogger("vtrio.server.files")

PATIENCE = 5.0
"""Seconds that clean-up may take, also when the server is in a hurry to end."""


async def make_folder(path: Path) -> None:
    """Make a folder, and those above it."""

    def make() -> None:
        path.mkdir(parents=True, exist_ok=True)

    await trio.to_thread.run_sync(make)


async def move_into(source: Path, target: Path) -> None:
    """Rename a file, making the folder that it goes into."""

    def move() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)

    await trio.to_thread.run_sync(move)


async def remove(path: Path) -> None:
    """Remove a file or a folder if it is there.

    It is for clean-up: it logs what it cannot do instead of raising it, because an
    error of clean-up in a request that is cancelled would be lost. Call it in a scope
    with a shield and `PATIENCE`.
    """
    try:
        await trio.to_thread.run_sync(_remove, path, abandon_on_cancel=True)
    except OSError as error:
        _log.warning("remove-failed path=%s error=%s", path, error)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
