"""The one way to an HTTP server: requests out, bounded answers in, errors mapped.

Works over an `httpx.AsyncClient` or an `httpx2.AsyncClient`, which share their
interface but not their exceptions.
"""

from __future__ import annotations

import functools
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import getproxies

import httpx
import trio

from .._checks import shorten
from .._errors import BadAnswer, Refused, RemoteError
from .._version import __version__
from ._events import EVENT_STREAM
from ._kept import KeptJobs
from ._meanings import (
    foreign_errors,
    refusal,
    shown,
    translate_error,
    unusable_address,
)
from ._reading import CLEAN_UP_TIME, Reply, give_up, raw, read, told_by

if TYPE_CHECKING:
    from types import ModuleType

STATUS_LIMIT = 1024 * 1024
# Transfers have no limit on their length, only on silence.
TRANSFER_TIMEOUT = (10.0, 30.0, 30.0, None)  # connect, read, write, pool

# Takes an answer that is not a good one, where it came from, and whether there was a
# key; gives the error that it means.
Meaning = Callable[..., RemoteError]

# Addresses that are kept parsed, at a few hundred bytes each.
_MOST_TARGETS = 1024


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Make the TLS context once a process: it holds the loop up for some 20 ms."""
    return httpx.create_ssl_context()


def quote_id(job_id: str) -> str:
    """Make an id safe as one segment of a path."""
    quoted = quote(job_id, safe="")
    # A segment of dots alone would mean another place.
    return quoted.replace(".", "%2E") if set(quoted) == {"."} else quoted


@dataclass(frozen=True, slots=True)
class _Target:
    """A path, made ready to be asked for."""

    client: Any
    url: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Framed:
    """A multipart body: its headers, and its chunks, read from the files as they go."""

    headers: Mapping[str, str]
    stream: Iterable[bytes]


class HttpEdge:
    """The way to one server; a block that owns its connections.

    Args:
        base_url: where the server is.
        api_key: sent as a bearer token, to that server alone.
        http: a client of the caller's own, which is used and never closed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        http: Any = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._given = http
        self._is_closed = False
        self._in_flight: set[trio.CancelScope] = set()
        self._all_ended = trio.Event()
        self._library = library_of(http) if http is not None else httpx
        self._foreign = foreign_errors(self._library)
        self._own: dict[str, httpx.AsyncClient] = {}
        self._targets: dict[str, _Target] = {}
        # Here, because sources are made for each call, and this lasts for the block.
        self.kept = KeptJobs()
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            # A client of the caller's own says itself who it is.
            **({} if http is not None else {"User-Agent": f"vtrio/{__version__}"}),
        }
        self._check_address()
        self._authorization = (
            {} if not api_key else {"Authorization": f"Bearer {api_key}"}
        )

    @property
    def remote(self) -> object:
        """What is asked: equal where the same server is, over the same client.

        And with the same key: what it tells one account is not for another's eyes.
        """
        return self.base_url, id(self._given), self._authorization.get("Authorization")

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        self._targets.clear()
        self.kept.clear()
        with trio.move_on_after(CLEAN_UP_TIME, shield=True):
            # Whoever still asks has outlived the block. Closing a connection under a
            # request would leave its socket open.
            for scope in self._in_flight:
                scope.cancel("the client's block has ended")
            if self._in_flight:
                await self._all_ended.wait()
            while self._own:
                _, client = self._own.popitem()
                await client.aclose()

    def url(self, path: str) -> str:
        """Resolve a path of ours, or a reference that the server gave.

        What begins with a single slash is below the base address, `/v1/…` in a
        server's answer too, so that a server can be mounted behind a prefix. All else
        is resolved as RFC 3986 says.

        Raises:
            Refused: the reference cannot be read.
        """
        if path.startswith("/") and not path.startswith("//"):
            return self.base_url + path
        try:
            return urljoin(f"{self.base_url}/", path)
        except ValueError as error:
            raise unusable_address(path, error) from error

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        limit: int = STATUS_LIMIT,
        meaning: Meaning = refusal,
        **request: Any,
    ) -> Reply:
        """Send one request and read its answer, `limit` bytes at most.

        No time limit is set: an answer may be held, and for how long the caller knows.

        Args:
            method: of HTTP.
            path: below the base address, or a reference that the server gave.
            query: to go on the end of the path, quoted already.
            headers: beside those of every request.
            limit: bytes of the body at most.
            meaning: says what an answer means that is not a good one.
            request: what else the library is to know of the request.

        Raises:
            TransientError: no answer, or none that is whole and good.
            Refused: an answer that asking again will not better.
        """
        request.setdefault("timeout", None)
        try:
            with self._while_open():
                response = await self._send(
                    method, path, headers or {}, request, query=query
                )
                told, body = await read(response, limit)
        except self._foreign as error:
            raise self._translated(error, path) from error
        reply = Reply(response.status_code, told, body)
        # "No change" is an answer to whoever said what it has, and to nobody else.
        if reply.status == 304 and headers and "If-None-Match" in headers:
            return reply
        return self._accept(reply, path, meaning)

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes]]]:
        """Open an answer of any length; the reply's own body stays empty.

        Transport errors inside the block are mapped like those of `ask`.
        """
        try:
            with self._while_open():
                response = await self._send(
                    "GET",
                    path,
                    {"Accept": "*/*", **headers},
                    {"timeout": TRANSFER_TIMEOUT},
                )
                try:
                    if response.status_code not in {200, 206}:
                        told, body = await read(response, STATUS_LIMIT)
                        self._accept(Reply(response.status_code, told, body), path)
                        raise BadAnswer(
                            f"{shown(self.url(path))} answered {response.status_code}"
                            " where a file was asked for"
                        )
                    yield (
                        Reply(response.status_code, told_by(response), b""),
                        raw(response),
                    )
                finally:
                    with trio.move_on_after(CLEAN_UP_TIME, shield=True):
                        await response.aclose()
        except self._foreign as error:
            raise self._translated(error, path) from error

    @asynccontextmanager
    async def follow(
        self,
        path: str,
        *,
        query: str,
        headers: Mapping[str, str],
        meaning: Meaning,
    ) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes] | None]]:
        """Open an answer that may be a stream of events, or a whole one.

        With a stream comes what it is made of, and the reply's own body stays empty. No
        time limit is set, and transport errors inside the block are mapped, as in
        `ask`.
        """
        accept = {"Accept": f"{EVENT_STREAM}, application/json;q=0.9"}
        try:
            with self._while_open():
                response = await self._send(
                    "GET", path, {**accept, **headers}, {"timeout": None}, query=query
                )
                told = told_by(response)
                kind = told.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code != 200 or kind != EVENT_STREAM:
                    told, body = await read(response, STATUS_LIMIT)
                    reply = Reply(response.status_code, told, body)
                    yield self._accept(reply, path, meaning), None
                    return
                pieces = raw(response)
                try:
                    yield Reply(response.status_code, told, b""), pieces
                finally:
                    with trio.move_on_after(CLEAN_UP_TIME, shield=True):
                        await give_up(pieces, self._foreign)
                        await response.aclose()
        except self._foreign as error:
            raise self._translated(error, path) from error

    def frame(self, fields: Mapping[str, str], files: Mapping[str, Any]) -> Framed:
        """Build a multipart request for its framing: headers, and a stream of bytes."""
        framed = self._library.Request("POST", self.base_url, data=fields, files=files)
        kept = {"content-type", "content-length", "transfer-encoding"}
        headers = {k: v for k, v in framed.headers.items() if k.lower() in kept}
        return Framed(headers, framed.stream)

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        request: dict[str, Any],
        *,
        query: str = "",
    ) -> Any:
        target = self._targets.get(path)
        if target is None:
            target = self._resolve(path)
        # What follows the `?` is another thing each time, and not worth keeping.
        url = self._with_query(target.url, query) if query else target.url
        built = target.client.build_request(
            method, url, headers={**target.headers, **headers}, **request
        )
        return await target.client.send(built, stream=True, follow_redirects=False)

    def _resolve(self, path: str) -> _Target:
        """Make ready what every request to a path needs, and keep it.

        A wait asks for the same address again and again, and parsing it each time
        would cost a tenth of a poll.
        """
        url = self.url(path)
        try:
            parsed = self._library.URL(url)
            _ = parsed.host  # reading it decodes it
            origin = _origin(url)
        except (self._library.InvalidURL, ValueError) as error:
            raise unusable_address(url, error) from error
        if parsed.scheme not in {"http", "https"}:
            raise unusable_address(url, ValueError(f"its scheme is {parsed.scheme!r}"))
        # The key goes to the server that it belongs to, not wherever a link leads.
        key = self._authorization if origin == _origin(self.base_url) else {}
        target = _Target(self._client(url), parsed, {**self._headers, **key})
        if len(self._targets) >= _MOST_TARGETS:
            self._targets.clear()
        self._targets[path] = target
        return target

    def _with_query(self, url: Any, query: str) -> Any:
        try:
            return url.copy_with(query=query.encode("ascii"))
        except self._library.InvalidURL as error:
            # Its length is all that can be wrong with it.
            raise Refused(
                f"the address {shown(str(url))} with {shorten(query)} cannot be used:"
                f" {error}; ask about fewer jobs at once"
            ) from error

    @contextmanager
    def _while_open(self) -> Iterator[None]:
        """Let a request live as long as the block, and no longer.

        Raises:
            trio.ClosedResourceError: the block has ended.
        """
        ended = "the client's block has ended, and its connections with it"
        if self._is_closed:
            raise trio.ClosedResourceError(ended)
        scope = trio.CancelScope()
        self._in_flight.add(scope)
        try:
            with scope:
                yield
        finally:
            self._in_flight.discard(scope)
            if self._is_closed and not self._in_flight:
                self._all_ended.set()
        if scope.cancelled_caught:
            raise trio.ClosedResourceError(ended)

    def _client(self, url: str) -> Any:
        if self._given is not None:
            return self._given
        scheme = urlsplit(url).scheme
        client = self._own.get(scheme)
        if client is None:
            # Without TLS there is nothing to verify; a proxy may bring it back.
            verify = _tls_context() if scheme == "https" or getproxies() else False
            # The poller's cancel scope is the limit, and a tighter one.
            # Nor may waits queue behind others that hang, or that the server holds:
            # one connection a request.
            client = httpx.AsyncClient(
                verify=verify,
                timeout=None,  # noqa: S113
                limits=httpx.Limits(max_keepalive_connections=20),
            )
            self._own[scheme] = client
        return client

    def _check_address(self) -> None:
        try:
            _ = self._library.URL(self.base_url).host  # reading it decodes it
        except (self._library.InvalidURL, UnicodeError) as error:
            raise ValueError(
                f"base_url={shorten(self.base_url)} is not allowed: must be an address"
                f" that can be read ({error})"
            ) from error

    def _translated(self, error: Exception, path: str) -> RemoteError:
        where = shown(self.url(path))
        has_key = bool(self._authorization)
        return translate_error(self._library, error, where, has_key=has_key)

    def _accept(self, reply: Reply, path: str, meaning: Meaning = refusal) -> Reply:
        """Let a good answer through; raise what any other means."""
        if 200 <= reply.status < 300:
            return reply
        where = shown(self.url(path))
        raise meaning(reply, where, has_key=bool(self._authorization))


def library_of(client: object) -> ModuleType:
    """Tell which library a client comes from: its exceptions live there.

    Raises:
        ValueError: it is no client that we know.
    """
    for base in type(client).__mro__:
        name = base.__module__.partition(".")[0]
        if base.__name__ == "AsyncClient" and name in {"httpx", "httpx2"}:
            return sys.modules[name]
    raise ValueError(
        f"http={shorten(client)} is not allowed: must be an httpx.AsyncClient or an"
        " httpx2.AsyncClient"
    )


@functools.lru_cache(maxsize=64)
def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
