"""What a scripted server writes down, and what it tells where its script did not come about."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Fixed,
    Job,
    JobNotFound,
    JobStatus,
    ServerBusy,
    Unreachable,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio.testing import (
    URL,
    Kind,
    ScriptedServer,
    ScriptNotFollowed,
    after,
    drawn,
    hang,
    hung_up,
    job,
    refused,
    respond,
    says,
    truncated,
)


async def submit(client: VideoTranslationClient, **settings: Any) -> Job:
    """Submit a small video."""
    given = {"to": "pt", **settings}
    return await client.submit(io.BytesIO(given.pop("video", b"video")), **given)


async def test_an_exchange_is_written_down_whole(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Where it went, what it said, when it began and ended, and what came."""
    server = ScriptedServer(latency=0.5)
    server.route(respond(json={"ok": True}), method="POST", path="/x")
    await trio.sleep(1)
    headers = {"X-Own": "é".encode("latin-1")}
    await server.http(library).post("/x?y=1", content=b"body", headers=headers)
    (exchange,) = server.exchanges
    assert (exchange.method, exchange.target, exchange.path) == ("POST", "/x?y=1", "/x")
    assert (exchange.url, exchange.body) == (f"{URL}/x?y=1", b"body")
    assert exchange.headers["x-own"] == "é"
    assert (exchange.at, exchange.ended_at) == (1.0, 1.5)
    assert (exchange.kind, exchange.job_id) == (Kind.OTHER, None)
    assert exchange.outcome == "200"
    assert repr(server) == "<ScriptedServer http://vtrio.test: 0 jobs, 1 requests>"


async def test_what_nothing_was_scripted_for_is_told(
    autojump_clock: MockClock,
) -> None:
    """An unknown job, a strange place, a wrong method, a submission too many."""
    server = ScriptedServer()
    client = server.client()
    with pytest.raises(JobNotFound):
        await client.get_job("nobody")
    with pytest.raises(JobNotFound):
        await client.get_status()
    await trio.sleep(2.5)
    for method in ("get", "delete"):
        answer = await getattr(server.http(), method)("/v1/translations/j1/cancel")
        assert answer.status_code == 404
    with pytest.raises(ServerBusy, match=r"call on_submit\(job\(...\)\)"):
        await submit(client)
    with pytest.raises(ScriptNotFollowed) as caught:
        server.check()
    assert str(caught.value) == (
        "the script was not followed: GET /v1/translations/nobody\n"
        "nothing was scripted for:\n"
        "  GET /v1/translations/nobody at 0 s\n"
        "  GET /status at 0 s\n"
        "  GET /v1/translations/j1/cancel at 2.5 s\n"
        "  DELETE /v1/translations/j1/cancel at 2.5 s\n"
        "  POST /v1/translations at 2.5 s\n"
        f"what happened:\n{server.timeline()}"
    )


async def test_what_was_scripted_and_never_came_is_told(
    autojump_clock: MockClock,
) -> None:
    """Steps, faults and submissions, with how far things came."""
    server = ScriptedServer()
    talk = server.add(job("pending", after(5, "running"), after(60, refused())))
    server.add(job("running", "completed"), id="b")
    server.add(job("running", "completed"), id="c", optional=True)
    server.on_submit(job("running"), drawn("fixed:1"))
    server.fault(says("asleep"), at=30, lasting=10)
    server.fault(refused(), times=2)
    server.fault(refused(), times=2, about=talk, optional=True)
    server.fault(truncated(), at=90)
    client = server.client(schedule=Fixed(4))
    with pytest.raises(WaitTimeout):
        await client.wait(talk.id, max_attempts=3)
    with pytest.raises(ScriptNotFollowed) as caught:
        server.check()
    assert str(caught.value) == (
        "the script was not followed: after(5, 'running'), after(60, refused()) of job"
        " j1; the last question came at 8 s\n"
        "never reached:\n"
        "  after(5, 'running'), after(60, refused()) of job j1; the last question came"
        " at 8 s\n"
        "  'running', 'completed' of job b; nobody asked about it\n"
        "  fault says('asleep') from 30 s to 40 s: no request met it\n"
        "  fault truncated() from 90 s: no request met it\n"
        "  job('running'), scripted for a submission that never came\n"
        f"what happened:\n{server.timeline()}"
    )


async def test_a_fault_that_struck_too_seldom_is_told(
    autojump_clock: MockClock,
) -> None:
    """With how often it did."""
    server = ScriptedServer()
    server.add(job("running"))
    server.fault(hung_up(), times=3, lasting=50)
    with pytest.raises(Unreachable):
        await server.client().get_job("j1")
    with pytest.raises(
        ScriptNotFollowed, match=r"fault hung_up\(\) to 50 s: 1 of 3 times"
    ):
        server.check()


async def test_whoever_asked_has_come_to_the_first_step(
    autojump_clock: MockClock,
) -> None:
    """A server that refuses all is no script that was not followed."""
    server = ScriptedServer()
    talk = server.add(job("running"))
    server.fault(refused())
    with pytest.raises(WaitTimeout):
        await server.client().wait(talk.id, max_attempts=4)
    server.check()


