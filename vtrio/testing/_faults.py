"""What can go wrong between a client and a server, one value each.

A fault stands in a job's script, where it holds for questions about that job, or is
given to `ScriptedServer.fault`, where it holds for whatever is asked.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cache

from .._checks import check_count, check_number, shorten
from .._names import publish
from ._replies import Coming, Cut, Pause, Piece, Reply, in_pieces, respond

_LONGEST_HEADER = 10**9


class Fault(ABC):
    """Something wrong with an answer, or with the way to it."""

    word: str | None = None
    """The status word that is told in place of the right one, if one is."""
    is_heard = False
    """Whether the client hears the right answer after all."""
    of_results_only = False
    """Whether it means downloads alone."""
    hides_the_job = False
    """Whether it says that there is no such job; in a list that one is missing then."""
    spoils_the_answer = True
    """Whether there is a right answer, for which a held request is held first."""

    @property
    def is_before_the_request(self) -> bool:
        """Whether not even the request gets through."""
        return False

    def lets_hear(self, *, held: bool) -> bool:
        """Tell whether the client hears the answer to a request, held or not."""
        return self.is_heard

    @abstractmethod
    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        """Make the answer that comes instead; `wall` is the server's time of day."""


@dataclass(frozen=True, slots=True)
class _Broken(Fault):
    """The connection ends, or nothing more comes."""

    name: str
    piece: Pause | Cut
    after_bytes: int | None = None

    def __repr__(self) -> str:
        inside = "" if self.after_bytes is None else f"after_bytes={self.after_bytes}"
        return f"{self.name}({inside})"

    @property
    def is_before_the_request(self) -> bool:
        return self.piece is Cut.REFUSED

    @property
    def spoils_the_answer(self) -> bool:  # type: ignore[override]
        return self.after_bytes is not None

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        if self.after_bytes is None:
            return Reply(before=(self.piece,))
        good = right()
        body = (*in_pieces(_whole(good)[: self.after_bytes]), self.piece)
        return replace(good, body=body, told=f"{good.told}, then {self.name}")


def refused() -> Fault:
    """Nobody listens: the connection is refused."""
    return _Broken("refused", Cut.REFUSED)


def reset(*, after_bytes: int | None = None) -> Fault:
    """The connection is reset: before the server has done anything, or later.

    With `after_bytes` the server does as it was asked, and so many bytes of its answer
    come through: `reset(after_bytes=0)` is a submission that was taken, and the client
    does not know.
    """
    _check_after(after_bytes)
    return _Broken("reset", Cut.RESET, after_bytes)


def hung_up(*, after_bytes: int | None = None) -> Fault:
    """The server closes the connection, as one that restarts does; see `reset`."""
    _check_after(after_bytes)
    return _Broken("hung_up", Cut.HUNG_UP, after_bytes)


def hang(*, after_bytes: int | None = None) -> Fault:
    """The connection is there, and nothing comes; see `reset`."""
    _check_after(after_bytes)
    return _Broken("hang", Pause(math.inf), after_bytes)


def _check_after(after_bytes: int | None) -> None:
    if after_bytes is not None:
        check_count("after_bytes", after_bytes, least=0)


@dataclass(frozen=True, slots=True)
class _Drops:
    """A body piece by piece, each after a pause; made as it is read."""

    body: bytes
    interval: float
    size: int

    def __iter__(self) -> Iterator[Piece]:
        return itertools.chain.from_iterable(
            (Pause(self.interval), piece) for piece in in_pieces(self.body, self.size)
        )


@dataclass(frozen=True, slots=True)
class _Drip(Fault):
    interval: float
    size: int
    is_heard = True

    def __repr__(self) -> str:
        size = "" if self.size == 1 else f", size={self.size}"
        return f"drip(interval={self.interval:g}{size})"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        good = right()
        drops = _Drops(_whole(good), self.interval, self.size)
        return replace(good, body=drops, told=f"{good.told}, dripping")


def drip(*, interval: float = 1.0, size: int = 1) -> Fault:
    """The right answer comes `size` bytes at a time, every `interval` seconds."""
    check_number("interval", interval, above=0)
    check_count("size", size)
    return _Drip(float(interval), size)


