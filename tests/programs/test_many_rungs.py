"""Every rung is killed while it works: no end is lost, none is late, and it comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, Outcome
from vtrio._watch import LIST_PATIENCE
from vtrio.testing import (
    Fault,
    Invariants,
    Kind,
    ScriptedServer,
    after,
    buffering,
    busy,
    hang,
    html,
    hung_up,
    job,
    refused,
    reset,
    server_error,
)

# Jobs end one after another, some before, some during, some after the trouble.
JOBS = 60
FIRST_END, LAST_END = 40.0, 160.0
INTERVAL = 10.0
KILLED_AT, LASTING = 80.0, 20.0
# A rung rests for a minute at most before it is tried again.
RETRY = 60.0


def end_of(number: int) -> float:
    """Return the instant at which a job ends."""
    return FIRST_END + (LAST_END - FIRST_END) * number / (JOBS - 1)


def make_server(**settings: Any) -> ScriptedServer:
    """Make a server with jobs that end one after another."""
    server = ScriptedServer(**settings)
    for number in range(JOBS):
        server.add(job("pending", after(end_of(number), "completed")), id=f"j{number}")
    return server


async def follow(
    server: ScriptedServer,
    *,
    transport: Any = "auto",
    kill: Callable[[], None] | None = None,
) -> dict[int, float]:
    """Wait for all jobs, and return the lag of each."""
    lags: dict[int, float] = {}
    client = server.client(schedule=Fixed(INTERVAL))
    with Invariants():
        async with client, trio.open_nursery() as nursery:
            if kill is not None:

                @nursery.start_soon
                async def _kill() -> None:
                    await trio.sleep(KILLED_AT)
                    kill()

            ids = [f"j{number}" for number in range(JOBS)]
            async with client.as_completed(ids, transport=transport) as outcomes:
                async for outcome in outcomes:
                    number = int(outcome.job_id[1:])
                    assert number not in lags, "told twice"
                    _check(outcome)
                    lags[number] = trio.current_time() - end_of(number)
    assert len(lags) == JOBS, "an end was lost"
    return lags


def _check(outcome: Outcome) -> None:
    done = outcome.result()
    assert done.result is not None
    assert done.result.video_url == f"/v1/translations/{outcome.job_id}/video"


def asked_at(server: ScriptedServer, kind: Kind) -> list[float]:
    """Return the instants of all requests of a kind."""
    return [exchange.at for exchange in server.exchanges if exchange.kind is kind]


FAULTS = [reset(), hung_up(), refused(), server_error(), busy(), hang(), html()]
IN_BOTH_FORMS = pytest.mark.parametrize(
    "streams", [False, True], ids=["held feed", "streamed feed"]
)


@IN_BOTH_FORMS
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_feed_that_is_cut_is_left_and_taken_up_again(
    autojump_clock: MockClock, fault: Fault, streams: bool
) -> None:
    """Whatever cuts it: ends are found within an interval, and later they are told."""
    server = make_server(feed_streams=streams)
    server.fault(fault, at=KILLED_AT, lasting=LASTING, to="feed")

    lags = await follow(server, kill=lambda: _cut(server, Kind.FEED, fault))

    assert max(lags.values()) <= INTERVAL
    assert any("prefer" in e.headers for e in server.exchanges if e.kind is Kind.BATCH)
    back = min(at for at in asked_at(server, Kind.FEED) if at >= KILLED_AT + LASTING)
    assert back <= KILLED_AT + LASTING + RETRY
    assert all(lags[n] <= 0.2 for n in lags if end_of(n) > back + 1)


def noticed_after(fault: Fault) -> float:
    """Return how long a plain list takes to be given up; 503 slows whoever asks."""
    return {"hang()": LIST_PATIENCE, "busy()": INTERVAL}.get(repr(fault), 0.0)


def _cut(server: ScriptedServer, kind: Kind, fault: Fault) -> None:
    assert server.cut_off(kind, fault) == 1, "nobody was listening"


@IN_BOTH_FORMS
async def test_a_feed_behind_a_proxy_that_buffers_is_left(
    autojump_clock: MockClock, streams: bool
) -> None:
    """What is held never comes: the lists below do the work, and are held as well."""
    server = make_server(feed_streams=streams)
    server.fault(buffering(), to="feed")

    lags = await follow(server)

    assert max(lags.values()) <= INTERVAL
    assert len(asked_at(server, Kind.FEED)) <= 6, "it was asked again and again"


@IN_BOTH_FORMS
async def test_a_proxy_that_buffers_all_leaves_plain_lists(
    autojump_clock: MockClock, streams: bool
) -> None:
    """Nothing that is held comes through, and what is not held does."""
    server = make_server(feed_streams=streams)
    server.fault(buffering())

    lags = await follow(server)

    assert max(lags.values()) <= INTERVAL


@IN_BOTH_FORMS
async def test_a_cursor_that_expires_loses_nothing(
    autojump_clock: MockClock, streams: bool
) -> None:
    """All jobs are looked at once, and the feed goes on from there."""
    server = make_server(feed_streams=streams)

    def expire() -> None:
        server.expire_cursors()
        server.cut_off("feed", reset())

    lags = await follow(server, kill=expire)

    assert max(lags.values()) <= INTERVAL
    late = [at for at in asked_at(server, Kind.FEED) if at > KILLED_AT + 1]
    assert min(late) <= KILLED_AT + RETRY
    assert all(
        lag <= 0.2 for n, lag in lags.items() if end_of(n) > min(late) + INTERVAL
    )


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_held_lists_that_are_cut_are_left_and_taken_up_again(
    autojump_clock: MockClock, fault: Fault
) -> None:
    """A server without a feed: below its held lists there are single polls."""
    server = make_server(feed=False)
    server.fault(fault, at=KILLED_AT, lasting=LASTING, to="batch")

    lags = await follow(server, kill=lambda: _cut(server, Kind.BATCH, fault))

    assert max(lags.values()) <= INTERVAL + noticed_after(fault)
    assert asked_at(server, Kind.POLL), "nobody asked about single jobs"
    after_all = [at for at in asked_at(server, Kind.BATCH) if at >= KILLED_AT + LASTING]
    assert min(after_all) <= KILLED_AT + LASTING + RETRY


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_plain_lists_that_fail_are_left_and_taken_up_again(
    autojump_clock: MockClock, fault: Fault
) -> None:
    """A server that holds nothing."""
    server = make_server(feed=False, holds=False)
    server.fault(fault, at=KILLED_AT, lasting=LASTING, to="batch", optional=True)

    lags = await follow(server)

    assert max(lags.values()) <= INTERVAL + noticed_after(fault)
    assert asked_at(server, Kind.POLL)
    after_all = [at for at in asked_at(server, Kind.BATCH) if at >= KILLED_AT + LASTING]
    assert min(after_all) <= KILLED_AT + LASTING + RETRY


async def test_a_server_that_knows_single_polls_alone_is_enough(
    autojump_clock: MockClock,
) -> None:
    """All of it works, with more requests."""
    server = make_server(feed=False, holds=False, lists=False)

    lags = await follow(server)

    assert max(lags.values()) <= INTERVAL
    assert len(asked_at(server, Kind.FEED)) + len(asked_at(server, Kind.BATCH)) <= 3


@pytest.mark.parametrize(
    ("transport", "most", "latest"),
    [("auto", 3 * JOBS, 0.1), ("batch", 3 * JOBS, 0.1), ("single", 30 * JOBS, 12)],
)
async def test_the_caller_says_what_may_be_used(
    autojump_clock: MockClock, transport: Any, most: int, latest: float
) -> None:
    """The better the rung, the fewer requests and the less lag."""
    server = make_server()
    lags = await follow(server, transport=transport)
    assert len(server.exchanges) <= most
    assert max(lags.values()) <= latest
    kinds = {exchange.kind for exchange in server.exchanges}
    expected = {
        "auto": {Kind.FEED, Kind.BATCH},
        "batch": {Kind.BATCH},
        "single": {Kind.POLL},
    }
    assert kinds == expected[transport]
