"""The change feed of a scripted server: what it tells, and how far back."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.testing import (
    Kind,
    ScriptedServer,
    ScriptNotFollowed,
    after,
    job,
    refused,
    says,
)

FEED = "/v1/events"
JOBS = "/v1/translations"


async def follow(
    server: ScriptedServer, cursor: str = "", *, wait: int | None = None, **more: int
) -> tuple[list[Any], str]:
    """Ask for the events after a cursor; return them, and the next cursor."""
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    params: dict[str, str | int] = {"after": cursor, **more}
    answer = await server.http().get(FEED, params=params, headers=headers)
    assert answer.status_code == 200
    document = answer.json()
    assert answer.headers["Events-Cursor"] == document["next"]
    return document["events"], document["next"]


def told(events: list[Any]) -> list[tuple[str, str]]:
    """Return whose changes were told, and to which status."""
    return [(event["id"], event["status"]) for event in events]


async def test_changes_are_told_in_the_order_of_time(
    autojump_clock: MockClock,
) -> None:
    """From a job's first status on; another step with the same status is none."""
    server = ScriptedServer()
    server.add(
        job("pending", after(2, "running", progress=0.5), after(8, "error")),
        id="a",
    )
    server.add(
        job("pending", after(3, "running"), after(4, "running", progress=0.9)), id="b"
    )
    server.on_submit(job(refused(), after(3, "running", progress=0.25)))
    await trio.sleep(1)
    form = {"files": {"video": b"x"}, "data": {"target_language": "pt"}}
    made = await server.http().post(JOBS, **form)
    await trio.sleep(9)
    events, cursor = await follow(server)
    assert told(events) == [
        *(("a", "pending"), ("b", "pending"), ("j3", "pending"), ("a", "running")),
        *(("b", "running"), ("j3", "running"), ("a", "error")),
    ]
    assert events[3] == {
        "cursor": "00000001.4",
        "id": "a",
        "status": "running",
        "progress": 0.5,
        "at": "2026-01-01T00:00:02.000Z",
    }
    assert [event["progress"] for event in events[4:]] == [None, 0.25, 0.5]
    assert [event["at"][17:23] for event in events] == [
        *("00.000", "00.000", "01.000", "02.000", "03.000", "04.000", "08.000")
    ]
    assert cursor == events[-1]["cursor"]
    # The cursor of a submission is from before the job.
    assert told((await follow(server, made.headers["Events-Cursor"]))[0])[0] == (
        *("j3", "pending"),
    )
    assert (await follow(server, cursor)) == ([], cursor)


async def test_a_job_of_some_age_brings_what_it_has_been_through(
    autojump_clock: MockClock,
) -> None:
    """With the instants at which that was."""
    server = ScriptedServer()
    await trio.sleep(100)
    server.add(job("pending", after(5, "running"), after(70, "completed")), age=60)
    events, _ = await follow(server)
    assert told(events) == [("j1", "pending"), ("j1", "running")]
    assert events[1]["at"] == "2026-01-01T00:00:45.000Z"


async def test_a_step_without_an_age_is_told_by_the_feed_when_a_question_came_to_it(
    autojump_clock: MockClock,
) -> None:
    """The feed itself is no question about a job, and moves none on."""
    server = ScriptedServer()
    server.add(job("pending", "running", after(5, "completed")))
    assert told((await follow(server))[0]) == [("j1", "pending")]
    await trio.sleep(9)
    assert told((await follow(server))[0]) == [("j1", "pending")]
    first = await server.http().get(f"{JOBS}/j1")
    assert told((await follow(server))[0]) == [("j1", "pending")]
    second = await server.http().get(f"{JOBS}/j1")
    events, _ = await follow(server, second.headers["Events-Cursor"])
    # It was told at 9 s, and may end now, as it was to at 5 s.
    assert told(events) == [("j1", "running"), ("j1", "completed")]
    assert first.headers["Events-Cursor"] == second.headers["Events-Cursor"]


