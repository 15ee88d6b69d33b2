"""A process of clients that behave badly, until its input ends.

A third each: heads that come in byte by byte, bodies that do, and large answers that
are asked for many at once and never read. Whoever is thrown out comes again. It prints
a line once all have begun, and at the end how many stand and how many came again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from contextlib import suppress
from socket import IPPROTO_TCP, SO_ERROR, SOL_SOCKET, TCP_INFO
from typing import NoReturn

import trio

from ._wire import Connection, get, post_head

_BETWEEN_BYTES = 1.0
_BEFORE_COMING_AGAIN = 0.5
_SMALL_BUFFER = 2048
_BODY = 10_000_000
_PIPELINED = 20
_ESTABLISHED = 1  # as tcp_states.h has it
_AT_ONCE = 32


class _Crowd:
    """The bad clients of one server."""

    def __init__(self, url: str, video_path: str) -> None:
        self._url = url
        self._large = [get(path) * _PIPELINED for path in ("/openapi.json", video_path)]
        self.standing = 0
        self.returns = 0

    async def begin(self, nursery: trio.Nursery, number: int) -> None:
        """Begin as many clients; return when each has sent what it begins with."""
        limiter = trio.CapacityLimiter(_AT_ONCE)

        async def begin_one(turn: int) -> None:
            async with limiter:
                await nursery.start(self._misbehave, turn)

        async with trio.open_nursery() as beginning:
            for turn in range(number):
                beginning.start_soon(begin_one, turn)

    async def _misbehave(
        self,
        turn: int,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        begun = False
        while True:
            with suppress(OSError):
                connection = await Connection.open(
                    self._url, receive_buffer=_SMALL_BUFFER
                )
                with connection:
                    await connection.send(self._beginning(turn))
                    self.standing += 1
                    if not begun:
                        begun = True
                        task_status.started()
                    try:
                        if turn % 3 == 2:
                            await _read_nothing(connection)
                        else:
                            # Not all at the same time of a second.
                            await trio.sleep(random.uniform(0, _BETWEEN_BYTES))
                            await _trickle(connection)
                    finally:
                        self.standing -= 1
            self.returns += 1
            await trio.sleep(_BEFORE_COMING_AGAIN)

    def _beginning(self, turn: int) -> bytes:
        match turn % 3:
            case 0:
                return get("/status").removesuffix(b"\r\n") + b"X-Slow: "
            case 1:
                return post_head(_BODY)
            case _:
                return self._large[turn // 3 % len(self._large)]


async def _trickle(connection: Connection) -> None:
    """Send a byte now and then, until the server wants no more."""

    async def send(scope: trio.CancelScope) -> None:
        with suppress(OSError):
            while True:
                await connection.send(b"x")
                await trio.sleep(_BETWEEN_BYTES)
        scope.cancel("the connection broke")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, nursery.cancel_scope)
        with suppress(OSError):
            while await connection.socket.recv(4096):
                pass
        nursery.cancel_scope.cancel("the server closed")


async def _read_nothing(connection: Connection) -> None:
    """Wait until the connection stands no more, without reading from it."""
    socket = connection.socket
    while (  # noqa: ASYNC110 - nothing tells of it
        not socket.getsockopt(SOL_SOCKET, SO_ERROR)
        and socket.getsockopt(IPPROTO_TCP, TCP_INFO, 1)[0] == _ESTABLISHED
    ):
        await trio.sleep(_BETWEEN_BYTES)


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("video_path")
    parser.add_argument("number", type=int)
    options = parser.parse_args()
    crowd = _Crowd(options.url, options.video_path)
    async with trio.open_nursery() as nursery:
        await crowd.begin(nursery, options.number)
        print("all have begun", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        print(
            json.dumps({"standing": crowd.standing, "returns": crowd.returns}),
            flush=True,
        )
        # They go on until whoever started us has done with the server.
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel("no more is wanted")


if __name__ == "__main__":
    trio.run(_main)
