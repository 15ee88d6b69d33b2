"""Answers of a test's own, in place of the wire, as often as it says."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from vtrio.testing import ScriptedServer, ScriptNotFollowed, job, respond


async def test_a_route_serves_so_many_requests_and_then_the_next_one(
    autojump_clock: MockClock,
) -> None:
    """After the routes comes the wire."""
    server = ScriptedServer()
    server.add(job("completed"))
    server.route(respond(418), times=2)
    server.route(respond(410), path="/status", times=1)
    http = server.http()
    statuses = [(await http.get("/status")).status_code for _ in range(4)]
    assert statuses == [418, 418, 410, 200]
    server.check()


async def test_a_route_that_met_too_few_requests_is_told(
    autojump_clock: MockClock,
) -> None:
    """Like a fault: what was scripted did not come about."""
    server = ScriptedServer()
    server.route(respond(418), path="/status", method="GET", times=2)
    server.route(respond(418))
    await server.http().get("/status")
    with pytest.raises(ScriptNotFollowed, match=r"route for GET /status: 1 of 2 times"):
        server.check()


async def test_a_route_that_nobody_asked_for_is_told_unless_it_is_optional(
    autojump_clock: MockClock,
) -> None:
    """A slip of the pen in its path would go unnoticed otherwise."""
    server = ScriptedServer()
    server.route(respond(418), path="/tee", optional=True)
    server.check()
    server.route(respond(418), path="/tea")
    with pytest.raises(ScriptNotFollowed, match="route for any /tea: no request met"):
        server.check()


def test_a_route_for_no_request_is_refused() -> None:
    """The value, and what is allowed."""
    with pytest.raises(ValueError, match="times=0 is not allowed"):
        ScriptedServer().route(respond(), times=0)
