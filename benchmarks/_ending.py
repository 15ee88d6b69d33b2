"""The end of a program that has others running: in time, and with them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """Leave the block by an exception when it takes longer, and on SIGTERM.

    So what the block has started is ended on its way out, whatever it is busy with. Of
    two blocks, one in the other, the outer one's time is looked at when the inner ends.

    Raises:
        RuntimeError: it took longer.
        SystemExit: it was told to end.
    """

    def take_no_longer(number: int, frame: FrameType | None) -> NoReturn:
        raise RuntimeError(f"it was not over after {seconds:.0f} s")

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    handlers = {signal.SIGALRM: take_no_longer, signal.SIGTERM: end}
    before = {number: signal.signal(number, own) for number, own in handlers.items()}
    began = time.monotonic()
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
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
