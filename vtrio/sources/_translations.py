"""The wire of a translation server: job documents below `/v1/translations`."""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Self

from .._errors import BadAnswer
from .._job import Job
from .._source import Answer, Capabilities
from .._threads import in_thread
from ._documents import parse_job, parse_object
from ._http import TRANSFER_TIMEOUT, Framed, HttpEdge, quote_id
from ._reading import Reply

_COLLECTION = "/v1/translations"
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultStream:
    """A result on its way: bytes from `offset` on, of `total` if that is known."""

    offset: int
    end: int | None
    total: int | None
    etag: str | None
    chunks: AsyncIterator[bytes]


class TranslationsSource:
    """A server that speaks in job documents."""

    capabilities = Capabilities()

    def __init__(self, http: HttpEdge) -> None:
        self._http = http

    @property
    def remote(self) -> object:
        """What is asked: equal for sources that ask one server over one client."""
        return self._http.remote

    async def status(self, job_id: str) -> Answer:
        """Ask once; see `StatusSource`."""
        reply = await self._http.ask("GET", f"{_COLLECTION}/{quote_id(job_id)}")
        return _answer(reply, job_id)

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

    @asynccontextmanager
    async def open_result(
        self, url: str, *, offset: int, etag: str | None
    ) -> AsyncIterator[ResultStream]:
        """Open a result, from `offset` on if it is still the one that `etag` names."""
        headers = {}
        if offset and etag:
            headers = {"Range": f"bytes={offset}-", "If-Range": etag}
        async with self._http.stream(url, headers=headers) as (reply, chunks):
            if reply.headers.get("content-encoding", "identity") != "identity":
                raise BadAnswer("the result is compressed, though identity was asked")
            if reply.status == 206 and not headers:
                raise BadAnswer("a part of the result came where all of it was asked")
            offset, end, total = _extent(reply)
            yield ResultStream(
                offset=offset,
                end=end,
                total=total,
                etag=_strong(reply.headers.get("etag")),
                chunks=chunks,
            )


def _answer(reply: Reply, job_id: str) -> Answer:
    def parse(body: bytes) -> Job:
        return parse_job(parse_object(body), job_id=job_id)

    return Answer(
        job=reply.parse(parse),
        age=reply.seconds("Job-Age"),
        hint=reply.hint,
        ended_ago=reply.seconds("Job-Ended-Ago"),
        run_time=reply.seconds("Job-Run-Time"),
        size=len(reply.body),
    )


def _extent(reply: Reply) -> tuple[int, int | None, int | None]:
    """Tell where the bytes of an answer begin and end, and how many the whole has."""
    if reply.status != 206:
        length = reply.headers.get("content-length", "")
        whole = int(length) if length.isdecimal() else None
        return 0, whole, whole
    told = reply.headers.get("content-range", "")
    match = _CONTENT_RANGE.fullmatch(told.strip())
    if match is None or match[1] is None:
        raise BadAnswer(f"the partial answer has no usable Content-Range: {told!r}")
    total = None if match[3] == "*" else int(match[3])
    return int(match[1]), int(match[2]) + 1, total


def _strong(etag: str | None) -> str | None:
    """Only a strong validator may join two halves (RFC 9110, section 13.1.5)."""
    return etag if etag and etag.startswith('"') else None


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
