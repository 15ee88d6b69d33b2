"""The store: what is on disk, and in memory what is asked for again and again.

A change is told to others only after it is committed: who listens is called with the
events, in their order. One process owns the store, so what it has in memory is true:
the jobs it has seen last, and the events of the last minutes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

import trio
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..._job import JobProblem, JobStatus
from ..._threads import in_thread
from ..errors import ExpiredCursor, UnknownJob
from . import changing, reading
from .changing import Changed, Move
from .failures import translate
from .opening import for_reading, open_engine, refusing_to_serve
from .records import (
    ApiKeyRecord,
    Changes,
    EventPage,
    IdempotencyKey,
    Instant,
    JobEvent,
    JobRecord,
    Overtaken,
    Submission,
)
from .tables import EVENTS_FLOOR, STORE_ID, Times
from .writer import Writer

_T = TypeVar("_T")
_P = ParamSpec("_P")

# Jobs kept in memory, of about a kilobyte each; more are read when they are asked for.
_MOST_RECORDS = 20_000
# Events kept in memory, so that following the feed needs no look at the disk.
_MOST_EVENTS = 20_000
# Looks at the disk at the same time: more would only wait for one another.
_MOST_READERS = 4

Listener = Callable[[Sequence[JobEvent], Sequence[str]], None]
"""Told of events, and of the ids of jobs that are gone."""


@asynccontextmanager
async def open_store(url: URL | str, now: Instant) -> AsyncIterator[Store]:
    """Open a store for the length of a block; `now` sets the one clock by the other.

    Raises:
        ServeError: the database cannot be used, or a newer version has written it.
    """
    engine = await in_thread(open_engine, url)
    try:
        store = Store(engine, Times(now))
        with refusing_to_serve(engine.url):
            await in_thread(store._load)  # noqa: SLF001 - one class in two functions
        async with trio.open_nursery() as nursery:
            # Not by `start`: cancelled there, it would wait for what is shielded.
            nursery.start_soon(store._writer.run)  # noqa: SLF001
            try:
                yield store
            finally:
                store._writer.close()  # noqa: SLF001
    finally:
        engine.dispose()


class Store:
    """Keeps jobs. Each method happens whole, or not at all if it raises.

    A method that is cancelled before it has taken effect has no effect; once it has,
    it returns. Use `open_store`.
    """

    def __init__(self, engine: Engine, times: Times) -> None:
        self._times = times
        self._reading = for_reading(engine)
        self._readers = trio.CapacityLimiter(_MOST_READERS)
        self._writer = Writer(engine, self._take_in)
        self._unfinished: dict[str, JobRecord] = {}
        self._ended: OrderedDict[str, JobRecord] = OrderedDict()
        # What running attempts have told; written down with the next change.
        self._noted: dict[str, Changes] = {}
        self._counts: Counter[JobStatus] = Counter()
        self._events: deque[JobEvent] = deque()
        # The events after this one are in memory; those after the floor are kept.
        self._remembered_after = 0
        self._floor = 0
        self._commits = 0
        self.cursor = 0
        """The cursor of the latest event."""
        self.listeners: list[Listener] = []
        """Told of what was committed, before whoever changed it."""
        self.id = ""
        """Tells this store from others, whose cursors mean nothing here."""

    def __repr__(self) -> str:
        jobs = " ".join(f"{status}={count}" for status, count in self.counts.items())
        return f"<Store {self.id} cursor={self.cursor} {jobs}>"

    @property
    def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are in each status."""
        return {status: self._counts[status] for status in JobStatus}

    # --- changing -------------------------------------------------------------------

    async def submit(
        self, record: JobRecord, key: IdempotencyKey | None, *, most_waiting: int
    ) -> Submission:
        """Keep a new pending job, or find the one that its owner's key made before.

        Raises:
            KeyReused: the key came with another payload before.
            TooManyWaiting: there are as many pending jobs as there may be.
        """
        return await self._change(changing.submit, record, key, most_waiting)

    async def claim(self, at: Instant, most: int = 1) -> tuple[JobRecord, ...]:
        """Set the pending jobs that came first running, `most` of them at most."""
        return await self._change(changing.claim, at, most)

    async def move(
        self,
        job_id: str,
        status: JobStatus,
        *,
        at: Instant,
        attempt: int | None = None,
        **changes: Unpack[Changes],
    ) -> JobRecord:
        """Change a job's status, in the name of an attempt or of its owner (None).

        Raises:
            UnknownJob: there is none of this id.
            IllegalMove: the table of moves does not lead there.
            Overtaken: it is not this attempt that runs.
        """
        noted = self._noted.get(job_id, Changes())
        changes = Changes(**{**noted, **changes})
        return await self._writer.write_together(
            self._move, Move(job_id, status, at, attempt, changes)
        )

    def _move(
        self, connection: Connection, moves: Sequence[Move]
    ) -> list[Changed[JobRecord] | Exception]:
        return changing.move_together(connection, self._times, moves)

    def note(self, job_id: str, *, attempt: int, **changes: Unpack[Changes]) -> None:
        """Remember what a running attempt has told, until the job's next change.

        It is not written down before that: progress comes often, and says nothing
        once its attempt has been cut off.

        Raises:
            UnknownJob: there is none of this id.
            Overtaken: it is not this attempt that runs.
        """
        record = self._unfinished.get(job_id) or self._ended.get(job_id)
        if record is None:
            raise UnknownJob(job_id)
        if record.status is not JobStatus.RUNNING or record.attempt != attempt:
            raise Overtaken(
                f"attempt {attempt} at job {job_id!r} was overtaken: the job is"
                f" {record.status} at attempt {record.attempt}"
            )
        self._noted[job_id] = Changes(**{**self._noted.get(job_id, {}), **changes})
        self._unfinished[job_id] = replace(record, **changes)

    async def take_up(
        self, at: Instant, *, most_deaths: int, too_deadly: JobProblem
    ) -> tuple[JobRecord, ...]:
        """Put the jobs back that ran when the last server died.

        Those that ran at so many deaths end in this error.
        """
        return await self._change(changing.take_up, at, most_deaths, too_deadly)

    async def remove(self, job_id: str, at: Instant) -> JobRecord:
        """Forget a job, which is cancelled first; return it as it was in the end.

        Raises:
            UnknownJob: there is none of this id.
        """
        return await self._change(changing.remove, job_id, at)

    async def forget(self, ended_before: Instant, keys_before: Instant) -> list[str]:
        """Forget what is too old; return the ids of the jobs that are gone."""
        return await self._change(changing.forget, ended_before, keys_before)

    async def add_api_key(self, record: ApiKeyRecord) -> None:
        """Keep a new API key."""
        await self._change(changing.add_api_key, record)

    async def revoke_api_key(self, key_id: str, at: Instant) -> bool:
        """Revoke an API key; tell whether there was one of this id to revoke."""
        return await self._change(changing.revoke_api_key, key_id, at)

    # --- looking --------------------------------------------------------------------

    async def get(self, job_id: str) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJob: there is none of this id.
        """
        if (record := self.remembered(job_id)) is not None:
            await trio.lowlevel.checkpoint()
            return record
        commits = self._commits
        record = await self._look(reading.job, self._times, job_id)
        if record is None:
            raise UnknownJob(job_id)
        if record.is_final and commits == self._commits:
            self._remember(record)
        return record

    async def get_many(self, job_ids: Iterable[str]) -> dict[str, JobRecord]:
        """Return those of these jobs that there are, by their ids."""
        await trio.lowlevel.checkpoint()
        found: dict[str, JobRecord] = {}
        missed = []
        for job_id in job_ids:
            if (record := self.remembered(job_id)) is not None:
                found[job_id] = record
            else:
                missed.append(job_id)
        if missed:
            found |= await self._look(reading.jobs, self._times, missed)
        return found

    async def page(
        self, owner: str, *, status: JobStatus | None, before: int | None, size: int
    ) -> tuple[JobRecord, ...]:
        """Return an owner's jobs, newest first, from before a number on."""
        rows = await self._look(reading.page, self._times, owner, status, before, size)
        return tuple(self._unfinished.get(record.id, record) for record in rows)

    async def events(self, owner: str, after: int | None, limit: int) -> EventPage:
        """Return an owner's events after a cursor (None: all), `limit` at most.

        Raises:
            ExpiredCursor: events after it have been dropped, or it is from nowhere.
        """
        if after is None:
            after = self._floor
        elif not self._floor <= after <= self.cursor:
            raise ExpiredCursor(
                "the events after this cursor are not kept any more: list the jobs, and"
                " go on from the Events-Cursor of that answer"
            )
        if after >= self._remembered_after:
            await trio.lowlevel.checkpoint()
            return self._recent(owner, after, limit)
        return await self._look(reading.events, self._times, owner, after, limit)

    async def api_keys(self) -> tuple[ApiKeyRecord, ...]:
        """Return all API keys, the revoked ones too, in the order they came."""
        return await self._look(reading.api_keys, self._times)

    # --- what both stand on ---------------------------------------------------------

    async def _change(
        self,
        change: Callable[Concatenate[Connection, Times, _P], Changed[_T]],
        *arguments: _P.args,
        **named: _P.kwargs,
    ) -> _T:
        def write(connection: Connection) -> Changed[_T]:
            return change(connection, self._times, *arguments, **named)

        return await self._writer.write(write)

    async def _look(
        self,
        look: Callable[Concatenate[Connection, _P], _T],
        *arguments: _P.args,
        **named: _P.kwargs,
    ) -> _T:
        def read() -> _T:
            try:
                with self._reading.begin() as connection:
                    return look(connection, *arguments, **named)
            except SQLAlchemyError as error:
                raise translate(error) from error

        return await in_thread(read, limiter=self._readers)

    def _load(self) -> None:
        """Take in what is asked for all the time; blocks."""
        with self._reading.begin() as connection:
            self._unfinished = {
                record.id: record
                for record in reading.unfinished(connection, self._times)
            }
            self._counts.update(reading.counts(connection))
            self._floor = int(reading.fact(connection, EVENTS_FLOOR) or 0)
            self.cursor = max(reading.last_cursor(connection), self._floor)
            self.id = reading.fact(connection, STORE_ID) or ""
        self._remembered_after = self.cursor

    def _take_in(self, changed: Changed[Any]) -> None:
        """Make a committed change true in memory too, and tell of it."""
        self._commits += 1
        for record in changed.records:
            if (known := self._unfinished.pop(record.id, None)) is not None:
                self._counts[known.status] -= 1
            self._counts[record.status] += 1
            self._noted.pop(record.id, None)
            if record.is_final:
                self._remember(record)
            else:
                self._unfinished[record.id] = record
        for event in changed.events:
            self.cursor = event.cursor
            self._events.append(event)
            if len(self._events) > _MOST_EVENTS:
                self._remembered_after = self._events.popleft().cursor
        for job_id, status in changed.deleted:
            self._counts[status] -= 1
            self._ended.pop(job_id, None)
        self._floor = max(self._floor, changed.floor)
        if changed.events or changed.deleted:
            gone = [job_id for job_id, _ in changed.deleted]
            for listener in self.listeners:
                listener(changed.events, gone)

    def remembered(self, job_id: str) -> JobRecord | None:
        """Return a job if it is in memory, as all are that have not ended."""
        if (record := self._unfinished.get(job_id)) is not None:
            return record
        if (record := self._ended.get(job_id)) is not None:
            self._ended.move_to_end(job_id)
        return record

    def _remember(self, record: JobRecord) -> None:
        self._ended[record.id] = record
        if len(self._ended) > _MOST_RECORDS:
            self._ended.popitem(last=False)

    def _recent(self, owner: str, after: int, limit: int) -> EventPage:
        newer: list[JobEvent] = []
        for event in reversed(self._events):
            if event.cursor <= after:
                break
            if event.owner == owner:
                newer.append(event)
        newer.reverse()
        found = tuple(newer[:limit])
        return EventPage(events=found, next=reading.end_of(found, limit, self.cursor))
