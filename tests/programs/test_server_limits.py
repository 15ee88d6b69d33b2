"""What the server takes at most: each limit is told as a problem, and harms nobody."""

from __future__ import annotations

import errno
import json
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from sqlalchemy.exc import OperationalError
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.server import Limits, serving
from vtrio.server.store import changing

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}
HELD = {"Prefer": "wait=60"}


async def test_an_upload_that_is_too_large_is_refused(
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """By its declared length before a byte is read, and without one as it comes in."""
    taken = 0

    async def drip(*pieces: bytes) -> AsyncIterator[bytes]:
        nonlocal taken
        for piece in pieces:
            await trio.lowlevel.checkpoint()
            taken += len(piece)
            yield piece

    head = b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n'
    async with open_app(limits=Limits(upload=2**20)) as client:
        client.service.uploads.rmdir()  # nothing could be written
        declared = await client.post(
            "/v1/translations",
            content=drip(bytes(10)),
            headers={**MULTIPART, "Content-Length": str(2**20 + 2**16 + 1)},
        )
        assert str(2**20) in check_problem(declared, 413, "too-large")
        client.service.uploads.mkdir()

        taken = 0
        late = await client.post(
            "/v1/translations",
            content=drip(head + bytes(2**20), bytes(1), b"\r\n--b--\r\n"),
            headers=MULTIPART,
        )
        check_problem(late, 413, "too-large")
        assert not list((tmp_path / "uploads").iterdir())
        exact = await client.submit(video=bytes(2**20))
        assert exact.status_code == 202


async def test_a_body_of_json_is_bounded(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """In its size, its depth, its time, and in the ids that it names."""
    limits = Limits(json=1000, json_depth=3, ids=3)
    path = "/v1/translations/cancel"

    async def slowly() -> AsyncIterator[bytes]:
        while True:
            await trio.sleep(1)
            yield b" "

    async with open_app(limits=limits) as client:
        largest = json.dumps({"ids": ["a"]}).ljust(1000)
        answer = await client.post(path, content=largest, headers=JSON)
        assert (answer.status_code, answer.json()["missing"]) == (200, ["a"])
        answer = await client.post(path, content=largest + " ", headers=JSON)
        assert "1000 bytes" in check_problem(answer, 413, "too-large")

        for depth, status in ((3, "must be an object"), (4, "more than 3 deep")):
            answer = await client.post(
                path, content="[" * depth + "]" * depth, headers=JSON
            )
            assert status in check_problem(answer, 400, "bad-json")
        for names in ([], list("abcd")):
            answer = await client.post(path, json={"ids": names})
            assert "1 to 3" in check_problem(answer, 422, "too-many-ids")
        assert (await client.post(path, json={"ids": list("abc")})).status_code == 200
        answer = await client.post(path, content=b"{}", headers={})
        check_problem(answer, 415, "wrong-media-type")

        began = trio.current_time()
        answer = await client.post(path, content=slowly(), headers=JSON)
        check_problem(answer, 408, "upload-too-slow")
        # Thirty seconds for the JSON, and two for what is still on its way.
        assert trio.current_time() == began + 32


async def test_what_is_listed_is_bounded(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """A page and the ids of a request have a limit, and a wrong number is named."""
    async with open_app(limits=Limits(page=5, ids=2)) as client:
        assert (await client.get("/v1/translations?page_size=5")).status_code == 200
        for size in ("6", "0", "-1", "x", "", "1.0", "9" * 30, "%C2%B2"):
            answer = await client.get(f"/v1/translations?page_size={size}")
            assert "1 to 5" in check_problem(answer, 422, "bad-query")
            assert answer.json()["field"] == "page_size"
        assert (await client.get("/v1/translations?ids=a,b")).status_code == 200
        answer = await client.get("/v1/translations?ids=a,b,a")
        assert "1 to 2" in check_problem(answer, 422, "too-many-ids")
        assert (await client.get("/v1/events?limit=1000")).status_code == 200
        answer = await client.get("/v1/events?limit=1001")
        assert "1 to 1000" in check_problem(answer, 422, "bad-query")


async def test_one_client_holds_so_many_requests(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """Of whatever kind; one more is a 429 at once, until one of them is answered."""
    async with open_app(limits=Limits(held=3)) as client:
        job = (await client.submit()).json()["id"]
        await trio.sleep(1)
        one, many = f"/v1/translations/{job}", f"/v1/translations?ids={job}"
        feed = f"/v1/events?after={client.store.id}.{client.store.cursor}"
        async with trio.open_nursery() as nursery:
            for path in (one, many, feed):
                nursery.start_soon(_get_held, client, path, 10)
            await wait_all_tasks_blocked()
            assert client.service.board.held == 3
            stream = {"Accept": "text/event-stream"}
            for path, headers in (
                *((one, HELD), (many, HELD), (feed, HELD)),
                ("/v1/events", stream),
            ):
                answer = await client.get(path, headers=headers)
                assert "3 requests" in check_problem(answer, 429, "too-many-held")
                assert answer.headers["Retry-After"] == "5"
            # Whoever is not held may ask.
            assert (await client.get(one)).status_code == 200
            assert trio.current_time() == 1
        assert client.service.board.held == 0
        assert (await client.get(one, headers=HELD)).status_code == 200


async def _get_held(client: AppClient, path: str, until: float) -> None:
    answer = await client.get(path, headers=HELD)
    assert (answer.status_code, trio.current_time()) == (200, until)


async def test_so_many_jobs_wait(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """One more is a 503 that says when to come again, before its video is taken."""
    async with open_app(workers=1, limits=Limits(waiting=2)) as client:
        await client.submit()
        await trio.sleep(1)
        assert [(await client.submit()).status_code for _ in range(2)] == [202, 202]
        client.service.uploads.rmdir()
        answer = await client.submit()
        assert "2 jobs wait" in check_problem(answer, 503, "too-many-waiting")
        assert answer.headers["Retry-After"] == "30"
        client.service.uploads.mkdir()
        await trio.sleep_until(11)
        assert (await client.submit()).status_code == 202


async def test_twins_do_not_pass_the_limit_of_those_that_wait(
    open_app: OpenApp, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """What comes at once is counted where it is kept; what is refused leaves nothing."""
    statuses: list[int] = []
    async with open_app(workers=1, limits=Limits(waiting=2)) as client:
        await client.submit()
        await trio.sleep(1)

        async def submit() -> None:
            statuses.append((await client.submit()).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(submit)
        assert sorted(statuses) == [202, 202, 503, 503, 503]
        assert len(list((tmp_path / "jobs").iterdir())) == 3
        assert not list((tmp_path / "uploads").iterdir())


async def test_no_job_is_accepted_that_the_store_has_no_room_for(
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    """A full disk under the database is a 507; what came in is removed again."""

    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        raise OperationalError("INSERT", {}, error)

    async with open_app() as client:
        with monkeypatch.context() as patch:
            patch.setattr(changing, "submit", refuse)
            check_problem(await client.submit(key="k"), 507, "no-room")
            assert not list((tmp_path / "jobs").iterdir())
            assert not list((tmp_path / "uploads").iterdir())
        assert (await client.submit(key="k")).status_code == 202


async def test_no_file_more_may_be_opened(
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    """That passes: it is told as a server that cannot work now, and leaves nothing."""
    whole = Path.open

    def refuse(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if mode == "xb":
            raise OSError(errno.EMFILE, "Too many open files")
        return whole(self, mode, *rest, **named)

    async with open_app() as client:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            answer = await client.submit()
        assert "open as it may" in check_problem(answer, 503, "not-ready")
        assert answer.headers["Retry-After"] == "5"
        assert not list((tmp_path / "uploads").iterdir())
        assert (await client.submit()).status_code == 202


def test_a_server_may_open_as_many_files_as_the_system_lets_it() -> None:
    """Many systems begin at fewer than the requests that a client may hold."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        serving._open_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
