"""The governor through the client: its own, a shared one, and what is kept apart."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, Governor, VideoTranslationClient
from vtrio.testing import Invariants, ScriptedServer, ScriptedSource, after, busy, job

URL = "http://translations.example"


async def test_two_waits_for_one_job_share_their_polls(
    autojump_clock: MockClock,
) -> None:
    """On a client with kept connections as on a bare one."""
    for kept in (False, True):
        server = ScriptedServer()
        server.add(job("running", after(20, "completed")), id="j1")
        client = server.client(schedule=Fixed(5))
        with Invariants(server):
            async with trio.open_nursery() as nursery:
                if kept:
                    await client.__aenter__()
                nursery.start_soon(client.wait, "j1")
                nursery.start_soon(client.wait, "j1")
            if kept:
                await client.__aexit__(None, None, None)
        assert len(server.polls) == 5


async def test_a_governor_is_shared_by_clients(autojump_clock: MockClock) -> None:
    """Its limit holds for all of them together."""
    governor = Governor(max_in_flight=1)
    sources = [ScriptedSource("completed", latency=2.0) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for source in sources:
            client = VideoTranslationClient(URL, source=source, governor=governor)
            nursery.start_soon(client.wait, "j1")
    assert sorted(at for source in sources for at in source.asked_at) == [0.0, 2.0]
    assert trio.current_time() == 4.0


async def test_keys_are_kept_apart(autojump_clock: MockClock) -> None:
    """What the server tells one account is not for the other's eyes."""
    server = ScriptedServer()
    server.add(job("completed"), id="j1")
    governor = Governor()
    async with trio.open_nursery() as nursery:
        for key in ("one", "two"):
            client = server.client(api_key=key, governor=governor)
            nursery.start_soon(client.wait, "j1")
    assert len(server.polls) == 2


async def test_the_time_of_a_request_begins_with_its_turn(
    autojump_clock: MockClock,
) -> None:
    """Nobody times out in the queue; but the deadline of a wait holds there too."""
    source = ScriptedSource("running", latency=4.0)
    client = VideoTranslationClient(
        URL,
        source=source,
        schedule=Fixed(50),
        request_timeout=5,
        max_wait_time=10,
        max_attempts=None,
        governor=Governor(max_in_flight=1),
    )
    ends: list[tuple[float, str]] = []

    async def ask(job_id: str) -> None:
        ends.append((trio.current_time(), await client.get_status(job_id)))
        ends[-1] = (trio.current_time(), ends[-1][1])

    async with trio.open_nursery() as nursery:
        for job_id in ("j1", "j2", "j3", "j4"):
            nursery.start_soon(ask, job_id)
    assert source.asked_at == [0.0, 4.0, 8.0]
    assert ends == [(10.0, "timeout")] * 4
    assert client._governor.statistics().failed == 0


async def test_a_hint_to_one_wait_stops_the_others(autojump_clock: MockClock) -> None:
    """Until then, and then they go in a row."""
    server = ScriptedServer()
    for number in range(4):
        server.add(job("running", after(25, "completed")), id=f"j{number}")
    server.fault(busy(retry_after=30), at=10, lasting=1)
    client = server.client(schedule=Fixed(10))
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(client.wait, f"j{number}")
            await trio.sleep(0.5)
    later = [poll.at for poll in server.polls if poll.at >= 10]
    assert later[0] == 10.0
    assert later[1] == 40.0
    assert later == sorted(later)
    assert len(set(later)) == len(later)


def test_a_governor_must_be_one() -> None:
    """Anything else is told at once."""
    with pytest.raises(ValueError, match="governor=5 .* must be a Governor"):
        VideoTranslationClient(URL, governor=5)  # type: ignore[arg-type]
