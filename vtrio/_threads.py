"""Blocking work, in a thread; in place where time is virtual.

A virtual clock jumps to the next deadline as soon as every task is blocked, and a task
that waits for a thread is. Reading a file would take a test to the end of some timeout,
so under such a clock the work is done where it is asked for: it takes no virtual time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

import trio

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


async def in_thread(
    work: Callable[[Unpack[_Arguments]], _T],
    *arguments: *_Arguments,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> _T:
    """Run what blocks, and return what it returns; see `trio.to_thread.run_sync`."""
    if _time_is_virtual():
        await trio.lowlevel.checkpoint()
        return work(*arguments)
    return await trio.to_thread.run_sync(
        work, *arguments, abandon_on_cancel=abandon_on_cancel, limiter=limiter
    )


def _time_is_virtual() -> bool:
    # Whoever has such a clock has imported its module; nobody else should have to.
    testing = sys.modules.get("trio.testing")
    clock = trio.lowlevel.current_clock()
    return testing is not None and isinstance(clock, testing.MockClock)
