"""The feed of changes over the wire, with both libraries."""

from __future__ import annotations

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    CursorExpired,
    JobNotFound,
    JobStatus,
    Refused,
    ServerBusy,
)
from vtrio.sources import (
    Change,
    TranslationsSource,
)
from vtrio.sources._http import HttpEdge
from vtrio.testing import URL, Reply, ScriptedServer, respond

CURSOR = "0a1b2c3d.41"


@pytest.fixture
def source(vtrio_server: ScriptedServer, library: ModuleType) -> TranslationsSource:
    """The wire of job documents, over each of the libraries."""
    return TranslationsSource(HttpEdge(URL, http=vtrio_server.http(library)))


def fed(*events: Any, following: Any = "0a1b2c3d.42", **headers: str) -> Reply:
    """Answer with events."""
    told = {"events": list(events), "next": following}
    return respond(json=told, headers=named(headers))


def named(headers: dict[str, str]) -> dict[str, str]:
    """Write names of headers as they are."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def event(job_id: str, status: str = "completed", **more: Any) -> dict[str, Any]:
    """Write an event as servers do."""
    return {
        "cursor": "0a1b2c3d.42",
        "id": job_id,
        "status": status,
        "progress": 1.0,
        "at": "2026-01-01T00:00:09.500Z",
        **more,
    }


SPOILED = [
    {},
    None,
    "j2",
    ["j2"],
    {"id": "j2"},
    {"id": "j2", "status": 3},
    {"status": "completed"},
    {"id": ["j2"], "status": "completed"},
    {"id": 2, "status": "completed"},
]


async def test_changes_come_in_their_order(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Those of one job too, and the cursor that goes on after them."""
    events = (event("j1", "running", progress=None), event("j2"), event("j1", "error"))
    reply = fed(*events, retry_after="3")
    vtrio_server.route(reply)
    told = await source.changes(CURSOR)
    (request,) = vtrio_server.exchanges
    assert (request.method, request.target) == ("GET", f"/v1/events?after={CURSOR}")
    assert request.headers["prefer"] == "return=representation"
    at = datetime(2026, 1, 1, 0, 0, 9, 500_000, UTC)
    assert told.changes == (
        Change(job_id="j1", status=JobStatus.RUNNING, at=at),
        Change(job_id="j2", status=JobStatus.COMPLETED, progress=1.0, at=at),
        Change(job_id="j1", status=JobStatus.ERROR, progress=1.0, at=at),
    )
    assert (told.next, told.held, told.hint) == ("0a1b2c3d.42", False, 3.0)
    assert told.size == len(b"".join(reply.body))  # type: ignore[arg-type]


async def test_without_a_cursor_the_feed_begins_with_the_oldest(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Then there is no query; a cursor is quoted, whatever is in it."""
    vtrio_server.route(fed())
    assert (await source.changes(None)).changes == ()
    await source.changes("a+b/c=,&d é")
    targets = [request.target for request in vtrio_server.exchanges]
    query = "after=a%2Bb%2Fc%3D%2C%26d%20%C3%A9"
    assert targets == ["/v1/events", f"/v1/events?{query}"]


async def test_a_change_to_a_word_of_the_servers_own_is_still_running(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """The word is told, in short."""
    word = "x" * 100
    vtrio_server.route(fed(event("j1", word)), times=1)
    (change,) = (await source.changes(CURSOR)).changes
    assert (change.status, change.unknown_word) == ("running", "x" * 64)


@pytest.mark.parametrize("spoiled", [*SPOILED, {"id": "", "status": "completed"}])
async def test_one_event_that_cannot_be_read_does_not_spoil_the_others(
    spoiled: Any,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """It is left out; what is unreadable beside id and status is unknown."""
    odd = event("j3", progress="half", at="yesterday")
    vtrio_server.route(fed(event("j1"), spoiled, odd))
    told = (await source.changes(CURSOR)).changes
    assert [change.job_id for change in told] == ["j1", "j3"]
    assert (told[1].progress, told[1].at) == (None, None)


@pytest.mark.parametrize("following", [None, "", 42, "a b", "é", "x" * 1025, ["a.1"]])
async def test_changes_without_a_cursor_to_go_on_from_are_a_bad_answer(
    following: Any,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Those that come after would be lost, and nobody would know."""
    vtrio_server.route(fed(event("j1"), following=following))
    with pytest.raises(BadAnswer, match="no cursor as 'next'") as caught:
        await source.changes(CURSOR)
    assert caught.value.status_code == 200
    assert caught.value.size > 0


def problem(status: int, kind: str, **headers: str) -> Reply:
    """Answer with a problem document."""
    told = {"type": kind, "title": "The cursor is no good"}
    return respond(status, json=told, headers=named(headers))


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (problem(410, "urn:vtrio:problem:expired-cursor"), "no longer kept"),
        (respond(410), "no longer kept"),
        (problem(400, "urn:vtrio:problem:bad-cursor"), "none of this server's"),
        (problem(400, "https://x.example/problems/bad-cursor"), "none of this server"),
    ],
)
async def test_a_cursor_that_leads_nowhere_is_told_from_a_job_that_does_not(
    reply: Reply,
    told: str,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Too old, or of another server: the cure is the same."""
    vtrio_server.route(reply)
    with pytest.raises(CursorExpired, match=told) as caught:
        await source.changes(CURSOR)
    assert f"to the cursor '{CURSOR}': " in str(caught.value)
    assert caught.value.status_code == reply.status
    assert caught.value.size == len(b"".join(reply.body))  # type: ignore[arg-type]


async def test_what_the_server_asks_for_is_kept_with_an_expired_cursor(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """The pause as the words."""
    vtrio_server.route(problem(410, "about:blank", retry_after="5"))
    with pytest.raises(CursorExpired, match="The cursor is no good") as caught:
        await source.changes(CURSOR)
    assert caught.value.hint == 5.0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(400, "urn:vtrio:problem:bad-query"), Refused),
        (respond(400, json={"type": 3}), Refused),
        (respond(400, body=b"<html>"), Refused),
        (respond(404), JobNotFound),
        (respond(429), ServerBusy),
        (respond(503), ServerBusy),
    ],
)
async def test_other_refusals_of_a_feed_mean_what_they_mean_elsewhere(
    reply: Reply,
    error: type[Exception],
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Looking at the jobs would not help."""
    vtrio_server.route(reply)
    with pytest.raises(error) as caught:
        await source.changes(CURSOR)
    assert not isinstance(caught.value, CursorExpired)


async def test_only_a_cursor_can_expire(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """410 of a list, or of a feed that was asked from its beginning, is something else."""
    vtrio_server.route(respond(410))
    for asking in (source.status_of_many(["j1"]), source.changes(None)):
        with pytest.raises(JobNotFound):
            await asking


async def test_a_change_may_bring_the_whole_job(
    source: TranslationsSource, vtrio_server: ScriptedServer, autojump_clock: MockClock
) -> None:
    """It is asked for; where it cannot be read, the change alone is taken."""
    whole = {"id": "j1", "status": "completed", "result": {"video_url": "/v/1"}}
    vtrio_server.route(
        fed(event("j1", translation=whole), event("j2", translation={"id": "j2"}))
    )
    first, second = (await source.changes(CURSOR, wait=2)).changes
    (exchange,) = vtrio_server.exchanges
    assert exchange.headers["prefer"] == "wait=2, return=representation"
    assert first.job is not None
    assert first.job.status is JobStatus.COMPLETED
    assert first.job.result is not None
    assert first.job.result.video_url == "/v/1"
    assert second.job is None
    assert second.status is JobStatus.COMPLETED
