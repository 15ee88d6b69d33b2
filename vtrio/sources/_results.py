"""Results on their way: where their bytes begin and end, and which result it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .._errors import BadAnswer
from ._http import HttpEdge
from ._reading import Reply

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultStream:
    """A result on its way: bytes from `offset` on, of `total` if that is known."""

    offset: int
    end: int | None
    total: int | None
    etag: str | None
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def open_result(
    http: HttpEdge, url: str, *, offset: int, etag: str | None
) -> AsyncIterator[ResultStream]:
    """Open a result, from `offset` on if it is still the one that `etag` names."""
    headers = {}
    if offset and etag:
        headers = {"Range": f"bytes={offset}-", "If-Range": etag}
    async with http.stream(url, headers=headers) as (reply, chunks):
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
