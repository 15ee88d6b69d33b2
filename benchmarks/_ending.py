"""The end of a program that has others running: in time, and with them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class TookTooLong(RuntimeError):
    """A block was not over in time."""


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """Leave the block by an exception when it takes longer, and on SIGTERM.

    So what the block has started is ended on its way out, whatever it is busy with. Of
    two blocks, one in the other, the inner one has no more time than the outer.

    Raises:
        TookTooLong: it took longer, whatever has become of that on its way out.
        SystemExit: it was told to end.
    """
    try:
        with _alarmed(seconds):
            yield
    except Exception as error:
        late = _lateness(error)
        if late is None or late is error:
            raise
        raise TookTooLong(str(late)) from error


def _lateness(error: BaseException | None) -> TookTooLong | None:
    """Return the lateness behind an error, such as a nursery's group of it."""
    while error is not None:
        if isinstance(error, TookTooLong):
            return error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                if (late := _lateness(part)) is not None:
                    return late
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _alarmed(seconds: float) -> Iterator[None]:
    outer, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0 < outer <= seconds:
        yield  # the outer block's alarm comes first, and its handlers do for both
        return

    def take_no_longer(number: int, frame: FrameType | None) -> NoReturn:
        raise TookTooLong(f"it was not over after {seconds:.0f} s")

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    handlers = {signal.SIGALRM: take_no_longer, signal.SIGTERM: end}
    before = {number: signal.signal(number, own) for number, own in handlers.items()}
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        if outer:
            left = outer - (time.monotonic() - began)
            if left <= 0:
                signal.raise_signal(signal.SIGALRM)  # for the outer handler
            signal.setitimer(signal.ITIMER_REAL, left)
