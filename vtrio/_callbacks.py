"""The callbacks that a wait takes: of the status word, or of the whole job."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._job import Job
from ._stalls import Stall

_T = TypeVar("_T")

OnUpdate = Callable[[str], Awaitable[object] | object]
OnJob = Callable[[Job], Awaitable[object] | object]
OnStall = Callable[[Stall], Awaitable[object] | object]


async def tell(callback: Callable[[_T], Awaitable[object] | object], what: _T) -> None:
    """Call back, and await what comes of it if that can be awaited."""
    outcome = callback(what)
    if inspect.isawaitable(outcome):
        await outcome


def with_word(on_update: OnUpdate | None) -> OnJob | None:
    """Turn a callback that takes the status word into one that takes the job."""
    if on_update is None:
        return None
    return lambda job: on_update(job.word)


def both(first: OnJob | None, second: OnJob | None) -> OnJob | None:
    """Make one callback of two, called in that order."""
    if first is None or second is None:
        return first or second

    async def tell_both(job: Job) -> None:
        await tell(first, job)
        await tell(second, job)

    return tell_both
