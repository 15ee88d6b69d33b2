"""Connections for real: let go when their client leaves, and kept from one another."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.server import connections

if TYPE_CHECKING:
    from tests.programs.conftest import StartServer, Until

CountOpen = Callable[[], dict[str, int]]
ASK = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
# Closing resets the connection, as when a client's process is killed.
RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [b"", b"GET /sta", ASK, None])
async def test_a_client_that_leaves_takes_its_descriptor_with_it(
    sent: bytes | None,
    reset: bool,
    start_server: StartServer,
    until: Until,
    count_open: CountOpen,
) -> None:
    """While the server runs: before it asks, within, before the answer, and after it."""
    async with start_server() as running:
        before = count_open()
        for _ in range(30):
            async with await running.connect() as stream:
                if sent is None:
                    await running.ask(stream)
                    await trio.sleep(0.001)
                else:
                    await stream.send_all(sent)
                if reset:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with trio.fail_after(2):
            await until(lambda: count_open() == before)


async def test_a_client_that_leaves_within_an_answer_is_let_go(
    start_server: StartServer, until: Until, count_open: CountOpen
) -> None:
    """The file of a download is closed too."""
    async with start_server() as running, running.client() as client:
        path = await running.complete(client, bytes(30_000_000))
        before = count_open()["descriptors"]
        for reset in (False, True) * 5:
            stream = await running.open_stuck_download(path)
            if reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            await stream.aclose()
        with trio.fail_after(2):
            await until(lambda: count_open()["descriptors"] == before)


async def test_hypercorn_still_holds_on_to_a_client_that_has_left(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, count_open: CountOpen
) -> None:
    """Where this fails, hypercorn is mended and `_Connection` can go."""
    monkeypatch.setattr(connections, "_Connection", TCPServer)
    async with start_server() as running:
        before = count_open()
        async with await running.connect() as stream:
            await running.ask(stream)
            await trio.sleep(0.05)
        await trio.sleep(0.2)
        assert count_open()["descriptors"] == before["descriptors"] + 1


async def test_an_idle_connection_is_kept_and_then_closed(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    mock_clock: MockClock,
) -> None:
    """A client can ask again; after the time to keep it alive its end comes."""
    monkeypatch.setattr(connections._Config, "keep_alive_timeout", 4)
    mock_clock.rate = 1  # the real clock, and jumps
    async with start_server() as running, await running.connect() as stream:
        for _ in range(3):
            await wait_all_tasks_blocked()
            mock_clock.jump(3)
            await running.ask(stream)
        await wait_all_tasks_blocked()
        mock_clock.jump(4)
        assert await stream.receive_some() == b""


async def test_an_error_in_one_connection_is_logged_and_stays_there(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Hypercorn itself would end, and the server with it."""
    read = TCPServer._read_data
    broken: list[bool] = []

    async def break_once(self: TCPServer) -> None:
        if not broken:
            broken.append(True)
            raise LookupError("inside of hypercorn")
        await read(self)

    monkeypatch.setattr(TCPServer, "_read_data", break_once)
    async with start_server() as running:
        async with await running.connect() as stream:
            assert await stream.receive_some() == b""
        answer = await running.exchange(
            ASK.replace(b"Host", b"Connection: close\r\nHost")
        )
        assert answer.startswith(b"HTTP/1.1 200 ")
    assert "connection-failed" in caplog.text
    assert "inside of hypercorn" in caplog.text


async def test_a_stop_closes_idle_connections_at_once(
    start_server: StartServer,
) -> None:
    """Nobody waits for a client that has nothing to ask."""
    async with (
        start_server() as running,
        await running.connect() as fresh,
        await running.connect() as asked,
    ):
        await running.ask(asked)
        assert await running.stop() < 1
        assert await fresh.receive_some() == b""
        assert await asked.receive_some() == b""