@dataclass(frozen=True, slots=True)
class _Instead(Fault):
    """Another answer than the right one."""

    name: str
    reply: Reply
    hides_the_job: bool = False
    spoils_the_answer = False

    def __repr__(self) -> str:
        return self.name

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        return self.reply


@dataclass(frozen=True, slots=True)
class _Busy(Fault):
    name: str
    status: int
    retry_after: float | None
    as_date: bool
    spoils_the_answer = False

    def __repr__(self) -> str:
        hint = "" if self.retry_after is None else f"retry_after={self.retry_after:g}"
        date = ", as_date=True" if self.as_date else ""
        return f"{self.name}({hint}{date})"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        headers = {"content-type": "application/problem+json"}
        told = ""
        if self.retry_after is not None:
            headers |= _retry_after(self.retry_after, wall if self.as_date else None)
            told = f"Retry-After: {headers['retry-after']}"
        problem = {"type": "about:blank", "title": "Not now", "status": self.status}
        return replace(respond(self.status, json=problem, headers=headers), told=told)


def _retry_after(seconds: float, wall: datetime | None) -> dict[str, str]:
    """Write a hint: whole seconds, or the date that is so far from the time of day."""
    whole = math.ceil(seconds)
    if wall is None:
        return {"retry-after": str(whole)}
    until = wall + timedelta(seconds=whole)
    return {
        "retry-after": format_datetime(until, usegmt=True),
        "date": format_datetime(wall, usegmt=True),
    }


def too_many(*, retry_after: float | None = None, as_date: bool = False) -> Fault:
    """429; `retry_after` seconds go as whole seconds, or as an HTTP date."""
    return _busy("too_many", 429, retry_after, as_date)


def busy(*, retry_after: float | None = None, as_date: bool = False) -> Fault:
    """503; `retry_after` likewise."""
    return _busy("busy", 503, retry_after, as_date)


def _busy(name: str, status: int, retry_after: float | None, as_date: bool) -> Fault:
    if retry_after is not None:
        check_number("retry_after", retry_after, least=0, most=_LONGEST_HEADER)
    elif as_date:
        raise ValueError(
            "as_date=True without retry_after is not allowed: must say which date"
        )
    return _Busy(name, status, retry_after, as_date)


def server_error(status: int = 500) -> Fault:
    """The server is at fault: 500, or what you say, with a page of HTML."""
    check_number("status", status, least=500, most=599)
    return _Instead(f"server_error({status})", _page(status, "Something went wrong"))


def html(status: int = 200) -> Fault:
    """A page for people where JSON was expected, as proxies and log-ins send it."""
    check_number("status", status, least=200, most=599)
    return _Instead(f"html({status})", _page(status, "Please log in"))


def not_found() -> Fault:
    """404, as from a replica that has not heard of the job yet."""
    problem = {
        "type": "urn:vtrio:problem:unknown-job",
        "title": "There is no such job",
        "status": 404,
    }
    headers = {"content-type": "application/problem+json"}
    reply = respond(404, json=problem, headers=headers)
    return _Instead("not_found()", reply, hides_the_job=True)


