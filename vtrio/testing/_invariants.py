"""What holds for every wait, whatever it waits for: checked while a test runs."""

from __future__ import annotations

import math
from collections import Counter
from types import TracebackType
from typing import Self

import trio

from .._checks import check_number
from .._names import publish
from .._session import Session
from .._source import StatusSource
from .._watching import watched_by
from ._instants import time_is_virtual
from ._server import ScriptedServer
from ._timeline import Exchange

# How late a wait may be on a real clock: other tasks may be having their turn.
_REAL_TICK = 0.05


class InvariantBroken(AssertionError):
    """A wait did what no wait may do; the message says which and when."""


class Invariants:
    """A block in which every wait of this run of trio is watched.

    Polls are questions for a status; a cancel or a download may well overlap one.
    Checked are: no wait ends later than its deadline; no two polls for one job are in
    flight; and nothing is left running at the end of the block: no wait, no poll, no
    task of ours, and of the servers given no request that nobody reads on. Jobs are
    told apart by their ids, and by what is asked where the source says so (`remote`).

    Args:
        servers: scripted servers whose requests are watched too, whoever makes them.
        tick: seconds that a wait may end late: by default 0 where time is virtual.

    Raises:
        InvariantBroken: at the end of the block, for all that was seen in it. Where the
            block ends with another error, that one gets a note instead; not where it
            was cancelled, for nobody would read that.
    """

    def __init__(self, *servers: ScriptedServer, tick: float | None = None) -> None:
        if tick is not None:
            check_number("tick", tick, least=0)
        self._servers = servers
        self._tick = tick
        self._broken: list[str] = []
        self._waits: dict[Session, None] = {}
        self._polls: Counter[tuple[object, str]] = Counter()
        self._there_before: set[trio.lowlevel.Task] = set()

    def __enter__(self) -> Self:
        if not trio.lowlevel.in_trio_task():
            raise RuntimeError("Invariants watch a run of trio; use them inside one")
        if self._tick is None:
            self._tick = 0.0 if time_is_virtual() else _REAL_TICK
        self._there_before = set(_our_tasks())
        self._polls_before = {s: len(s.polls) for s in self._servers}
        self._watching = watched_by(self)
        self._watching.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watching.__exit__(None, None, None)
        self._look_for_what_is_left()
        if not self._broken:
            return
        text = "\n".join(["what must hold did not:", *self._broken])
        if exc is None or _is_only_cancelled(exc):
            raise InvariantBroken(text)
        exc.add_note(text)

    def report(self, text: str) -> None:
        """Take in that something was broken, at this instant."""
        self._broken.append(f"  at {trio.current_time():g} s: {text}")

    def wait_began(self, session: Session) -> None:
        """Watch a wait; see `Watcher`."""
        self._waits[session] = None

    def wait_ended(self, session: Session, *, now: float) -> None:
        """Compare when it ended with its deadline."""
        self._waits.pop(session, None)
        late = now - session.deadline
        # A virtual clock jumps by a difference, which is rounded at times.
        if late > max(self._tick or 0.0, math.ulp(now)):
            self.report(f"the wait for {_name(session)} ended {late:g} s too late")

    def poll_began(self, session: Session, source: StatusSource) -> None:
        """Compare with what is in flight."""
        key = _key(session, source)
        self._polls[key] += 1
        if self._polls[key] > 1:
            self.report(f"{self._polls[key]} polls for {_name(session)} are in flight")

    def poll_ended(self, session: Session, source: StatusSource) -> None:
        """Take in that it is over."""
        self._polls[_key(session, source)] -= 1

    def _compare_on_the_wire(self, server: ScriptedServer) -> None:
        """Find polls that came while another one for their job had no whole answer."""
        latest: dict[str | None, Exchange] = {}
        for poll in server.polls[self._polls_before[server] :]:
            before = latest.get(poll.job_id)
            latest[poll.job_id] = poll
            if before is None:
                continue
            if before.ended_at is None or before.ended_at > poll.at:
                self.report(
                    f"job {poll.job_id!r} was asked about at {poll.at:g} s, while the"
                    f" poll of {before.at:g} s had no whole answer"
                )

    def _look_for_what_is_left(self) -> None:
        for session in self._waits:
            self.report(f"the wait for {_name(session)} is still running")
        for task in _our_tasks():
            if task not in self._there_before:
                self.report(f"the task {task.name} is still running")
        for server in self._servers:
            self._compare_on_the_wire(server)
            for exchange in server.open_exchanges:
                self.report(
                    f"the answer to {exchange.method} {exchange.target} of"
                    f" {exchange.at:g} s was neither read to its end nor closed"
                )


def _is_only_cancelled(exc: BaseException) -> bool:
    """Tell whether a scope further out will swallow it."""
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(trio.Cancelled)[1] is None
    return isinstance(exc, trio.Cancelled)


def _key(session: Session, source: StatusSource) -> tuple[object, str]:
    # A client that is used bare has a new source for each call.
    return getattr(source, "remote", id(source)), session.job_id


def _name(session: Session) -> str:
    return f"job {session.job_id!r}" if session.job_id else "the job of /status"


def _our_tasks() -> list[trio.lowlevel.Task]:
    """Find the tasks that run code of the client's."""
    root = trio.lowlevel.current_root_task()
    found, left = [], [] if root is None else [root]
    while left:
        task = left.pop()
        frame = getattr(task.coro, "cr_frame", None)
        module = "" if frame is None else str(frame.f_globals.get("__name__", ""))
        is_ours = module.startswith("vtrio.")
        if is_ours and not module.startswith(("vtrio.server", "vtrio.testing")):
            found.append(task)
        for nursery in task.child_nurseries:
            left.extend(nursery.child_tasks)
    return found


publish(InvariantBroken, Invariants, by="vtrio.testing")
