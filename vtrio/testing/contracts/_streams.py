"""What holds for every source that goes on telling of changes in one answer."""

from __future__ import annotations

import pytest
import trio

from ..._errors import CursorExpired
from ..._source import Changes, ChangeStream, StreamSource
from .._invariants import Invariants
from ._many import end_of
from ._remote import CancelAfter, SourceUnderTest

_BEAT = 1
_SOON = 10
_STEPS = 12


class StreamContract:
    """Streams of changes: a part of the contract of sources."""

    async def test_who_says_that_it_streams_has_the_method(
        self, remote: SourceUnderTest
    ) -> None:
        """It is called `follow`, and what it streams is a feed."""
        can = remote.source.capabilities
        if can.event_stream:
            assert can.change_feed, "what it streams has to be a feed"
            assert isinstance(remote.source, StreamSource), "no method `follow`"

    async def test_a_stream_lives_while_nothing_changes(
        self, remote: SourceUnderTest
    ) -> None:
        """It begins at once, and shows that it lives; its cursor stays where it is."""
        source = _streams(remote)
        end = await end_of(source)
        async with source.follow(end, wait=_BEAT) as stream:
            beat = _beat_of(stream)
            for _ in range(3):
                with trio.fail_after(beat + _SOON):
                    told = await stream.receive()
                assert isinstance(told, Changes), f"{told!r} is no Changes"
                assert (told.changes, told.next) == ((), end)

    async def test_a_stream_tells_a_change_as_it_comes(
        self, remote: SourceUnderTest
    ) -> None:
        """Whoever listens need not ask again; the feed goes on behind it."""
        source = _streams(remote)
        if remote.change is None:
            pytest.skip("nothing can be made to change")
        cursor = await end_of(source)
        async with source.follow(cursor, wait=_BEAT) as stream:
            _beat_of(stream)
            await stream.receive()
            changed, heard = await remote.change(), set[tuple[str, str]]()
            with trio.fail_after(_SOON):
                while changed not in {job_id for job_id, _ in heard}:
                    told = await stream.receive()
                    heard |= _words(told)
                    cursor = told.next
        again = heard & _words(await source.changes(cursor))
        assert not again, f"what was told comes again after its cursor: {again}"

    async def test_a_stream_goes_on_behind_a_cursor(
        self, remote: SourceUnderTest
    ) -> None:
        """What happened after it comes first."""
        source = _streams(remote)
        if remote.change is None:
            pytest.skip("nothing can be made to change")
        cursor = await end_of(source)
        changed = await remote.change()
        async with source.follow(cursor, wait=_BEAT) as stream:
            _beat_of(stream)
            with trio.fail_after(_SOON):
                told = await stream.receive()
        assert changed in {change.job_id for change in told.changes}

    async def test_a_stream_behind_a_cursor_of_nowhere_has_expired(
        self, remote: SourceUnderTest
    ) -> None:
        """As with a feed that is asked once."""
        source = _streams(remote)
        with pytest.raises(CursorExpired):
            async with source.follow("nowhere", wait=_BEAT) as stream:
                await stream.receive()

    async def test_a_stream_that_is_cancelled_leaves_nothing(
        self, remote: SourceUnderTest
    ) -> None:
        """At whatever step: `Cancelled` gets out, no task stays, the next one works."""
        source = _streams(remote)
        end = await end_of(source)
        for step in range(_STEPS):
            scope = trio.CancelScope()
            with Invariants(), scope, CancelAfter(step, scope):
                async with source.follow(end, wait=_BEAT) as stream:
                    await stream.receive()
        with trio.fail_after(_SOON), trio.move_on_after(0.05) as left, Invariants():
            async with source.follow(end, wait=_BEAT) as stream:
                _beat_of(stream)
                for _ in range(_STEPS):
                    await stream.receive()
        assert left.cancelled_caught, "`Cancelled` did not get out"
        async with source.follow(end, wait=_BEAT) as stream:
            await stream.receive()


def _streams(remote: SourceUnderTest) -> StreamSource:
    source, can = remote.source, remote.source.capabilities
    if not can.event_stream or not isinstance(source, StreamSource):
        pytest.skip("it has no streams")
    return source


def _words(told: Changes) -> set[tuple[str, str]]:
    """Say who has changed, and to what: no job comes to the same status twice."""
    return {
        (change.job_id, change.unknown_word or change.status) for change in told.changes
    }


def _beat_of(stream: ChangeStream) -> float:
    if stream.heartbeat is None:
        pytest.skip("its remote has no streams")
    return stream.heartbeat
