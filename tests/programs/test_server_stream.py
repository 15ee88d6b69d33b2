"""The change feed as a stream of server-sent events, message by message."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.server import Limits
from vtrio.server.access import new_key
from vtrio.server.store import Instant

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

COMMENT = b":\n\n"


class Stream:
    """An answer on its way: each piece is here as soon as the app has sent it."""

    def __init__(self, client: AppClient, headers: dict[str, str], query: str) -> None:
        self._app = client.app
        self._pieces = trio.open_memory_channel[dict[str, Any]](0)
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/events",
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {"Accept": "text/event-stream", **headers}.items()
            ],
            "http_version": "1.1",
            "scheme": "http",
            "client": ("127.0.0.1", 1),
        }
        self.status = 0
        self.headers: dict[str, str] = {}

    async def run(self) -> None:
        """Serve the request until its answer ends or the client leaves."""
        send, _ = self._pieces
        async with send:
            await self._app(self._scope, trio.sleep_forever, send.send)  # type: ignore[arg-type]

    async def begin(self) -> None:
        """Wait for the head of the answer."""
        message = await self._pieces[1].receive()
        self.status = message["status"]
        self.headers = {
            name.decode(): value.decode() for name, value in message["headers"]
        }

    async def piece(self) -> bytes | None:
        """Return the next piece; None at the end of the answer."""
        message = await self._pieces[1].receive()
        if not message.get("more_body", False):
            assert not message.get("body")
            return None
        return bytes(message["body"])

    async def events(self, *, skip_comments: bool = False) -> list[dict[str, Any]]:
        """Return the events in the next piece, whose ids are their cursors."""
        piece = await self.piece()
        while skip_comments and piece == COMMENT:
            piece = await self.piece()
        assert piece is not None
        *blocks, end = piece.decode().split("\n\n")
        assert end == ""
        found = []
        for block in blocks:
            first, second = block.split("\n")
            event = json.loads(second.removeprefix("data: "))
            assert first == f"id: {event['cursor']}"
            found.append(event)
        return found


@asynccontextmanager
async def streaming(
    client: AppClient, headers: dict[str, str] | None = None, **params: Any
) -> AsyncIterator[Stream]:
    """Follow the feed inside the block; at its end the client leaves."""
    stream = Stream(client, headers or {}, urlencode(params))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        await stream.begin()
        yield stream
        nursery.cancel_scope.cancel("the client leaves")


async def test_a_stream_begins_at_once_and_lives_by_comments(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """One every 15 s where there is nothing to tell, and 15 s after what was told."""
    async with open_app() as client, streaming(client) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "private, no-cache"
        assert stream.headers["vary"] == "Prefer, Authorization"
        for instant in (0, 15, 30):
            assert await stream.piece() == COMMENT
            assert trio.current_time() == instant
        await trio.sleep(1)
        await client.submit()
        assert [event["status"] for event in await stream.events()] == ["pending"]
        assert [event["status"] for event in await stream.events()] == ["running"]
        assert trio.current_time() == 31 + 0.02 + 0.001
        assert [event["status"] for event in await stream.events()] == ["completed"]
        assert trio.current_time() == 41
        assert await stream.piece() == COMMENT
        assert trio.current_time() == 56


async def test_a_client_may_prefer_comments_more_often(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Every so many seconds, 1 at least and 15 at most."""
    async with open_app() as client:
        for wished, every in (("5", 5), ("0", 1), ("60", 15)):
            began = trio.current_time()
            async with streaming(client, {"Prefer": f"wait={wished}"}) as stream:
                assert stream.headers["preference-applied"] == f"wait={every}"
                for instant in (0, every, 2 * every):
                    assert await stream.piece() == COMMENT
                    assert trio.current_time() - began == instant


