"""The queue for one server: who may ask now, and who is next.

There is no task behind it. Who asks while there is room goes at once; the others stand
in a queue, the longest overdue first. The head of the queue sleeps until its instant,
the others until somebody in front of them has gone.
"""

from __future__ import annotations

import heapq
import math
from types import TracebackType
from typing import Self

import trio

from ._errors import RemoteError, TransientError
from ._pace import Pace
from ._runs import this_run

# By these a server says that it is asked too much; with a hint, anything does.
_REFUSALS = frozenset({429, 503})


class Turns:
    """The places of requests in flight, the pace, and who waits for either.

    Args:
        max_in_flight: requests at once; those that a server holds apart.
        max_rate: requests a second; None for no limit.
    """

    def __init__(self, *, max_in_flight: int, max_rate: float | None) -> None:
        self.max_in_flight = max_in_flight
        self.max_rate = max_rate
        self.requests = self.refused = self.failed = 0
        self._begin(None)

    def notice_run(self) -> None:
        """Begin anew where the run is another: its clock is."""
        run = this_run()
        if run is not self._run:
            self._begin(run)

    def _begin(self, run: object) -> None:
        self._run = run
        self.pace = Pace(max_rate=self.max_rate)
        self.in_flight = self.held = self.waiting = self._joined = 0
        # Those that need a place, and those that the server will hold.
        self._queue: list[_Waiting] = []
        self._queue_of_held: list[_Waiting] = []

    def enter(self, turn: Turn) -> bool:
        """Let a request go at once, if there is room for it."""
        self.notice_run()
        if self.waiting or not (turn.held or self.in_flight < self.max_in_flight):
            return False
        now = trio.current_time()
        if self.pace.next_at(now, lone=turn.lone) > now:
            return False
        self._let_go(turn, now, waited=False)
        return True

    def _let_go(self, turn: Turn, now: float, *, waited: bool) -> None:
        turn.ticket = self.pace.take(now, waited=waited)
        self.requests += 1
        if turn.held:
            self.held += 1
        else:
            self.in_flight += 1

    async def wait_for(self, turn: Turn) -> None:
        """Stand in the queue until it is a request's turn."""
        waiter = turn.waiter = Waiter()
        queue = self._queue_of_held if turn.held else self._queue
        self._joined += 1
        heapq.heappush(queue, (turn.due_at, self._joined, turn))
        self.waiting += 1
        self.pace.gather(self.waiting, now=trio.current_time())
        self._advance()
        try:
            while not turn.ticket:
                with trio.CancelScope(deadline=waiter.wake_at) as waiter.scope:
                    await waiter.event.wait()
                if not turn.ticket:
                    waiter.wake_at = math.inf
                    self._advance()
        except BaseException:
            if turn.ticket:
                self._release(turn)
            else:
                # Its entry stays in the heap until it comes to the head.
                turn.has_left = True
                self.waiting -= 1
                self.pace.gather(self.waiting, now=trio.current_time())
            self._advance()
            raise

    def _advance(self) -> None:
        """Let go whose turn it is, and have the next one wake at its instant."""
        now = trio.current_time()
        while (queue := self._next_queue()) is not None:
            turn = queue[0][2]
            at = self.pace.next_at(now, lone=turn.lone)
            if at > now:
                turn.waiter.wake_until(at)
                return
            heapq.heappop(queue)
            self.waiting -= 1
            self._let_go(turn, now, waited=True)
            self.pace.gather(self.waiting, now=now)
            turn.waiter.event.set()

    def _next_queue(self) -> list[_Waiting] | None:
        """Return the queue whose head is next; None if there is nobody who could go."""
        found = None
        for queue in (self._queue, self._queue_of_held):
            while queue and queue[0][2].has_left:
                heapq.heappop(queue)
            has_room = (
                queue is self._queue_of_held or self.in_flight < self.max_in_flight
            )
            if queue and has_room and (found is None or queue[0] < found[0]):
                found = queue
        return found

    def _release(self, turn: Turn) -> None:
        if turn.held:
            self.held -= 1
        else:
            self.in_flight -= 1

    def leave(
        self, turn: Turn, error: BaseException | None, *, has_asked: bool
    ) -> None:
        """Take in how a request ended, and let the next one go."""
        self._release(turn)
        now = trio.current_time()
        match error:
            case None if not has_asked:
                pass
            case RemoteError() if (
                error.status_code in _REFUSALS or error.hint is not None
            ):
                self.refused += 1
                self.pace.refused(turn.ticket, now=now, hint=error.hint)
            case TransientError():
                self.failed += 1
                self.pace.failed(now=now)
            case None | RemoteError():
                self.pace.answered(turn.ticket, now=now, waiting=self.waiting)
            case _:
                pass  # cancelled, or a fault of the caller's: nothing was learned
        if self.waiting:
            self._advance()


class Waiter:
    """How somebody in the queue is woken."""

    __slots__ = ("event", "scope", "wake_at")

    def __init__(self) -> None:
        self.event = trio.Event()
        self.scope: trio.CancelScope | None = None
        self.wake_at = math.inf

    def wake_until(self, at: float) -> None:
        """Have it wake at an instant, unless its turn comes before."""
        self.wake_at = at
        if self.scope is not None:
            self.scope.deadline = at


class Turn:
    """A block for one request; see `Governor.turn`."""

    __slots__ = (
        *("_asks", "_turns", "due_at", "has_left", "held", "lone", "ticket"),
        "waiter",
    )
    waiter: Waiter

    def __init__(self, turns: Turns, due_at: float, *, held: bool, lone: bool) -> None:
        self._turns = turns
        self.due_at = due_at
        self.held = held
        self.lone = lone
        self.ticket = 0
        self.has_left = False
        self._asks = True

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._turns.enter(self):
            await self._turns.wait_for(self)
        return self

    def asks_nothing(self) -> None:
        """Take in that there is nothing to ask any more: nothing is learned from it."""
        self._asks = False

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._turns.leave(self, exc, has_asked=self._asks)


_Waiting = tuple[float, int, Turn]
