"""The feed: every owner's changes in the order of their commits, from any cursor on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import trio

from vtrio._job import JobStatus
from vtrio.server import Store, open_store
from vtrio.server.errors import ExpiredCursor
from vtrio.server.store import EventPage, url_of_file

if TYPE_CHECKING:
    from tests.programs.store.conftest import StoreBench


def cursors(page: EventPage) -> list[int]:
    """Return the cursors of a page."""
    return [event.cursor for event in page.events]


async def submit_some(bench: StoreBench, store: Store, names: str) -> list[int]:
    """Submit jobs, whose owners are called by the case of the name; return cursors."""
    found = []
    for name in names:
        owner = "big" if name.isupper() else "small"
        await bench.submit(store, name, owner=owner)
        found.append(store.cursor)
    return found


async def test_the_feed_is_in_the_order_of_the_commits(
    store: Store, bench: StoreBench
) -> None:
    """Many jobs that move at once are told in the order in which others heard of it."""
    heard: list[tuple[str, JobStatus, int]] = []
    store.listeners.append(
        lambda events, _: heard.extend(
            (event.job_id, event.status, event.cursor) for event in events
        )
    )

    async def live(name: str) -> None:
        await bench.submit(store, name)
        await store.claim(bench.at(1))
        await store.move(name, JobStatus.CANCELLED, at=bench.at(2))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(live, f"j{number}")

    found = (await store.events("", None, 1000)).events
    assert [(one.job_id, one.status, one.cursor) for one in found] == heard
    assert all(
        before < after for (*_, before), (*_, after) in itertools.pairwise(heard)
    )
    for number in range(20):
        told = [status for name, status, _ in heard if name == f"j{number}"]
        assert told[0] is JobStatus.PENDING
        assert told[-1] is JobStatus.CANCELLED


@pytest.mark.parametrize("remembered", [1000, 2, 0])
async def test_a_reader_takes_up_where_it_left(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """From every cursor and by every number it gets the same, from memory or disk."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_EVENTS", remembered)
    async with bench.opened() as store:
        given = await submit_some(bench, store, "aBcdEf")
        mine = [given[0], given[2], given[3], given[5]]

        for after in (None, *given):
            newer = [cursor for cursor in mine if after is None or cursor > after]
            for limit in (1, 2, 3, 4, 10):
                page = await store.events("small", after, limit)
                assert cursors(page) == newer[:limit]
                full = len(page.events) == limit
                assert page.next == (newer[limit - 1] if full else given[-1])


@pytest.mark.parametrize("remembered", [1000, 2, 0])
async def test_pages_that_follow_one_another_leave_nothing_out(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """Each `next` leads to the events behind it, and in the end nowhere."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_EVENTS", remembered)
    async with bench.opened() as store:
        given = await submit_some(bench, store, "abCdEfghI")
        found: list[int] = []
        after = None
        while (page := await store.events("small", after, 2)).events:
            found += cursors(page)
            after = page.next

        assert found == [given[place] for place in (0, 1, 3, 5, 6, 7)]
        assert page.next == given[-1]


@pytest.mark.parametrize("remembered", [1000, 0])
async def test_another_owners_events_move_the_cursor_on(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """Whoever is told of nothing does not look through the same events again."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_EVENTS", remembered)
    async with bench.opened() as store:
        given = await submit_some(bench, store, "aBC")

        page = await store.events("small", given[0], 10)

        assert page == EventPage(events=(), next=given[-1])


async def test_an_empty_feed_begins_at_its_cursor(store: Store) -> None:
    """Whoever begins before the first event misses none."""
    assert await store.events("", None, 10) == EventPage(events=(), next=store.cursor)
    assert await store.events("", store.cursor, 10) == EventPage(
        events=(), next=store.cursor
    )


async def test_the_feed_goes_on_after_a_restart(bench: StoreBench) -> None:
    """A cursor of the last server is one of the next, which counts on."""
    async with bench.opened() as store:
        given = await submit_some(bench, store, "ab")
    async with bench.opened() as store:
        assert store.cursor == given[-1]
        given += await submit_some(bench, store, "c")

        assert cursors(await store.events("small", given[0], 10)) == given[1:]
        assert cursors(await store.events("small", given[1], 10)) == given[2:]
        assert given[1] < given[2]


async def test_a_cursor_from_nowhere_has_expired(
    store: Store, bench: StoreBench
) -> None:
    """What lies ahead of the last event is no cursor of this store."""
    await bench.submit(store)
    for cursor in (store.cursor + 1, -1):
        with pytest.raises(ExpiredCursor, match="list the jobs"):
            await store.events("", cursor, 10)


async def test_stores_are_told_apart(
    bench: StoreBench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """So that one's cursor is not taken for another's, each has an id of its own."""
    other = url_of_file(tmp_path_factory.mktemp("other"))
    async with bench.opened() as store, open_store(other, bench.at(0)) as second:
        assert store.id
        assert store.id != second.id


@pytest.mark.parametrize("remembered", [1000, 2, 0])
async def test_cursors_before_what_was_dropped_have_expired(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """The first one that is left is that of the last event dropped; also later on."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_EVENTS", remembered)
    async with bench.opened() as store:
        for second in range(4):
            await bench.submit(store, f"j{second}", second)
        given = cursors(await store.events("", None, 10))

        await store.forget(ended_before=bench.at(2), keys_before=bench.at(0))

        assert cursors(await store.events("", None, 10)) == given[2:]
        assert cursors(await store.events("", given[1], 10)) == given[2:]
        with pytest.raises(ExpiredCursor):
            await store.events("", given[0], 10)

    async with bench.opened() as store:
        assert cursors(await store.events("", None, 10)) == given[2:]
        with pytest.raises(ExpiredCursor):
            await store.events("", given[0], 10)


async def test_a_feed_whose_events_were_all_dropped_counts_on(
    bench: StoreBench,
) -> None:
    """No cursor is given twice, however little is left, and over a restart."""
    async with bench.opened() as store:
        given = await submit_some(bench, store, "ab")
        await store.forget(ended_before=bench.at(1), keys_before=bench.at(0))
        assert store.cursor == given[-1]
        assert await store.events("small", None, 5) == EventPage(
            events=(), next=given[-1]
        )

    async with bench.opened() as store:
        assert store.cursor == given[-1]
        (third,) = await submit_some(bench, store, "c")
        assert third > given[-1]
        assert cursors(await store.events("small", given[-1], 5)) == [third]


async def test_forgetting_twice_keeps_the_floor(
    store: Store, bench: StoreBench
) -> None:
    """Where nothing more is dropped, what had expired stays so."""
    await submit_some(bench, store, "ab")
    await store.forget(ended_before=bench.at(1), keys_before=bench.at(0))
    last = store.cursor

    await store.forget(ended_before=bench.at(1), keys_before=bench.at(0))

    assert await store.events("small", last, 5) == EventPage(events=(), next=last)
    with pytest.raises(ExpiredCursor):
        await store.events("small", last - 1, 5)
