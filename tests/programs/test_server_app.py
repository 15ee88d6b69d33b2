"""The routes, without sockets: what each request is answered with."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from vtrio._distributions import Durations
from vtrio._job import JobStatus
from vtrio.server import Demonstration, JobService, MemoryStore, create_app
from vtrio.server.engines.simulated import SimulatedEngine

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
VIDEO = bytes(range(256)) * 40
FORM = {"target_language": "pt"}


@pytest.fixture(autouse=True)
def _inline_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do file work without threads: a virtual clock would jump while one runs."""

    async def run_inline(
        function: Callable[..., object], *args: object, **_: object
    ) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)


@asynccontextmanager
async def serving(
    folder: Path, *, failure_rate: float = 0.0, largest_upload: int = 2**20
) -> AsyncIterator[httpx.AsyncClient]:
    """Have a client of an app whose jobs take 10 s."""
    engine = SimulatedEngine(
        Durations.parse("fixed:10"), failure_rate=failure_rate, seed=1
    )
    service = JobService(
        MemoryStore(),
        engine,
        folder,
        workers=10,
        wall=lambda: NOON + timedelta(seconds=trio.current_time()),
    )
    demonstration = Demonstration(started=0, duration=7, ending=JobStatus.ERROR)
    app = create_app(service, demonstration, largest_upload=largest_upload)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://server"
        ) as client:
            yield client
        nursery.cancel_scope.cancel("the test is over")


async def submit(
    client: httpx.AsyncClient,
    *,
    video: bytes = VIDEO,
    key: str | None = None,
    **fields: str,
) -> httpx.Response:
    """Submit a video."""
    return await client.post(
        "/v1/translations",
        files={"video": ("clip.mp4", video)},
        data=fields or FORM,
        headers={} if key is None else {"Idempotency-Key": key},
    )


def check_problem(answer: httpx.Response, status: int, kind: str | None) -> str:
    """Assert that an answer is this problem, whole; return its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    kind = f"urn:vtrio:problem:{kind}" if kind else "about:blank"
    assert (document["type"], document["status"]) == (kind, status)
    assert document["title"]
    assert document["instance"].startswith(("/", "urn:"))
    return str(document["detail"])


async def test_the_demonstration_ends_by_the_clock(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It is pending until its duration is over, then as it was to end."""
    async with serving(tmp_path) as client:
        for second, word in ((0, "pending"), (6.999, "pending"), (7, "error")):
            await trio.sleep_until(second)
            answer = await client.get("/status")
            assert answer.status_code == 200
            assert answer.json() == {"result": word}


