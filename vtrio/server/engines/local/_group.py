"""A process and all that it starts, as one group that does not outlive its block.

A group's number may be given to a stranger once its leader has been reaped and its last
member is gone, so the order is fixed: kill while the leader, alive or a zombie, still
holds the number; only then reap it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import cast

import trio

# How long the kernel may take to bury what was killed: normally milliseconds.
_BURIAL = 2.0

# After so many looks, what is left is probably dead and only not yet reaped by init,
# which in a container may take seconds or for ever.
_LOOKS = 20


@dataclass(slots=True, kw_only=True)
class Group:
    """A running leader. `trio.Process` stays hidden: to ask it anything may reap.

    `returncode` is set when the block has ended.
    """

    pid: int
    stdin: trio.abc.SendStream
    stdout: trio.abc.ReceiveStream
    stderr: trio.abc.ReceiveStream
    returncode: int | None = None

    async def wait_leader(self) -> None:
        """Wait for the leader's end without reaping it, as `Process.wait` would."""
        handle = os.pidfd_open(self.pid)
        try:
            await trio.lowlevel.wait_readable(handle)
        finally:
            os.close(handle)

    def kill(self) -> None:
        """Kill every member, at once and for good."""
        # macOS refuses to signal a group of which only a zombie is left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


@asynccontextmanager
async def open_group(command: Sequence[str]) -> AsyncGenerator[Group]:
    """Start `command` as the leader of a group of its own.

    The block's end, whichever way, kills the group and waits until it is gone.
    """
    process = await trio.lowlevel.open_process(
        list(command), stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    group = Group(
        pid=process.pid,
        stdin=cast("trio.abc.SendStream", process.stdin),
        stdout=cast("trio.abc.ReceiveStream", process.stdout),
        stderr=cast("trio.abc.ReceiveStream", process.stderr),
    )
    try:
        yield group
    finally:
        group.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _BURIAL):
            for stream in (group.stdin, group.stdout, group.stderr):
                await trio.aclose_forcefully(stream)
            group.returncode = await process.wait()
            await _wait_gone(group.pid)


async def _wait_gone(group: int) -> None:
    """Wait until no member runs: grandchildren are not ours to wait for."""
    looks = 0
    # Signal 0 only asks, so it would do no harm if the number were a stranger's by now.
    with suppress(ProcessLookupError, PermissionError):
        while True:
            os.killpg(group, 0)
            looks += 1
            if looks > _LOOKS and not _has_living(group):
                return
            await trio.sleep(0.002)


def _has_living(group: int) -> bool:
    """Look through all processes for a member that is no zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            text = stat.read_text("utf-8", "replace")
            # After the name, which may contain anything: state, parent, group.
            state, _, its_group = text.rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
