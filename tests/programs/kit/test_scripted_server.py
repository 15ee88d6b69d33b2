"""The scripted server: what it says on the wire, and what it writes down."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    JobStatus,
    RequestTimedOut,
)
from vtrio.testing import (
    Exchange,
    Pause,
    Reply,
    ScriptedServer,
    after,
    job,
    respond,
    says,
    truncated,
)


@pytest.mark.parametrize("job_id", ["a b", "é", "a/b", "..", "a%2Fb", "x?y#z"])
async def test_an_id_may_be_any_text(
    job_id: str, tmp_path: Path, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Links and paths are quoted, so that every call finds the job."""
    server = ScriptedServer()
    talk = server.add(job("completed"), id=job_id, video=b"dubbed")
    client = server.client(library=library)
    done = await client.wait(job_id)
    await client.download(done, tmp_path / "out")
    assert (await client.cancel(job_id)).id == job_id
    assert (tmp_path / "out").read_bytes() == b"dubbed"
    assert talk.asked_at == [0.0]
    server.check()


async def test_a_cancelled_job_follows_its_script_no_further(
    autojump_clock: MockClock,
) -> None:
    """What its script would have said later is neither told nor written down."""
    server = ScriptedServer()
    talk = server.add(
        job("pending", after(5, "running", progress=0.5), after(10, "completed"))
    )
    client = server.client()
    await trio.sleep(2)
    await client.cancel(talk.id)
    await trio.sleep(20)
    seen = await client.get_job(talk.id)
    assert (seen.status, seen.progress) == (JobStatus.CANCELLED, None)
    assert seen.started_at is None
    assert talk.cancelled_at == 2.0
    server.check()
    assert server.timeline() == (
        "     seconds\n"
        "       2.000       job j1 is cancelled\n"
        "       2.000  POST /v1/translations/j1/cancel  ->  202 cancelled\n"
        "      22.000  GET  /v1/translations/j1  ->  200 cancelled"
    )


@pytest.mark.parametrize(
    "path", ["/jobs/{id}/status", "/v1/translations/{id}/status", "/{id}"]
)
async def test_the_form_without_ids_is_told_at_a_path_of_ones_own(
    path: str, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Wherever that is, it tells the word and no document."""
    server = ScriptedServer(status_path=path)
    talk = server.add(job("pending", after(5, "completed")), id="a b")
    client = server.client(library=library, status_path=path)
    assert await client.get_status("a b") == "completed"
    assert talk.asked_at == [0.0, 1.0, 3.0, 7.0]
    assert {poll.outcome for poll in talk.polls} == {"200 pending", "200 completed"}
    server.check()


def test_a_status_path_without_an_id_is_refused() -> None:
    """It would find no job."""
    with pytest.raises(ValueError, match="status_path='/status' is not allowed: must"):
        ScriptedServer(status_path="/status")


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


async def test_a_fault_on_a_route_spoils_the_right_answer(
    autojump_clock: MockClock,
) -> None:
    """A route in place of the wire need not say again what the wire would."""
    server = ScriptedServer()
    server.add(job("running"), id="a")
    server.add(job("running"), id="b")
    server.route(truncated(), path="/v1/translations/a")
    server.route(lambda _: says("asleep"), path="/v1/translations/b")
    with pytest.raises(BadAnswer, match="not JSON"):
        await server.client().get_job("a")
    assert (await server.client().get_job("b")).unknown_word == "asleep"
    assert [poll.outcome for poll in server.polls] == [
        "200 running, cut in half",
        "200 asleep",
    ]


@pytest.mark.parametrize("own", [None, b"bytes", 200])
async def test_what_a_route_gives_must_be_an_answer(
    own: object, autojump_clock: MockClock
) -> None:
    """A function that forgot its return does not pass for the right answer."""
    server = ScriptedServer()
    server.add(job("completed"))

    def answer(exchange: Exchange) -> Reply:
        return own  # type: ignore[return-value]

    server.route(answer)
    with pytest.raises(ValueError, match=r"route\(...\) gave .*must be what respond"):
        await server.client().get_job("j1")


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
