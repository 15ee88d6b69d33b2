"""Reading answers, bounded: their headers once, their bodies up to a limit."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import trio

from .._checks import shorten
from .._errors import BadAnswer
from ._headers import parse_retry_after, parse_seconds

# A cursor goes into an address, again and again.
_CURSOR = re.compile(r"[\x21-\x7e]{1,1024}")
# Closing a connection needs no round trip; a second is generous.
CLEAN_UP_TIME = 1.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def hint(self) -> float | None:
        """The pause that the server asks for, in seconds."""
        return hint_of(self.headers)

    @property
    def cursor(self) -> str | None:
        """Where a feed of changes goes on after this answer."""
        return read_cursor(self.headers.get("events-cursor"))

    @property
    def is_held(self) -> bool:
        """Tell whether the server honours the wish to hold an answer back (RFC 7240)."""
        return "wait" in self.headers.get("preference-applied", "").lower()

    def seconds(self, header: str) -> float | None:
        """Read a header that carries decimal seconds."""
        return parse_seconds(self.headers.get(header.lower()))

    def parse(self, parser: Callable[[bytes], _T]) -> _T:
        """Read the body, giving what is known of the answer to an error."""
        try:
            return parser(self.body)
        except BadAnswer as error:
            error.status_code = self.status
            error.size = len(self.body)
            error.hint = self.hint
            raise


def read_cursor(value: object) -> str | None:
    """Return what can be a cursor: visible ASCII characters, 1,024 at most."""
    fits = isinstance(value, str) and _CURSOR.fullmatch(value)
    return value if fits else None  # type: ignore[return-value]


def hint_of(headers: Mapping[str, str]) -> float | None:
    """Return the pause that an answer asks for, in seconds."""
    text = headers.get("retry-after")
    return None if text is None else parse_retry_after(text, date=headers.get("date"))


def told_by(response: Any) -> dict[str, str]:
    """Read the headers once: each look-up in the library's own goes through all."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in response.headers.raw
    }


async def read(response: Any, limit: int) -> tuple[dict[str, str], bytes]:
    """Read headers and body, `limit` bytes at most, before and after inflating.

    Reading to the end gives the connection back; anything else closes it.

    Raises:
        BadAnswer: it is longer, or packed in a way that was not asked for.
    """
    received = 0
    chunks = []
    told = told_by(response)
    try:
        # A hook or a mock of the caller's may have read it all, and unpacked it.
        if response.is_stream_consumed:
            return told, _short(response.content, limit)
        inflate = _inflater(told.get("content-encoding"), limit)
        async for chunk in response.aiter_raw():
            received += len(chunk)
            if received > limit:
                raise _too_long(limit)
            chunks.append(chunk if inflate is None else inflate.feed(chunk))
        if inflate is not None:
            inflate.finish()
    except BaseException as error:
        with trio.move_on_after(CLEAN_UP_TIME, shield=True):
            await response.aclose()
        if isinstance(error, BadAnswer):
            error.status_code = response.status_code
            error.hint = hint_of(told)
            error.size = received
        raise
    return told, b"".join(chunks)


def _short(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_long(limit)
    return body


def _too_long(limit: int) -> BadAnswer:
    return BadAnswer(f"the answer is longer than {limit} bytes")


def raw(response: Any) -> AsyncIterator[bytes]:
    """Stream a body as it came over the wire."""
    if response.is_stream_consumed:
        return _OneChunk(response.content)
    chunks: AsyncIterator[bytes] = response.aiter_raw()
    return chunks


async def give_up(
    pieces: AsyncIterator[bytes], errors: tuple[type[Exception], ...] = ()
) -> None:
    """End the library's generators as a cancelled read does, wherever they are.

    Otherwise they would be left half-way, and trio warn of each.
    """
    with trio.CancelScope() as scope, suppress(StopAsyncIteration, *errors):
        scope.cancel("nobody reads on")
        while True:
            await anext(pieces)


class _OneChunk:
    """A body that was read already, as the stream that it no longer is."""

    def __init__(self, body: bytes) -> None:
        self._left = [body]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class _Inflater:
    """Unpack gzip or zlib, and stop at a limit: 510 kB can become 512 MiB."""

    def __init__(self, limit: int) -> None:
        self._zlib = zlib.decompressobj(wbits=47)  # 32 + 15: either header
        self._left = limit

    def feed(self, chunk: bytes) -> bytes:
        try:
            data = self._zlib.decompress(chunk, self._left + 1)
        except zlib.error as error:
            raise BadAnswer(f"the compressed answer is broken: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise BadAnswer("the answer inflates beyond the limit")
        return data

    def finish(self) -> None:
        if not self._zlib.eof:
            raise BadAnswer("the compressed answer is cut short")


def _inflater(encoding: str | None, limit: int) -> _Inflater | None:
    match (encoding or "identity").strip().lower():
        case "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return _Inflater(limit)
        case other:
            raise BadAnswer(
                f"the answer is packed with {shorten(other)}, though identity was asked"
            )