async def test_what_comes_soon_after_a_piece_is_gathered(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The first change is told at once, those of the 20 ms after it together."""
    async with open_app() as client, streaming(client) as stream:
        assert await stream.piece() == COMMENT
        await trio.sleep(1)
        first = (await client.submit()).json()["id"]
        assert [event["id"] for event in await stream.events()] == [first]
        assert trio.current_time() == 1
        later = {(await client.submit()).json()["id"] for _ in range(3)}
        told = await stream.events()
        assert {event["id"] for event in told} == {first, *later}
        assert len(told) == 7  # the first begins to run, the others come and do so
        assert trio.current_time() == 1.021


async def test_a_stream_may_tell_documents_too(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Beside the event of an end, where the client prefers that."""
    async with open_app() as client:
        job_id = (await client.submit()).json()["id"]
        wish = {"Prefer": "wait=5, return=representation"}
        async with streaming(client, wish) as stream:
            applied = stream.headers["preference-applied"]
            assert applied == "wait=5, return=representation"
            told = await stream.events()
            while told[-1]["status"] != "completed":
                assert all("translation" not in event for event in told)
                told = await stream.events(skip_comments=True)
            document = (await client.get(f"/v1/translations/{job_id}")).json()
            assert told[-1]["translation"] == document


async def test_a_stream_tells_what_the_feed_tells(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The same objects, from the oldest or from after a cursor, in one or in parts."""
    async with open_app(workers=1) as client:
        for _ in range(2):
            await client.submit()
        await trio.sleep(10.5)
        whole = (await client.get("/v1/events")).json()["events"]
        assert len(whole) == 5
        async with streaming(client) as stream:
            assert await stream.events() == whole
        async with streaming(client, limit=2) as stream:
            parts = [await stream.events() for _ in range(3)]
            assert parts == [whole[:2], whole[2:4], whole[4:]]
            assert trio.current_time() == 10.5
        async with streaming(client, after=whole[1]["cursor"]) as stream:
            assert await stream.events() == whole[2:]


async def test_a_client_that_comes_again_goes_on_where_it_was(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """Its last event's id beats the cursor in the address; it is checked like one."""
    async with open_app(workers=1) as client:
        await client.submit()
        await trio.sleep(10.5)
        whole = (await client.get("/v1/events")).json()["events"]
        last = {"Last-Event-ID": whole[1]["cursor"]}
        async with streaming(client, last, after=whole[0]["cursor"]) as stream:
            assert await stream.events() == whole[2:]
        last = {"Last-Event-ID": whole[2]["cursor"]}
        async with streaming(client, last, after="nonsense") as stream:
            assert await stream.piece() == COMMENT
        # It is the stream's own header: who asks for JSON has said where it is.
        answer = await client.get("/v1/events", headers=last)
        assert answer.json()["events"] == whole

        for text, status, kind in (
            ("nonsense", 400, "bad-cursor"),
            ("00000000.1", 410, "expired-cursor"),
        ):
            headers = {"Accept": "text/event-stream", "Last-Event-ID": text}
            answer = await client.get("/v1/events", headers=headers)
            check_problem(answer, status, kind)


async def test_a_stream_ends_when_the_server_stops(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """In order: after a last comment the answer is whole; and none is begun."""
    async with open_app() as client, streaming(client) as stream:
        assert await stream.piece() == COMMENT
        await trio.sleep(2)
        client.service.refuse_work()
        assert await stream.piece() == COMMENT
        assert await stream.piece() is None
        assert trio.current_time() == 2
        async with streaming(client) as late:
            assert await late.piece() == COMMENT
            assert await late.piece() is None


async def test_others_events_move_the_cursor_on(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """So a client that hears of nothing for long goes on from what is still kept."""
    now = Instant(0, datetime(2026, 1, 2, 12, tzinfo=UTC))
    key, record = new_key("ours", now)
    ours = {"Authorization": f"Bearer {key}"}
    other_key, other_record = new_key("theirs", now)
    theirs = {"Authorization": f"Bearer {other_key}"}
    async with open_app(keys=[record, other_record], keep=100) as client:

        async def submit(headers: dict[str, str]) -> None:
            video = {"video": ("clip.mp4", b"video")}
            form = {"target_language": "pt"}
            answer = await client.post(
                "/v1/translations", files=video, data=form, headers=headers
            )
            assert answer.status_code == 202

        async def cursor() -> str:
            answer = await client.get("/v1/events", headers=theirs)
            return str(answer.json()["next"])

        await submit(ours)
        await trio.sleep(10.5)
        async with streaming(client, ours) as stream:
            begun = (await stream.events())[-1]["cursor"]
            assert await stream.piece() == COMMENT
            await submit(theirs)
            await trio.sleep(10.5)
            assert await stream.piece() == f"id: {await cursor()}\n\n".encode()
            assert await stream.piece() == COMMENT

        await trio.sleep(200)
        async with streaming(client, {**ours, "Last-Event-ID": begun}) as stream:
            assert stream.status == 410
        last = {**ours, "Last-Event-ID": await cursor()}
        async with streaming(client, last) as stream:
            assert await stream.piece() == COMMENT


async def test_a_client_is_told_at_once_how_far_the_feed_is(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Where it has come with an older cursor, after which others alone had events."""
    now = Instant(0, datetime(2026, 1, 2, 12, tzinfo=UTC))
    key, record = new_key("ours", now)
    ours = {"Authorization": f"Bearer {key}"}
    async with open_app() as client:
        first = (await client.get("/v1/events")).json()["next"]
        await client.submit()
        last = (await client.get("/v1/events")).json()["next"]
        await client.store.add_api_key(record)
        await trio.sleep(20)
        async with streaming(client, {**ours, "Last-Event-ID": first}) as stream:
            piece = await stream.piece()
            assert piece is not None
            assert piece.startswith(b"id: ")
            assert b"data" not in piece
            assert last != first
            assert await stream.piece() == COMMENT


async def test_a_stream_counts_as_held(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """For as long as it lasts, and no longer: also where its client takes nothing."""
    async with open_app(limits=Limits(held=2)) as client:
        async with streaming(client) as first, streaming(client):
            assert client.service.board.held == 2
            headers = {"Accept": "text/event-stream"}
            answer = await client.get("/v1/events", headers=headers)
            check_problem(answer, 429, "too-many-held")
            assert await first.piece() == COMMENT
            await wait_all_tasks_blocked()
        assert client.service.board.held == 0


async def test_a_stream_ends_when_its_key_is_revoked(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """It tells nothing more, and ends at its next piece; another key's goes on."""
    now = Instant(0, datetime(2026, 1, 2, 12, tzinfo=UTC))
    key, record = new_key("ours", now)
    other_key, other_record = new_key("theirs", now)
    ours = {"Authorization": f"Bearer {key}"}
    theirs = {"Authorization": f"Bearer {other_key}"}
    async with (
        open_app(keys=[record, other_record]) as client,
        streaming(client, ours) as stream,
        streaming(client, theirs) as other,
    ):
        for instant in (0, 15):
            assert await stream.piece() == COMMENT
            assert await other.piece() == COMMENT
            assert trio.current_time() == instant
        await client.store.revoke_api_key(record.id, now)
        assert await stream.piece() is None
        assert trio.current_time() == 30
        assert await other.piece() == COMMENT
        answer = await client.get("/v1/events", headers=ours)
        check_problem(answer, 401, "unauthorized")


async def test_a_stream_ends_when_the_first_key_is_added(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """From then on every request needs one."""
    now = Instant(0, datetime(2026, 1, 2, 12, tzinfo=UTC))
    async with open_app() as client, streaming(client) as stream:
        assert await stream.piece() == COMMENT
        await client.store.add_api_key(new_key("ours", now)[1])
        assert await stream.piece() is None
        assert trio.current_time() == 15


async def test_a_stream_that_fell_behind_ends(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """What it has not taken is not kept any more: coming again, it is told so."""
    async with open_app(keep=100) as client:
        await client.submit()
        await trio.sleep(1)
        async with streaming(client, limit=1) as stream:
            await trio.sleep_until(116)
            assert [event["status"] for event in await stream.events()] == ["pending"]
            assert await stream.piece() is None


async def test_the_kind_of_feed_is_what_the_client_takes(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """JSON unless a stream is liked better."""
    async with open_app() as client:
        for accept in (
            *("*/*", "application/json", "text/html", ""),
            "text/event-stream;q=0.5, application/json",
        ):
            answer = await client.get("/v1/events", headers={"Accept": accept})
            assert answer.headers["Content-Type"] == "application/json", accept
        liked = {"Accept": "application/json;q=0.1, text/event-stream"}
        async with streaming(client, liked) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
