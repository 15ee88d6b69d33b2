"""The two tests whose real time is compared: an hour of scenario, and nothing.

The benchmark copies this file into a folder of its own and runs it with pytest; here it
is a module like any other, so that linters and type checkers read it.
"""
# ruff: noqa: S101 - assert is how tests speak

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

if TYPE_CHECKING:
    from trio.testing import MockClock

    from vtrio.testing import ScriptedServer

INTERVAL = 18
HINT = 20
ASKED_AT = [
    *range(0, 1800, INTERVAL),  # from 600 s on nobody listens, for five minutes
    *range(1800, 2100, HINT),  # too busy, and asks for longer pauses
    *range(2100, 3600 + INTERVAL, INTERVAL),  # until after the failure at 3600 s
]
FAILURES = [at for at in ASKED_AT if 600 <= at < 900 or 1800 <= at < 2100]


alternately = pytest.mark.parametrize("turn", range(int(os.environ.get("TURNS", "1"))))


@alternately
async def test_one_hour(
    turn: int, vtrio_server: ScriptedServer, autojump_clock: MockClock
) -> None:
    """200 polls, two outages and a failure, each told exactly."""
    # Here, because the first use is to pay for it.
    from vtrio import JobFailed
    from vtrio.schedules import Fixed
    from vtrio.testing import after, busy, job, refused

    talk = vtrio_server.add(
        job("pending", after(30, "running", progress=0.1), after(3600, "error"))
    )
    vtrio_server.fault(refused(), at=600, lasting=300)
    vtrio_server.fault(busy(retry_after=HINT), at=1800, lasting=300)
    client = vtrio_server.client(schedule=Fixed(INTERVAL))
    with pytest.raises(JobFailed) as caught:
        await client.wait(talk.id)
    assert talk.asked_at == ASKED_AT
    assert trio.current_time() == ASKED_AT[-1] == 3612
    failed = [poll.at for poll in talk.polls if poll.status not in {200, 304}]
    assert failed == FAILURES
    receipt = caught.value.receipt
    assert receipt is not None
    assert receipt.polls == len(ASKED_AT) == 200
    assert receipt.failures == len(FAILURES) == 31
    assert receipt.lag == 12


@alternately
async def test_empty(turn: int, autojump_clock: MockClock) -> None:
    """What pytest and pytest-trio take for any test."""