async def test_what_the_feed_told_counts_as_reached(autojump_clock: MockClock) -> None:
    """What it has not told does not, though the clock has come to it."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "running"), after(9, "completed")))
    await trio.sleep(6)
    _, cursor = await follow(server)
    await trio.sleep(6)
    with pytest.raises(ScriptNotFollowed, match=r": after\(9, 'completed'\) of job j1"):
        server.check()
    assert "is running" in server.timeline()
    assert "is completed" not in server.timeline()
    await follow(server, cursor)
    server.check()
    assert server.timeline() == (
        "     seconds\n"
        "       5.000       job j1 is running\n"
        f"       6.000  GET  {FEED}?after=  ->  200 2 events\n"
        "       9.000       job j1 is completed\n"
        f"      12.000  GET  {FEED}?after=00000001.2  ->  200 1 event"
    )
    assert {e.kind for e in server.exchanges} == {Kind.FEED}


async def test_a_held_feed_is_answered_at_the_instant_of_a_change(
    autojump_clock: MockClock,
) -> None:
    """By the clock, a cancel, a submission, a question, a job that is added."""
    server = ScriptedServer()
    server.add(job("pending", after(2.5, "running")))
    server.add(job("pending", "completed"))
    server.on_submit(job("pending"))
    http = server.http()
    heard: list[tuple[float, list[tuple[str, str]]]] = []

    async def listen() -> None:
        cursor = ""
        while len(heard) < 7:
            events, cursor = await follow(server, cursor, wait=4)
            heard.append((trio.current_time(), told(events)))

    form = {"files": {"video": b"x"}, "data": {"target_language": "pt"}}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await trio.sleep(3)
        await http.post(f"{JOBS}/j1/cancel")
        await trio.sleep(1)
        await http.post(JOBS, **form)
        await trio.sleep(1)
        await http.get(f"{JOBS}/j2")
        await http.get(f"{JOBS}/j2")
        await trio.sleep(1)
        server.add(job("running"), id="late")
    assert heard == [
        (0.0, [("j1", "pending"), ("j2", "pending")]),
        (2.5, [("j1", "running")]),
        (3.0, [("j1", "cancelled")]),
        (4.0, [("j3", "pending")]),
        (5.0, [("j2", "completed")]),
        (6.0, [("late", "running")]),
        (10.0, []),
    ]
    assert [(e.at, e.ended_at) for e in server.exchanges if e.kind == "feed"] == [
        *((0.0, 0.0), (0.0, 2.5), (2.5, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0)),
        (6.0, 10.0),
    ]


async def test_so_many_events_are_kept(autojump_clock: MockClock) -> None:
    """A cursor from before them has expired; without one it begins with the oldest."""
    server = ScriptedServer(keep_events=2)
    http = server.http()
    _, before = await follow(server)
    for number in range(400):
        server.add(job("running"), id=f"a{number}")
        events, cursor = await follow(server)
        expected = [(f"a{n}", "running") for n in range(number + 1)][-2:]
        assert told(events) == expected
        assert await follow(server, cursor) == ([], cursor)
    assert told((await follow(server, events[0]["cursor"]))[0]) == expected[1:]
    answer = await http.get(FEED, params={"after": before})
    assert answer.status_code == 410
    assert answer.json()["type"] == "urn:vtrio:problem:expired-cursor"


async def test_a_server_may_keep_no_events(autojump_clock: MockClock) -> None:
    """Then every change lets the cursors expire."""
    server = ScriptedServer(keep_events=0)
    events, cursor = await follow(server)
    assert events == []
    server.add(job("running"))
    answer = await server.http().get(FEED, params={"after": cursor})
    assert answer.status_code == 410
    assert (await follow(server))[0] == []


async def test_cursors_can_be_made_to_expire(autojump_clock: MockClock) -> None:
    """All that were given so far, at once, where one is held too; later ones are good."""
    server = ScriptedServer()
    server.add(job("running"))
    http = server.http()
    poll = await http.get(f"{JOBS}/j1")
    old = poll.headers["Events-Cursor"]
    ended_at = []

    async def hold() -> None:
        headers = {"Prefer": "wait=60"}
        answer = await http.get(FEED, params={"after": old}, headers=headers)
        assert answer.status_code == 410
        assert "Preference-Applied" not in answer.headers
        ended_at.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await wait_all_tasks_blocked()
        await trio.sleep(3)
        server.expire_cursors()
    assert ended_at == [3.0]
    assert (await http.get(FEED, params={"after": old})).status_code == 410
    events, cursor = await follow(server)
    assert told(events) == [("j1", "running")]
    assert (await http.get(f"{JOBS}/j1")).headers["Events-Cursor"] == cursor
    assert await follow(server, cursor) == ([], cursor)


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("after=x", 400, "bad-cursor"),
        ("after=1", 400, "bad-cursor"),
        ("after=00000001.2", 410, "expired-cursor"),
        ("after=0000000f.1", 410, "expired-cursor"),
        ("after=00000001.1&after=00000001.1", 422, "bad-query"),
        ("limit=0", 422, "bad-query"),
        ("limit=1001", 422, "bad-query"),
        ("limit=x", 422, "bad-query"),
    ],
)
async def test_what_the_feed_cannot_tell_is_refused(
    query: str, status: int, kind: str, autojump_clock: MockClock
) -> None:
    """At once, though it was to be held."""
    server = ScriptedServer()
    server.add(job("running"))
    headers = {"Prefer": "wait=60"}
    answer = await server.http().get(f"{FEED}?{query}", headers=headers)
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:vtrio:problem:{kind}"
    assert trio.current_time() == 0


async def test_other_words_are_told_by_the_feed_too(autojump_clock: MockClock) -> None:
    """Those of a script, and those of a fault."""
    server = ScriptedServer()
    server.add(job("pending", after(1, "asleep")))
    server.fault(says("dozing"), to="feed", times=1)
    await trio.sleep(1)
    assert told((await follow(server))[0]) == [("j1", "dozing")] * 2
    assert told((await follow(server))[0]) == [("j1", "pending"), ("j1", "asleep")]


async def test_a_server_may_have_no_feed(autojump_clock: MockClock) -> None:
    """Then there is no such place, and no cursor on any answer."""
    server = ScriptedServer(feed=False)
    server.add(job("running"))
    http = server.http()
    answer = await http.get(FEED, headers={"Prefer": "wait=60"})
    assert answer.status_code == 404
    for path in (f"{JOBS}/j1", f"{JOBS}?ids=j1"):
        assert "Events-Cursor" not in (await http.get(path)).headers
    assert trio.current_time() == 0
    server.check()


async def test_a_feed_with_nothing_to_tell_is_not_asked_for_ever(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Virtual time does not tire."""
    monkeypatch.setattr("vtrio.testing._feed._MOST_EMPTY_ANSWERS", 20)
    server = ScriptedServer()
    server.add(job("running"))
    _, cursor = await follow(server)
    for _ in range(20):
        await follow(server, cursor, wait=60)
    with pytest.raises(ScriptNotFollowed, match="the feed was asked 21 times in a row"):
        await follow(server, cursor, wait=60)
    assert trio.current_time() == 21 * 60
