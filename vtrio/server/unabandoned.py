"""Waiting for what others do for us, and cannot be stopped from doing.

It is what `trio.to_thread` does for one thread's work, for those who share it. A
cancelled task goes on waiting, and is cancelled at its next checkpoint.
"""

from __future__ import annotations

import trio
from trio.lowlevel import Abort, RaiseCancelT


class Unabandoned:
    """Is done once, for all who wait for it; at a third of what a shield costs them."""

    def __init__(self) -> None:
        self._is_done = False
        self._waiting: list[trio.lowlevel.Task] = []

    def __repr__(self) -> str:
        return f"<Unabandoned {'done' if self._is_done else len(self._waiting)}>"

    def done(self) -> None:
        """Let everybody go on."""
        self._is_done = True
        for task in self._waiting:
            trio.lowlevel.reschedule(task)
        self._waiting.clear()

    async def wait(self) -> None:
        """Wait until it is done, cancelled or not; it is no checkpoint if it is."""
        if not self._is_done:
            self._waiting.append(trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(_go_on)


def _go_on(_raise_cancel: RaiseCancelT) -> Abort:
    return Abort.FAILED
