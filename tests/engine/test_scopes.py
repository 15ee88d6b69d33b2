"""Blocks with something beside them: the body first, the background after it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from vtrio._scopes import beside


async def test_the_body_is_cancelled_first(autojump_clock: MockClock) -> None:
    """What the body does on its way out can still use the background."""
    record: list[str] = []

    async def background() -> None:
        try:
            await trio.sleep_forever()
        finally:
            record.append("background")

    with trio.move_on_after(1) as scope:
        async with beside(background, name="background"):
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(1, shield=True):
                    await trio.sleep(0.5)
                record.append("body")

    assert scope.cancelled_caught
    assert record == ["body", "background"]
    assert trio.current_time() == 1.5


async def test_the_background_ends_with_the_body(autojump_clock: MockClock) -> None:
    """However the body ends; and it is waited for."""
    record: list[str] = []

    async def background() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                await trio.sleep(0.25)
            record.append("ended")

    async with beside(background, name="background"):
        await trio.sleep(1)
    assert record == ["ended"]
    assert trio.current_time() == 1.25


async def test_an_error_of_the_body_comes_out_as_itself() -> None:
    """No group around what is one thing, and no context that hides it."""
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with beside(trio.sleep_forever, name="background"):
            raise error
    assert caught.value is error
    assert error.__cause__ is None


async def test_an_error_of_the_background_ends_the_body() -> None:
    """And comes out as itself as well."""

    async def background() -> None:
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        async with beside(background, name="background"):
            await trio.sleep_forever()


async def test_errors_of_both_come_out_together() -> None:
    """Neither hides the other."""

    async def background() -> None:
        raise KeyError("theirs")

    with pytest.RaisesGroup(KeyError, RuntimeError):
        async with beside(background, name="background"):
            try:
                await trio.sleep_forever()
            finally:
                raise RuntimeError("mine")


async def test_a_group_of_the_bodys_stays_a_group() -> None:
    """What came as several things stays so."""
    with pytest.RaisesGroup(ValueError, KeyError):
        async with beside(trio.sleep_forever, name="background"):
            raise ExceptionGroup("mine", [ValueError(), KeyError()])


async def test_a_background_that_is_done_does_not_end_the_body(
    autojump_clock: MockClock,
) -> None:
    """It may have had little to do."""

    async def background() -> None:
        await trio.lowlevel.checkpoint()

    async with beside(background, name="background"):
        await trio.sleep(3)
    assert trio.current_time() == 3