async def test_health_is_told(tmp_path: Path) -> None:
    """A server that answers is well: if its service dies it dies with it."""
    async with serving(tmp_path) as client:
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_submission_is_accepted(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The answer is a 202 with the job, where it is, and when to ask again."""
    async with serving(tmp_path) as client:
        await trio.sleep(5)
        answer = await submit(client, target_language="pt-BR", source_language="en")

        assert answer.status_code == 202
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/translations/{job['id']}"
        assert answer.headers["Retry-After"] == "1"
        assert job == {
            "id": job["id"],
            "status": "pending",
            "progress": None,
            "stage": None,
            "target_language": "pt-BR",
            "source_language": "en",
            "media_seconds": None,
            "created_at": "2026-01-02T12:00:05.000Z",
            "started_at": None,
            "finished_at": None,
            "error": None,
            "result": None,
        }


async def test_a_job_is_told_of_at_every_age(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Running and completed: the document, and the durations beside it."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(5.25)
        running = await client.get(path)
        await trio.sleep(10)
        ended = await client.get(path)

        assert running.json()["status"] == "running"
        assert running.json()["started_at"] == "2026-01-02T12:00:00.000Z"
        assert running.json()["progress"] == 0.5
        assert running.headers["Job-Age"] == "5.250"
        assert running.headers["Retry-After"] == "2"
        assert "Job-Run-Time" not in running.headers
        assert ended.json()["status"] == "completed"
        assert ended.json()["finished_at"] == "2026-01-02T12:00:10.000Z"
        assert ended.json()["result"] == {
            "video_url": f"{path}/video",
            "subtitles_url": f"{path}/subtitles",
        }
        assert ended.headers["Job-Age"] == "15.250"
        assert ended.headers["Job-Run-Time"] == "10.000"
        assert ended.headers["Job-Ended-Ago"] == "5.250"
        assert "Retry-After" not in ended.headers
        for answer in (running, ended):
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert answer.headers["Vary"] == "Prefer, Authorization"
            assert re.fullmatch(r'"[0-9a-f]{32}"', answer.headers["ETag"])


async def test_the_etag_changes_with_the_document_alone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Time that passes does not change it; progress does."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        tags = []
        for second in (0.1, 0.2, 0.6, 11, 12):
            await trio.sleep_until(second)
            tags.append((await client.get(path)).headers["ETag"])
    assert tags[0] == tags[1] != tags[2] != tags[3] == tags[4]


async def test_a_failed_job_says_why(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its error has a type, a title and a detail; it has no result."""
    async with serving(tmp_path, failure_rate=1) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(11)
        job = (await client.get(path)).json()

        assert (job["status"], job["result"]) == ("error", None)
        assert job["error"] == {
            "type": "urn:vtrio:problem:simulated-failure",
            "title": "The simulated engine failed this job",
            "detail": "its failure rate is 1",
        }
        detail = check_problem(await client.get(f"{path}/video"), 409, "not-completed")
        assert "is error" in detail


async def test_cancelling_is_answered_with_the_job(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """202 where it changed something, 200 where the job had ended."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(1)

        first = await client.post(f"{path}/cancel")
        second = await client.post(f"{path}/cancel")

        assert (first.status_code, second.status_code) == (202, 200)
        assert first.json() == second.json() == (await client.get(path)).json()
        assert first.json()["status"] == "cancelled"
        assert first.headers["Job-Run-Time"] == "1.000"


async def test_a_key_makes_one_job(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Quoted or bare it is the same key; the replay tells the job as it is now."""
    async with serving(tmp_path) as client:
        first = await submit(client, key='"a-key"')
        await trio.sleep(1)
        again = await submit(client, key="a-key")

        assert again.status_code == 202
        assert again.headers["Location"] == first.headers["Location"]
        assert again.json()["status"] == "running"
        other = await submit(client, key="another-key")
        assert other.json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    ("video", "fields"),
    [
        (VIDEO + b"!", FORM),
        (VIDEO, {"target_language": "es"}),
        (VIDEO, {"target_language": "pt", "source_language": "en"}),
    ],
)
async def test_a_key_with_another_payload_is_refused(
    video: bytes, fields: dict[str, str], tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Another file or another field is another payload."""
    async with serving(tmp_path) as client:
        await submit(client, key="k")
        answer = await submit(client, video=video, key="k", **fields)
        assert "'k'" in check_problem(answer, 422, "key-reused")


async def test_twins_at_once_make_one_job(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Ten submissions of one key in flight together are told of one job."""
    answers: list[httpx.Response] = []

    async def one(client: httpx.AsyncClient) -> None:
        answers.append(await submit(client, key="k"))

    async with serving(tmp_path) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(one, client)
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(list((tmp_path / "jobs").iterdir())) == 1
        assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize("key", ["", '"', "two words", '"open', "ü", "k" * 256])
async def test_a_key_that_cannot_be_read_is_refused(key: str, tmp_path: Path) -> None:
    """An unreadable key is a 400, never ignored: the client relies on it."""
    async with serving(tmp_path) as client:
        answer = await client.post(
            "/v1/translations",
            files={"video": ("clip.mp4", VIDEO)},
            data=FORM,
            headers={b"Idempotency-Key": key.encode()},
        )
        check_problem(answer, 400, "bad-idempotency-key")


@pytest.mark.parametrize(
    ("files", "fields", "field"),
    [
        ({}, FORM, "video"),
        ({"video": ("clip.mp4", b"")}, FORM, "video"),
        ({"video": ("clip.mp4", VIDEO)}, {}, "target_language"),
        ({"video": ("clip.mp4", VIDEO)}, {"target_language": " "}, "target_language"),
        ({"video": ("clip.mp4", VIDEO)}, {"target_language": "p t"}, "target_language"),
        (
            {"video": ("clip.mp4", VIDEO)},
            {"target_language": "pt", "source_language": "e n"},
            "source_language",
        ),
    ],
)
async def test_a_field_at_fault_is_named(
    files: dict[str, tuple[str, bytes]],
    fields: dict[str, str],
    field: str,
    tmp_path: Path,
) -> None:
    """Missing, empty or not allowed: the problem says which field it is."""
    async with serving(tmp_path) as client:
        answer = await client.post(
            "/v1/translations",
            files={**files, "spare": ("a", b"b")},
            data=fields,
        )
        check_problem(answer, 422, "bad-field")
        assert answer.json()["field"] == field
        assert not list((tmp_path / "uploads").iterdir())


async def test_json_is_told_that_it_comes_later(tmp_path: Path) -> None:
    """A source_url is a 415 for now, and the problem says so."""
    async with serving(tmp_path) as client:
        answer = await client.post("/v1/translations", json={"source_url": "http://x"})
        detail = check_problem(answer, 415, "wrong-media-type")
        assert "source_url" in detail
        assert "later version" in detail
        check_problem(
            await client.post("/v1/translations", content=b"?"), 415, "wrong-media-type"
        )


async def test_an_upload_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """By its declared length at once, and without one as it comes in."""

    async def drip() -> AsyncIterator[bytes]:
        head = b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n'
        yield head + bytes(2**20)
        yield bytes(1)
        yield b"\r\n--b--\r\n"

    async with serving(tmp_path, largest_upload=2**20) as client:
        declared = await submit(client, video=bytes(2**21))
        check_problem(declared, 413, "too-large")
        dripped = await client.post(
            "/v1/translations",
            content=drip(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        check_problem(dripped, 413, "too-large")
        assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=10230-", slice(10230, None)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=-99999", slice(None)),
        ("bytes=10000-99999", slice(10000, None)),
    ],
)
async def test_a_part_of_the_result_can_be_had(
    asked: str, part: slice, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """One range of bytes is a 206 that says which bytes it has."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(11)

        answer = await client.get(f"{path}/video", headers={"Range": asked})

        wanted = VIDEO[part]
        first = VIDEO.rindex(wanted) if asked != "bytes=0-9" else 0
        assert answer.status_code == 206
        assert answer.content == wanted
        last = first + len(wanted) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(VIDEO)}"


async def test_the_whole_result_can_be_had(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Without a range, or with one that is not understood, everything comes."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(11)

        for asked in ("", "bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "x"):
            answer = await client.get(f"{path}/video", headers={"Range": asked})
            assert (answer.status_code, answer.content) == (200, VIDEO), asked
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["Content-Type"] == "video/mp4"
        head = await client.head(f"{path}/video")
        assert head.headers["Content-Length"] == str(len(VIDEO))
        subtitles = await client.get(f"{path}/subtitles")
        assert subtitles.headers["Content-Type"] == "text/vtt; charset=utf-8"
        assert subtitles.text.startswith("WEBVTT")
        assert subtitles.headers["ETag"] != answer.headers["ETag"]


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
async def test_a_range_outside_the_file_says_how_long_it_is(
    asked: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A 416 carries the length, so that the client can ask rightly."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(11)
        answer = await client.get(f"{path}/video", headers={"Range": asked})
        check_problem(answer, 416, "bad-range")
        assert answer.headers["Content-Range"] == f"bytes */{len(VIDEO)}"


async def test_a_download_is_taken_up_where_the_file_is_the_same(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """If-Range with the tag gives the part, with another everything."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(11)
        tag = (await client.get(f"{path}/video")).headers["ETag"]
        statuses = []
        for given in (tag, '"stale"', f"W/{tag}", "Fri, 02 Jan 2026 12:00:00 GMT"):
            headers = {"Range": "bytes=1-", "If-Range": given}
            answer = await client.get(f"{path}/video", headers=headers)
            statuses.append(answer.status_code)
        assert statuses == [206, 200, 200, 200]


async def test_a_result_is_not_to_be_had_before_its_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """While the job runs its files are a 409, not half a video."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        for name in ("video", "subtitles"):
            answer = await client.get(f"{path}/{name}")
            check_problem(answer, 409, "not-completed")


async def test_an_unknown_job_is_a_404_everywhere(tmp_path: Path) -> None:
    """Every route that takes an id says that there is no such job."""
    async with serving(tmp_path) as client:
        for method, tail in (
            *(("GET", ""), ("POST", "/cancel")),
            *(("GET", "/video"), ("GET", "/subtitles")),
        ):
            answer = await client.request(method, f"/v1/translations/nobody{tail}")
            assert "'nobody'" in check_problem(answer, 404, "unknown-job")


async def test_unknown_paths_and_methods_are_problems(tmp_path: Path) -> None:
    """Also what the framework refuses is a problem; a 405 says what is allowed."""
    async with serving(tmp_path) as client:
        for path in ("/", "/nowhere", "/status/", "//status", "/v1/translations/"):
            check_problem(await client.get(path), 404, None)
        answer = await client.request("DELETE", "/status")
        check_problem(answer, 405, None)
        assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))


async def test_an_error_that_nobody_foresaw_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a 500 with an id that the log repeats beside the error itself."""

    async def break_down(self: MemoryStore, job_id: str) -> None:
        raise KeyError("the secret")

    monkeypatch.setattr(MemoryStore, "get", break_down)
    async with serving(tmp_path) as client:
        answer = await client.get("/v1/translations/some")

    detail = check_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    incident = answer.json()["instance"].rpartition(":")[2]
    assert incident in detail
    assert incident in caplog.text
    assert "the secret" in caplog.text


async def test_a_stopping_server_says_when_to_come_again(tmp_path: Path) -> None:
    """A submission during the stop is a 503 with a pause."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    (tmp_path / "uploads").mkdir()
    service.refuse_work()
    app = create_app(service, Demonstration(started=0, duration=1))
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        answer = await submit(client)
    check_problem(answer, 503, "stopping")
    assert answer.headers["Retry-After"] == "5"
    assert not list((tmp_path / "uploads").iterdir())


async def test_head_is_get_without_a_body(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The headers are the same, whichever the route."""
    async with serving(tmp_path) as client:
        path = (await submit(client)).headers["Location"]
        await trio.sleep(11)
        for tail in ("", "/video", "/subtitles"):
            get = await client.get(path + tail)
            head = await client.head(path + tail)
            assert dict(head.headers) == dict(get.headers)


async def test_an_uploaded_page_is_not_served_as_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """What is no video is given back as bytes that no browser shows."""
    async with serving(tmp_path) as client:
        answer = await client.post(
            "/v1/translations", files={"video": ("page.html", b"<b>hi")}, data=FORM
        )
        await trio.sleep(11)
        result = await client.get(answer.headers["Location"] + "/video")
        assert result.headers["Content-Type"] == "application/octet-stream"
        assert result.headers["X-Content-Type-Options"] == "nosniff"


async def asgi(app: object, **scope: object) -> tuple[int, dict[str, str], bytes]:
    """Send one request below any client; return status, headers and body."""
    sent: list[dict[str, object]] = []
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> object:
        for message in received:
            return message
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    defaults = {
        "type": "http",
        "method": "GET",
        "path": "/status",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
    }
    await app({**defaults, **scope}, receive, send)  # type: ignore[operator]
    headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}  # type: ignore[attr-defined]
    body = b"".join(message.get("body", b"") for message in sent[1:])  # type: ignore[misc]
    return int(sent[0]["status"]), headers, body  # type: ignore[call-overload]


@pytest.mark.parametrize("target", ["", "*", "http://[x/", "status", "x:y"])
async def test_a_target_that_cannot_be_read_is_a_problem(
    target: str, tmp_path: Path
) -> None:
    """What would fail below Quart's handlers is a 400 of ours."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    status, headers, body = await asgi(app, path=target)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["type"] == "urn:vtrio:problem:bad-target"


@pytest.mark.parametrize("target", ["http://server/status", "HTTP://s:80/status"])
async def test_a_whole_url_as_target_is_its_path(target: str, tmp_path: Path) -> None:
    """Clients of proxies send the absolute form, and servers must take it."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    status, _, body = await asgi(app, path=target)
    assert (status, json.loads(body)) == (200, {"result": "completed"})


async def test_what_fails_below_the_handlers_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The outermost wrapper answers for the framework itself."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))

    def break_down(*_: object, **__: object) -> None:
        raise LookupError("deep inside")

    monkeypatch.setattr(app, "request_class", break_down)
    status, _, body = await asgi(app)
    assert status == 500
    assert json.loads(body)["type"] == "urn:vtrio:problem:internal-error"
    assert "deep inside" in caplog.text


async def test_websockets_are_refused(tmp_path: Path) -> None:
    """The handshake is closed before it is accepted."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/"}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1000}]
