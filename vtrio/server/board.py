"""Who waits for a change, and is woken by it.

A request that is held waits here for jobs, or for the feed of their owner. Nobody is
told what has changed: whoever is woken looks for himself, so nothing is lost between a
look and the wait, and a wait that nothing more will come of costs nobody anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio

from .errors import TooManyHeld
from .store import JobEvent

_T = TypeVar("_T")


class Board:
    """Wakes those who wait for jobs or for a feed, and counts them by client."""

    def __init__(self, most_held: int) -> None:
        self._most_held = most_held
        self._waiting: dict[Hashable, set[trio.Event]] = {}
        self._held: Counter[str] = Counter()
        self._released = trio.Event()

    def __repr__(self) -> str:
        return f"<Board held={self.held}{' released' if self.released else ''}>"

    @property
    def held(self) -> int:
        """How many requests are held at this moment."""
        return self._held.total()

    @property
    def released(self) -> bool:
        """Tell whether nobody is held any more, because the server stops."""
        return self._released.is_set()

    def tell(self, events: Sequence[JobEvent], gone: Sequence[str]) -> None:
        """Wake those who wait for the jobs of these events, or for ones that are gone."""
        for event in events:
            self._wake(event.job_id)
            self._wake(feed_of(event.owner))
        for job_id in gone:
            self._wake(job_id)

    def release(self) -> None:
        """Wake everybody, and hold nobody any more."""
        self._released.set()
        for topic in list(self._waiting):
            self._wake(topic)

    async def hold(
        self,
        look: Callable[[], Awaitable[_T]],
        is_news: Callable[[_T], bool],
        topics: Iterable[Hashable],
        *,
        client: str,
        seconds: float,
    ) -> _T:
        """Look again at each change of the topics until that brings news; return it.

        After so many seconds, or when the server stops, it is what there is by then.

        Raises:
            TooManyHeld: the client holds as many requests as it may.
        """
        with self.holding(client):
            return await self.wait_for_news(look, is_news, topics, seconds=seconds)

    async def wait_for_news(
        self,
        look: Callable[[], Awaitable[_T]],
        is_news: Callable[[_T], bool],
        topics: Iterable[Hashable],
        *,
        seconds: float,
    ) -> _T:
        """Do the same, for a request that is counted as held already."""
        topics = tuple(topics)
        with trio.move_on_after(seconds):
            while True:
                with self._waiting_for(topics) as woken:
                    found = await look()
                    if is_news(found) or self.released:
                        return found
                    await woken.wait()
        return await look()

    @contextmanager
    def holding(self, client: str) -> Iterator[None]:
        """Count a request as held for the length of the block.

        Raises:
            TooManyHeld: the client holds as many requests as it may.
        """
        if self._held[client] >= self._most_held:
            raise TooManyHeld(
                f"this client holds {self._most_held} requests, which is all that it may:"
                " ask for several jobs in one request, or follow the feed"
            )
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]

    @contextmanager
    def _waiting_for(self, topics: tuple[Hashable, ...]) -> Iterator[trio.Event]:
        woken = trio.Event()
        for topic in topics:
            self._waiting.setdefault(topic, set()).add(woken)
        try:
            yield woken
        finally:
            for topic in topics:
                if (waiting := self._waiting.get(topic)) is not None:
                    waiting.discard(woken)
                    if not waiting:
                        del self._waiting[topic]

    def _wake(self, topic: Hashable) -> None:
        for woken in self._waiting.pop(topic, ()):
            woken.set()


def feed_of(owner: str) -> Hashable:
    """Return the topic of an owner's feed."""
    return ("feed", owner)
