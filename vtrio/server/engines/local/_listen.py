"""What comes out of a worker: messages on stdout, diagnosis on stderr."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ...._checks import shorten
from .._base import EngineError, Progress
from ._crash import crash
from ._wire import LONGEST_LINE, Made, decode_message

_TAIL = 4000


async def listen(
    stdout: trio.abc.ReceiveStream, report: Callable[[Progress], None]
) -> Made | EngineError | None:
    """Pass on progress until the worker's last word; None if it ends without one.

    Raises:
        EngineError: `crashed`, the worker said what is not a message.
    """
    unread = b""
    async for chunk in stdout:
        *lines, unread = (unread + chunk).split(b"\n")
        if len(unread) > LONGEST_LINE:
            raise _garbled(f"a line of more than {LONGEST_LINE} bytes", unread[:_TAIL])
        for line in lines:
            try:
                message = decode_message(line)
            except ValueError as error:
                raise _garbled("what it said is not a message", line) from error
            if not isinstance(message, Progress):
                return message
            report(message)
    return None


def _garbled(how: str, said: bytes) -> EngineError:
    return crash("The translation spoke out of turn", how, shorten(said, _TAIL // 4))


class Tail:
    """The end of what a worker wrote on stderr."""

    def __init__(self) -> None:
        self._kept = b""
        self.ended = trio.Event()

    def __str__(self) -> str:
        return self._kept.decode(errors="replace").strip()

    def __repr__(self) -> str:
        return f"<Tail {shorten(str(self))}>"

    async def fill(self, stderr: trio.abc.ReceiveStream) -> None:
        """Read to the end, so that a talkative worker never waits for us."""
        async for chunk in stderr:
            self._kept = (self._kept + chunk)[-_TAIL:]
        self.ended.set()