@dataclass(frozen=True, slots=True)
class _Truncated(Fault):
    def __repr__(self) -> str:
        return "truncated()"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        good = right()
        body = _whole(good)
        return _with_body(good, body[: len(body) // 2], "cut in half")


def truncated() -> Fault:
    """Half of the right answer, with a length that fits the half."""
    return _Truncated()


@dataclass(frozen=True, slots=True)
class _WrongLength(Fault):
    by: int

    def __repr__(self) -> str:
        return f"wrong_length(by={self.by})"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        good = right()
        length = max(0, len(_whole(good)) + self.by)
        headers = {**good.headers, "content-length": str(length)}
        return replace(good, headers=headers, told=f"{good.told}, told as {length} B")


def wrong_length(*, by: int = 10) -> Fault:
    """The right answer with a Content-Length that is `by` too large, or too small."""
    if not isinstance(by, int) or by == 0 or isinstance(by, bool):
        raise ValueError(
            f"by={shorten(by)} is not allowed: must be a whole number other than 0"
        )
    return _WrongLength(by)


@cache
def _packed(megabytes: int) -> bytes:
    """Pack zeros: one deflated megabyte, repeated, because packing each takes long."""
    megabyte = bytes(2**20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(megabytes):
        crc = zlib.crc32(megabyte, crc)
    head = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # RFC 1952, section 2.3
    length = megabytes * 2**20 % 2**32
    tail = packer.flush() + struct.pack("<II", crc, length)
    return head + deflated * megabytes + tail


@dataclass(frozen=True, slots=True)
class _GzipBomb(Fault):
    megabytes: int

    def __repr__(self) -> str:
        return f"gzip_bomb(megabytes={self.megabytes})"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        packed = respond(200, body=_packed(self.megabytes), headers=headers)
        return replace(packed, told="gzip bomb")


def gzip_bomb(*, megabytes: int = 512) -> Fault:
    """A small compressed answer that inflates to so many megabytes."""
    check_count("megabytes", megabytes)
    return _GzipBomb(megabytes)


@dataclass(frozen=True, slots=True)
class _Says(Fault):
    word: str

    def __repr__(self) -> str:
        return f"says({self.word!r})"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        return right()


def says(word: str) -> Fault:
    """The right answer with another status word: an unknown one, or one of before."""
    if not isinstance(word, str):
        raise ValueError(f"word={shorten(word)} is not allowed: must be a status word")
    return _Says(word)


@dataclass(frozen=True, slots=True)
class _AsksToWait(Fault):
    seconds: int
    as_date: bool
    is_heard = True

    def __repr__(self) -> str:
        return f"asks_to_wait({self.seconds}{', as_date=True' * self.as_date})"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        good = right()
        hint = _retry_after(self.seconds, wall if self.as_date else None)
        told = f"{good.told}, Retry-After: {hint['retry-after']}"
        return replace(good, headers={**good.headers, **hint}, told=told)


def asks_to_wait(seconds: int, *, as_date: bool = False) -> Fault:
    """No fault: the right answer, with a Retry-After of whole seconds or as a date."""
    check_count("seconds", seconds, least=0)
    check_number("seconds", seconds, most=_LONGEST_HEADER)
    return _AsksToWait(seconds, as_date)


@dataclass(frozen=True, slots=True)
class _Buffering(Fault):
    def __repr__(self) -> str:
        return "buffering()"

    def lets_hear(self, *, held: bool) -> bool:
        return not held

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        good = right()
        if "preference-applied" not in good.headers:
            return good
        return Reply(before=(Pause(math.inf),))


def buffering() -> Fault:
    """A proxy that keeps what it gets until it has got more than that.

    Its buffer is larger than an answer, and is passed on when it is full or the
    connection to the server ends. An ordinary answer has an end that the proxy can see,
    and comes through at once. One that the client wants held (`Prefer: wait`) never
    comes, though the server has long answered it: neither at a change, nor after the
    seconds that were asked for. To the client it is a silence that outlasts the hold.
    """
    return _Buffering()


@dataclass(frozen=True, slots=True)
class _ExpiredLink(Fault):
    of_results_only = True
    spoils_the_answer = False

    def __repr__(self) -> str:
        return "expired_link()"

    def spoil(self, right: Callable[[], Reply], wall: datetime) -> Reply:
        problem = {"type": "about:blank", "title": "Expired", "status": 403}
        headers = {"content-type": "application/problem+json"}
        return replace(respond(403, json=problem, headers=headers), told="expired link")


def expired_link() -> Fault:
    """A download finds its link expired: 403; the job's document has a fresh one."""
    return _ExpiredLink()


def _page(status: int, text: str) -> Reply:
    body = f"<!doctype html><title>{text}</title><h1>{text}</h1>\n"
    reply = respond(status, body=body, headers={"content-type": "text/html"})
    return replace(reply, told="HTML")


def _whole(reply: Reply) -> bytes:
    if isinstance(reply.body, Coming):
        return b""  # it has no end, and nothing of it is known yet
    return b"".join(piece for piece in reply.body if isinstance(piece, bytes))


def _with_body(reply: Reply, body: bytes, how: str) -> Reply:
    headers = {**reply.headers, "content-length": str(len(body))}
    return replace(reply, headers=headers, body=(body,), told=f"{reply.told}, {how}")


publish(Fault, by="vtrio.testing")
