"""The wire of a translation server: job documents below `/v1/translations`."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import IO, Self
from urllib.parse import quote

from .._checks import check_number, shorten
from .._errors import BadAnswer
from .._job import Job
from .._source import Answer, Answers, Capabilities, Changes, ChangeStream
from .._threads import in_thread
from ._change_streams import EventPieces, WholeAnswer
from ._documents import parse_job, parse_object
from ._http import TRANSFER_TIMEOUT, Framed, HttpEdge, quote_id
from ._lists import parse_answers, parse_changes
from ._meanings import feed_refusal, refusal
from ._reading import Reply
from ._results import ResultStream, open_result

_COLLECTION = "/v1/translations"
_FEED = "/v1/events"
_DOCUMENTS = "return=representation"


class TranslationsSource:
    """A server that speaks in job documents, of one or of many, and of changes."""

    capabilities = Capabilities(
        status_of_many=True, held_status=True, change_feed=True, event_stream=True
    )

    def __init__(self, http: HttpEdge) -> None:
        self._http = http

    @property
    def remote(self) -> object:
        """What is asked: equal for sources that ask one server over one client."""
        return self._http.remote

    async def status(self, job_id: str) -> Answer:
        """Ask once; see `StatusSource`.

        A server that gives documents a tag is told which one is here already; that it
        has not changed since is a good answer as well.
        """
        path, kept = f"{_COLLECTION}/{quote_id(job_id)}", self._http.kept
        # Held on to, because another question about the job may replace it meanwhile.
        known = kept.of(job_id)
        seen = {} if known is None else {"If-None-Match": known.etag}
        reply = await self._http.ask("GET", path, headers=seen)
        etag = reply.headers.get("etag")
        if known is None or reply.status != 304:
            answer = _answer(reply, job_id)
            kept.keep(job_id, answer.job, etag)
            return answer
        if not known.is_of(etag):
            kept.forget(job_id)
            raise BadAnswer(
                f"the answer is that {shorten(etag)} is unchanged, and the question was"
                f" about {shorten(known.etag)}",
                status_code=reply.status,
                hint=reply.hint,
                size=len(reply.body),
            )
        return _about(known.job, reply)

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """Ask once about several jobs; see `ManySource`.

        A job may be neither answered about nor missing: what the server said of it
        could not be read. Cancelling it leaves nothing behind.

        Raises:
            ValueError: there are no ids, or more than one request may name; or `wait`
                is no number of seconds.
        """
        ids = self._check_ids(job_ids)
        reply = await self._http.ask(
            "GET",
            _COLLECTION,
            query=f"ids={','.join([quote(job_id, safe='') for job_id in ids])}",
            headers=_preferring(wait),
        )
        return _answers(reply, ids)

    async def changes(self, after: str | None, *, wait: float | None = None) -> Changes:
        """Ask once for what changed after a cursor; see `FeedSource`.

        A change that cannot be read is left out. Cancelling it leaves nothing behind.

        Raises:
            CursorExpired: the cursor is too old for this server, or of another.
            ValueError: `wait` is no number of seconds.
        """
        reply = await self._http.ask(
            "GET",
            _FEED,
            query="" if after is None else _after(after),
            headers=_preferring(wait, _DOCUMENTS),
            meaning=refusal if after is None else partial(feed_refusal, cursor=after),
        )
        return _changes(reply)

    @asynccontextmanager
    async def follow(self, after: str, *, wait: float) -> AsyncIterator[ChangeStream]:
        """Ask for what changes after a cursor, as it does; see `StreamSource`.

        A change that cannot be read is left out. Cancelling it leaves nothing behind.

        Raises:
            CursorExpired: the cursor is too old for this server, or of another.
            ValueError: `wait` is no number of seconds.
        """
        async with self._http.follow(
            _FEED,
            query=_after(after),
            headers=_preferring(wait, _DOCUMENTS),
            meaning=partial(feed_refusal, cursor=after),
        ) as (reply, pieces):
            if pieces is None:
                yield WholeAnswer(_changes(reply))
            else:
                yield EventPieces(after, reply, pieces)

    async def submit(
        self,
        video: IO[bytes],
        *,
        name: str,
        fields: Mapping[str, str],
        idempotency_key: str,
    ) -> Answer:
        """Send a video, streamed; the same key cannot make a second job."""
        # The library frames the parts; reading the file is left to threads, because a
        # slow disk must not hold the loop up.
        framed = self._http.frame(fields, {"video": (name, video)})
        reply = await self._http.ask(
            "POST",
            _COLLECTION,
            headers={**framed.headers, "Idempotency-Key": f'"{idempotency_key}"'},
            content=_InThreads(framed),
            timeout=TRANSFER_TIMEOUT,
        )
        return _answer(reply, "")

    async def cancel(self, job_id: str) -> Answer:
        """Tell the server to cancel a job; harmless if it has ended already."""
        path = f"{_COLLECTION}/{quote_id(job_id)}/cancel"
        return _answer(await self._http.ask("POST", path), job_id)

    async def cancel_many(self, job_ids: Sequence[str]) -> Answers:
        """Tell the server to cancel several jobs, harmlessly, in one request.

        If it is cancelled itself, the server may have cancelled the jobs all the same.

        Raises:
            TransientError: no good answer; asking again does no harm.
            Refused: there will be none.
            ValueError: there are no ids, or more than one request may name.
        """
        ids = self._check_ids(job_ids)
        reply = await self._http.ask(
            "POST",
            f"{_COLLECTION}/cancel",
            headers={"Content-Type": "application/json"},
            content=json.dumps({"ids": ids}).encode(),
        )
        return _answers(reply, ids)

    def open_result(
        self, url: str, *, offset: int, etag: str | None
    ) -> AbstractAsyncContextManager[ResultStream]:
        """Open a result, from `offset` on if it is still the one that `etag` names."""
        return open_result(self._http, url, offset=offset, etag=etag)

    def _check_ids(self, job_ids: Sequence[str]) -> list[str]:
        """Return the ids, each once.

        Raises:
            ValueError: they are not what one request may name.
        """
        most = self.capabilities.most_ids
        if isinstance(job_ids, str) or not 1 <= len(job_ids) <= most:
            raise ValueError(
                f"job_ids={shorten(job_ids)} is not allowed: must be a list of 1 to"
                f" {most} ids"
            )
        for job_id in job_ids:
            if not isinstance(job_id, str) or not job_id:
                raise ValueError(
                    f"job_ids with {shorten(job_id)} among them is not allowed: each"
                    " must be a text, and not empty"
                )
        return list(dict.fromkeys(job_ids))


def _preferring(wait: float | None, *others: str) -> dict[str, str]:
    """Ask to have the answer held for so many seconds (RFC 7240, section 4.3)."""
    preferences = [*others]
    if wait is not None:
        check_number("wait", wait, least=0, most=86_400)
        preferences.insert(0, f"wait={math.ceil(wait)}")
    return {"Prefer": ", ".join(preferences)} if preferences else {}


def _answer(reply: Reply, job_id: str) -> Answer:
    def parse(body: bytes) -> Job:
        return parse_job(parse_object(body), job_id=job_id)

    return _about(reply.parse(parse), reply)


def _about(job: Job, reply: Reply) -> Answer:
    """Put what the headers tell beside a job."""
    return Answer(
        job=job,
        age=reply.seconds("Job-Age"),
        hint=reply.hint,
        ended_ago=reply.seconds("Job-Ended-Ago"),
        run_time=reply.seconds("Job-Run-Time"),
        size=len(reply.body),
        cursor=reply.cursor,
    )


def _after(cursor: str) -> str:
    return f"after={quote(cursor, safe='')}"


def _changes(reply: Reply) -> Changes:
    changes, following = reply.parse(parse_changes)
    return Changes(
        changes=changes,
        next=following,
        held=reply.is_held,
        hint=reply.hint,
        size=len(reply.body),
    )


def _answers(reply: Reply, ids: Sequence[str]) -> Answers:
    cursor = reply.cursor
    parse = partial(parse_answers, asked=ids, cursor=cursor, hint=reply.hint)
    answers, missing = reply.parse(parse)
    return Answers(
        answers=answers,
        missing=missing,
        held=reply.is_held,
        cursor=cursor,
        hint=reply.hint,
        size=len(reply.body),
    )


class _InThreads:
    """Draw from a blocking iterator, each step in a thread.

    No async generator: one that is dropped half-way must be closed by somebody, and
    an upload that the server refuses is dropped half-way.

    Raises:
        OSError: the file grew or shrank while it was read.
    """

    def __init__(self, framed: Framed) -> None:
        self._chunks = iter(framed.stream)
        self._left = int(framed.headers["content-length"])

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await in_thread(next, self._chunks, None)
        self._left -= len(chunk or b"")
        if self._left < 0 or (chunk is None and self._left):
            raise OSError(errno.EIO, "the file changed while it was sent")
        if chunk is None:
            raise StopAsyncIteration
        return chunk
