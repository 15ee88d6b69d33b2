"""Faults of downloads, and of answers of one's own."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Fixed,
    Refused,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
)
from vtrio.testing import (
    Cut,
    Exchange,
    Fault,
    Pause,
    Reply,
    ScriptedServer,
    drip,
    expired_link,
    hang,
    job,
    refused,
    reset,
    respond,
)

VIDEO = bytes(range(256)) * 1024  # four pieces of 64 KiB


def patient(
    server: ScriptedServer, library: ModuleType | None = None, **settings: Any
) -> VideoTranslationClient:
    """Make a client that asks ten seconds after every answer."""
    given = {"schedule": Fixed(10), "request_timeout": 4, **settings}
    return server.client(library=library, **given)


async def test_an_expired_link_is_survived(
    tmp_path: Path, library: ModuleType, autojump_clock: MockClock
) -> None:
    """The client asks for the job anew, and follows the fresh link."""
    server = ScriptedServer()
    talk = server.add(job("running", "completed"), video=VIDEO)
    server.fault(expired_link(), times=1)
    client = patient(server, library)
    done = await client.wait(talk.id)
    await client.download(done, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == VIDEO
    assert [(e.target, e.outcome) for e in server.exchanges[2:]] == [
        ("/v1/translations/j1/video", "403 expired link"),
        ("/v1/translations/j1", "200 completed"),
        ("/v1/translations/j1/video?link=2", "200 262144 bytes"),
    ]
    # The old link leads nowhere from now on.
    assert (await server.http(library).get(server.exchanges[2].target)).status_code == (
        403
    )
    server.check()


async def test_a_link_that_expires_every_time_is_refused(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A second fresh link is not tried."""
    server = ScriptedServer()
    talk = server.add(job("completed"))
    server.fault(expired_link())
    client = patient(server)
    done = await client.wait(talk.id)
    with pytest.raises(Unauthorized):
        await client.download(done, tmp_path / "out")
    assert len(server.exchanges) == 4


@pytest.mark.parametrize(
    ("fault", "at"),
    [(reset(after_bytes=100_000), 0.5), (hang(after_bytes=100_000), 30.5)],
    ids=repr,
)
async def test_a_download_that_breaks_is_gone_on_with(
    fault: Fault,
    at: float,
    tmp_path: Path,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """With a range, from the byte where it broke, half a second later."""
    server = ScriptedServer()
    talk = server.add(job("completed"), video=VIDEO)
    server.fault(fault, to="result", times=1)
    client = patient(server, library)
    done = await client.wait(talk.id)
    await client.download(done, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == VIDEO
    first, second = server.exchanges[1:]
    assert (first.at, second.at) == (0.0, at)
    assert first.outcome == f"200 262144 bytes, then {str(fault).partition('(')[0]}"
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=100000-"
    assert second.outcome == "206 162144 bytes"


async def test_a_download_that_brings_nothing_is_given_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """After seven tries, each pause twice the last."""
    server = ScriptedServer()
    talk = server.add(job("completed"))
    server.fault(refused(), to="result")
    client = patient(server)
    done = await client.wait(talk.id)
    with pytest.raises(Unreachable):
        await client.download(done, tmp_path / "out")
    tries = [e.at for e in server.exchanges if e.kind == "result"]
    assert tries == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


async def test_a_dripping_download_comes_whole(
    tmp_path: Path, library: ModuleType, autojump_clock: MockClock
) -> None:
    """However long it takes, as long as bytes come."""
    server = ScriptedServer()
    talk = server.add(job("completed"), video=b"0123456789")
    server.fault(drip(interval=29), to="result")
    client = patient(server, library)
    done = await client.wait(talk.id)
    await client.download(done, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"0123456789"
    assert trio.current_time() == 290.0


async def test_a_fault_of_ones_own_is_taken(autojump_clock: MockClock) -> None:
    """Whatever is a `Fault` strikes as the kit's own do."""

    class Teapot(Fault):
        def spoil(self, right: Any, wall: Any) -> Reply:
            return respond(418, body=f"{wall:%H:%M:%S} {right().status}")

    server = ScriptedServer()
    talk = server.add(job("running"))
    server.fault(Teapot())
    await trio.sleep(3723)
    with pytest.raises(Refused, match="418"):
        await server.client().get_job(talk.id)
    answer = await server.http().get(f"/v1/translations/{talk.id}")
    assert (answer.status_code, answer.text) == (418, "01:02:03 200")


@pytest.mark.parametrize(
    ("cut", "error"),
    [
        (Cut.REFUSED, "ConnectError"),
        (Cut.RESET, "ReadError"),
        (Cut.HUNG_UP, "RemoteProtocolError"),
    ],
)
async def test_a_body_may_break_between_its_pieces(
    cut: Cut, error: str, library: ModuleType, autojump_clock: MockClock
) -> None:
    """As the HTTP library would tell of it, after the bytes that came."""
    server = ScriptedServer()

    def answer(exchange: Exchange) -> Reply:
        return respond(body=[b"begun", b"", Pause(3), cut])

    server.route(answer)
    async with server.http(library).stream("GET", "/x?y=1") as reply:
        pieces = reply.aiter_raw()
        assert await anext(pieces) == b"begun"
        with pytest.raises(getattr(library, error)):
            await anext(pieces)
    assert server.exchanges[0].ended_at == trio.current_time() == 3.0


async def test_a_pause_may_come_before_the_head(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """And the timeline tells the status that came after it."""
    server = ScriptedServer()
    server.route(Reply(status=204, before=(Pause(3),)))
    assert (await server.http(library).get("/")).status_code == 204
    assert str(server.exchanges[0]) == ("       0.000  GET  /  ->  204  (took 3.000 s)")
