"""One attempt, run by a worker in a process group of its own and watched from trio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from .._base import EngineError, Progress
from ._crash import ended
from ._faults import too_slow
from ._group import Group, open_group
from ._listen import Tail, listen
from ._wire import Made, Request, encode_request

# How long a dying worker's exit status and last words may take to arrive.
_GRACE = 2.0


async def run_attempt(
    command: Sequence[str],
    request: Request,
    report: Callable[[Progress], None],
    *,
    wall_time: float,
) -> Made:
    """Run `command` as a worker on `request` and return its last word.

    The worker ends with its last word, and in any case with this call: cancelled or
    not, no process of its group runs when it returns.

    Raises:
        EngineError: what the worker said went wrong, or `crashed`, or `too-slow`.
    """
    tail = Tail()
    said: Made | EngineError | None = None
    failure: Exception | None = None

    async with open_group(command) as group:
        with trio.move_on_after(wall_time) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, group.stdin, encode_request(request))
                nursery.start_soon(tail.fill, group.stderr)
                nursery.start_soon(_kill_with_leader, group)
                try:
                    said = await listen(group.stdout, report)
                except Exception as error:  # noqa: BLE001  # raised below, ungrouped
                    failure = error
                if said is None and failure is None:
                    # It is dying without a last word. Because the reason stands in
                    # its exit status and on its stderr, both may still come in.
                    with trio.move_on_after(_GRACE):
                        await group.wait_leader()
                        await tail.ended.wait()
                nursery.cancel_scope.cancel("the worker has said its last word")

    if failure is not None:
        raise failure
    match said:
        case Made():
            return said
        case EngineError():
            raise said
    if patience.cancelled_caught:
        raise too_slow(f"it was ended after {wall_time:g} s")
    raise ended(group.returncode, str(tail), request.settings)


async def _kill_with_leader(group: Group) -> None:
    """End what a dead leader left behind, which may hold the pipes open."""
    await group.wait_leader()
    group.kill()


async def _send(stdin: trio.abc.SendStream, line: bytes) -> None:
    # The pipe is left open: its end tells the worker that we are gone.
    with suppress(trio.BrokenResourceError):  # a dead worker is told of elsewhere
        await stdin.send_all(line)
