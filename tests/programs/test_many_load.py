"""What a thousand waits ask of a server that refuses, or is out for a while."""

from __future__ import annotations

import bisect
import random

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, Learned, Schedule, VideoTranslationClient
from vtrio.testing import (
    Exchange,
    Fault,
    ScriptedServer,
    after,
    busy,
    job,
    refused,
)

WAITS = 1000
OUT_AT, LASTING = 40.0, 30.0


def make(
    schedule: Schedule, *, ends: float, over: float = 0.0, **settings: bool
) -> tuple[ScriptedServer, VideoTranslationClient, list[str]]:
    """Make a server with many jobs that end within a time, and a client of it."""
    server = ScriptedServer(
        lists=settings.get("lists", False),
        feed=settings.get("feed", False),
        holds=settings.get("holds", False),
    )
    ids = [
        server.add(job("running", after(ends + over * number / WAITS, "completed"))).id
        for number in range(WAITS)
    ]
    client = server.client(schedule=schedule, rng=random.Random(3))
    return server, client, ids


def polls(server: ScriptedServer, since: float, until: float) -> list[Exchange]:
    """Return what was asked within a time."""
    return [e for e in server.exchanges if since <= e.at < until]


@pytest.mark.slow
async def test_a_server_that_refuses_is_asked_what_it_allows(
    autojump_clock: MockClock,
) -> None:
    """50 a second for waits that want 200: 1 % refused at most, 90 % used at least."""
    server, client, ids = make(Fixed(5), ends=10_000)
    server.allowance(rate=50, burst=10)

    with trio.move_on_after(35):
        async with client, client.as_completed(ids) as outcomes:
            async for outcome in outcomes:
                pytest.fail(f"nothing has ended: {outcome}")

    asked = polls(server, 5, 35)
    turned_away = sum(exchange.status == 429 for exchange in asked)
    assert turned_away <= 0.01 * len(asked)
    assert len(asked) - turned_away >= 0.9 * 30 * 50


@pytest.mark.slow
@pytest.mark.parametrize("fault", [refused(), busy()], ids=repr)
async def test_an_outage_costs_no_wait_and_no_more_requests(
    autojump_clock: MockClock, fault: Fault
) -> None:
    """30 s amid single polls: nothing fails, and they come back spread."""
    server, client, ids = make(Fixed(5), ends=75, over=20)
    server.fault(fault, at=OUT_AT, lasting=LASTING)

    async with client, client.as_completed(ids) as outcomes:
        ended = [outcome.result().id async for outcome in outcomes]

    assert len(set(ended)) == len(ended) == WAITS
    before = len(polls(server, OUT_AT - LASTING, OUT_AT))
    during = len(polls(server, OUT_AT, OUT_AT + LASTING))
    assert 5000 <= before <= 7000
    assert during <= 1.1 * before
    assert 5 <= during <= 40, "nobody looks whether it is back, or everybody does"
    check_spread(server, OUT_AT + LASTING)


@pytest.mark.parametrize(
    "schedule",
    [Fixed(5), pytest.param(Learned(), marks=pytest.mark.slow)],
    ids=["fixed", "learned"],
)
async def test_an_outage_of_a_server_with_a_feed(
    autojump_clock: MockClock, schedule: Schedule
) -> None:
    """What costs few requests costs few in an outage too."""
    server, client, ids = make(
        schedule, ends=10, over=100, lists=True, feed=True, holds=True
    )
    server.fault(refused(), at=OUT_AT, lasting=LASTING)

    async with client, client.as_completed(ids) as outcomes:
        ended = [outcome.result().id async for outcome in outcomes]

    assert len(set(ended)) == len(ended) == WAITS
    before = len(polls(server, OUT_AT - LASTING, OUT_AT))
    during = len(polls(server, OUT_AT, OUT_AT + LASTING))
    assert during <= 1.1 * before
    assert during <= 30
    check_spread(server, OUT_AT + LASTING)


def check_spread(server: ScriptedServer, since: float) -> None:
    """No 100 ms holds more than 3 times the mean over the 2 s around it."""
    instants = sorted(e.at for e in server.exchanges)

    def count(start: float, end: float) -> int:
        return bisect.bisect_left(instants, end) - bisect.bisect_left(instants, start)

    steps = int((instants[-1] - since) * 20)
    for step in range(steps):
        start = since + step / 20
        mean = count(start - 0.95, start + 1.05) / 20
        if mean >= 10:
            assert count(start, start + 0.1) <= 3 * mean, f"a herd at {start:g} s"
