"""One line for each job: who waits for it, and what one of them hears, all hear.

Two waits for one job would ask the same twice. So what one of them is answered, the
others take as their answer too; who becomes due while another's question is on its way
does not ask, but takes what comes of that one. If it is given up, an heir asks.
"""

from __future__ import annotations

from collections.abc import Hashable
from types import TracebackType
from typing import Protocol

from ._errors import RemoteError
from ._source import Answer, StatusSource


class Follower(Protocol):
    """A wait, as its line knows it. What it is told, it takes in without waiting."""

    def hear(self, answer: Answer, asked_at: float, now: float) -> None:
        """Take in what somebody else was answered."""
        ...


class Heir(Follower, Protocol):
    """A wait that is due, and takes what comes of somebody else's question."""

    def miss(self, error: RemoteError, asked_at: float, now: float) -> None:
        """Take in that there was no good answer."""
        ...

    def inherit(self) -> None:
        """Take in that the question was given up: it is for this one to ask."""
        ...


def place_of(source: StatusSource) -> Hashable:
    """Return what a job's id belongs to: equal for sources that tell the same."""
    return getattr(source, "remote", id(source)), type(source)


class Line:
    """The waits for one job, and whether one of them is asking."""

    __slots__ = ("_asking", "_followers", "_heirs", "_key", "_lines")

    def __init__(self, lines: Lines, key: Hashable) -> None:
        self._lines = lines
        self._key = key
        self._asking = 0
        # Nearly always there is just one, and there may be very many lines.
        self._followers: Follower | list[Follower] | None = None
        self._heirs: list[Heir] | None = None

    @property
    def is_asked(self) -> bool:
        """Tell whether somebody's question about the job is on its way."""
        return self._asking > 0

    @property
    def followers(self) -> list[Follower]:
        """The waits for the job, in the order in which they came."""
        match self._followers:
            case None:
                return []
            case list() as several:
                return several.copy()
            case one:
                return [one]

    def join(self, follower: Follower) -> None:
        """Let a wait hear what others are answered."""
        several = [*self.followers, follower]
        self._followers = several if len(several) > 1 else follower

    def leave(self, follower: Follower) -> None:
        """Take a wait off; if it was to ask, the next one is."""
        self._lines.followers -= 1
        left = [other for other in self.followers if other is not follower]
        self._followers = left if len(left) > 1 else next(iter(left), None)
        if self._heirs is not None:
            self._heirs = [heir for heir in self._heirs if heir is not follower]
            self._hand_on()
        if not left and not self._asking:
            self._lines.drop(self._key)

    def wait_for_outcome(self, heir: Heir) -> None:
        """Let a wait that is due take what comes of the question on its way."""
        self._heirs = [*(self._heirs or ()), heir]

    def tell(
        self, answer: Answer, *, asked_at: float, now: float, by: Follower | None
    ) -> None:
        """Let all waits hear an answer, but the one that got it."""
        self._heirs = None
        for follower in self.followers:
            if follower is not by:
                self._lines.shared += 1
                follower.hear(answer, asked_at, now)

    def miss(self, error: RemoteError, *, asked_at: float, now: float) -> None:
        """Let those that are due know of a failure."""
        heirs, self._heirs = self._heirs, None
        for heir in heirs or ():
            heir.miss(error, asked_at, now)

    def begin_asking(self) -> None:
        """Take in that a question is about to be asked."""
        self._asking += 1

    def end_asking(self) -> None:
        """Take in that it is over, whether anything has come of it or not."""
        self._asking -= 1
        self._hand_on()
        if self._followers is None and not self._asking:
            self._lines.drop(self._key)

    def _hand_on(self) -> None:
        if not self._asking and self._heirs:
            self._heirs.pop(0).inherit()


class Lines:
    """All lines of a governor, by a key: the place (`place_of`) and the job's id."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, Line] = {}
        self.followers = 0
        """How many waits there are."""
        self.shared = 0
        """How often a wait has heard what another one was answered."""

    @property
    def are_lone(self) -> bool:
        """Tell whether there is just one wait."""
        return self.followers == 1

    def __len__(self) -> int:
        return len(self._lines)

    def follow(self, key: Hashable, follower: Follower) -> Line:
        """Let a wait hear of a job, until it leaves the line."""
        line = self._line(key)
        line.join(follower)
        self.followers += 1
        return line

    def asking(self, key: Hashable) -> Asking:
        """Return a block in which a question about a job is on its way."""
        return Asking(self._line(key))

    def tell(
        self,
        key: Hashable,
        answer: Answer,
        *,
        asked_at: float,
        now: float,
        by: Follower | None = None,
    ) -> None:
        """Let all waits for a job hear an answer, but the one that got it."""
        line = self._lines.get(key)
        if line is not None:
            line.tell(answer, asked_at=asked_at, now=now, by=by)

    def miss(
        self, key: Hashable, error: RemoteError, *, asked_at: float, now: float
    ) -> None:
        """Let the waits for a job that are due know that there was no good answer."""
        line = self._lines.get(key)
        if line is not None:
            line.miss(error, asked_at=asked_at, now=now)

    def drop(self, key: Hashable) -> None:
        """Forget a line that nobody follows."""
        self._lines.pop(key, None)

    def _line(self, key: Hashable) -> Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(self, key)
        return line


class Asking:
    """A block in which a question is on its way; see `Lines.asking`."""

    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = line

    def __enter__(self) -> None:
        self._line.begin_asking()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._line.end_asking()
