"""The scripted server: what it says on the wire, and what it writes down."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Fixed,
    Job,
    JobCancelled,
    JobNotFound,
    JobStatus,
    Refused,
    RequestTimedOut,
    ServerBusy,
    TransientError,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio.testing import (
    URL,
    Exchange,
    Fault,
    Invariants,
    Kind,
    Pause,
    Reply,
    ScriptedServer,
    ScriptNotFollowed,
    Steady,
    after,
    drawn,
    drip,
    expired_link,
    hang,
    hung_up,
    job,
    refused,
    reset,
    respond,
    says,
    truncated,
)

DAWN = datetime(2026, 1, 1, tzinfo=UTC)


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


async def submit(client: VideoTranslationClient, **settings: Any) -> Job:
    """Submit a small video."""
    given = {"to": "pt", **settings}
    return await client.submit(io.BytesIO(given.pop("video", b"video")), **given)


# --- submissions ----------------------------------------------------------------


@pytest.mark.parametrize(
    "video",
    [
        bytes(range(256)) * 300,
        b"\r\n--boundary\r\n\r\n",
        b"\n\r",
        b"\x85\x0b\x0c\x1c\xff",
        b"a\r",
        b"a\r\n",
    ],
    ids=range(6),
)
async def test_a_submitted_video_comes_back_byte_by_byte(
    video: bytes, tmp_path: Path, library: ModuleType, autojump_clock: MockClock
) -> None:
    """The scripted result is the video itself."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(5, "completed")))
    client = server.client(library=library)
    talk = await submit(client, video=video, to="pt-BR", source_language="português")
    assert (talk.id, talk.status, talk.target_language) == ("j1", "pending", "pt-BR")
    assert talk.source_language == "português"
    done = await client.wait(talk)
    await client.download(done, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == video
    await client.download(done, tmp_path / "out.vtt", what="subtitles")
    assert (tmp_path / "out.vtt").read_bytes() == b"WEBVTT\n"
    server.check()


async def test_the_same_key_gives_the_same_job(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """With another payload it is refused; another key makes another job."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(5, "running")), job("running"))
    client = server.client(library=library)
    first = await submit(client, idempotency_key="k")
    await trio.sleep(6)
    again = await submit(client, idempotency_key="k")
    assert (again.id, again.status, again.seen) == (first.id, "running", again.seen)
    assert again.seen is not None
    assert again.seen.age == 6.0
    for other in ({"video": b"other"}, {"to": "en"}, {"source_language": "de"}):
        with pytest.raises(Refused, match="Idempotency-Key was used before") as caught:
            await submit(client, idempotency_key="k", **other)
        assert caught.value.status_code == 422
    assert (await submit(client, idempotency_key="other")).id == "j2"
    assert [one.id for one in server.jobs()] == ["j1", "j2"]
    assert [e.job_id for e in server.exchanges] == ["j1", "j1", None, None, None, "j2"]


@pytest.mark.parametrize(
    "lost", [reset(after_bytes=0), truncated(), hang(after_bytes=3)]
)
async def test_an_answer_that_was_lost_has_made_the_job(
    lost: Fault, autojump_clock: MockClock
) -> None:
    """So that the key can be seen to work."""
    server = ScriptedServer()
    server.on_submit(job("running"))
    server.fault(lost, to="submission", times=1)
    client = server.client()
    with pytest.raises(TransientError):
        await submit(client, idempotency_key="k")
    assert [one.id for one in server.jobs()] == ["j1"]
    assert (await submit(client, idempotency_key="k")).id == "j1"


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        ({"content": b"x"}, 415, "it must be multipart/form-data, not ''"),
        ({"files": {"video": b"x"}}, 422, "target_language is missing"),
        (
            {"files": {"clip": b"x"}, "data": {"target_language": "pt"}},
            422,
            "video is missing",
        ),
        (
            {"files": {"video": b""}, "data": {"target_language": "pt"}},
            422,
            "video is missing",
        ),
    ],
    ids=["no form", "no language", "no video", "an empty one"],
)
async def test_a_bad_submission_is_refused(
    request_: dict[str, Any], status: int, detail: str, autojump_clock: MockClock
) -> None:
    """As a server would, with a problem document; nothing is made of it."""
    server = ScriptedServer()
    answer = await server.http().post("/v1/translations", **request_)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"
    assert server.jobs() == ()
    server.check()


async def test_a_submission_without_a_key_makes_a_job_each_time(
    autojump_clock: MockClock,
) -> None:
    """Lives by chance serve for all of them."""
    server = ScriptedServer()
    server.on_submit(job("running"), drawn("fixed:5"))
    form = {"files": {"video": b"x"}, "data": {"target_language": "pt"}}
    answers = [await server.http().post("/v1/translations", **form) for _ in range(3)]
    assert [answer.headers["location"] for answer in answers] == [
        f"/v1/translations/j{n}" for n in (1, 2, 3)
    ]
    assert {answer.status_code for answer in answers} == {202}


# --- cancelling, results, keys --------------------------------------------------


async def test_a_job_is_cancelled_once_and_only_while_it_runs(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """One that is over stays as it is."""
    server = ScriptedServer(retry_after=9)
    running = server.add(job("running", after(60, "completed")))
    done = server.add(job("completed"))
    client = server.client(library=library)
    await trio.sleep(3)
    cancelled = await client.cancel(running.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    assert (cancelled.finished_at - DAWN).total_seconds() == 3.0
    await trio.sleep(1)
    assert (await client.cancel(running.id)).finished_at == cancelled.finished_at
    assert (await client.cancel(done.id)).status == "completed"
    assert (running.cancelled_at, done.cancelled_at) == (3.0, None)
    assert [e.outcome for e in server.exchanges] == [
        *("202 cancelled", "200 cancelled", "200 completed")
    ]
    with pytest.raises(JobCancelled):
        await client.wait(running.id)
    assert await client.get_status(running.id) == "error"
    assert await client.get_status() == "error"  # which has no word for it
    server.check()


VIDEO = b"0123456789"


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ({}, 200, VIDEO, None),
        ({"range": "bytes=4-"}, 206, b"456789", "bytes 4-9/10"),
        ({"range": "bytes=4-6"}, 206, b"456", "bytes 4-6/10"),
        ({"range": "bytes=4-99"}, 206, b"456789", "bytes 4-9/10"),
        ({"range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
        ({"range": "bytes=-99"}, 206, VIDEO, "bytes 0-9/10"),
        ({"range": "bytes=-0"}, 416, None, "bytes */10"),
        ({"range": "bytes=10-"}, 416, None, "bytes */10"),
        ({"range": "bytes=6-4"}, 200, VIDEO, None),
        ({"range": "bytes=-"}, 200, VIDEO, None),
        ({"range": "lines=1-"}, 200, VIDEO, None),
        ({"range": "bytes=4-", "if-range": '"other"'}, 200, VIDEO, None),
        ({"if-none-match": '"other"'}, 200, VIDEO, None),
    ],
    ids=str,
)
async def test_a_result_comes_whole_or_in_part(
    asked: dict[str, str],
    status: int,
    body: bytes | None,
    told: str | None,
    autojump_clock: MockClock,
) -> None:
    """As RFC 9110 says of ranges."""
    server = ScriptedServer()
    talk = server.add(job("completed"), video=VIDEO)
    answer = await server.http().get(f"/v1/translations/{talk.id}/video", headers=asked)
    assert answer.status_code == status
    assert answer.headers.get("content-range") == told
    assert body is None or answer.content == body
    assert server.exchanges[0].kind == "result"


async def test_a_result_that_is_known_is_not_sent_again(
    autojump_clock: MockClock,
) -> None:
    """304, for the validator that came with it; the two results have their own."""
    server = ScriptedServer()
    server.add(job("completed"), video=b"same", subtitles=b"same")
    paths = [f"/v1/translations/j1/{what}" for what in ("video", "subtitles")]
    video, subtitles = [(await server.http().get(p)).headers["etag"] for p in paths]
    assert video != subtitles
    known = {"if-none-match": f"{subtitles}, {video}"}
    answer = await server.http().get(paths[0], headers=known)
    assert (answer.status_code, answer.content) == (304, b"")
    assert server.exchanges[-1].outcome == "304 not modified"
    same = {"range": "bytes=1-", "if-range": video}
    assert (await server.http().get(paths[0], headers=same)).content == b"ame"


async def test_a_job_that_runs_has_no_result(autojump_clock: MockClock) -> None:
    """409 says where it stands."""
    server = ScriptedServer()
    server.add(job("running"))
    answer = await server.http().get("/v1/translations/j1/video")
    assert (answer.status_code, answer.json()["detail"]) == (409, "job 'j1' is running")


async def test_an_api_key_is_asked_for_everywhere_but_at_status(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """A wrong one and none are refused alike."""
    server = ScriptedServer(api_key="s3cret")
    server.add(job("completed"))
    for settings in ({}, {"api_key": "wrong"}):
        client = server.client(library=library, **settings)
        for ask in (client.get_job, client.cancel, client.wait):
            with pytest.raises(Unauthorized):
                await ask("j1")
        with pytest.raises(Unauthorized):
            await submit(client)
        assert await client.get_status() == "completed"
    right = server.client(library=library, api_key="s3cret")
    assert (await right.get_job("j1")).status == "completed"


# --- what was asked -------------------------------------------------------------


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


async def test_routes_answer_for_the_wire(autojump_clock: MockClock) -> None:
    """The first that fits, by method and path, with a function of one's own or not."""
    server = ScriptedServer()
    talk = server.add(job("running"))

    async def slowly(exchange: Exchange) -> Reply:
        await trio.sleep(2)
        return respond(body=exchange.path)

    server.route(respond(201), method="PUT")
    server.route(slowly, path="/slow")
    server.route(lambda _: refused(), path="/gone")
    http = server.http()
    assert (await http.put("/slow")).status_code == 201
    assert (await http.get("/slow")).text == "/slow"
    with pytest.raises(httpx.ConnectError):
        await http.get("/gone")
    assert (await server.client().get_job(talk.id)).status == "running"
    assert [e.at for e in server.exchanges] == [0.0, 0.0, 2.0, 2.0]
    server.check()


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


# --- clocks, clients, cancelling ------------------------------------------------


async def test_it_works_on_a_real_clock_too() -> None:
    """Instants count from when it is first used."""
    server = ScriptedServer()
    talk = server.add(job("running", after(0.01, "completed")))
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


async def test_a_submission_may_be_taken_without_a_word(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """The same key finds the job that the lost answer was about."""
    for fault in (reset(after_bytes=0), hung_up(after_bytes=0)):
        server = ScriptedServer()
        server.on_submit(job("completed"))
        server.fault(fault, times=1)
        client = server.client(library=library)
        with pytest.raises(Unreachable) as lost:
            await client.submit(io.BytesIO(b"video"), "pt")
        assert len(server.jobs()) == 1
        again = await client.submit(
            io.BytesIO(b"video"), "pt", idempotency_key=lost.value.idempotency_key
        )
        assert [one.id for one in server.jobs()] == [again.id]


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


async def test_a_link_that_expires_in_the_middle_is_renewed(
    library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Asked by id too, where the first link was fresh."""
    server = ScriptedServer()
    server.add(job("completed"), video=b"v" * 5000)
    server.fault(reset(after_bytes=1000), times=1, to="result")
    server.fault(expired_link(), times=1)
    target = tmp_path / "out.mp4"
    await server.client(library=library).download("j1", target)
    assert target.read_bytes() == b"v" * 5000
    server.check()


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


async def test_a_server_may_lie_below_a_path(
    library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """All of the wire is there, and nothing beside it."""
    server = ScriptedServer(url="https://dubbing.test/api/")
    server.on_submit(job("pending", "completed"))
    client = server.client(library=library)
    done = await client.wait(await client.submit(io.BytesIO(b"video"), "pt"))
    await client.download(done, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"video"
    assert {e.path for e in server.exchanges} == {
        *("/v1/translations", "/v1/translations/j1", "/v1/translations/j1/video")
    }
    assert server.exchanges[0].url == "https://dubbing.test/api/v1/translations"
    server.check()
    beside = server.client(library=library, base_url="https://dubbing.test")
    with pytest.raises(JobNotFound):
        await beside.get_job("j1")
    with pytest.raises(ValueError, match="must be an http:// or https:// address"):
        ScriptedServer(url="dubbing.test")
