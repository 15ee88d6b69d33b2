"""The change feed: an answer that is held while there is nothing to tell, or a stream.

A stream follows the WHATWG text on server-sent events: an event's `id` is its cursor,
which comes back as `Last-Event-ID` when a client connects again. An `id` without data
is no event, and moves that cursor on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, cast

import trio
from quart import Response, request
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio

from . import documents, queries
from .access import Access
from .answers import client, facts, json_answer
from .asgi import Scope
from .board import feed_of
from .documents import event_document, format_cursor
from .errors import ExpiredCursor, Unauthorized
from .preferences import REPRESENTATION, read_wait, wants_representation
from .requests import address_of
from .service import JobService
from .store import EventPage

_STREAM = "text/event-stream"
# Seconds after which a stream with nothing to tell says that it is alive: proxies cut
# what is silent for a minute, or for half of one. A client may prefer less, with `wait`.
_HEARTBEAT = 15
_COMMENT = b":\n\n"
# Seconds between two pieces of a stream, and how many more for each event in the first:
# what comes meanwhile goes together, so that many changes do not wake anybody for each.
_GATHER = 0.02
_GATHER_EACH = 0.001
_LONGEST_GATHER = 0.1


def add_feed_routes(app: QuartTrio, service: JobService, access: Access) -> None:
    """Add them to the app."""

    @app.get("/v1/events")
    async def follow() -> Response:
        streams = _wants_stream()
        cursor = request.headers.get("Last-Event-ID") if streams else None
        if cursor is None:
            cursor = queries.read_one(request.args, "after")
        after = queries.read_cursor(cursor, store_id=service.store.id)
        limit = queries.read_count(
            request.args,
            "limit",
            default=queries.MOST_EVENTS,
            most=queries.MOST_EVENTS,
        )
        if streams:
            return await _stream(service, access, after, limit)
        return await _answer(service, after, limit)


async def _stream(
    service: JobService, access: Access, after: int | None, limit: int
) -> Response:
    who, store, board = client(), service.store, service.board
    page = await store.events(who.owner, after, limit)
    facts().closing.enter_context(board.holding(who.name))
    authorization = request.headers.getlist("Authorization")
    address = address_of(cast("Scope", request.scope))

    async def may_go_on() -> bool:
        try:
            return await access.client(authorization, address) == who
        except Unauthorized:
            return False

    prefer = request.headers.getlist("Prefer")
    wait, whole = read_wait(prefer), wants_representation(prefer)
    if wait is not None:
        wait = max(1, min(wait, _HEARTBEAT))
    events = EventStream(
        service,
        who.owner,
        page,
        limit,
        may_go_on,
        after=page.next if after is None else after,
        heartbeat=_HEARTBEAT if wait is None else wait,
        whole=whole,
    )
    return Response(
        # The body of a HEAD would be read to an end that it has not.
        b"" if request.method == "HEAD" else events,
        headers={
            **documents.ABOUT_JOBS,
            "X-Accel-Buffering": "no",
            **_applied(wait, whole=whole),
        },
        content_type=_STREAM,
    )


async def _answer(service: JobService, after: int | None, limit: int) -> Response:
    who, store, board = client(), service.store, service.board

    async def look() -> EventPage:
        return await store.events(who.owner, after, limit)

    prefer = request.headers.getlist("Prefer")
    wait, whole = read_wait(prefer), wants_representation(prefer)
    if wait is None:
        page = await look()
    else:
        page = await board.hold(
            look, _has_events, [feed_of(who.owner)], client=who.name, seconds=wait
        )
    following = format_cursor(store.id, page.next)
    described = _described(page, service)
    if whole:
        await _add_documents(described, page, service, who.owner)
    return json_answer(
        {"events": described, "next": following},
        headers={
            **documents.ABOUT_JOBS,
            "Events-Cursor": following,
            **_applied(wait, whole=whole),
        },
    )


class EventStream(ResponseBody):
    """The events of an owner as they come, after what the client knows of already.

    It ends when the client leaves, its key is revoked or the server stops: a stream may
    last for days, so each piece asks anew whether its client may hear it. It begins at
    once, with a comment if there is nothing else, so that a client knows that it is
    connected.
    """

    def __init__(
        self,
        service: JobService,
        owner: str,
        page: EventPage,
        limit: int,
        may_go_on: Callable[[], Awaitable[bool]],
        *,
        after: int,
        heartbeat: int,
        whole: bool,
    ) -> None:
        self._service = service
        self._owner = owner
        self._page: EventPage | None = page
        self._after = page.next
        self._told = after
        self._limit = limit
        self._may_go_on = may_go_on
        self._heartbeat = heartbeat
        self._whole = whole
        self._gathers_until = -math.inf

    async def __aenter__(self) -> Self:
        """Open nothing."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close nothing."""

    def __aiter__(self) -> Self:
        """Iterate over itself, once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next events, or a sign of life where there are none for a while."""
        page, self._page = self._page, None
        if page is None:
            until = trio.current_time() + self._heartbeat
            if self._gathers_until > trio.current_time():
                await trio.sleep_until(self._gathers_until)
            try:
                if self._service.board.released:
                    page = await self._look()  # for what came while it gathered
                    if not page.events:
                        raise StopAsyncIteration
                else:
                    page = await self._service.board.wait_for_news(
                        self._look,
                        _has_events,
                        [feed_of(self._owner)],
                        seconds=until - trio.current_time(),
                    )
            except ExpiredCursor:
                # It fell so far behind that events are gone; asking again tells it so.
                raise StopAsyncIteration from None
            if not await self._may_go_on():
                raise StopAsyncIteration
        self._after = page.next
        if not page.events:
            return self._sign_of_life(page.next)
        self._told = page.events[-1].cursor
        described = _described(page, self._service)
        if self._whole:
            await _add_documents(described, page, self._service, self._owner)
        if len(described) < self._limit:
            gather = min(_GATHER + _GATHER_EACH * len(described), _LONGEST_GATHER)
            self._gathers_until = trio.current_time() + gather
        return b"".join(map(_as_message, described))

    def _sign_of_life(self, cursor: int) -> bytes:
        """Return a comment, or the cursor if others' events have moved it on.

        Else a client for whom there is nothing for long would come again with one from
        before what is kept.
        """
        if cursor == self._told:
            return _COMMENT
        self._told = cursor
        return f"id: {format_cursor(self._service.store.id, cursor)}\n\n".encode()

    async def _look(self) -> EventPage:
        return await self._service.store.events(self._owner, self._after, self._limit)


