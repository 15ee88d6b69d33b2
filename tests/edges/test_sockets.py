"""Real sockets, on the real clock: what no fake can show.

The limits are short, and no test asserts how precise the machine's clock is:
`python -m benchmarks wait` prints that. What is asserted is never early, and ended.
"""

from __future__ import annotations

import importlib
import json
import os
import ssl
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trustme

from vtrio import VideoTranslationClient
from vtrio.sources import TranslationsSource
from vtrio.sources._http import HttpEdge

Start = Callable[..., Any]


@pytest.fixture(
    params=["httpx", pytest.param("httpx2", marks=pytest.mark.slow)],
)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the HTTP libraries; sockets take their time, so one is for CI."""
    return importlib.import_module(request.param)


PENDING = b'{"result": "pending"}'
# The libraries' own pools have a hundred connections.
_MORE_THAN_A_POOL = 120
DONE = b'{"result": "completed"}'


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Write an HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_the_status_form_of_a_plain_server(
    bare_server: Start, library: ModuleType
) -> None:
    """A server without any library, over kept connections and fresh ones."""
    polls = 0

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        nonlocal polls
        polls += 1
        await stream.send_all(response(PENDING if polls % 3 else DONE))

    server = await bare_server(answer)
    fast: dict[str, Any] = {"initial_wait_time": 0, "jitter": 0}
    bare = VideoTranslationClient(server.url, **fast)
    assert await bare.get_status() == "completed"
    assert await bare.get_status() == "completed"
    assert server.connections == 2  # one a call
    async with VideoTranslationClient(server.url, **fast) as kept:
        assert await kept.get_status() == "completed"
        assert await kept.get_status() == "completed"
    assert server.connections == 3
    async with library.AsyncClient() as http:
        client = VideoTranslationClient(server.url, http=http, **fast)
        assert await client.get_status() == "completed"
    assert server.requests[0].startswith(b"GET /status HTTP/1.1\r\n")
    assert b"accept-encoding: identity" in server.requests[0].lower()


async def test_an_old_server_that_closes_after_each_answer(bare_server: Start) -> None:
    """HTTP/1.0, no length: the end of the connection is the end of the answer."""
    words = [PENDING, DONE]

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + words.pop(0))
        await stream.aclose()

    server = await bare_server(answer)
    async with VideoTranslationClient(
        server.url, initial_wait_time=0.01, jitter=0
    ) as client:
        assert await client.get_status() == "completed"


async def never(stream: trio.SocketStream, head: bytes) -> None:
    """Accept, and never answer."""
    await stream.receive_some()  # until the client hangs up


async def drip(stream: trio.SocketStream, head: bytes) -> None:
    """Send a byte at a time, for ever."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await stream.send_all(b" ")
        await trio.sleep(0.05)


async def pending(stream: trio.SocketStream, head: bytes) -> None:
    """Be pending for ever."""
    await stream.send_all(response(PENDING))


async def busy(stream: trio.SocketStream, head: bytes) -> None:
    """Send the client away for an hour."""
    hint = "Retry-After: 3600"
    await stream.send_all(response(b"", hint, status="503 Service Unavailable"))


