"""The scripted server as a transport of httpx or httpx2: streaming, in trio's time.

The stock transports for tests buffer a whole answer before they give its first byte;
this one gives each piece when its time comes, so that a slow drip is slow, and ends a
body as HTTP/1.1 does: what was said of its length counts.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Self

import httpx
import trio

from .._checks import shorten
from ._replies import Coming, Cut, Pause, Piece, Reply

if TYPE_CHECKING:
    from ._server import ScriptedServer
    from ._timeline import Exchange


class _Transport:
    """Takes requests to a scripted server, and gives its answers piece by piece."""

    def __init__(self, server: ScriptedServer, library: ModuleType) -> None:
        self._server = server
        self._library = library
        self._stream = _stream_class(library)
        self._raw: list[tuple[bytes, bytes]] = []
        self._headers: Mapping[str, str] = MappingProxyType({})

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; the answer's body is still to come."""
        url = request.url
        headers = self._read_headers(request.headers.raw)
        place = f"{url.scheme}://{url.netloc.decode('ascii')}"
        address = place + url.raw_path.decode("ascii")
        with self._server.receive(request.method, address, headers) as exchange:
            await trio.lowlevel.checkpoint()
            fault = self._server.meet(exchange)
            if fault is None or not fault.is_before_the_request:
                exchange.body = await request.aread()
            patience = _Patience(self._library, request)
            reply = await patience.hear(self._server.answer(exchange, fault))
            if self._server.latency:
                await patience.wait(Pause(self._server.latency))
            exchange.outcome = str(reply)
            for piece in reply.before:
                await patience.wait(piece)
            exchange.status = reply.status
            patience.renew()
            length = reply.headers.get("content-length", "")
            body = _Body(
                reply,
                int(length) if length.isdecimal() else None,
                patience,
                self._server,
                exchange,
            )
            # Bytes, because a header may hold what is no header.
            sent = [(k.encode(), v.encode()) for k, v in reply.headers.items()]
            return self._library.Response(
                reply.status, headers=sent, stream=self._stream(body)
            )

    def _read_headers(self, raw: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
        """Read headers. Those of most polls are alike, and kept once."""
        if raw != self._raw:
            self._raw = raw
            headers: dict[str, str] = {}
            for line in raw:
                name, value = (part.decode("latin-1") for part in line)
                name = name.lower()
                # Several lines of a name are one list (RFC 9110, section 5.3).
                before = f"{headers[name]}, " if name in headers else ""
                headers[name] = f"{before}{value}"
            self._headers = MappingProxyType(headers)
        return self._headers

    async def aclose(self) -> None:
        """Close nothing: there is no connection."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class _Patience:
    """How long a request waits for the next bytes, as its timeouts say."""

    def __init__(self, library: ModuleType, request: Any) -> None:
        self.library = library
        limits = request.extensions.get("timeout", {})
        read = limits.get("read")
        self._limit = math.inf if read is None else read
        self._until = math.inf
        self.renew()

    def renew(self) -> None:
        """Take in that bytes have come: the silence is over."""
        if self._limit != math.inf:
            self._until = trio.current_time() + self._limit

    async def hear(self, answer: Awaitable[Reply]) -> Reply:
        """Give what makes the answer no longer than its beginning may take."""
        if self._limit == math.inf:  # nearly always: a poll has a limit as a whole
            return await answer
        with trio.move_on_at(self._until):
            return await answer
        raise self._too_late()

    def _too_late(self) -> Exception:
        late: Exception = self.library.ReadTimeout("nothing came in time")
        return late

    async def wait(self, piece: Pause | Cut) -> None:
        """Let a pause pass, or break where the connection does."""
        match piece:
            case Cut.REFUSED:
                raise self.library.ConnectError("[Errno 111] Connection refused")
            case Cut.RESET:
                raise self.library.ReadError("[Errno 104] Connection reset by peer")
            case Cut.HUNG_UP:
                raise self.library.RemoteProtocolError(
                    "Server disconnected without sending a response."
                )
            case Pause(seconds):
                until = trio.current_time() + seconds
                await _sleep_until(min(until, self._until))
                if until > self._until:
                    raise self._too_late()
            case _:
                raise ValueError(
                    f"piece={shorten(piece)} is not allowed: must be bytes, a Pause or"
                    " a Cut"
                )


async def _sleep_until(instant: float) -> None:
    if instant == math.inf:
        await trio.sleep_forever()
    await trio.sleep_until(instant)


class _Body:
    """The body of an answer, as it comes.

    No generator: one that is dropped half-read would have to be closed by somebody.
    """

    def __init__(
        self,
        reply: Reply,
        length: int | None,
        patience: _Patience,
        server: ScriptedServer,
        exchange: Exchange,
    ) -> None:
        self._pieces: Iterator[Piece | Coming] = iter(reply.body)
        self._left = length
        self._patience = patience
        self._server = server
        self._exchange = exchange

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with self._ending_with_an_error():
            while self._left != 0:
                await trio.lowlevel.checkpoint()
                try:
                    piece = next(self._pieces)
                except StopIteration:
                    self._require_nothing_more()
                    break
                if isinstance(piece, Coming):
                    piece = await piece.come()
                if not isinstance(piece, bytes):
                    await self._patience.wait(piece)
                    continue
                if self._left is not None:
                    piece = piece[: self._left]
                    self._left -= len(piece)
                if piece:
                    self._patience.renew()
                    return piece
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take in that nobody reads on."""
        self._server.end(self._exchange)

    def _require_nothing_more(self) -> None:
        if self._left:
            raise self._patience.library.RemoteProtocolError(
                "peer closed connection without sending complete message body"
                f" ({self._left} bytes are missing)"
            )

    @contextmanager
    def _ending_with_an_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._server.end(self._exchange)
            raise


def _stream_class(library: ModuleType) -> Any:
    """Make a body into what the library takes for one."""

    class Stream(library.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, body: _Body) -> None:
            self._body = body

        def __aiter__(self) -> _Body:
            return self._body

        async def aclose(self) -> None:
            await self._body.aclose()

    return Stream


def make_transport(server: ScriptedServer, library: ModuleType | None) -> Any:
    """Make a transport for an `AsyncClient` of that library; httpx otherwise."""
    return _Transport(server, httpx if library is None else library)


def make_client(transport: Any, url: str, library: ModuleType | None) -> Any:
    """Make an `AsyncClient` around a transport, without limits of its own."""
    library = httpx if library is None else library
    return library.AsyncClient(transport=transport, base_url=url, timeout=None)
