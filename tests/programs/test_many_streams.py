"""The feed as one answer that goes on: followed, left where it fails, taken up again."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed
from vtrio.testing import (
    Cut,
    Exchange,
    Fault,
    Invariants,
    Kind,
    Pause,
    Reply,
    ScriptedServer,
    after,
    buffering,
    drip,
    hang,
    job,
    respond,
)

INTERVAL = 10.0
COMMENT = b":\n\n"


def make_server(ends: Iterable[float]) -> ScriptedServer:
    """Make a server with a stream, and jobs that end at these instants."""
    server = ScriptedServer(feed_streams=True, feed_documents=True)
    for number, end in enumerate(ends):
        server.add(job("pending", after(end, "completed")), id=f"j{number}")
    return server


async def follow(
    server: ScriptedServer, ends: list[float], *, pause: float = 0.0
) -> list[float]:
    """Wait for all jobs, and return how late each was told."""
    lags = [math.nan] * len(ends)
    ids = [f"j{number}" for number in range(len(ends))]
    with Invariants():
        async with (
            server.client(schedule=Fixed(INTERVAL)) as client,
            client.as_completed(ids) as outcomes,
        ):
            async for outcome in outcomes:
                number = int(outcome.job_id[1:])
                assert math.isnan(lags[number]), "told twice"
                assert outcome.result().result is not None
                lags[number] = trio.current_time() - ends[number]
                await trio.sleep(pause)
    assert not any(map(math.isnan, lags)), "an end was lost"
    return lags


def asked_at(server: ScriptedServer, kind: Kind) -> list[float]:
    """Return the instants of all requests of a kind."""
    return [exchange.at for exchange in server.exchanges if exchange.kind is kind]


async def test_one_request_tells_all_ends_when_they_are(
    autojump_clock: MockClock,
) -> None:
    """The documents come along, so that nobody asks for them."""
    ends = [1.0 + number for number in range(20)]
    server = make_server(ends)
    assert await follow(server, ends) == [0.0] * 20
    assert len(asked_at(server, Kind.BATCH)) == 1  # at first, for the cursor
    # Another one for a longer beat, since the stream has lived through the first.
    assert len(asked_at(server, Kind.FEED)) <= 2


async def test_a_stream_that_lives_is_asked_to_beat_less_often(
    autojump_clock: MockClock,
) -> None:
    """At first every 5 s, so that one which is cut is soon noticed; then every 10 s."""
    ends = [3000.0]
    server = make_server(ends)
    async with (
        server.client(schedule=Fixed(100)) as client,
        client.as_completed(["j0"]) as outcomes,
    ):
        assert [outcome.job_id async for outcome in outcomes] == ["j0"]
    wishes = [
        exchange.headers["prefer"].partition(",")[0]
        for exchange in server.exchanges
        if exchange.kind is Kind.FEED
    ]
    assert wishes == ["wait=5", "wait=10"]


async def test_what_is_told_within_a_moment_comes_together(
    autojump_clock: MockClock,
) -> None:
    """The first at once, the others 21 ms after it."""
    ends = [5.0, 5.001, 5.002, 5.02]
    server = make_server(ends)
    lags = await follow(server, ends)
    assert lags == pytest.approx([0, 0.02, 0.019, 0.001])


def stream_of(*pieces: bytes | Pause | Cut, applied: str = "wait=5") -> Reply:
    """Begin a stream, and end it after these pieces."""
    headers = {"content-type": "text/event-stream", "preference-applied": applied}
    return respond(headers=headers, body=list(pieces))


def as_ever() -> Fault:
    """Answer as the wire says."""
    return drip(interval=1e-9, size=65_536)


async def test_a_stream_that_never_begins_leaves_the_held_feed(
    autojump_clock: MockClock,
) -> None:
    """Within 3 s, without a step down; and streams are not tried again soon."""
    ends = [1.0, 20.0, 40.0, 60.0]
    server = make_server(ends)
    server.route(stream_of(Pause(math.inf)), path="/v1/events", times=1)
    lags = await follow(server, ends)
    assert lags == [2.0, 0, 0, 0]
    assert asked_for_streams(server) == 1
    # At first, for the cursor; the sweep comes much later.
    assert len([at for at in asked_at(server, Kind.BATCH) if at < 20]) == 1


async def test_a_stream_that_ends_again_and_again_leaves_the_held_feed(
    autojump_clock: MockClock,
) -> None:
    """It is asked for three times, and not in a circle."""
    ends = [1.0, 20.0, 40.0, 60.0]
    server = make_server(ends)
    server.route(stream_of(COMMENT), path="/v1/events", times=3)
    assert await follow(server, ends) == [0.0] * 4
    assert asked_for_streams(server) == 3


@pytest.mark.parametrize(
    "cut", [Cut.RESET, Cut.HUNG_UP, Pause(math.inf), b"data: {\n\n"], ids=str
)
async def test_a_stream_of_which_only_the_beginning_comes_leaves_the_held_feed(
    autojump_clock: MockClock, cut: Cut | Pause | bytes
) -> None:
    """It is not begun again and again, whatever it ends with."""
    ends = [float(end) for end in range(5, 50, 5)]
    server = make_server(ends)

    def answer(exchange: Exchange) -> Reply | Fault:
        if "event-stream" in exchange.headers["accept"]:
            return stream_of(COMMENT, cut)
        return as_ever()

    server.route(answer, path="/v1/events")
    assert max(await follow(server, ends)) <= INTERVAL
    assert asked_for_streams(server) == 1
    assert len(asked_at(server, Kind.FEED)) < 20


@pytest.mark.parametrize("applied", ["wait=25", "wait=99999", ""])
async def test_a_stream_whose_silence_would_be_noticed_late_is_not_followed(
    autojump_clock: MockClock, applied: str
) -> None:
    """The held feed is asked as often as ever."""
    ends = [50.0, 100.0, 250.0]
    server = make_server(ends)

    def answer(exchange: Exchange) -> Reply | Fault:
        if "event-stream" in exchange.headers["accept"]:
            return stream_of(COMMENT, Pause(30), applied=applied)
        return as_ever()

    server.route(answer, path="/v1/events")
    assert max(await follow(server, ends)) <= INTERVAL
    assert len(asked_at(server, Kind.FEED)) < 60


async def test_a_stream_that_tells_the_same_again_is_left(
    autojump_clock: MockClock,
) -> None:
    """What has no cursor of its own is no news."""
    ends = [20.0, 40.0]
    server = make_server(ends)
    same = b'data: {"id": "j1", "status": "running"}\n\n'
    server.route(stream_of(same), path="/v1/events", times=50, optional=True)
    assert max(await follow(server, ends)) <= INTERVAL
    assert asked_for_streams(server) <= 4


def asked_for_streams(server: ScriptedServer) -> int:
    """Count the requests that would have taken one."""
    return sum("event-stream" in e.headers["accept"] for e in server.exchanges)


async def test_a_proxy_that_buffers_is_noticed_within_the_first_hold(
    autojump_clock: MockClock,
) -> None:
    """And no stream is asked for while that is remembered."""
    ends = [20.0 + number for number in range(100)]
    server = make_server(ends)
    server.fault(buffering(), to="feed")
    lags = await follow(server, ends)
    assert max(lags) <= INTERVAL
    assert asked_for_streams(server) == 2  # again after a minute, and then after two


@pytest.mark.parametrize("fault", [hang(), buffering()], ids=repr)
async def test_a_stream_that_falls_silent_costs_no_more_than_an_interval(
    autojump_clock: MockClock, fault: Fault
) -> None:
    """Its beat says that something is wrong."""
    ends = [30.0 + 5 * number for number in range(20)]
    server = make_server(ends)
    server.fault(fault, at=52, lasting=30, to="feed", optional=True)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _cut() -> None:
            await trio.sleep(52)
            assert server.cut_off("feed", hang()) == 1

        lags = await follow(server, ends)
    assert max(lags) <= INTERVAL
    assert lags[-1] == 0


async def test_a_slow_taker_is_told_all(autojump_clock: MockClock) -> None:
    """While it does not take, nobody listens; then the stream goes on at its cursor."""
    ends = [5 + number * 0.2 for number in range(1300)]
    server = make_server(ends)
    lags = await follow(server, ends, pause=2)
    assert len(lags) == 1300


async def test_what_is_no_event_is_survived(autojump_clock: MockClock) -> None:
    """Lists tell what the stream has not."""
    ends = [20.0, 40.0]
    server = make_server(ends)
    broken = stream_of(COMMENT, Pause(10), b"data: {\n\n", Pause(math.inf))
    server.route(broken, path="/v1/events", times=1)
    assert max(await follow(server, ends)) <= INTERVAL