async def half(stream: trio.SocketStream, head: bytes) -> None:
    """Promise more than comes, and hang up."""
    await stream.send_all(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"result": ')
    await stream.aclose()


async def reset(stream: trio.SocketStream, head: bytes) -> None:
    """Hang up on every request."""
    await stream.aclose()


async def noise(stream: trio.SocketStream, head: bytes) -> None:
    """Speak another protocol."""
    await stream.send_all(b"220 mail.example ESMTP\r\n")
    await stream.aclose()


@pytest.mark.parametrize(
    "answer", [never, drip, pending, busy, half, reset, noise], ids=lambda f: f.__name__
)
async def test_every_bad_server_is_a_timeout_at_the_deadline(
    answer: Callable[..., object],
    bare_server: Start,
    library: ModuleType,
    count_open: Callable[[], dict[str, int]],
) -> None:
    """Not before it; and no socket, task or descriptor is left behind."""
    server = await bare_server(answer)
    before = count_open()
    started = trio.current_time()
    async with library.AsyncClient() as http:
        client = VideoTranslationClient(
            server.url, max_wait_time=0.2, initial_wait_time=0.05, http=http
        )
        assert await client.get_status() == "timeout"
        bare = VideoTranslationClient(
            server.url, max_wait_time=0.1, initial_wait_time=0.05
        )
        assert await bare.get_status() == "timeout"
    assert 0.3 <= trio.current_time() - started < 5
    await until(lambda: server.open_connections == 0)
    await until(lambda: count_open() == before)


async def test_nobody_listening_is_a_timeout_at_the_deadline(
    count_open: Callable[[], dict[str, int]],
) -> None:
    """A refused connection is transient."""
    before = count_open()
    with trio.socket.socket() as free:
        await free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = trio.current_time()
    client = VideoTranslationClient(url, max_wait_time=0.3, initial_wait_time=0.1)
    assert await client.get_status() == "timeout"
    assert 0.3 <= trio.current_time() - started < 5
    assert count_open() == before


async def test_a_name_that_nobody_knows_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a traceback of the resolver's."""
    client = VideoTranslationClient(
        "http://nobody.invalid", max_attempts=1, max_wait_time=20
    )
    assert await client.get_status() == "timeout"


@pytest.mark.parametrize("answer", [never, drip, pending], ids=lambda f: f.__name__)
async def test_cancelling_closes_every_socket(
    answer: Callable[..., object],
    bare_server: Start,
    library: ModuleType,
    count_open: Callable[[], dict[str, int]],
) -> None:
    """Whenever it comes: connecting, sending, reading, sleeping."""
    server = await bare_server(answer)
    before = count_open()
    for step in range(8):
        with trio.move_on_after(step * 0.004) as scope:
            await VideoTranslationClient(server.url).get_status()
        assert scope.cancelled_caught
        async with library.AsyncClient() as http:
            with trio.move_on_after(step * 0.004):
                await VideoTranslationClient(server.url, http=http).get_status()
    await until(lambda: server.open_connections == 0)
    await until(lambda: count_open() == before)


async def test_held_requests_keep_no_other_waiting(
    bare_server: Start, count_open: Callable[[], dict[str, int]]
) -> None:
    """However many there are: none queues for a connection; all end with the block."""
    told = b'{"translations": [], "missing": ["j1"]}'

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        if b"prefer: wait=60" in head.lower():
            await never(stream, head)
        else:
            await stream.send_all(response(told, "Content-Type: application/json"))

    server = await bare_server(answer)
    before = count_open()
    async with trio.open_nursery() as nursery, HttpEdge(server.url) as edge:
        source = TranslationsSource(edge)
        for _ in range(_MORE_THAN_A_POOL):
            nursery.start_soon(partial(source.changes, None, wait=60))
        await until(lambda: len(server.requests) == _MORE_THAN_A_POOL)
        with trio.fail_after(5):
            assert (await source.status_of_many(["j1"])).missing == ("j1",)
        nursery.cancel_scope.cancel("the test is over")
    await until(lambda: server.open_connections == 0)
    await until(lambda: count_open() == before)


async def test_a_callback_that_raises_leaves_no_socket(
    bare_server: Start, count_open: Callable[[], dict[str, int]]
) -> None:
    """A failed wait tidies up like any other."""
    server = await bare_server(pending)
    before = count_open()

    def raising(word: str) -> None:
        raise KeyError(word)

    with pytest.raises(KeyError):
        await VideoTranslationClient(server.url).get_status(on_update=raising)
    await until(lambda: server.open_connections == 0)
    await until(lambda: count_open() == before)


async def test_a_wait_that_outlives_its_client_opens_nothing(
    bare_server: Start, count_open: Callable[[], dict[str, int]]
) -> None:
    """Its next poll says that the block has ended."""
    server = await bare_server(pending)
    before = count_open()
    polled = trio.Event()

    async def outlive(client: VideoTranslationClient) -> None:
        with pytest.raises(trio.ClosedResourceError, match="block has ended"):
            await client.get_status(on_update=lambda _: polled.set())

    async with (
        trio.open_nursery() as nursery,
        VideoTranslationClient(server.url, initial_wait_time=0.05) as client,
    ):
        nursery.start_soon(outlive, client)
        await polled.wait()
    await until(lambda: server.open_connections == 0)
    await until(lambda: count_open() == before)


async def until(true: Callable[[], bool]) -> None:
    """Wait until the other end of a socket has noticed."""
    with trio.fail_after(5):
        while not true():  # noqa: ASYNC110 - the kernel sets no event of trio's
            await trio.sleep(
                0.005
            )  # the real clock: a kernel's close is what we wait for


async def test_over_tls_with_a_client_of_ones_own(library: ModuleType) -> None:
    """The certificate is checked: a stranger's is a connection that failed."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def serve_one(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with stream:
                while await stream.receive_some():
                    await stream.send_all(response(DONE))
        except trio.BrokenResourceError:
            pass  # the stranger's handshake

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_ssl_over_tcp_listeners(
            0, server_context, host="127.0.0.1"
        )
        nursery.start_soon(trio.serve_listeners, serve_one, [listener])
        port = listener.transport_listener.socket.getsockname()[1]  # type: ignore[attr-defined]
        url = f"https://127.0.0.1:{port}"
        async with library.AsyncClient(verify=trusting) as http:
            client = VideoTranslationClient(url, http=http)
            assert await client.get_status() == "completed"
        stranger = VideoTranslationClient(url, max_attempts=1)
        assert await stranger.get_status() == "timeout"
        nursery.cancel_scope.cancel()


MEASURE = """
import json, resource, sys, trio
from vtrio import VideoTranslationClient
import httpx, httpx2

async def main(url, name):
    library = {"httpx": httpx, "httpx2": httpx2}[name]
    async with library.AsyncClient() as http:
        async def ask(path):
            client = VideoTranslationClient(
                url + path, http=http, max_attempts=2, initial_wait_time=0, jitter=0
            )
            return await client.get_status()
        await ask("/small")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        told = [await ask("/large"), await ask("/bomb")]
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([told, (after - before) * 1024]))

trio.run(main, *sys.argv[1:])
"""


@pytest.mark.slow
async def test_huge_answers_do_not_fill_the_memory(
    bare_server: Start, library: ModuleType, tmp_path: Path
) -> None:
    """100 MB of body, and gzip that inflates to 512 MiB: under 16 MiB, measured whole.

    In a process of its own, by the kernel's account of its peak.
    """
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    bomb = b"".join(packer.compress(zeros) for _ in range(512)) + packer.flush()

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        if b"/large" in head:
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
            )
            for _ in range(100):
                await stream.send_all(b" " * 1_000_000)
        elif b"/bomb" in head:
            await stream.send_all(response(bomb, "Content-Encoding: gzip"))
        else:
            await stream.send_all(response(PENDING))

    server = await bare_server(answer)
    script = tmp_path / "measure.py"
    script.write_text(MEASURE)
    done = await trio.run_process(
        [sys.executable, str(script), server.url, library.__name__],
        capture_stdout=True,
        cwd=os.fspath(tmp_path),
    )
    told, growth = json.loads(done.stdout)
    assert told == ["timeout", "timeout"]
    assert growth < 16 * 2**20
