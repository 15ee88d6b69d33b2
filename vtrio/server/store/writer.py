"""One writer: changes that come at the same time share a transaction.

A transaction costs a thread's hand-over and a flush of the disk, whatever is in it.
So while one is being committed, the changes that come in wait, and the next one takes
them all: under load the cost of a change falls, and alone it waits for nobody.

Changes are committed in the order in which they came, and told in that order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, cast

import trio
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..._job import IllegalMove
from ..._threads import in_thread
from ..errors import RequestRefused
from ..unabandoned import Unabandoned
from .changing import Changed
from .failures import store_failed, translate
from .records import Overtaken

_T = TypeVar("_T")
_I = TypeVar("_I")
Change = Callable[[Connection], Changed[_T]]
Together = Callable[[Connection, Sequence[_I]], Sequence[Changed[_T] | Exception]]
"""Makes several changes of one kind, and tells what became of each."""

# A change that raises one of these has written nothing; after any other error that
# cannot be told, and the transaction is given up.
_REFUSALS = (RequestRefused, IllegalMove, Overtaken)

# So that those at the end of a long queue hear of the first ones' fate in time.
_MOST_AT_ONCE = 256


@dataclass(slots=True, eq=False)
class _Entry:
    """A change that waits for its transaction, and what became of it."""

    change: Together[Any, Any]
    item: object
    committed: Unabandoned = field(default_factory=Unabandoned)
    changed: Changed[Any] | None = None
    error: Exception | None = None


class Writer:
    """Commits changes for as long as `run` runs, which is until `close`.

    `take_in` is told of each change once it is committed, before whoever asked for it.
    """

    def __init__(self, engine: Engine, take_in: Callable[[Changed[Any]], None]) -> None:
        self._engine = engine
        self._take_in = take_in
        self._waiting: deque[_Entry] = deque()
        self._wake = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self._closed = False

    async def write(self, change: Change[_T]) -> _T:
        """Have a change committed, and return its value.

        Cancelled before it is handed over, it has no effect; after that it is not
        cancelled, because then nobody could tell whether it had one.

        Raises:
            StoreFailed: the store cannot be used, and nothing has changed, unless it
                was lost while it committed: then nobody knows.
            NoRoom: the disk is full, and nothing has changed.
        """

        def alone(
            connection: Connection, _items: Sequence[None]
        ) -> Sequence[Changed[_T] | Exception]:
            try:
                return [change(connection)]
            except _REFUSALS as refusal:
                return [refusal]

        return await self.write_together(alone, None)

    async def write_together(self, change: Together[_I, _T], item: _I) -> _T:
        """Do the same with one of several items, of which a change takes many.

        Those that come to one transaction one after the other are given to it together.
        """
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError("the store is closed")
        entry = _Entry(change, item)
        self._waiting.append(entry)
        self._wake.set()
        # Bounded by the disk alone, as any work in a thread.
        await entry.committed.wait()
        if entry.error is not None:
            raise entry.error
        return cast("Changed[_T]", entry.changed).value

    async def run(self) -> None:
        """Commit what comes, until `close`; then refuse what has not been.

        Whoever is cancelled together with it may have something to write down yet, so
        it does not end by being cancelled.
        """
        try:
            with self._scope:
                await self._commit_all()
        finally:
            self._closed = True
            self._tell(list(self._waiting))

    def close(self) -> None:
        """Have `run` end: nobody writes any more."""
        self._scope.cancel("the store is closed")

    async def _commit_all(self) -> NoReturn:
        while True:
            while not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()
            size = min(len(self._waiting), _MOST_AT_ONCE)
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                await in_thread(self._commit, batch)
            finally:
                self._tell(batch)

    def _tell(self, batch: list[_Entry]) -> None:
        try:
            for entry in batch:
                if entry.changed is not None:
                    self._take_in(entry.changed)
        finally:
            # Nothing may keep them waiting, because they cannot be cancelled.
            for entry in batch:
                if entry.changed is None and entry.error is None:
                    entry.error = trio.ClosedResourceError("the store was closed")
                entry.committed.done()

    def _commit(self, batch: list[_Entry]) -> None:
        """Commit the changes of a batch together; runs in a thread."""
        error = self._try(batch)
        if error is None:
            return
        if len(batch) == 1:
            batch[0].error = (
                translate(error) if isinstance(error, SQLAlchemyError) else error
            )
            return
        # One of them, or all: each on its own tells.
        for entry in batch:
            self._commit([entry])

    def _try(self, batch: list[_Entry]) -> Exception | None:
        """Commit a batch whole; return the error that it may be tried again after."""
        made = False
        try:
            with self._engine.begin() as connection:
                for change, together in groupby(batch, key=attrgetter("change")):
                    entries = list(together)
                    outcomes = change(connection, [entry.item for entry in entries])
                    for entry, outcome in zip(entries, outcomes, strict=True):
                        if isinstance(outcome, Changed):
                            entry.changed = outcome
                        else:
                            entry.error = outcome
                made = True
        except Exception as error:  # noqa: BLE001 - it is told to whoever asked
            if made and isinstance(error, DBAPIError) and error.connection_invalidated:
                # It may have been committed. Made again, an attempt's end would then be
                # refused as overtaken, and the result of its job removed.
                for entry in batch:
                    entry.changed, entry.error = None, store_failed(error)
                return None
            for entry in batch:
                entry.changed = entry.error = None
            return error
        return None