def _has_events(page: EventPage) -> bool:
    return bool(page.events)


def _described(page: EventPage, service: JobService) -> list[documents.EventDocument]:
    for event in page.events:
        if event.status.is_final:
            service.metrics.told(event.job_id)
    return [event_document(event, store_id=service.store.id) for event in page.events]


async def _add_documents(
    described: Sequence[documents.EventDocument],
    page: EventPage,
    service: JobService,
    owner: str,
) -> None:
    """Put the documents of jobs that have ended beside the events that tell it."""
    ended = [event.job_id for event in page.events if event.status.is_final]
    if not ended:
        return
    records = {r.id: r for r in await service.get_many(ended, owner)}
    for event in described:
        record = records.get(event["id"])
        if record is not None and record.status == event["status"]:
            event["translation"] = documents.job_document(record)


def _as_message(event: documents.EventDocument) -> bytes:
    data = json.dumps(event, separators=(",", ":"))
    return f"id: {event['cursor']}\ndata: {data}\n\n".encode()


def _applied(wait: int | None, *, whole: bool) -> dict[str, str]:
    applied = [] if wait is None else [f"wait={wait}"]
    if whole:
        applied.append(REPRESENTATION)
    return {"Preference-Applied": ", ".join(applied)} if applied else {}


def _wants_stream() -> bool:
    kinds = ["application/json", _STREAM]
    return request.accept_mimetypes.best_match(kinds) == _STREAM
