"""What holds for every server of the wire, as far as our client uses it.

The checks are on the bytes, through a plain HTTP client: what our own client makes of
them comes last.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..._job import JobStatus
from ...client import VideoTranslationClient
from ._server_under_test import (
    COLLECTION,
    SECONDS,
    STRONG,
    VIDEO,
    ServerUnderTest,
    check_hint,
    check_problem,
    read_job,
    read_json,
)
from ._wire_held import HeldOnTheWire
from ._wire_of_many import ManyOnTheWire


class WireContract(ManyOnTheWire, HeldOnTheWire):
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
        document = read_json(answer)
        assert document.keys() == {"result"}
        assert document["result"] in {"pending", "completed", "error"}

    async def test_a_submission_is_accepted_with_its_document(
        self, server: ServerUnderTest
    ) -> None:
        """202, where it is, when to ask, and the job as it stands."""
        answer = await server.submit(source_language="en")
        assert answer.status_code == 202, answer.text
        document = read_job(answer)
        assert answer.headers["Location"].endswith(f"{COLLECTION}/{document['id']}")
        assert document["target_language"] == server.form["target_language"]
        assert document["source_language"] == "en"
        assert document["status"] in {"pending", "running"}
        assert float(answer.headers["Job-Age"]) < 60
        check_hint(answer)
        again = await server.get(f"{COLLECTION}/{document['id']}")
        assert read_job(again)["created_at"] == document["created_at"]

    async def test_the_same_key_makes_one_job(self, server: ServerUnderTest) -> None:
        """Quoted or bare; another payload is told, and makes none."""
        first = await server.submit(key='"one"')
        again = await server.submit(key="one")
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        assert (await server.submit(key="two")).json()["id"] != first.json()["id"]
        check_problem(await server.submit(key='"one"', video=b"another"), 422)
        check_problem(await server.submit(key='"one"', source_language="de"), 422)

    async def test_half_a_submission_is_refused(self, server: ServerUnderTest) -> None:
        """Without a video, without a language, and what is no form."""
        check_problem(await server.submit(video=None), 422)
        check_problem(await server.submit(target_language=""), 422)
        no_form = await server.http.post(
            f"{server.url}{COLLECTION}", json={"source_url": "http://v.example/v.mp4"}
        )
        check_problem(no_form, 415)

    async def test_a_job_that_runs_has_no_end(self, server: ServerUnderTest) -> None:
        """And asks to wait for a while."""
        answer = await server.get(f"{COLLECTION}/{server.jobs['running']}")
        assert answer.status_code == 200
        document = read_job(answer)
        assert document["status"] == "running"
        assert document["finished_at"] is None
        assert document["result"] is None
        assert document["error"] is None
        assert SECONDS.fullmatch(answer.headers["Job-Age"])
        assert "Job-Ended-Ago" not in answer.headers
        assert "Job-Run-Time" not in answer.headers
        check_hint(answer)

    async def test_a_job_that_is_over_says_since_when(
        self, server: ServerUnderTest
    ) -> None:
        """How long it ran, how long ago it ended, and where its result lies."""
        for word in ("completed", "error"):
            answer = await server.get(f"{COLLECTION}/{server.jobs[word]}")
            document = read_job(answer)
            assert document["status"] == word
            assert document["finished_at"] >= document["created_at"]
            ages = ("Job-Age", "Job-Run-Time", "Job-Ended-Ago")
            for name in ages:
                assert SECONDS.fullmatch(answer.headers[name]), name
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
        path = f"{COLLECTION}/{server.jobs['completed']}"
        first, again = await server.get(path), await server.get(path)
        assert first.content == again.content
        assert first.headers["ETag"] == again.headers["ETag"]
        other = await server.get(f"{COLLECTION}/{server.jobs['error']}")
        assert other.headers["ETag"] != first.headers["ETag"]

    async def test_what_is_not_there_is_a_problem(
        self, server: ServerUnderTest
    ) -> None:
        """404, for whatever is asked of it."""
        for path in ("nobody", "nobody/video", "nobody/subtitles"):
            check_problem(await server.get(f"{COLLECTION}/{path}"), 404)
        check_problem(await server.post(f"{COLLECTION}/nobody/cancel"), 404)
        check_problem(await server.get("/v1/nowhere"), 404)

    async def test_a_job_is_cancelled_once(self, server: ServerUnderTest) -> None:
        """202, then 200: nothing changes any more."""
        path = f"{COLLECTION}/{server.jobs['running']}"
        first = await server.post(f"{path}/cancel")
        assert first.status_code == 202
        again = await server.post(f"{path}/cancel")
        assert again.status_code == 200
        for answer in (first, again, await server.get(path)):
            document = read_job(answer)
            assert document["status"] == "cancelled"
            assert document["finished_at"] is not None
            assert "Job-Ended-Ago" in answer.headers

    async def test_what_is_over_is_not_cancelled(self, server: ServerUnderTest) -> None:
        """It stays as it is, and that is no error."""
        for word in ("completed", "error"):
            path = f"{COLLECTION}/{server.jobs[word]}/cancel"
            answer = await server.post(path)
            assert answer.status_code == 200
            assert read_job(answer)["status"] == word

    async def test_only_a_completed_job_has_a_result(
        self, server: ServerUnderTest
    ) -> None:
        """409 until then, and after another end."""
        for word in ("running", "error"):
            for what in ("video", "subtitles"):
                path = f"{COLLECTION}/{server.jobs[word]}/{what}"
                check_problem(await server.get(path), 409)

    async def test_a_result_comes_whole(self, server: ServerUnderTest) -> None:
        """With its length, its kind, and a validator that joins its parts."""
        kinds = {"video": "video/", "subtitles": "text/vtt"}
        for what, kind in kinds.items():
            answer = await server.get(await _link(server, what))
            assert answer.status_code == 200
            assert int(answer.headers["Content-Length"]) == len(answer.content) > 0
            assert answer.headers["Content-Type"].startswith((kind, "application/oct"))
            assert STRONG.fullmatch(answer.headers["ETag"])
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
        check_problem(beyond, 416)
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
        target.write_bytes(VIDEO)
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


async def _link(server: ServerUnderTest, what: str) -> str:
    """Return where the result of the completed job lies."""
    answer = await server.get(f"{COLLECTION}/{server.jobs['completed']}")
    return str(answer.json()["result"][f"{what}_url"])
