"""Server-sent events over the wire, with both libraries."""

from __future__ import annotations

import json
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from vtrio import BadAnswer, CursorExpired, JobStatus, Refused, ServerBusy, Unreachable
from vtrio.sources import Changes, TranslationsSource
from vtrio.sources._events import EventReader
from vtrio.sources._http import STATUS_LIMIT, HttpEdge
from vtrio.testing import URL, Cut, Pause, Reply, ScriptedServer, respond

CURSOR = "0a1b2c3d.41"


@pytest.fixture
def source(vtrio_server: ScriptedServer, library: ModuleType) -> TranslationsSource:
    """The wire of job documents, over each of the libraries."""
    return TranslationsSource(HttpEdge(URL, http=vtrio_server.http(library)))


def stream_of(*pieces: bytes | Pause | Cut, **headers: str) -> Reply:
    """Answer with a stream of these pieces."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = {"content-type": "text/event-stream; charset=utf-8"}
    return respond(headers={**kind, **named}, body=list(pieces))


def message(cursor: str, job_id: str, status: str = "running", **more: Any) -> bytes:
    """Write an event as servers do."""
    data = json.dumps({"id": job_id, "status": status, **more})
    return f"id: {cursor}\ndata: {data}\n\n".encode()


async def hear(source: TranslationsSource, wait: float = 5) -> list[Changes]:
    """Take in a stream until it ends."""
    told = []
    async with source.follow(CURSOR, wait=wait) as stream:
        while True:
            try:
                told.append(await stream.receive())
            except trio.EndOfChannel:
                return told


async def test_changes_come_as_they_are_told(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """With the cursor behind each piece; a comment is a piece without a change."""
    first, second = message("c1", "j1"), message("c2", "j2", "completed")
    vtrio_server.route(stream_of(b":\n\n", first + second, Pause(3), b":\n\n"))
    async with source.follow(CURSOR, wait=4.2) as stream:
        assert stream.heartbeat == 15
        empty = await stream.receive()
        assert (empty.changes, empty.next, empty.held) == ((), CURSOR, True)
        told = await stream.receive()
        assert [(change.job_id, change.status) for change in told.changes] == [
            ("j1", JobStatus.RUNNING),
            ("j2", JobStatus.COMPLETED),
        ]
        assert (told.next, told.size) == ("c2", len(first + second))
        assert trio.current_time() == 0
        assert (await stream.receive()).next == "c2"
        assert trio.current_time() == 3
        with pytest.raises(trio.EndOfChannel):
            await stream.receive()
    (request,) = vtrio_server.exchanges
    assert request.target == f"/v1/events?after={CURSOR}"
    assert request.headers["accept"] == "text/event-stream, application/json;q=0.9"
    assert request.headers["prefer"] == "wait=5, return=representation"


async def test_the_beat_is_what_the_server_says(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Where it says nothing, that of the text on server-sent events."""
    for applied, beat in (("wait=7", 7), ("return=representation, Wait = 5", 5)):
        vtrio_server.route(stream_of(preference_applied=applied), times=1)
        async with source.follow(CURSOR, wait=9) as stream:
            assert stream.heartbeat == beat


async def test_a_document_comes_with_its_end(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """As with a feed that is asked once."""
    document = {"id": "j1", "status": "completed", "result": {"video_url": "/v"}}
    event = message("c1", "j1", "completed", translation=document)
    vtrio_server.route(stream_of(event))
    ((change,),) = [told.changes for told in await hear(source)]
    assert change.job is not None
    assert change.job.result is not None


async def test_who_knows_no_streams_answers_as_ever(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """With a whole answer, that may have been held."""
    document = {"events": [{"id": "j1", "status": "running"}], "next": "c1"}
    held = {"preference-applied": "wait=5"}
    vtrio_server.route(respond(json=document, headers=held))
    async with source.follow(CURSOR, wait=5) as stream:
        assert stream.heartbeat is None
        told = await stream.receive()
        with pytest.raises(trio.EndOfChannel):
            await stream.receive()
    assert [change.job_id for change in told.changes] == ["j1"]
    assert (told.next, told.held) == ("c1", True)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (respond(410, json={"type": "expired-cursor", "title": "x"}), CursorExpired),
        (respond(404, json={"title": "nothing here"}), Refused),
        (respond(503), ServerBusy),
        (respond(200, body="<html>"), BadAnswer),
        (stream_of(b"", content_encoding="gzip"), BadAnswer),
        (stream_of(b":\n\n", Cut.RESET), Unreachable),
        (stream_of(b":\n\n", Cut.HUNG_UP), Unreachable),
        (stream_of(b"data: {\n\n"), BadAnswer),
        (stream_of(b"data: []\n\n"), BadAnswer),
        (stream_of(b"data: " + b"x" * (STATUS_LIMIT + 1)), BadAnswer),
    ],
)
async def test_what_is_no_stream_is_told(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    reply: Reply,
    error: type[Exception],
    autojump_clock: MockClock,
) -> None:
    """In the terms of all answers."""
    vtrio_server.route(reply)
    with pytest.raises(error):
        await hear(source)
    assert vtrio_server.in_flight == 0


