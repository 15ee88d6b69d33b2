"""Lifetimes that are tied to a block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def beside(
    background: Callable[[], Awaitable[None]], *, name: str
) -> AsyncIterator[None]:
    """Run something beside the body of a block, for as long as that lasts.

    The body is cancelled first and the background after it, so that what the body does
    on its way out can still use it. An error of either ends both, and comes out as
    itself; if both have one, they come out as a group.
    """
    alone: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope(shield=True)

            async def run() -> None:
                with scope:
                    await background()

            nursery.start_soon(run, name=name)
            try:
                yield
            finally:
                scope.cancel("the body of the block has ended")
    except BaseExceptionGroup as group:
        alone = _only(group)
        if alone is None:
            raise
    if alone is not None:
        raise alone


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return what a group is about, if that is one thing."""
    _, real = group.split(trio.Cancelled)
    left: BaseException = group if real is None else real
    while isinstance(left, BaseExceptionGroup) and len(left.exceptions) == 1:
        left = left.exceptions[0]
    return None if isinstance(left, BaseExceptionGroup) else left
