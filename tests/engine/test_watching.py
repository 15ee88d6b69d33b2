"""Watchers: each is told of every wait and poll of its run, in order."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, StatusSource, VideoTranslationClient, WaitTimeout
from vtrio._limits import Limits
from vtrio._session import Session
from vtrio._watching import a_poll, a_wait, watched_by
from vtrio.testing import ScriptedSource


class Notebook:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    def _note(self, what: str, session: Session) -> None:
        self.told.append((what, session.job_id, trio.current_time()))

    def wait_began(self, session: Session) -> None:
        """Note it."""
        self._note("wait began", session)

    def wait_ended(self, session: Session, *, now: float) -> None:
        """Note it."""
        assert now == trio.current_time()
        self._note("wait ended", session)

    def poll_began(self, session: Session, source: StatusSource) -> None:
        """Note it."""
        self._note("poll began", session)

    def poll_ended(self, session: Session, source: StatusSource) -> None:
        """Note it."""
        self._note("poll ended", session)


def a_session() -> Session:
    """Make a session of no consequence."""
    return Session(
        job_id="j9", schedule=Fixed(1), limits=Limits(), started_at=trio.current_time()
    )


async def test_a_watcher_is_told_of_every_wait_and_poll(
    autojump_clock: MockClock,
) -> None:
    """Each end too, where a poll was answered and where it was given up."""
    notebook = Notebook()
    client = VideoTranslationClient(
        "http://x", source=ScriptedSource("running", latency=1), schedule=Fixed(2)
    )
    with watched_by(notebook), pytest.raises(WaitTimeout):
        await client.wait("j1", max_wait_time=3.5)
    assert notebook.told == [
        ("wait began", "j1", 0.0),
        ("poll began", "j1", 0.0),
        ("poll ended", "j1", 1.0),
        ("poll began", "j1", 1.5),
        ("poll ended", "j1", 2.5),
        ("wait ended", "j1", 3.5),
    ]


async def test_a_poll_is_told_with_its_source(autojump_clock: MockClock) -> None:
    """By which jobs of two remotes are told apart."""
    asked: list[object] = []

    class Looking(Notebook):
        def poll_began(self, session: Session, source: StatusSource) -> None:
            asked.append(source)

        def poll_ended(self, session: Session, source: StatusSource) -> None:
            asked.append(source)

    source = ScriptedSource("completed")
    with watched_by(Looking()):
        await VideoTranslationClient("http://x", source=source).wait("j1")
    assert asked == [source, source]


async def test_each_watcher_is_told_until_its_block_ends(
    autojump_clock: MockClock,
) -> None:
    """Blocks may lie within each other, and end in any order."""
    outer, inner = Notebook(), Notebook()
    with watched_by(outer):
        with watched_by(inner), a_wait(a_session()):
            pass
        with a_poll(a_session(), ScriptedSource("running")):
            pass
    with a_wait(a_session()), a_poll(a_session(), ScriptedSource("running")):
        pass
    assert [what for what, *_ in inner.told] == ["wait began", "wait ended"]
    assert [what for what, *_ in outer.told] == [
        *("wait began", "wait ended", "poll began", "poll ended")
    ]


async def test_an_end_is_told_of_whatever_ended_it(autojump_clock: MockClock) -> None:
    """An error, or a cancel."""
    notebook = Notebook()
    with watched_by(notebook), trio.move_on_after(1):
        with pytest.raises(KeyError), a_wait(a_session()):
            raise KeyError
        with a_wait(a_session()), a_poll(a_session(), ScriptedSource("running")):
            await trio.sleep_forever()
    assert [what for what, *_ in notebook.told[2:]] == [
        *("wait began", "poll began", "poll ended", "wait ended")
    ]


def test_one_run_is_not_told_of_another(autojump_clock: MockClock) -> None:
    """A block that is left open by one run watches none of the next."""
    notebook = Notebook()

    async def leave_open() -> None:
        watched_by(notebook).__enter__()

    async def wait() -> None:
        with a_wait(a_session()):
            pass

    trio.run(leave_open)
    trio.run(wait)
    assert notebook.told == []
