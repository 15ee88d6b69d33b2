"""HTTP/1.1 by hand over bare sockets: what a generator of load needs, and no more.

A library for HTTP would take more of the processor than the server which it measures.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from socket import IPPROTO_TCP, SO_LINGER, SO_RCVBUF, SOL_SOCKET, TCP_NODELAY
from typing import Any, Self
from urllib.parse import urlsplit

import trio

_BOUNDARY = "a-form-of-the-benchmark"
_FORM = (
    f"--{_BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="target_language"\r\n\r\npt\r\n'
    f"--{_BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="video"; filename="clip.mp4"\r\n'
    "Content-Type: video/mp4\r\n\r\n"
).encode()
FORM_END = f"\r\n--{_BOUNDARY}--\r\n".encode()
"""What follows the video in a form."""

# The events of a full page come in about as many bytes.
_LARGEST_READ = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `at` is the wall clock when its last byte was here."""

    status: int
    head: bytes
    body: bytes
    at: float

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        return _header(self.head, name)

    def json(self) -> Any:
        """Return the document in the body."""
        return json.loads(self.body)

    def expect(self, *statuses: int) -> Self:
        """Return the answer itself if its status is one of these.

        Raises:
            RuntimeError: it is not, so that what is measured is something else.
        """
        if self.status not in statuses:
            raise RuntimeError(f"{self.status} instead of {statuses}: {self.body!r}")
        return self


class Connection:
    """A connection that is kept from one request to the next."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket
        self._rest = b""

    @classmethod
    async def open(cls, url: str, *, receive_buffer: int | None = None) -> Connection:
        """Connect to the server of a URL.

        Raises:
            OSError: nobody listens there.
        """
        place = urlsplit(url)
        socket = trio.socket.socket()
        try:
            if receive_buffer is not None:
                # Before connecting, because the window is agreed upon then.
                socket.setsockopt(SOL_SOCKET, SO_RCVBUF, receive_buffer)
            socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            await socket.connect((place.hostname, place.port))
        except BaseException:
            socket.close()
            raise
        return cls(socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket itself, for whoever behaves badly."""
        return self._socket

    def break_off(self) -> None:
        """Close with a reset, as a machine does that was switched off and on."""
        self._socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def ask(self, request: bytes) -> Answer:
        """Send a request, and return the answer to it.

        Raises:
            OSError: the connection broke before the answer was whole.
        """
        await self.send(request)
        return await self.receive()

    async def send(self, data: bytes) -> None:
        """Send all of some bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[await self._socket.send(rest) :]

    async def receive(self) -> Answer:
        """Return the next answer.

        Raises:
            OSError: the connection broke before the answer was whole.
        """
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += await self._more()
        head, begin = data[:end], end + 4
        status = int(head[9:12])
        length = _header(head, "content-length")
        if length is None and status not in {204, 304}:
            raise RuntimeError(f"an answer without a length: {head!r}")
        whole = begin + int(length or 0) * (status != 304)
        if len(data) < whole:
            pieces, held = [data], len(data)
            while held < whole:
                pieces.append(await self._more())
                held += len(pieces[-1])
            data = b"".join(pieces)
        self._rest = data[whole:]
        return Answer(status, head, data[begin:whole], time.time())

    async def _more(self) -> bytes:
        data = await self._socket.recv(_LARGEST_READ)
        if not data:
            raise ConnectionError("the server closed before its answer was whole")
        return data


def _header(head: bytes, name: str) -> str | None:
    _, found, rest = head.lower().partition(f"\r\n{name.lower()}:".encode())
    if not found:
        return None
    # From the end, because the value keeps its case.
    return head[len(head) - len(rest) :].partition(b"\r\n")[0].strip().decode()


def get(path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Write a request that has no body."""
    return _request("GET", path, headers or {})


def post_head(size: int, *, key: str | None = None, below: str = "") -> bytes:
    """Write a submission up to the first byte of its video, which has this size.

    `below` is the path below which the server is mounted.
    """
    headers = {
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Content-Length": str(len(_FORM) + size + len(FORM_END)),
    }
    if key is not None:
        headers["Idempotency-Key"] = f'"{key}"'
    return _request("POST", f"{below}/v1/translations", headers) + _FORM


def post(video: bytes, *, key: str | None = None, below: str = "") -> bytes:
    """Write a submission."""
    return post_head(len(video), key=key, below=below) + video + FORM_END


def _request(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
