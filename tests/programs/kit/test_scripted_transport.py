"""The way to a scripted server: clocks, clients, pieces and silence, cancelling."""

from __future__ import annotations

import io
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Fixed,
    Job,
    RequestTimedOut,
    Unreachable,
    VideoTranslationClient,
)
from vtrio.testing import (
    URL,
    Exchange,
    Invariants,
    Pause,
    Reply,
    ScriptedServer,
    Steady,
    after,
    drip,
    hang,
    job,
    refused,
    respond,
)


@pytest.mark.parametrize("piece", ["text", 5, None])
async def test_a_piece_that_is_none_is_refused(
    piece: object, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Else it would be missing from the body without a word."""
    server = ScriptedServer()
    server.route(respond(body=[b"a", piece]))  # type: ignore[list-item]
    with pytest.raises(ValueError, match=f"piece={piece!r} is not allowed: must be by"):
        await server.http(library).get("/")
    assert server.in_flight == 0


async def test_an_answer_that_takes_too_long_is_given_up(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Its first byte must come within the read timeout, as on a socket."""
    server = ScriptedServer(latency=40)
    server.on_submit(job("completed"))
    with pytest.raises(RequestTimedOut):
        await server.client(library=library).submit(io.BytesIO(b"video"), "pt")
    assert trio.current_time() == 30.0

    async def slow(exchange: Exchange) -> Reply:
        await trio.sleep(31)
        return respond()

    server.latency = 0.0
    server.route(slow, path="/slow")
    with pytest.raises(library.ReadTimeout):
        await server.http(library).get("/slow", timeout=30)
    assert trio.current_time() == 60.0
    assert [e.ended_at for e in server.exchanges] == [30.0, 60.0]
    assert server.in_flight == 0


async def test_an_answer_may_take_as_long_as_the_read_timeout(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """A pause of exactly the limit is within it, and between pieces it begins anew."""
    server = ScriptedServer(latency=29)
    server.route(respond(body=[b"a", Pause(30), b"b", Pause(30.5), b"c"]))
    with pytest.raises(library.ReadTimeout):
        await server.http(library).get("/", timeout=30)
    assert trio.current_time() == 89.0


async def submit(client: VideoTranslationClient, **settings: Any) -> Job:
    """Submit a small video."""
    given = {"to": "pt", **settings}
    return await client.submit(io.BytesIO(given.pop("video", b"video")), **given)


async def test_it_works_on_a_real_clock_too() -> None:
    """Instants count from when it is first used."""
    server = ScriptedServer()
    talk = server.add(job("pending", "running", after(0.01, "completed")))
    await server.client(schedule=Fixed(0.005)).wait(talk.id)
    assert 0 <= talk.asked_at[0] < talk.asked_at[-1] < 5
    assert talk.asked_at[-1] >= 0.01
    server.check()


def test_a_job_may_be_scripted_before_the_run() -> None:
    """On a real clock its first question is the beginning."""
    server = ScriptedServer()
    talk = server.add(job("running", "completed"))

    async def wait() -> None:
        await server.client(schedule=Fixed(0.001)).wait(talk.id)

    trio.run(wait)
    assert talk.asked_at[0] == 0.0
    assert 0 < talk.asked_at[1] < 5
    server.check()


async def test_it_refuses_a_real_clock_where_it_was_told_to() -> None:
    """And says what to do about it."""
    server = ScriptedServer(only_virtual_time=True)
    server.add(job("running"))
    with pytest.raises(RuntimeError, match="add pytest-trio's fixture autojump_clock"):
        await server.client().wait("j1")
    assert server.in_flight == 0


async def test_clients_side_by_side_share_a_server(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Two dozen of them, each with a job of its own."""
    server = ScriptedServer(latency=0.125)
    jobs = [server.add(job("running", after(n, "completed"))) for n in range(25)]
    async with trio.open_nursery() as nursery:
        for one in jobs:
            client = server.client(library=library, schedule=Fixed(1))
            nursery.start_soon(client.wait, one.id)
    for n, one in enumerate(jobs):
        # Asked every 1.125 s, until the first time at or after its end.
        assert one.asked_at == [1.125 * k for k in range(-int(-n // 1.125) + 1)]
    assert server.in_flight == 0
    server.check()


async def test_what_was_closed_is_not_given_again(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Each HTTP client is a fresh one, and those of our clients are apart from them."""
    server = ScriptedServer()
    server.add(job("pending", "completed"))
    for _ in range(2):
        async with server.http(library) as http:
            assert (await http.get("/status")).status_code == 200
    assert await server.client(library=library).get_status() == "completed"


async def test_silence_adds_up_until_bytes_come(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Pause by pause, with the latency and what makes the answer, as on a socket."""

    async def slow(exchange: Exchange) -> Reply:
        await trio.sleep(4)
        return respond(body=[b"a", Pause(4), b"", Pause(4), b"b"])

    server = ScriptedServer(latency=5)
    server.route(slow)
    http = server.http(library)
    for patience, bytes_at in ((8.5, None), (9.5, 17.0)):
        began = trio.current_time()
        if bytes_at is None:
            with pytest.raises(library.ReadTimeout):
                await http.get("/x", timeout=patience)
            assert trio.current_time() - began == patience
        else:
            assert (await http.get("/x", timeout=patience)).text == "ab"
            assert trio.current_time() - began == bytes_at
    quick = ScriptedServer()
    quick.route(respond(body=[b"a", Pause(4), Pause(4), b"b"]))
    began = trio.current_time()
    with pytest.raises(library.ReadTimeout):
        await quick.http(library).get("/x", timeout=5)
    assert trio.current_time() - began == 5


async def test_where_nobody_listens_nothing_is_sent(
    library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A refused connection takes no byte of an upload."""

    class Untouched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("it was read")

    server = ScriptedServer()
    server.fault(refused())
    with pytest.raises(Unreachable):
        await server.client(library=library).submit(Untouched(b"video"), "pt")


@pytest.mark.parametrize("at", [n / 8 for n in range(40)])
async def test_a_cancel_leaves_nothing_in_flight(
    at: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """In a submission, a poll, a pause, a body, a download, or while it hangs."""
    server = ScriptedServer(latency=0.25)
    server.on_submit(job("running", after(2, "completed")))
    server.fault(drip(interval=1 / 1024), to="poll", times=1)
    server.fault(drip(interval=0.25), to="result", times=1)
    server.fault(hang(), to="cancel")
    client = server.client(schedule=Fixed(0.5))
    with trio.move_on_at(at) as scope, Invariants(server):
        done = await client.wait(await submit(client))
        await client.download(done, tmp_path / "out")
        await client.cancel(done)
    assert scope.cancelled_caught
    assert trio.current_time() == at
    assert server.in_flight == 0
    assert all(e.ended_at is not None for e in server.exchanges)


async def test_a_body_comes_piece_by_piece(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """The first bytes can be read long before the last are due."""
    server = ScriptedServer()
    server.route(respond(body=[b"one", Pause(5), b"", b"two", Pause(60), b"three"]))
    async with server.http(library).stream("GET", "/") as answer:
        read = [
            (trio.current_time(), data, server.in_flight)
            async for data in answer.aiter_raw()
        ]
    assert read == [(0.0, b"one", 1), (5.0, b"two", 1), (65.0, b"three", 1)]
    assert server.in_flight == 0


async def test_bytes_beyond_the_length_are_not_read(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """As HTTP/1.1 has it; and what cannot be a length is none."""
    server = ScriptedServer()
    body = [b"12345", b"67890"]
    server.route(respond(body=body, headers={"content-length": "7"}), path="/short")
    server.route(respond(body=body, headers={"content-length": "much"}), path="/much")
    http = server.http(library)
    assert (await http.get("/short")).content == b"1234567"
    assert (await http.get("/much")).content == b"1234567890"
    assert server.in_flight == 0


async def test_a_client_of_ones_own_can_be_built_on_the_transport(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """And closed; the transport has nothing to close."""
    server = ScriptedServer()
    server.add(job("completed"))
    async with library.AsyncClient(transport=server.transport(library)) as http:
        client = VideoTranslationClient(URL, http=http)
        assert await client.get_status() == "completed"
    assert server.asked_at == [0.0]


async def test_chance_plays_no_part_in_the_waits_of_its_clients(
    autojump_clock: MockClock,
) -> None:
    """Unless it is given one."""
    server = ScriptedServer()
    talk, other = server.add(job("running")), server.add(job("running"))
    assert await server.client(max_attempts=5).get_status(talk.id) == "timeout"
    assert talk.asked_at == [0.0, 1.0, 3.0, 7.0, 15.0]
    client = server.client(max_attempts=5, rng=random.Random(1))
    assert await client.get_status(other.id) == "timeout"
    assert [at - 15 for at in other.asked_at] != talk.asked_at
    assert {Steady().uniform(-1, 1) for _ in range(9)} == {0.0}
