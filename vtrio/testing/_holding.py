"""Requests whose answers are held back until there is news.

A request that is held sleeps until the clock brings the next step of something that it
asks about, or until it is woken, and then looks for itself; nobody is told what has
changed, so nothing is lost between a look and the wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from ._faults import Fault
from ._instants import Instants
from ._timeline import Exchange, Kind

FEED = None
"""The topic of those who wait for any event; that of the others is a job's id."""


@dataclass(slots=True, eq=False)
class _Held:
    """One request that is held; `cut` is how it ends before its time."""

    exchange: Exchange
    woken: trio.Event = field(default_factory=trio.Event)
    cut: Fault | None = None


class Holding:
    """Those who are held, by what they wait for."""

    def __init__(self, instants: Instants) -> None:
        self._instants = instants
        self._held: dict[_Held, None] = {}
        self._waiting: dict[str | None, dict[_Held, None]] = {}

    def wake(self, topic: str | None) -> None:
        """Have those look who wait for a job; every event is one of the feed too."""
        if not self._waiting:  # nearly always, among a hundred thousand events
            return
        for held in self._waiting.get(topic, ()):
            held.woken.set()
        for held in self._waiting.get(FEED, ()):
            held.woken.set()

    def cut(self, kind: Kind | None, fault: Fault) -> int:
        """End all that are held, or those of a kind; return how many these were."""
        of_kind = [h for h in self._held if kind in {None, h.exchange.kind}]
        cut = [held for held in of_kind if held.cut is None]
        for held in cut:
            held.cut = fault
            held.woken.set()
        return len(cut)

    async def hold(
        self,
        exchange: Exchange,
        seconds: float,
        topics: Sequence[str | None],
        is_news: Callable[[float], bool],
        due_at: Callable[[], float | None],
    ) -> Fault | None:
        """Hold a request until there is news, or for so many seconds.

        Args:
            exchange: the request.
            seconds: for how long.
            topics: what it waits for.
            is_news: tells whether there is something to answer at an instant.
            due_at: says when the clock will bring the next step of what it waits for.

        Returns:
            What goes wrong with the answer, where it was cut off.
        """
        until = self._instants.now() + seconds
        with self._holding(exchange, topics) as held:
            while True:
                held.woken = trio.Event()
                now = self._instants.now()
                if is_news(now) or now >= until:
                    return None
                due = due_at()
                wake_at = until if due is None else min(due, until)
                with trio.move_on_at(self._instants.on_the_clock(wake_at)):
                    await held.woken.wait()
                if held.cut is not None:
                    return held.cut

    @contextmanager
    def _holding(
        self, exchange: Exchange, topics: Sequence[str | None]
    ) -> Iterator[_Held]:
        held = _Held(exchange)
        self._held[held] = None
        for topic in topics:
            self._waiting.setdefault(topic, {})[held] = None
        try:
            yield held
        finally:
            del self._held[held]
            for topic in topics:
                waiting = self._waiting[topic]
                waiting.pop(held, None)
                if not waiting:
                    del self._waiting[topic]
