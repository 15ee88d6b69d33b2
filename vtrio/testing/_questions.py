"""What is asked of a scripted server about jobs, and when there is news of it.

A question may be held: it is looked at again whenever something may have changed, and
answered when that is news, or when the hold is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .._job import JobStatus
from ..server.preferences import Seen
from . import _wire
from ._faults import Fault
from ._feed import Feed
from ._holding import FEED
from ._instants import wall
from ._jobs import Record
from ._replies import Reply

_STATUSES = frozenset(JobStatus)


class Question(Protocol):
    """A question for the status of jobs."""

    @property
    def topics(self) -> Sequence[str | None]:
        """What it waits for, where it is held."""
        ...

    def is_news(self, now: float) -> bool:
        """Look, and tell whether that is worth an answer."""
        ...

    def due_at(self) -> float | None:
        """Say when the clock will bring a step that may be news."""
        ...

    def answer(self, manner: _wire.Manner, *, heard: bool, word: str) -> Reply:
        """Answer.

        Args:
            manner: how.
            heard: whether the client hears it, so that scripts move on.
            word: the status to tell instead of the right one.
        """
        ...


class OneJob:
    """A question about one job: `seen` is the document that the client has."""

    def __init__(self, record: Record, *, by_word: bool, seen: Seen | None) -> None:
        self._record = record
        self._by_word = by_word
        self._seen = seen
        self.topics = (record.id,)

    def is_news(self, now: float) -> bool:
        """It is over, or has another status than the client's document."""
        word = self._record.look(now)
        if self._record.fault is not None:
            return True
        if _wire.is_final(word) or self._seen is None or self._seen.anything:
            return _wire.is_final(word)
        return word not in _STATUSES or not self._seen.knows(JobStatus(word))

    def due_at(self) -> float | None:
        """Ask the job."""
        return self._record.due_at

    def answer(self, manner: _wire.Manner, *, heard: bool, word: str) -> Reply:
        """Tell its word, its document, or that the client has that."""
        fault = self._record.tell(manner.now, heard=heard)
        word = word or (fault.word if fault is not None else None) or self._record.word

        def right() -> Reply:
            if self._by_word:
                return _wire.result_word(word)
            reply = self._record.document(manner, word=word)
            if self._seen is not None and self._seen.has(reply.headers["etag"]):
                return _wire.not_modified(reply)
            return reply

        return right() if fault is None else fault.spoil(right, wall(manner.now))


class ManyJobs:
    """A question about several jobs in one request, some of which may be missing."""

    def __init__(self, ids: Sequence[str], records: Mapping[str, Record]) -> None:
        self._ids = ids
        self._records = [records[job_id] for job_id in ids if job_id in records]
        self._first: dict[str, str] | None = None
        self.topics = tuple(record.id for record in self._records)

    def is_news(self, now: float) -> bool:
        """The status of one has changed since the first look, or is final."""
        words = {record.id: record.look(now) for record in self._records}
        if self._first is None:
            self._first = words
        return (
            not words
            or words != self._first
            or any(map(_wire.is_final, words.values()))
            or any(record.fault is not None for record in self._records)
        )

    def due_at(self) -> float | None:
        """Ask all of them."""
        instants = [r.due_at for r in self._records if r.due_at is not None]
        return min(instants, default=None)

    def answer(self, manner: _wire.Manner, *, heard: bool, word: str) -> Reply:
        """List them; what the script of one has wrong with its answer spoils all.

        Where that is but another word, or that the job is not known, it is told of
        that job alone.
        """
        shown: dict[str, str] = {}
        spoilt: Fault | None = None
        for record in self._records:
            fault = record.tell(manner.now, heard=heard)
            if fault is not None and fault.hides_the_job:
                continue
            shown[record.id] = word
            if fault is not None and fault.word is not None:
                shown[record.id] = word or fault.word
            elif spoilt is None:
                spoilt = fault

        def right() -> Reply:
            return self.list(manner, shown)

        return right() if spoilt is None else spoilt.spoil(right, wall(manner.now))

    def list(
        self,
        manner: _wire.Manner,
        shown: Mapping[str, str] | None = None,
        *,
        status: int = 200,
    ) -> Reply:
        """List them as they were last looked at.

        Args:
            manner: how.
            shown: which, and the status to tell of each instead of its own.
            status: of HTTP.
        """
        if shown is None:
            shown = dict.fromkeys(self.topics, "")
        records = [record for record in self._records if record.id in shown]
        missing = [job_id for job_id in self._ids if job_id not in shown]
        documents = [r.listed(manner.now, word=shown[r.id]) for r in records]
        runs = any(not _wire.is_final(shown[r.id] or r.word) for r in records)
        told = f"{len(records)} job{'' if len(records) == 1 else 's'}"
        told += f", {len(missing)} missing" if missing else ""
        body = b'{"translations": [%b], "missing": %b}' % (
            b", ".join(documents),
            _wire.dump(missing),
        )
        headers = manner.headers(runs=runs)
        return _wire.about_jobs(body, headers=headers, told=told, status=status)


class AllChanges:
    """A question for what has changed after a cursor."""

    topics = (FEED,)

    def __init__(self, feed: Feed, cursor: str, limit: int) -> None:
        self._feed = feed
        self._cursor = cursor
        self.limit = limit

    def after(self) -> int | Reply:
        """Return the number of the event before, or say what is wrong."""
        return self._feed.read_cursor(self._cursor)

    def is_news(self, now: float) -> bool:
        """There is an event, or the cursor is none."""
        after = self.after()
        return isinstance(after, Reply) or after < self._feed.last

    def due_at(self) -> float | None:
        """Ask the feed."""
        return self._feed.due_at

    def answer(self, manner: _wire.Manner, *, heard: bool, word: str) -> Reply:
        """Tell the events, or that the cursor is none."""
        after = self.after()
        if isinstance(after, Reply):
            return after
        return self._feed.tell(after, self.limit, manner, heard=heard, word=word)
