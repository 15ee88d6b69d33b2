"""All that has changed, in its order, and what the clock has still to bring.

A server may have a hundred thousand jobs, and a request is not to look at each: those
whose next step has its time wait on a heap, and whoever comes first at or after that
time moves them.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._checks import check_count, shorten
from . import _wire
from ._replies import Reply
from ._timeline import ScriptNotFollowed

if TYPE_CHECKING:
    from ._jobs import Record

MOST_EVENTS = 1000
"""Events in one answer at most, and unless told otherwise."""

_CURSOR = re.compile(r"([0-9a-f]{8})\.([0-9]{1,18})")
# Nobody tires in virtual time: so many answers without an event are a mistake.
_MOST_EMPTY_ANSWERS = 100_000


@dataclass(slots=True, eq=False)
class Event:
    """One change of a job's status; `place` is the step of its script."""

    record: Record
    place: int
    word: str
    progress: float | None
    at: float


class Feed:
    """The events of all jobs, numbered from 1 on, and the steps that are to come.

    Args:
        keep: how many events are kept, the latest ones; None for all.
        wake: called with the id of a job that has changed.
    """

    def __init__(self, keep: int | None, wake: Callable[[str], None]) -> None:
        if keep is not None:
            check_count("keep_events", keep, least=0)
        self._keep = keep
        self._wake = wake
        self._events: list[Event] = []
        self._dropped = 0  # how many are no longer in the list
        self._coming: list[tuple[float, int, Record]] = []
        self._order = itertools.count()
        self._store = 1
        self._empty_answers = 0

    # --- what happens -----------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Take in a change."""
        self._events.append(event)
        # Dropping one at a time would move all the others each time.
        if self._keep is not None and len(self._events) > 2 * self._keep + 100:
            surplus = len(self._events) - self._keep
            del self._events[:surplus]
            self._dropped += surplus
        self._wake(event.record.id)

    def expect(self, record: Record, due_at: float) -> None:
        """Take in that a job's next step begins at an instant, whoever asks."""
        heapq.heappush(self._coming, (due_at, next(self._order), record))

    def advance(self, now: float) -> None:
        """Let all jobs live on to an instant."""
        while self._coming and self._coming[0][0] <= now:
            due_at, _, record = heapq.heappop(self._coming)
            record.pass_to(due_at)

    @property
    def due_at(self) -> float | None:
        """The instant of the next step that the clock will bring."""
        return self._coming[0][0] if self._coming else None

    def expire(self) -> None:
        """Let all cursors that were given so far be another store's."""
        self._store += 1

    # --- what is told -----------------------------------------------------------------

    @property
    def last(self) -> int:
        """The number of the latest event."""
        return self._dropped + len(self._events)

    @property
    def _floor(self) -> int:
        """The number of the latest event that is not kept."""
        return self._dropped if self._keep is None else max(0, self.last - self._keep)

    def cursor(self, number: int | None = None) -> str:
        """Write the cursor behind an event; the latest one otherwise."""
        return f"{self._store:08x}.{self.last if number is None else number}"

    def read_cursor(self, text: str) -> int | Reply:
        """Return the number in a cursor, or the answer that says what is wrong."""
        if not text:
            return self._floor
        match = _CURSOR.fullmatch(text)
        if match is None:
            detail = f"{shorten(text)} is no cursor that a feed gave out"
            return _wire.problem(400, "bad-cursor", "The cursor cannot be read", detail)
        number = int(match[2])
        if int(match[1], 16) != self._store or not self._floor <= number <= self.last:
            return _wire.problem(
                410,
                "expired-cursor",
                "The cursor has expired",
                "list the jobs, and go on from the Events-Cursor of that answer",
            )
        return number

    def tell(
        self, after: int, limit: int, manner: _wire.Manner, *, heard: bool, word: str
    ) -> Reply:
        """Answer with the events after a number.

        Args:
            after: the number.
            limit: how many at most.
            manner: how.
            heard: whether the client hears them.
            word: the status to tell instead of the right ones.
        """
        members = self.members(
            after, limit, now=manner.now, whole=manner.whole, heard=heard, word=word
        )
        following = self.cursor(after + len(members))
        return _wire.about_jobs(
            _wire.dump({"events": members, "next": following}),
            headers={**manner.headers(runs=False), "events-cursor": following},
            told=f"{len(members)} event{'' if len(members) == 1 else 's'}",
        )

    def members(
        self,
        after: int,
        limit: int,
        *,
        now: float,
        whole: bool,
        heard: bool,
        word: str,
    ) -> list[dict[str, Any]]:
        """Write the events after a number; `whole` with the documents of ends."""
        start = after - self._dropped
        events = self._events[start : start + limit]
        self._require_an_event(events)
        members = []
        for number, event in enumerate(events, after + 1):
            if heard:
                event.record.heard(event.place)
            told = {
                "cursor": self.cursor(number),
                "id": event.record.id,
                "status": word or event.word,
                "progress": event.progress,
                "at": _wire.instant_at(event.at),
            }
            if whole and _wire.is_final(word or event.word):
                told["translation"] = json.loads(event.record.listed(now, word=word))
            members.append(told)
        return members

    def _require_an_event(self, events: Sequence[Event]) -> None:
        self._empty_answers = 0 if events else self._empty_answers + 1
        if self._empty_answers > _MOST_EMPTY_ANSWERS:
            raise ScriptNotFollowed(
                f"the feed was asked {self._empty_answers} times in a row, and had"
                " nothing to tell; give the jobs a final step, or the wait a limit"
            )
