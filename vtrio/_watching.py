"""Who watches the waits of a run: told of each wait and poll as it begins and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import trio

from ._session import Session
from ._source import StatusSource


class Watcher(Protocol):
    """What is told of every wait in a run of trio. It must not raise."""

    def wait_began(self, session: Session) -> None:
        """A wait begins."""
        ...

    def wait_ended(self, session: Session, *, now: float) -> None:
        """It has ended, however it did."""
        ...

    def poll_began(self, session: Session, source: StatusSource) -> None:
        """A poll is about to be made."""
        ...

    def poll_ended(self, session: Session, source: StatusSource) -> None:
        """It was answered, or given up."""
        ...


_watchers: trio.lowlevel.RunVar[tuple[Watcher, ...]] = trio.lowlevel.RunVar(
    "vtrio-watchers", default=()
)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Let a watcher be told of this run's waits for the length of a block."""
    _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.set(tuple(w for w in _watchers.get() if w is not watcher))


def wait_began(session: Session) -> None:
    """Tell that a wait begins."""
    for watcher in _watchers.get():
        watcher.wait_began(session)


def wait_ended(session: Session) -> None:
    """Tell that it has ended."""
    for watcher in _watchers.get():
        watcher.wait_ended(session, now=trio.current_time())


@contextmanager
def a_wait(session: Session) -> Iterator[None]:
    """Tell of a wait."""
    wait_began(session)
    try:
        yield
    finally:
        wait_ended(session)


@contextmanager
def a_poll(session: Session, source: StatusSource) -> Iterator[None]:
    """Tell of a poll."""
    with polls([session], source):
        yield


@contextmanager
def polls(sessions: Iterable[Session], source: StatusSource) -> Iterator[None]:
    """Tell of a request that is a poll of several waits."""
    watchers = _watchers.get()
    sessions = tuple(sessions) if watchers else ()
    for watcher in watchers:
        for session in sessions:
            watcher.poll_began(session, source)
    try:
        yield
    finally:
        for watcher in watchers:
            for session in sessions:
                watcher.poll_ended(session, source)
