"""Blocking work: in a thread, and in place where time is virtual."""

from __future__ import annotations

import sys
import threading

import pytest
import trio
from trio.testing import MockClock

from vtrio._threads import in_thread


async def test_work_is_done_in_a_thread() -> None:
    """The loop is not held up, and arguments and answers pass."""
    thread, total = await in_thread(
        lambda *numbers: (threading.get_ident(), sum(numbers)), 1, 2
    )
    assert (thread != threading.get_ident(), total) == (True, 3)


async def test_work_takes_no_virtual_time(autojump_clock: MockClock) -> None:
    """Were it in a thread, the clock would jump to the next deadline meanwhile."""
    with trio.fail_after(1000):
        assert await in_thread(threading.get_ident) == threading.get_ident()
        assert trio.current_time() == 0.0


async def test_an_error_of_the_work_comes_out(autojump_clock: MockClock) -> None:
    """As it would from a thread."""
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_work_is_not_begun_where_the_task_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    """The checkpoint comes first."""
    done: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await in_thread(done.append, 1)
    assert scope.cancelled_caught
    assert not done


async def test_whoever_has_no_virtual_clock_needs_no_trio_testing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is looked up where it was imported, and imported by nobody here."""
    monkeypatch.delitem(sys.modules, "trio.testing")
    assert await in_thread(threading.get_ident) != threading.get_ident()
    assert "trio.testing" not in sys.modules


@pytest.mark.parametrize("abandon", [True, False])
async def test_a_thread_may_be_abandoned(abandon: bool) -> None:
    """Only where that was said is a cancelled wait for it over at once."""
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(10)
        ended.set()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                scope.cancel()
                if not abandon:
                    release.set()

            nursery.start_soon(cancel)
            await in_thread(work, abandon_on_cancel=abandon)
    assert ended.is_set() is not abandon
    release.set()
