"""What one wait hears: its own answers, and those of others about the same job."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import trio

from ._errors import RemoteError
from ._lines import Line
from ._source import Answer


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one question, and when it was asked and answered."""

    outcome: Answer | RemoteError
    asked_at: float
    now: float

    @property
    def is_final(self) -> bool:
        """Tell whether it says that the job is over."""
        return isinstance(self.outcome, Answer) and self.outcome.job.is_final


class Ear:
    """One wait, as the line of its job knows it; an heir of others' questions.

    Attributes:
        news: the latest that it was told and has not taken in yet.
        is_asking: whether its own question is on its way.
        scope: around what a piece of news makes needless.
    """

    __slots__ = ("_released", "is_asking", "news", "scope")

    def __init__(self) -> None:
        self.news: Heard | None = None
        self.is_asking = False
        self.scope: trio.CancelScope | None = None
        self._released = trio.Event()

    def hear(self, answer: Answer, asked_at: float, now: float) -> None:
        """Take in what another wait was answered."""
        heard = Heard(answer, asked_at, now)
        # While its own answer is on its way, only the end of the job is news.
        if self.is_asking and not heard.is_final:
            return
        if self.news is None or not self.news.is_final:
            self.news = heard
        self._wake()

    def miss(self, error: RemoteError, asked_at: float, now: float) -> None:
        """Take in that the question it waits for had no good answer."""
        # Each wait puts its own job and receipt into an error that ends it.
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        self.news = Heard(own, asked_at, now)
        self._wake()

    def inherit(self) -> None:
        """Take in that it is for this wait to ask."""
        self._released.set()

    async def listen(self, line: Line, *, until: float) -> Heard | None:
        """Sleep until an instant, or until there is news, and return that.

        Where somebody's question about the job is on its way at that instant, its
        outcome is waited for. None means that it is for this wait to ask.
        """
        if self.news is None:
            with trio.CancelScope() as self.scope:
                if until > trio.current_time():
                    await trio.sleep_until(until)
                else:
                    # Because the source may not wait, and others must have a turn.
                    await trio.lowlevel.checkpoint()
                while line.is_asked:
                    self._released = trio.Event()
                    line.wait_for_outcome(self)
                    await self._released.wait()
            self.scope = None
        heard, self.news = self.news, None
        return heard

    def _wake(self) -> None:
        if self.scope is not None:
            self.scope.cancel("another wait for the job was answered")
