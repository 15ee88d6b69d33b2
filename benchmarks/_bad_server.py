"""A process that serves `/status` on bare sockets, well and badly.

It costs the measured process nothing, and has no HTTP library of its own. Each path
behaves in its own way; the address is printed when it listens.
"""

from __future__ import annotations

import math
import sys

import trio

PENDING = b'{"result": "pending"}'


def _response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


_ANSWER = _response(PENDING, "Content-Type: application/json")
_BUSY = _response(b"", "Retry-After: 3600", status="503 Service Unavailable")


async def _answer(stream: trio.SocketStream, path: str) -> None:
    match path.split("/")[1]:
        case "pending":
            await stream.send_all(_ANSWER)
        case "busy":
            await stream.send_all(_BUSY)
        case "silent":
            await trio.sleep(math.inf)
        case "drip":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
            while True:
                await stream.send_all(b" ")
                await trio.sleep(1)


async def _serve_one(stream: trio.SocketStream) -> None:
    head = b""
    try:
        while data := await stream.receive_some(65_536):
            head += data
            while b"\r\n\r\n" in head:
                first, _, head = head.partition(b"\r\n\r\n")
                await _answer(stream, first.split(b" ", 2)[1].decode())
    except trio.BrokenResourceError:
        pass  # whoever is measured may hang up at any time


async def _main() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(f"http://127.0.0.1:{listener.socket.getsockname()[1]}", flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, _serve_one, [listener])
        # Whoever started us holds our input open for as long as we are wanted.
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main)