async def test_events_of_no_change_are_left_out(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Their cursors count all the same, if they are such."""
    odd = (
        b"id: c0\n\n"
        + message("c1", "")
        + b"data: {}\n\n"
        + message("a b", "j1")
        + message("c3", "")
    )
    vtrio_server.route(stream_of(odd))
    (told,) = await hear(source)
    assert [change.job_id for change in told.changes] == ["j1"]
    assert told.next == "c3"


async def test_a_cursor_may_come_by_itself(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Others' jobs have changed: whoever comes again begins from there."""
    vtrio_server.route(stream_of(b"id: c7\n", b"\n", b":\n\n"))
    assert [told.next for told in await hear(source)] == [CURSOR, "c7", "c7"]


# --- taking a stream apart ----------------------------------------------------------


def read(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    """Read pieces of a stream, one after another."""
    reader = EventReader(1000)
    return [tuple(event) for piece in pieces for event in reader.feed(piece)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: a\n\n", [(b"a", b"")]),
        (b"data:a\n\n", [(b"a", b"")]),
        (b"data:  a\n\n", [(b" a", b"")]),
        (b"data\n\n", [(b"", b"")]),
        (b"data: a\ndata: b\n\n", [(b"a\nb", b"")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"a", b"")]),
        (b"data: a\n\xef\xbb\xbfdata: b\n\n", [(b"a", b"")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [(b"a", b"1"), (b"b", b"1")]),
        (b"id: 1\n\ndata: b\n\n", [(b"b", b"1")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [(b"a", b"1"), (b"b", b"")]),
        (b"id: 1\ndata: a\n\nid: x\0y\ndata: b\n\n", [(b"a", b"1"), (b"b", b"1")]),
        (b"event: message\ndata: a\n\n", [(b"a", b"")]),
        (b"event: other\nid: 2\ndata: a\n\ndata: b\n\n", [(b"b", b"2")]),
        (b": hello\nretry: -5\nfoo: bar\ndata: a\n\n", [(b"a", b"")]),
        (b"event: x\n\ndata: a\n\n", [(b"a", b"")]),
        (b"data: a", []),
        (b"data: a\n", []),
    ],
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_events_are_those_of_the_text(
    text: bytes, events: list[tuple[bytes, bytes]], newline: bytes
) -> None:
    """Whichever way its lines end, in one piece or byte by byte."""
    text = text.replace(b"\n", newline)
    expected = [(data, last_id) for data, last_id in events]
    assert read(text) == expected
    assert read(*[text[at : at + 1] for at in range(len(text))]) == expected


@given(
    st.lists(
        st.sampled_from(
            [b"data: a", b"id: 1", b":", b"event: x", b"\r", b"\n", b"\r\n"]
        )
    ).map(b"".join),
    st.lists(st.integers(0, 200)),
)
def test_it_is_all_the_same_how_a_stream_is_cut(text: bytes, cuts: list[int]) -> None:
    """The pieces of the wire mean nothing."""
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert read(*pieces) == read(text)


def test_an_event_may_be_so_long_and_no_longer() -> None:
    """In one line, or in many."""
    assert read(b"data: " + b"x" * 990 + b"\n\n") == [(b"x" * 990, b"")]
    for text in (b"x" * 1001, b"data: xxx\n" * 300):
        with pytest.raises(BadAnswer, match="longer than 1000 bytes"):
            read(text)
