"""The one way to an HTTP server: requests out, bounded answers in, errors mapped.

Works over an `httpx.AsyncClient` or an `httpx2.AsyncClient`, which share their
interface but not their exceptions.
"""

from __future__ import annotations

import functools
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import getproxies

import httpx
import trio

from .._checks import shorten
from .._errors import (
    BadAnswer,
    JobNotFound,
    Redirected,
    Refused,
    RemoteError,
    RequestTimedOut,
    ServerBusy,
    Unauthorized,
    Unreachable,
)
from .._version import __version__
from ._documents import parse_object
from ._headers import parse_retry_after, parse_seconds

if TYPE_CHECKING:
    from types import ModuleType

STATUS_LIMIT = 1024 * 1024
# Closing a connection needs no round trip; a second is generous.
CLEAN_UP_TIME = 1.0
# Transfers have no limit on their length, only on silence.
TRANSFER_TIMEOUT = (10.0, 30.0, 30.0, None)  # connect, read, write, pool

# Addresses that are kept parsed, at a few hundred bytes each.
_MOST_TARGETS = 1024

_T = TypeVar("_T")


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
class Reply:
    """One whole answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def hint(self) -> float | None:
        """The pause that the server asks for, in seconds."""
        return _hint(self.headers)

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
        self._library = library_of(http) if http is not None else httpx
        self._foreign = (
            self._library.HTTPError,
            self._library.InvalidURL,
            UnicodeError,  # a host that cannot be written in ASCII
        )
        self._own: dict[str, httpx.AsyncClient] = {}
        self._targets: dict[str, _Target] = {}
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
        with trio.move_on_after(CLEAN_UP_TIME, shield=True):
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
            raise _unusable(path, error) from error

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int = STATUS_LIMIT,
        **request: Any,
    ) -> Reply:
        """Send one request and read its answer, `limit` bytes at most.

        Raises:
            TransientError: no answer, or none that is whole and good.
            Refused: an answer that asking again will not better.
        """
        request.setdefault("timeout", None)
        try:
            response = await self._send(method, path, headers or {}, request)
            told, body = await _read(response, limit)
        except self._foreign as error:
            raise self._mapped(error, path) from error
        return self._accept(Reply(response.status_code, told, body), path)

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes]]]:
        """Open an answer of any length; the reply's own body stays empty.

        Transport errors inside the block are mapped like those of `ask`.
        """
        try:
            response = await self._send(
                "GET", path, {"Accept": "*/*", **headers}, {"timeout": TRANSFER_TIMEOUT}
            )
            try:
                if response.status_code not in {200, 206}:
                    told, body = await _read(response, STATUS_LIMIT)
                    self._accept(Reply(response.status_code, told, body), path)
                    raise BadAnswer(
                        f"{_shown(self.url(path))} answered {response.status_code}"
                        " where a file was asked for"
                    )
                reply = Reply(response.status_code, _told(response), b"")
                read_already = response.is_stream_consumed
                yield (
                    reply,
                    _OneChunk(response.content)
                    if read_already
                    else response.aiter_raw(),
                )
            finally:
                with trio.move_on_after(CLEAN_UP_TIME, shield=True):
                    await response.aclose()
        except self._foreign as error:
            raise self._mapped(error, path) from error

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
    ) -> Any:
        target = self._targets.get(path)
        if target is None:
            target = self._resolve(path)
        built = target.client.build_request(
            method, target.url, headers={**target.headers, **headers}, **request
        )
        return await target.client.send(built, stream=True, follow_redirects=False)

    def _resolve(self, path: str) -> _Target:
        """Make ready what every request to a path needs, and keep it.

        A wait asks for the same address again and again, and parsing it each time
        would cost a tenth of a poll.
        """
        if self._is_closed:
            raise trio.ClosedResourceError(
                "the client's block has ended, and its connections with it"
            )
        url = self.url(path)
        try:
            parsed = self._library.URL(url)
            _ = parsed.host  # reading it decodes it
            origin = _origin(url)
        except (self._library.InvalidURL, ValueError) as error:
            raise _unusable(url, error) from error
        if parsed.scheme not in {"http", "https"}:
            raise _unusable(url, ValueError(f"its scheme is {parsed.scheme!r}"))
        # The key goes to the server that it belongs to, not wherever a link leads.
        key = self._authorization if origin == _origin(self.base_url) else {}
        target = _Target(self._client(url), parsed, {**self._headers, **key})
        if len(self._targets) >= _MOST_TARGETS:
            self._targets.clear()
        self._targets[path] = target
        return target

    def _client(self, url: str) -> Any:
        if self._given is not None:
            return self._given
        scheme = urlsplit(url).scheme
        client = self._own.get(scheme)
        if client is None:
            # Without TLS there is nothing to verify; a proxy may bring it back.
            verify = _tls_context() if scheme == "https" or getproxies() else False
            # The poller's cancel scope is the limit, and a tighter one.
            # Nor may waits queue behind others that hang: one connection a request.
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

    def _mapped(self, error: Exception, path: str) -> RemoteError:
        """Say in our terms what went wrong. The table of the library's exceptions."""
        where = _shown(self.url(path))
        text = str(error) or type(error).__name__
        # The library looks at where a redirect leads, even if it is not to follow.
        is_address = isinstance(error, (self._library.InvalidURL, UnicodeError))
        if is_address or "location header" in text:
            return Redirected(
                f"{where} answered with a redirect that cannot be read ({text}); give"
                " the address of the server itself as base_url"
            )
        if isinstance(error, self._library.HTTPStatusError):  # a hook of the caller's
            told = error.response
            reply = Reply(told.status_code, _told(told), b"")
            return _refusal(reply, where, has_key=bool(self._authorization))
        if isinstance(error, self._library.TimeoutException):
            return RequestTimedOut(f"{where} was silent for too long: {text}")
        if isinstance(error, self._library.TransportError):
            return Unreachable(f"{where} cannot be reached or hung up: {text}")
        return BadAnswer(f"{where} answered what cannot be read: {text}")

    def _accept(self, reply: Reply, path: str) -> Reply:
        """Let a good answer through; raise what any other means."""
        if 200 <= reply.status < 300:
            return reply
        where = _shown(self.url(path))
        raise _refusal(reply, where, has_key=bool(self._authorization))


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


