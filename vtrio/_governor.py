"""The requests to one server, of all waits together: how many at once, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from ._checks import check_count, check_number
from ._lines import Lines
from ._names import publish
from ._turns import Turn, Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorStatistics:
    """How a governor stands, and what it has let through.

    Attributes:
        in_flight: requests on their way that take a place.
        held: requests that the server holds; they take none.
        waiting: requests that wait for their turn.
        rate: requests a second that may go now; None for no limit.
        paused_until: the instant, on trio's clock, until which the server wants to be
            left alone; None where it does not.
        requests: that have begun so far.
        refused: of these, those that met a 429, a 503 or a `Retry-After`.
        failed: of these, those that had no good answer for another reason.
        shared: answers that a wait took from another's poll of the same job.
    """

    in_flight: int
    held: int
    waiting: int
    rate: float | None
    paused_until: float | None
    requests: int
    refused: int
    failed: int
    shared: int


class Governor:
    """Limits what all waits of a client, or of several, ask of one server.

    Nothing is slowed as long as the server objects to nothing. When it refuses (429,
    503), all waits together are slowed to what it allows, and feel their way up again;
    its `Retry-After` stops them all, and what has gathered goes on evenly spread. In an
    outage no more is asked than before it. Who is longest overdue goes first.

    A wait that is alone keeps to its own schedule, which honours hints too.

    Each client has one of its own; share one where several clients ask one server:
    `VideoTranslationClient(..., governor=governor)`. It governs the questions of waits,
    not submissions, downloads and single calls.

    Args:
        max_in_flight: requests at once; those that a server holds apart.
        max_rate: requests a second; None for whatever the server allows.

    Raises:
        ValueError: naming the parameter, the value and what is allowed.
    """

    def __init__(
        self, *, max_in_flight: int = 20, max_rate: float | None = None
    ) -> None:
        check_count("max_in_flight", max_in_flight)
        if max_rate is not None:
            check_number("max_rate", max_rate, above=0)
        self._turns = Turns(max_in_flight=max_in_flight, max_rate=max_rate)
        self.lines = Lines()
        """The waits that it governs, by their jobs."""

    def __repr__(self) -> str:
        now = trio.current_time() if trio.lowlevel.in_trio_run() else math.inf
        rate = self._turns.pace.rate(now) if now < math.inf else math.inf
        parts = [
            f"{self._turns.in_flight} of {self._turns.max_in_flight} in flight",
            *([f"{self._turns.held} held"] if self._turns.held else []),
            f"{self._turns.waiting} waiting",
            "at any rate" if rate == math.inf else f"at {rate:.3g} a second",
        ]
        return f"<Governor: {', '.join(parts)}>"

    @property
    def max_in_flight(self) -> int:
        """How many requests there may be at once."""
        return self._turns.max_in_flight

    def statistics(self) -> GovernorStatistics:
        """Say how it stands."""
        self._turns.notice_run()
        now = trio.current_time()
        rate = self._turns.pace.rate(now)
        return GovernorStatistics(
            in_flight=self._turns.in_flight,
            held=self._turns.held,
            waiting=self._turns.waiting,
            rate=None if rate == math.inf else rate,
            paused_until=self._turns.pace.paused_until(now),
            requests=self._turns.requests,
            refused=self._turns.refused,
            failed=self._turns.failed,
            shared=self.lines.shared,
        )

    def turn(self, due_at: float, *, held: bool = False, lone: bool = False) -> Turn:
        """Return a block for one request that was due at an instant.

        Entering it waits for the request's turn; where there is room it does not wait
        at all, and is a checkpoint only for who is cancelled, because the request
        will be one. A `RemoteError` that leaves the block teaches the pace.

        A request that the server holds (`held`) takes no place, but keeps to the pace.
        The request of the only wait there is (`lone`) keeps to `max_rate` alone.

        If cancelled while it waits, it leaves the queue to whoever is next.
        """
        return Turn(self._turns, due_at, held=held, lone=lone)

    def would_wait(self, now: float) -> bool:
        """Tell whether a request that begins now would have to wait for its turn."""
        self._turns.notice_run()
        return (
            bool(self._turns.waiting)
            or self._turns.in_flight >= self._turns.max_in_flight
            or self._turns.pace.next_at(now) > now
        )

    def next_at(self, now: float) -> float:
        """Return the instant from which the pace lets the next request go."""
        self._turns.notice_run()
        return self._turns.pace.next_at(now)

    @property
    def has_credit(self) -> bool:
        """Tell whether a poll may be made early because the one before it failed."""
        return self._turns.pace.has_credit

    def pay(self) -> None:
        """Take a credit for such a poll."""
        self._turns.pace.pay()


publish(Governor, GovernorStatistics)