async def test_a_timeline_tells_requests_and_turns(autojump_clock: MockClock) -> None:
    """A line each, in the order of time; what waits still, and what was given up."""
    server = ScriptedServer(latency=0.25)
    server.on_submit(job("pending", after(2, "running"), after(7, "completed")))
    server.fault(hang(), at=1, to="poll", times=1)
    client = server.client(schedule=Fixed(3), request_timeout=1)
    talk = await submit(client)
    await client.wait(talk)
    with trio.move_on_after(0.125):
        await client.cancel(talk)
    assert server.timeline() == (
        "     seconds\n"
        "       0.000  POST /v1/translations  ->  202 pending  (took 0.250 s)\n"
        "       2.000       job j1 is running\n"
        "       3.250  GET  /v1/translations/j1  ->  no answer  (took 1.000 s)\n"
        "       7.000       job j1 is completed\n"
        "       7.250  GET  /v1/translations/j1  ->  200 completed  (took 0.250 s)\n"
        "       7.500  POST /v1/translations/j1/cancel  ->  given up while it waited"
        "  (took 0.125 s)"
    )


async def test_a_long_timeline_is_cut_in_the_middle(autojump_clock: MockClock) -> None:
    """Its beginning and its end are what one looks for."""
    server = ScriptedServer()
    talk = server.add(job("running", after(100, "completed")))
    await server.client(schedule=Fixed(1)).wait(talk.id)
    lines = server.timeline().splitlines()
    assert len(lines) == 1 + 30 + 1 + 30
    assert lines[30].startswith("      29.000  GET")
    assert lines[31] == "         ...  42 more"
    assert lines[32].startswith("      72.000  GET")
    assert lines[-2] == "     100.000       job j1 is completed"
    assert lines[-1].endswith("->  200 completed")


async def test_a_job_tells_what_was_asked_about_it(autojump_clock: MockClock) -> None:
    """And the server what was asked of all."""
    server = ScriptedServer()
    one, two = server.add(job("running")), server.add(job("running"))
    for at, talk in ((0, one), (1, two), (3, one)):
        await trio.sleep_until(at)
        await server.client().get_job(talk.id)
    assert (one.asked_at, two.asked_at) == ([0.0, 3.0], [1.0])
    assert server.asked_at == [0.0, 1.0, 3.0]
    assert server.polls == server.exchanges
    assert one.polls == (server.polls[0], server.polls[2])
    assert repr(one) == "<ScriptedJob j1: 2 polls>"
    assert [each.id for each in server.jobs()] == ["j1", "j2"]


async def test_a_job_without_end_is_not_asked_about_for_ever(
    autojump_clock: MockClock,
) -> None:
    """Virtual time does not tire; after ten years somebody has made a mistake."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "compelted")))
    with pytest.raises(ScriptNotFollowed, match=r"job j1 stays 'compelted': .* no end"):
        await server.client().wait("j1")
    assert trio.current_time() > 10 * 365 * 86_400
    server.add(job("running"))
    with trio.move_on_after(30 * 86_400) as scope:
        await server.client(schedule=Fixed(3600)).wait("j2")
    assert scope.cancelled_caught


async def test_too_many_questions_about_a_job_without_end_are_refused(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little time they take."""
    monkeypatch.setattr("vtrio.testing._jobs._MOST_POLLS", 50)
    server = ScriptedServer()
    server.add(job("running"))
    with pytest.raises(ScriptNotFollowed, match="asked about 51 times in 250 s"):
        await server.client(schedule=Fixed(5)).wait("j1")


async def test_a_fault_of_a_script_that_met_nobody_is_told(
    autojump_clock: MockClock,
) -> None:
    """A status may be passed by between two questions; a fault must strike."""
    server = ScriptedServer()
    server.add(
        job("pending", after(20, "running"), after(80, hang()), after(100, "completed"))
    )
    await trio.sleep(10)
    await server.client().get_job("j1")
    await trio.sleep(100)
    assert (await server.client().get_job("j1")).status is JobStatus.COMPLETED
    with pytest.raises(ScriptNotFollowed, match=r"after\(80, hang\(\)\) of job j1"):
        server.check()


async def test_what_is_optional_may_be_left_or_stay_away(
    autojump_clock: MockClock,
) -> None:
    """A job that a program submits and gives up, and one that it never submits."""
    server = ScriptedServer()
    server.on_submit(
        job("pending", after(9, "completed")), job("running"), optional=True
    )
    client = server.client()
    with trio.move_on_after(5):
        await client.wait(await client.submit(io.BytesIO(b"video"), "pt"))
    server.check()
    server.on_submit(job("completed"))
    with pytest.raises(ScriptNotFollowed, match="for a submission that never came"):
        server.check()


async def test_another_place_is_one_that_nothing_is_scripted_for(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Another host, another port, another scheme, and what only begins alike."""
    server = ScriptedServer()
    server.add(job("completed"))
    places = [
        *("http://elsewhere.test", "http://vtrio.test:81", "https://vtrio.test"),
        "http://vtrio.testing",
    ]
    for place in places:
        with pytest.raises(JobNotFound):
            await server.client(library=library, base_url=place).get_job("j1")
    with pytest.raises(ScriptNotFollowed) as caught:
        server.check()
    for place in places:
        assert f"  GET {place}/v1/translations/j1 at 0 s" in str(caught.value)
