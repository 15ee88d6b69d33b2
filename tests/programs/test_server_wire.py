"""On the wire: plain sockets, odd requests, uploads that are refused or left."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vtrio._job import JobStatus
from vtrio.server import Demonstration, Limits

if TYPE_CHECKING:
    from tests.programs.conftest import StartServer, Until

FORM = {"target_language": "pt"}


@dataclass(frozen=True)
class AskedThrice(Demonstration):
    """A job that ends when it is asked for the third time, whatever the clock says."""

    words: Iterator[JobStatus] = field(
        default_factory=lambda: iter(
            [JobStatus.PENDING, JobStatus.PENDING, JobStatus.COMPLETED]
        )
    )

    def status(self, now: float) -> JobStatus:
        """Take the next word."""
        return next(self.words)


async def test_a_plain_socket_client_can_poll_status(start_server: StartServer) -> None:
    """HTTP/1.1 on one connection: pending until the end, read by Content-Length."""
    async with start_server(
        demonstration=AskedThrice(started=0, duration=1)
    ) as running:
        stream = await running.connect()
        words: list[str] = []
        async with stream:
            while not words or words[-1] == "pending":
                await stream.send_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
                raw = b""
                while b"\r\n\r\n" not in raw or not raw.endswith(b"}"):
                    raw += await stream.receive_some()
                head, _, body = raw.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert f"content-length: {len(body)}".encode() in head.lower()
                words.append(json.loads(body)["result"])
    assert words == ["pending", "pending", "completed"]


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /status HTTP/1.0\r\n\r\n",
        b"GET /status HTTP/1.0\r\nConnection: close\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://x/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_a_client_that_reads_to_the_end_gets_one(
    start_server: StartServer, request_line: bytes
) -> None:
    """The connection is closed after the answer, every time: old clients wait for it."""
    async with start_server() as running:
        for _ in range(30):
            answer = await running.exchange(request_line)
            assert answer.endswith(b'{"result":"pending"}')


@pytest.mark.parametrize("target", [b"http://[x/", b"?", b"*", b"x"])
async def test_a_broken_target_is_a_problem_on_the_wire(
    start_server: StartServer, target: bytes
) -> None:
    """What Quart cannot parse is a 400 problem document."""
    async with start_server() as running:
        request = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
        answer = await running.exchange(request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in answer


async def test_a_broken_target_with_a_long_body_does_not_hold_its_connection(
    start_server: StartServer,
) -> None:
    """The body is read and dropped, as it is for every other refusal."""
    async with start_server() as running:
        request = (
            b"POST http://[x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
        )
        async with await running.connect() as stream:
            await stream.send_all(request + bytes(3_000_000))
            answer = b""
            while not answer.endswith(b"}"):
                answer += await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert await running.ask(stream)


async def test_the_server_as_a_whole_can_be_asked_what_it_allows(
    start_server: StartServer,
) -> None:
    """`OPTIONS *` is the one request whose target is an asterisk."""
    async with start_server() as running:
        answer = await running.exchange(
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"allow: DELETE, GET, HEAD, OPTIONS, POST" in answer


async def test_websockets_and_odd_hosts_do_no_harm(start_server: StartServer) -> None:
    """A handshake is refused, and a Host that is none is no reason to fail."""
    async with start_server() as running:
        answer = await running.exchange(
            b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 403 ")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["type"] == "urn:vtrio:problem:no-websockets"
        for host in (b"", b"a b", b"[", b"\xff", b"x:y"):
            request = b"GET /status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
            answer = await running.exchange(request % host)
            assert answer.split()[1] in (b"200", b"400")


async def test_head_has_no_body_on_the_wire(start_server: StartServer) -> None:
    """The length is told, the body stays away."""
    async with start_server() as running:
        request = b"HEAD /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await running.exchange(request)
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 20" in answer


REFUSED = (
    b"POST /v1/translations HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 20000000\r\n\r\n"
)


async def test_a_refused_upload_that_comes_fast_keeps_its_connection(
    start_server: StartServer,
) -> None:
    """A client that first writes all reads its 413, and can ask the next thing."""
    async with (
        start_server(limits=Limits(upload=1000)) as running,
        await running.connect() as stream,
    ):
        request = REFUSED.replace(b"20000000", b"4000000") + bytes(4_000_000)
        await stream.send_all(request)
        await stream.send_all(
            b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join([piece async for piece in stream])
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"result":"pending"}')


async def test_a_refused_upload_that_comes_slowly_loses_its_connection(
    start_server: StartServer,
) -> None:
    """The 413 says so, comes at once, and what is written on harms nobody."""
    async with (
        start_server(limits=Limits(upload=1000)) as running,
        await running.connect() as stream,
    ):
        await stream.send_all(REFUSED + bytes(3_000_000))
        answer = await stream.receive_some()
        await stream.send_all(bytes(17_000_000))
        answer += b"".join([piece async for piece in stream])
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()
        assert await running.stop() < 1


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    start_server: StartServer,
    until: Until,
    tmp_path: Path,
) -> None:
    """Its half upload is removed and makes no job."""
    async with start_server(data_dir=tmp_path) as running:
        stream = await running.connect()
        async with stream:
            await stream.send_all(
                b"POST /v1/translations HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 20000000\r\n\r\n"
                b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n'
            )
            await stream.send_all(bytes(5_000_000))
            await until(lambda: bool(list(tmp_path.rglob("*.part"))))
        await until(lambda: not list(tmp_path.rglob("*.part")))
        assert not list(tmp_path.rglob("jobs/*"))


async def test_an_upload_of_many_pieces_arrives_whole(
    start_server: StartServer, tmp_path: Path
) -> None:
    """What comes through a real socket, gate and threads is what was sent."""
    video = random.Random(1).randbytes(3_000_000)
    async with (
        start_server() as running,
        running.client() as client,
    ):
        path = await running.complete(client, video)
        result = await client.get(f"{path}/video")
    assert result.content == video
    assert result.headers["Content-Type"] == "video/x-matroska"