def _hint(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after")
    return None if text is None else parse_retry_after(text, date=headers.get("date"))


def _told(response: Any) -> dict[str, str]:
    """Read the headers once: each look-up in the library's own goes through all."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in response.headers.raw
    }


def _shown(url: str) -> str:
    """Write an address for a message: what follows a `?` may be a signature."""
    return url.partition("?")[0]


def _unusable(url: str, error: Exception) -> Refused:
    return Refused(
        f"the address {shorten(_shown(url))} cannot be used: {error}; it is the"
        " server's own, so look there"
    )


def _refusal(reply: Reply, url: str, *, has_key: bool) -> RemoteError:
    """Say what an answer that is not a good one means, with all that it told."""
    error = _meaning(reply, url, has_key=has_key)
    error.status_code = reply.status
    error.hint = reply.hint
    error.size = len(reply.body)
    return error


def _meaning(reply: Reply, url: str, *, has_key: bool) -> RemoteError:
    """Say what an answer that is not a good one means. The table of HTTP statuses."""
    status = reply.status
    said = f"{url} answered {status}{_problem_text(reply)}"
    if status in {408, 425, 429} or status >= 500:
        return ServerBusy(said)
    if status == 304 or status < 300:
        return BadAnswer(said)
    if status < 400:
        target = reply.headers.get("location", "nowhere")
        return Redirected(
            f"{said} with a redirect to {shorten(target)}, which is not followed; if"
            " that is where the server is, give its address as base_url"
        )
    if status == 401:
        step = "check the api_key" if has_key else "give the client an api_key"
        return Unauthorized(f"{said}; {step}")
    if status == 403:
        return Unauthorized(f"{said}; ask for an api_key that may do this")
    if status in {404, 410}:
        return JobNotFound(f"{said}; check the address, and the job's id")
    return Refused(f"{said}; the request must change before it is sent again")


def _problem_text(reply: Reply) -> str:
    """Quote a problem document (RFC 9457), where the answer is one."""
    try:
        document = parse_object(reply.body)
    except BadAnswer:
        return ""
    texts = [document.get("title"), document.get("detail")]
    told = ": ".join(text for text in texts if isinstance(text, str) and text)
    return f" ({shorten(told, 300)})" if told else ""


async def _read(response: Any, limit: int) -> tuple[dict[str, str], bytes]:
    """Read headers and body, `limit` bytes at most, before and after inflating.

    Reading to the end gives the connection back; anything else closes it.

    Raises:
        BadAnswer: it is longer, or packed in a way that was not asked for.
    """
    received = 0
    chunks = []
    told = _told(response)
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
            error.hint = _hint(told)
            error.size = received
        raise
    return told, b"".join(chunks)


def _short(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_long(limit)
    return body


def _too_long(limit: int) -> BadAnswer:
    return BadAnswer(f"the answer is longer than {limit} bytes")


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
