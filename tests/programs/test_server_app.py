"""The routes about jobs, without sockets: what each request is answered with."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio.server import Store

if TYPE_CHECKING:
    from tests.programs.conftest import CheckProblem, OpenApp

VIDEO = bytes(range(256)) * 40
FORM = {"target_language": "pt"}


async def test_the_demonstration_ends_by_the_clock(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """It is pending until its duration is over, then as it was to end."""
    async with open_app() as client:
        for second, word in ((0, "pending"), (6.999, "pending"), (7, "error")):
            await trio.sleep_until(second)
            answer = await client.get("/status")
            assert answer.status_code == 200
            assert answer.json() == {"result": word}


async def test_health_is_told(open_app: OpenApp) -> None:
    """A server that answers is well: if its service dies it dies with it."""
    async with open_app() as client:
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_submission_is_accepted(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The answer is a 202 with the job, where it is, and when to ask again."""
    async with open_app() as client:
        await trio.sleep(5)
        answer = await client.submit(target_language="pt-BR", source_language="en")

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
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Running and completed: the document, and the durations beside it."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
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
            assert re.fullmatch(
                rf'"{answer.json()["status"]}-[0-9a-f]{{32}}"', answer.headers["ETag"]
            )


async def test_the_etag_changes_with_the_document_alone(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Time that passes does not change it; progress does."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        tags = []
        for second in (0.1, 0.2, 0.6, 11, 12):
            await trio.sleep_until(second)
            tags.append((await client.get(path)).headers["ETag"])
    assert tags[0] == tags[1] != tags[2] != tags[3] == tags[4]


async def test_a_failed_job_says_why(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """Its error has a type, a title and a detail; it has no result."""
    async with open_app(failure_rate=1) as client:
        path = (await client.submit()).headers["Location"]
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
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """202 where it changed something, 200 where the job had ended."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)

        first = await client.post(f"{path}/cancel")
        second = await client.post(f"{path}/cancel")

        assert (first.status_code, second.status_code) == (202, 200)
        assert first.json() == second.json() == (await client.get(path)).json()
        assert first.json()["status"] == "cancelled"
        assert first.headers["Job-Run-Time"] == "1.000"


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
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
) -> None:
    """Missing, empty or not allowed: the problem says which field it is."""
    async with open_app() as client:
        answer = await client.post(
            "/v1/translations",
            files={**files, "spare": ("a", b"b")},
            data=fields,
        )
        check_problem(answer, 422, "bad-field")
        assert answer.json()["field"] == field
        assert not list((tmp_path / "uploads").iterdir())


async def test_json_is_told_that_it_comes_later(
    open_app: OpenApp, check_problem: CheckProblem
) -> None:
    """A source_url is a 415 for now, and the problem says so."""
    async with open_app() as client:
        answer = await client.post("/v1/translations", json={"source_url": "http://x"})
        detail = check_problem(answer, 415, "wrong-media-type")
        assert "source_url" in detail
        assert "later version" in detail
        check_problem(
            await client.post("/v1/translations", content=b"?"), 415, "wrong-media-type"
        )


async def test_an_unknown_job_is_a_404_everywhere(
    open_app: OpenApp, check_problem: CheckProblem
) -> None:
    """Every route that takes an id says that there is no such job."""
    async with open_app() as client:
        for method, tail in (
            *(("GET", ""), ("DELETE", ""), ("POST", "/cancel")),
            *(("GET", "/video"), ("GET", "/subtitles")),
        ):
            answer = await client.request(method, f"/v1/translations/nobody{tail}")
            assert "'nobody'" in check_problem(answer, 404, "unknown-job")


async def test_unknown_paths_and_methods_are_problems(
    open_app: OpenApp, check_problem: CheckProblem
) -> None:
    """Also what the framework refuses is a problem; a 405 says what is allowed."""
    async with open_app() as client:
        for path in ("/", "/nowhere", "/status/", "//status", "/v1/translations/"):
            check_problem(await client.get(path), 404, None)
        answer = await client.request("DELETE", "/status")
        check_problem(answer, 405, None)
        assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))


async def test_an_error_that_nobody_foresaw_tells_nothing(
    open_app: OpenApp,
    check_problem: CheckProblem,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a 500 that names the request, as the log does beside the error itself."""

    async def break_down(self: Store, job_id: str) -> None:
        raise KeyError("the secret")

    monkeypatch.setattr(Store, "get", break_down)
    async with open_app() as client:
        answer = await client.get("/v1/translations/some")

    detail = check_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    named = answer.headers["X-Request-Id"]
    assert named in detail
    (failed,) = [one for one in caplog.records if one.message == "request-failed"]
    assert (failed.__dict__["request_id"], failed.levelname) == (named, "ERROR")
    assert "the secret" in caplog.text


async def test_a_stopping_server_says_when_to_come_again(
    open_app: OpenApp, check_problem: CheckProblem
) -> None:
    """A submission during the stop is a 503 with a pause, before its video is taken."""
    async with open_app() as client:
        client.service.uploads.rmdir()
        client.service.refuse_work()
        answer = await client.submit()
    check_problem(answer, 503, "stopping")
    assert answer.headers["Retry-After"] == "5"


async def test_a_full_disk_is_a_problem_and_leaves_nothing(
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the video was taken in and only its folder has no room."""

    async def refuse(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vtrio.server.files.move_into", refuse)
    async with open_app() as client:
        check_problem(await client.submit(), 507, "no-room")
        assert not list((tmp_path / "uploads").iterdir())
        assert not list((tmp_path / "jobs").iterdir())
        assert client.store.cursor == 0
