"""The change feed as JSON: in order, from a cursor on, held while it has nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

FEED = "/v1/events"


async def follow(
    client: AppClient, after: str | None = None, *, wait: int | None = None, **more: Any
) -> tuple[list[dict[str, Any]], str]:
    """Ask for the events after a cursor; return them, and the next cursor."""
    params = {**more} if after is None else {"after": after, **more}
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    answer = await client.get(FEED, params=params, headers=headers)
    assert answer.status_code == 200
    document = answer.json()
    assert answer.headers["Events-Cursor"] == document["next"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Prefer, Authorization"
    applied = None if wait is None else f"wait={min(wait, 60)}"
    assert answer.headers.get("Preference-Applied") == applied
    return document["events"], document["next"]


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return whose changes were told, and to which status."""
    return [(event["id"], event["status"]) for event in events]


async def test_changes_are_told_in_their_order(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Each once, with its progress and its instant; the last one has its cursor."""
    async with open_app(workers=1) as client:
        assert await follow(client) == ([], f"{client.store.id}.0")
        first = (await client.submit()).json()["id"]
        await trio.sleep(1)
        second = (await client.submit()).json()["id"]
        await trio.sleep(9.5)
        await client.post(f"/v1/translations/{second}/cancel")

        events, cursor = await follow(client)
        assert told(events) == [
            (first, "pending"),
            (first, "running"),
            (second, "pending"),
            (first, "completed"),
            (second, "running"),
            (second, "cancelled"),
        ]
        assert events[0] == {
            "cursor": f"{client.store.id}.1",
            "id": first,
            "status": "pending",
            "progress": None,
            "at": "2026-01-02T12:00:00.000Z",
        }
        assert [event["at"][17:23] for event in events] == [
            *("00.000", "00.000", "01.000", "10.000", "10.000", "10.500")
        ]
        assert events[3]["progress"] == 1
        assert cursor == events[-1]["cursor"]
        assert await follow(client, cursor) == ([], cursor)


async def test_the_feed_is_read_in_parts(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """As many as the limit says, from where the last part ended."""
    async with open_app(workers=1) as client:
        for _ in range(3):
            await client.submit()
        await trio.sleep(15)
        whole, _ = await follow(client)
        assert len(whole) == 6
        for limit in (1, 2, 3, 5, 6, 1000):
            parts: list[dict[str, Any]] = []
            cursor: str | None = None
            while len(parts) < len(whole):
                events, cursor = await follow(client, cursor, limit=limit)
                assert 1 <= len(events) <= limit
                assert cursor == events[-1]["cursor"]
                parts += events
            assert parts == whole
        for number, event in enumerate(whole):
            events, _ = await follow(client, event["cursor"])
            assert events == whole[number + 1 :]


async def test_an_empty_answer_is_held(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Until there is an event, or for so long as was asked, a minute at most."""
    async with open_app(workers=1) as client:
        job_id = (await client.submit()).json()["id"]
        await trio.sleep(1)
        events, cursor = await follow(client, wait=60)
        assert trio.current_time() == 1
        assert len(events) == 2

        assert await follow(client, cursor, wait=3) == ([], cursor)
        assert trio.current_time() == 4
        events, cursor = await follow(client, cursor, wait=60)
        assert trio.current_time() == 10
        assert told(events) == [(job_id, "completed")]
        assert await follow(client, cursor, wait=90) == ([], cursor)
        assert trio.current_time() == 70


async def test_a_held_feed_is_answered_when_the_server_stops(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """With nothing, and the cursor to go on from."""
    async with open_app() as client:

        async def hold() -> None:
            assert await follow(client, wait=60) == ([], f"{client.store.id}.0")
            assert trio.current_time() == 2

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await wait_all_tasks_blocked()
            await trio.sleep(2)
            client.service.refuse_work()


async def test_a_follower_misses_nothing_and_hears_nothing_twice(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Whatever happens between two answers is in the next one."""
    async with open_app(workers=3) as client:
        heard: list[dict[str, Any]] = []

        async def listen() -> None:
            cursor: str | None = None
            while len(heard) < 30:
                events, cursor = await follow(client, cursor, wait=60, limit=4)
                heard.extend(events)
                await trio.sleep(0.7)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for _ in range(10):
                await trio.sleep(0.3)
                await client.submit()
        assert heard == (await follow(client))[0]


async def test_a_cursor_that_is_none_is_told_apart_from_one_that_is_old(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """400 for what no feed gave out; 410 for another store, and for what comes later."""
    async with open_app() as client:
        await client.submit()
        store = client.store.id
        for text in ("x", "1", f"{store}", f"{store}.", f"{store}.x", f"{store}.-1"):
            answer = await client.get(FEED, params={"after": text})
            check_problem(answer, 400, "bad-cursor")
        other = "0" * 8 if store != "0" * 8 else "1" * 8
        for text in (f"{other}.1", f"{store}.999"):
            answer = await client.get(FEED, params={"after": text})
            check_problem(answer, 410, "expired-cursor")
            answer = await client.get(
                FEED, params={"after": text}, headers={"Accept": "text/event-stream"}
            )
            check_problem(answer, 410, "expired-cursor")
        for query, field in (
            (f"after={store}.0&after={store}.1", "after"),
            ("limit=0", "limit"),
            ("limit=1&limit=2", "limit"),
        ):
            answer = await client.get(f"{FEED}?{query}")
            check_problem(answer, 422, "bad-query")
            assert answer.json()["field"] == field
        assert len((await follow(client, ""))[0]) == 2


async def test_events_are_kept_as_long_as_jobs(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """A cursor from before those that were dropped has expired; without one it goes on."""
    async with open_app(keep=100) as client:
        old = (await client.submit()).json()["id"]
        await trio.sleep(50)
        events, _ = await follow(client)
        await client.submit()
        # What is forgotten is looked for every 5 s.
        await trio.sleep_until(116)
        for event in events[:-1]:
            answer = await client.get(FEED, params={"after": event["cursor"]})
            check_problem(answer, 410, "expired-cursor")
        left, _ = await follow(client, events[-1]["cursor"])
        assert left == (await follow(client))[0]
        assert [event["status"] for event in left] == [
            *("pending", "running", "completed")
        ]
        assert (await client.get(f"/v1/translations/{old}")).status_code == 404
    async with open_app(keep=100) as client:
        answer = await client.get(FEED, params={"after": events[0]["cursor"]})
        check_problem(answer, 410, "expired-cursor")
        assert (await follow(client, events[-1]["cursor"]))[0] == left


async def test_who_prefers_it_is_told_what_came_of_a_job(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """An end comes with the job's document, so that nobody has to ask for it."""
    async with open_app(workers=1) as client:
        job_id = (await client.submit()).json()["id"]
        await trio.sleep(20)
        for prefer, applied in (
            ("return=representation", "return=representation"),
            ("wait=9, return=representation", "wait=9, return=representation"),
            ('Return = "representation"; x=1', "return=representation"),
        ):
            answer = await client.get(FEED, headers={"Prefer": prefer})
            assert answer.headers["Preference-Applied"] == applied
            *before, end = answer.json()["events"]
            assert [event.get("translation") for event in before] == [None, None]
            shown = await client.get(f"/v1/translations/{job_id}")
            assert end["translation"] == shown.json()
            assert end["status"] == "completed"
        for prefer in ("return=minimal", "return=minimal, return=representation", ""):
            answer = await client.get(FEED, headers={"Prefer": prefer})
            assert "Preference-Applied" not in answer.headers
            assert not any("translation" in e for e in answer.json()["events"])


async def test_a_job_that_is_gone_has_no_document(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The event of its end is told all the same."""
    async with open_app(workers=1) as client:
        job_id = (await client.submit()).json()["id"]
        await trio.sleep(20)
        _, cursor = await follow(client)
        before = f"{cursor.partition('.')[0]}.0"
        await client.delete(f"/v1/translations/{job_id}")
        headers = {"Prefer": "return=representation"}
        answer = await client.get(FEED, params={"after": before}, headers=headers)
        assert not any("translation" in e for e in answer.json()["events"])
