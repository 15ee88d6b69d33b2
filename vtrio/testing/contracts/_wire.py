"""What holds for every server of the wire, as far as our client uses it.

The checks are on the bytes, through a plain HTTP client: what our own client makes of
them comes last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..._job import JobStatus
from ...client import VideoTranslationClient

_COLLECTION = "/v1/translations"
_MEMBERS = {
    *("id", "status", "progress", "stage", "target_language", "source_language"),
    *("media_seconds", "created_at", "started_at", "finished_at", "error", "result"),
}
_SECONDS = re.compile(r"\d+(\.\d+)?")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_STRONG = re.compile(r'"[^"]+"')
_SAFE = re.compile(r"[A-Za-z0-9._~-]+")
_VIDEO = bytes(range(256)) * 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUnderTest:
    """A server, how to reach it, and what is true of its jobs.

    Attributes:
        url: where it is.
        http: an `AsyncClient` of httpx or httpx2 that reaches it.
        jobs: ids of jobs by their status: at least a `running`, a `completed` and an
            `error`. Each stays as it is while a test runs, unless the test changes it.
        form: what else to send with a video; the job that it makes completes soon.
    """

    url: str
    http: Any
    jobs: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=lambda: {"target_language": "pt"})

    def __post_init__(self) -> None:
        missing = {"running", "completed", "error"} - self.jobs.keys()
        if missing:
            raise ValueError(
                f"jobs={dict(self.jobs)!r} is not allowed: must have"
                f" {', '.join(sorted(missing))}"
            )

    async def get(self, path: str, **headers: str) -> Any:
        """Ask for something."""
        return await self.http.get(f"{self.url}{path}", headers=_headers(headers))

    async def post(self, path: str, **headers: str) -> Any:
        """Post nothing."""
        return await self.http.post(f"{self.url}{path}", headers=_headers(headers))

    async def submit(
        self, *, video: bytes | None = _VIDEO, key: str | None = None, **form: str
    ) -> Any:
        """Post a video, or a form without one."""
        fields = {**self.form, **form}
        files = {name: (None, value.encode()) for name, value in fields.items()}
        if video is not None:
            files["video"] = ("clip.mp4", video)  # type: ignore[assignment]
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(
            f"{self.url}{_COLLECTION}", files=files, headers=headers
        )


class WireContract:
    """The wire, as a client sees it. Define the fixture `server`.

    It may be async, and gives a `ServerUnderTest`.
    """

    pytestmark = pytest.mark.trio

    @pytest.fixture
    def server(self) -> ServerUnderTest:
        """Start the server."""
        raise NotImplementedError("define the fixture `server` in your class")

    async def test_the_form_without_ids_is_one_word(
        self, server: ServerUnderTest
    ) -> None:
        """`GET /status` says how the one job stands."""
        answer = await server.get("/status")
        assert answer.status_code == 200
        document = _json(answer)
        assert document.keys() == {"result"}
        assert document["result"] in {"pending", "completed", "error"}

    async def test_a_submission_is_accepted_with_its_document(
        self, server: ServerUnderTest
    ) -> None:
        """202, where it is, when to ask, and the job as it stands."""
        answer = await server.submit(source_language="en")
        assert answer.status_code == 202, answer.text
        document = _job(answer)
        assert answer.headers["Location"].endswith(f"{_COLLECTION}/{document['id']}")
        assert document["target_language"] == server.form["target_language"]
        assert document["source_language"] == "en"
        assert document["status"] in {"pending", "running"}
        assert float(answer.headers["Job-Age"]) < 60
        _check_hint(answer)
        again = await server.get(f"{_COLLECTION}/{document['id']}")
        assert _job(again)["created_at"] == document["created_at"]

    async def test_the_same_key_makes_one_job(self, server: ServerUnderTest) -> None:
        """Quoted or bare; another payload is told, and makes none."""
        first = await server.submit(key='"one"')
        again = await server.submit(key="one")
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        assert (await server.submit(key="two")).json()["id"] != first.json()["id"]
        _check_problem(await server.submit(key='"one"', video=b"another"), 422)
        _check_problem(await server.submit(key='"one"', source_language="de"), 422)

    async def test_half_a_submission_is_refused(self, server: ServerUnderTest) -> None:
        """Without a video, without a language, and what is no form."""
        _check_problem(await server.submit(video=None), 422)
        _check_problem(await server.submit(target_language=""), 422)
        no_form = await server.http.post(
            f"{server.url}{_COLLECTION}", json={"source_url": "http://v.example/v.mp4"}
        )
        _check_problem(no_form, 415)

    async def test_a_job_that_runs_has_no_end(self, server: ServerUnderTest) -> None:
        """And asks to wait for a while."""
        answer = await server.get(f"{_COLLECTION}/{server.jobs['running']}")
        assert answer.status_code == 200
        document = _job(answer)
        assert document["status"] == "running"
        assert document["finished_at"] is None
        assert document["result"] is None
        assert document["error"] is None
        assert _SECONDS.fullmatch(answer.headers["Job-Age"])
        assert "Job-Ended-Ago" not in answer.headers
        assert "Job-Run-Time" not in answer.headers
        _check_hint(answer)

    async def test_a_job_that_is_over_says_since_when(
        self, server: ServerUnderTest
    ) -> None:
        """How long it ran, how long ago it ended, and where its result lies."""
        for word in ("completed", "error"):
            answer = await server.get(f"{_COLLECTION}/{server.jobs[word]}")
            document = _job(answer)
            assert document["status"] == word
            assert document["finished_at"] >= document["created_at"]
            ages = ("Job-Age", "Job-Run-Time", "Job-Ended-Ago")
            for name in ages:
                assert _SECONDS.fullmatch(answer.headers[name]), name
            age, _, ended_ago = (float(answer.headers[name]) for name in ages)
            assert ended_ago <= age
            assert "Retry-After" not in answer.headers
            if word == "completed":
                assert document["result"].keys() == {"video_url", "subtitles_url"}
                assert document["error"] is None
            else:
                assert document["error"].keys() == {"type", "title", "detail"}
                assert document["error"]["title"]
                assert document["result"] is None

    async def test_the_same_document_has_the_same_etag(
        self, server: ServerUnderTest
    ) -> None:
        """What changes with every look is in the headers."""
        path = f"{_COLLECTION}/{server.jobs['completed']}"
        first, again = await server.get(path), await server.get(path)
        assert first.content == again.content
        assert first.headers["ETag"] == again.headers["ETag"]
        other = await server.get(f"{_COLLECTION}/{server.jobs['error']}")
        assert other.headers["ETag"] != first.headers["ETag"]

    async def test_what_is_not_there_is_a_problem(
        self, server: ServerUnderTest
    ) -> None:
        """404, for whatever is asked of it."""
        for path in ("nobody", "nobody/video", "nobody/subtitles"):
            _check_problem(await server.get(f"{_COLLECTION}/{path}"), 404)
        _check_problem(await server.post(f"{_COLLECTION}/nobody/cancel"), 404)
        _check_problem(await server.get("/v1/nowhere"), 404)

    async def test_a_job_is_cancelled_once(self, server: ServerUnderTest) -> None:
        """202, then 200: nothing changes any more."""
        path = f"{_COLLECTION}/{server.jobs['running']}"
        first = await server.post(f"{path}/cancel")
        assert first.status_code == 202
        again = await server.post(f"{path}/cancel")
        assert again.status_code == 200
        for answer in (first, again, await server.get(path)):
            document = _job(answer)
            assert document["status"] == "cancelled"
            assert document["finished_at"] is not None
            assert "Job-Ended-Ago" in answer.headers

    async def test_what_is_over_is_not_cancelled(self, server: ServerUnderTest) -> None:
        """It stays as it is, and that is no error."""
        for word in ("completed", "error"):
            path = f"{_COLLECTION}/{server.jobs[word]}/cancel"
            answer = await server.post(path)
            assert answer.status_code == 200
            assert _job(answer)["status"] == word

    async def test_only_a_completed_job_has_a_result(
        self, server: ServerUnderTest
    ) -> None:
        """409 until then, and after another end."""
        for word in ("running", "error"):
            for what in ("video", "subtitles"):
                path = f"{_COLLECTION}/{server.jobs[word]}/{what}"
                _check_problem(await server.get(path), 409)

    async def test_a_result_comes_whole(self, server: ServerUnderTest) -> None:
        """With its length, its kind, and a validator that joins its parts."""
        kinds = {"video": "video/", "subtitles": "text/vtt"}
        for what, kind in kinds.items():
            answer = await server.get(await _link(server, what))
            assert answer.status_code == 200
            assert int(answer.headers["Content-Length"]) == len(answer.content) > 0
            assert answer.headers["Content-Type"].startswith((kind, "application/oct"))
            assert _STRONG.fullmatch(answer.headers["ETag"])
            assert answer.headers["Accept-Ranges"] == "bytes"

    async def test_a_result_comes_in_parts(self, server: ServerUnderTest) -> None:
        """With Range and If-Range; of another result than before, whole."""
        link = await _link(server, "video")
        whole = await server.get(link)
        size, etag = len(whole.content), whole.headers["ETag"]
        for asked, first, last in (
            ("bytes=3-", 3, size - 1),
            ("bytes=2-4", 2, 4),
            ("bytes=-4", size - 4, size - 1),
            (f"bytes=1-{size * 2}", 1, size - 1),
        ):
            for same in ({}, {"if_range": etag}):
                part = await server.get(link, range=asked, **same)
                assert part.status_code == 206, asked
                assert part.content == whole.content[first : last + 1], asked
                told = f"bytes {first}-{last}/{size}"
                assert part.headers["Content-Range"] == told
                assert part.headers["ETag"] == etag
        for asked in ("bytes=4-2", "lines=1-2", "bytes=x"):
            assert (await server.get(link, range=asked)).status_code == 200, asked
        other = await server.get(link, range="bytes=3-", if_range='"other"')
        assert (other.status_code, other.content) == (200, whole.content)
        beyond = await server.get(link, range=f"bytes={size}-")
        _check_problem(beyond, 416)
        assert beyond.headers["Content-Range"] == f"bytes */{size}"

    async def test_a_result_that_is_known_is_not_sent_again(
        self, server: ServerUnderTest
    ) -> None:
        """If-None-Match with its validator is a 304 without a body."""
        link = await _link(server, "video")
        etag = (await server.get(link)).headers["ETag"]
        same = await server.get(link, if_none_match=etag)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["ETag"] == etag
        assert (await server.get(link, if_none_match='"other"')).status_code == 200

    async def test_our_client_goes_all_the_way(
        self, server: ServerUnderTest, tmp_path: Path
    ) -> None:
        """Submitted, waited for, fetched, cancelled, asked about."""
        target = tmp_path / "talk.mp4"
        target.write_bytes(_VIDEO)
        async with VideoTranslationClient(
            server.url, http=server.http, initial_wait_time=0.02, backoff_factor=1
        ) as client:
            job = await client.submit(target, server.form["target_language"])
            assert await client.get_status(job) == "completed"
            job = await client.wait(job.id)
            video = await client.download(job, tmp_path / "out.mp4")
            lines = await client.download(job, tmp_path / "out.vtt", what="subtitles")
            assert video.stat().st_size > 0
            assert lines.read_text(encoding="utf-8").startswith("WEBVTT")
            runs = await client.cancel(server.jobs["running"])
            assert runs.status is JobStatus.CANCELLED
            assert await client.get_status(server.jobs["error"]) == "error"


def _headers(named: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}


def _json(answer: Any) -> Any:
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    return answer.json()


def _job(answer: Any) -> Any:
    """Check what holds for every answer about a job, and return its document."""
    document = _json(answer)
    assert document.keys() >= _MEMBERS, f"missing: {_MEMBERS - document.keys()}"
    assert _SAFE.fullmatch(document["id"])
    assert document["progress"] is None or 0 <= document["progress"] <= 1
    for name in ("created_at", "started_at", "finished_at"):
        text = document[name]
        if text is not None or name == "created_at":
            assert _INSTANT.fullmatch(text), f"{name}: {text}"
            assert datetime.fromisoformat(text).tzinfo == UTC
    assert _STRONG.fullmatch(answer.headers["ETag"])
    assert answer.headers["Cache-Control"] == "private, no-cache"
    varies = {name.strip() for name in answer.headers["Vary"].split(",")}
    assert varies >= {"Prefer", "Authorization"}
    return document


def _check_hint(answer: Any) -> None:
    assert re.fullmatch(r"[1-9]\d*", answer.headers["Retry-After"])


def _check_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["type"]
    assert document["title"]


async def _link(server: ServerUnderTest, what: str) -> str:
    """Return where the result of the completed job lies."""
    answer = await server.get(f"{_COLLECTION}/{server.jobs['completed']}")
    return str(answer.json()["result"][f"{what}_url"])
