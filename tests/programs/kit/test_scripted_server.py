"""The scripted server: what it says on the wire, and what it writes down."""

from __future__ import annotations

import io
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
    Job,
    JobCancelled,
    JobNotFound,
    JobStatus,
    Refused,
    TransientError,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
)
from vtrio.testing import (
    Exchange,
    Fault,
    Reply,
    ScriptedServer,
    after,
    drawn,
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


async def submit(client: VideoTranslationClient, **settings: Any) -> Job:
    """Submit a small video."""
    given = {"to": "pt", **settings}
    return await client.submit(io.BytesIO(given.pop("video", b"video")), **given)


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
