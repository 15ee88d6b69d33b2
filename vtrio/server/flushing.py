"""Having the disk keep what attempts have made: those that end together share it.

Each hand-over to a thread, and each transaction after it, costs more than what is done
in it. So while some files are being flushed, and for a moment after they began to be,
what else comes waits, and goes together; alone, it waits for nobody. Their jobs' ends
then come to the store together too, which commits them in one transaction.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from .._threads import in_thread
from .unabandoned import Unabandoned

# Seconds from one flush to the next: no one minds to be told so much later, and at
# hundreds of ends a second that halves what each costs.
_PAUSE = 0.02
# A disk flushes several files in the time of one, but each thread costs something too.
_MOST_THREADS = 4
_ENOUGH_FOR_A_THREAD = 3


@dataclass(slots=True, eq=False)
class _Batch:
    """Files that are flushed together, and what became of those of each attempt."""

    files: list[tuple[Path, ...]] = field(default_factory=list)
    # Until a thread has told what became of it, a file is not kept.
    errors: list[Exception | None] = field(default_factory=list)
    flushed: Unabandoned = field(default_factory=Unabandoned)


class Flusher:
    """Flushes files of several attempts at once, in a few threads."""

    def __init__(self) -> None:
        self._next = _Batch()
        self._one_at_a_time = trio.Lock()
        self._not_before = -math.inf

    def __repr__(self) -> str:
        return f"<Flusher waiting={len(self._next.files)}>"

    async def flush(self, *paths: Path) -> None:
        """Have the disk keep some files, and that they are in their folders.

        It is not cancelled once it has begun to wait, which is bounded by the disk.

        Raises:
            OSError: the disk would not keep one of these, or nobody knows whether.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        batch = self._next
        place = len(batch.files)
        batch.files.append(paths)
        batch.errors.append(OSError("the flush ended before its time"))
        if place == 0:
            # Whoever is first in it does it for all.
            with trio.CancelScope(shield=True):  # bounded by the disk
                await self._flush(batch)
        else:
            await batch.flushed.wait()
        if (error := batch.errors[place]) is not None:
            raise error

    async def _flush(self, batch: _Batch) -> None:
        """Flush a batch when its turn has come."""
        try:
            async with self._one_at_a_time:
                await trio.sleep_until(self._not_before)
                self._next = _Batch()
                self._not_before = trio.current_time() + _PAUSE
                threads = min(
                    math.ceil(len(batch.files) / _ENOUGH_FOR_A_THREAD), _MOST_THREADS
                )
                async with trio.open_nursery() as nursery:
                    for first in range(threads):
                        share = slice(first, None, threads)
                        nursery.start_soon(_flush_share, batch, share)
        finally:
            if self._next is batch:  # it was ended before its turn
                self._next = _Batch()
            batch.flushed.done()


async def _flush_share(batch: _Batch, share: slice) -> None:
    files = batch.files[share]
    try:
        batch.errors[share] = await in_thread(_flush_all, files)
    except Exception as error:  # noqa: BLE001 - it is raised to each of them
        batch.errors[share] = [error] * len(files)


def flush_now(path: str | Path) -> None:
    """Have the disk keep a file, or what is in a folder; blocks."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(files: Sequence[tuple[Path, ...]]) -> list[Exception | None]:
    """Flush files, then their folders, then those above; tell what failed for each."""
    errors: list[Exception | None] = [None] * len(files)
    names = [{os.fspath(path) for path in paths} for paths in files]
    for _ in range(3):
        for place, of_one in enumerate(names):
            try:
                for name in of_one:
                    flush_now(name)
            except Exception as error:  # noqa: BLE001 - isolation: it is this one's
                errors[place] = error
        names = [{os.path.dirname(name) for name in of_one} for of_one in names]  # noqa: PTH120 - a Path costs ten times as much
    return errors
