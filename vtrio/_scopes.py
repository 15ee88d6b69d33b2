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
    own: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope(shield=True)

            async def run() -> None:
                with scope:
                    await _unwrapped(background)

            nursery.start_soon(run, name=name)
            try:
                yield
            except BaseException as error:
                own = error
                raise
            finally:
                scope.cancel("the body of the block has ended")
    except BaseExceptionGroup as group:
        alone = _only(group)
        if alone is None:
            raise
        # Where groups are split, those of the body become others that look like them.
        if isinstance(alone, BaseExceptionGroup) and isinstance(own, type(alone)):
            alone = own
    if alone is not None:
        raise alone


async def _unwrapped(background: Callable[[], Awaitable[None]]) -> None:
    """Run what has nurseries of its own, whose errors nobody should have to unpack."""
    alone: BaseException | None = None
    try:
        await background()
    except BaseExceptionGroup as group:
        alone = _only(group)
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            alone = alone.exceptions[0]
        if alone is None:
            raise
    if alone is not None:
        raise alone


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return what a nursery's group is about, if that is one thing."""
    _, real = group.split(trio.Cancelled)
    kept = group if real is None else real
    return kept.exceptions[0] if len(kept.exceptions) == 1 else None
