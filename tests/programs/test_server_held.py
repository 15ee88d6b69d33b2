"""Questions about one job that are held until there is news, at exact instants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server.store import JobRecord

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp


async def ask(
    client: AppClient, path: str, wait: int, tag: str | None = None
) -> httpx.Response:
    """Ask for a job's status, held for so many seconds."""
    headers = {"Prefer": f"wait={wait}"}
    if tag is not None:
        headers["If-None-Match"] = tag
    return await client.get(path, headers=headers)


def check_held(answer: httpx.Response, status: JobStatus | None, applied: int) -> None:
    """Assert that an answer tells a status (None: no change), and was held."""
    if status is None:
        assert (answer.status_code, answer.content) == (304, b"")
    else:
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert answer.headers["Preference-Applied"] == f"wait={applied}"
    assert "Retry-After" not in answer.headers
    assert answer.headers["Vary"] == "Prefer, Authorization"
    assert "Job-Age" in answer.headers


async def test_a_change_of_status_is_told_when_it_happens(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """From the status of the document that the client has; progress is no such news."""
    async with open_app(workers=1) as client:
        await client.submit()
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        answer = await client.get(path)
        assert "Preference-Applied" not in answer.headers
        for instant, status in ((10, JobStatus.RUNNING), (20, JobStatus.COMPLETED)):
            answer = await ask(client, path, 30, answer.headers["ETag"])
            check_held(answer, status, 30)
            assert trio.current_time() == instant
            cursor = f"{client.store.id}.{client.store.cursor}"
            assert answer.headers["Events-Cursor"] == cursor
        assert answer.headers["Job-Ended-Ago"] == "0.000"


async def test_without_a_document_the_end_is_waited_for(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """So it is with one that stands for any."""
    async with open_app(workers=1) as client:
        await client.submit()
        path = (await client.submit()).headers["Location"]

        async def hold(tag: str | None, status: JobStatus | None) -> None:
            check_held(await ask(client, path, 60, tag), status, 60)
            assert trio.current_time() == 20

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold, None, JobStatus.COMPLETED)
            nursery.start_soon(hold, "*", None)


async def test_it_is_held_no_longer_than_told(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Then it is what there is: no change, or a document with other progress."""
    async with open_app(workers=1) as client:
        running = (await client.submit()).headers["Location"]
        waiting = (await client.submit()).headers["Location"]
        await trio.sleep(1.25)
        tag = (await client.get(waiting)).headers["ETag"]
        check_held(await ask(client, waiting, 3, tag), None, 3)
        assert trio.current_time() == 4.25
        check_held(await ask(client, waiting, 2), JobStatus.PENDING, 2)
        assert trio.current_time() == 6.25

        tag = (await client.get(running)).headers["ETag"]
        answer = await ask(client, running, 3, tag)
        check_held(answer, JobStatus.RUNNING, 3)
        assert trio.current_time() == 9.25
        assert answer.json()["progress"] == 0.9
        check_held(await ask(client, running, 0), JobStatus.RUNNING, 0)
        assert trio.current_time() == 9.25


async def test_nothing_is_held_for_more_than_a_minute(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Whatever was asked for, and the answer says what was applied."""
    async with open_app(workers=1) as client:
        for _ in range(7):
            path = (await client.submit()).headers["Location"]
        began = trio.current_time()
        check_held(await ask(client, path, 10**18), JobStatus.PENDING, 60)
        assert trio.current_time() == began + 60


async def test_what_is_no_news_any_more_is_told_at_once(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """A job that has ended, or whose status is another than that of the document."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        old = '"pending-00000000000000000000000000000000"'
        for tag in (old, f'"a", {old}', '"unknown-0"', "nonsense"):
            check_held(await ask(client, path, 60, tag), JobStatus.RUNNING, 60)
        assert trio.current_time() == 1

        await trio.sleep(10)
        ended = await ask(client, path, 60)
        check_held(ended, JobStatus.COMPLETED, 60)
        check_held(await ask(client, path, 60, ended.headers["ETag"]), None, 60)
        check_held(await ask(client, path, 60, old), JobStatus.COMPLETED, 60)
        assert trio.current_time() == 11


Act = Callable[["AppClient", str], Awaitable[object]]


async def cancel(client: AppClient, path: str) -> object:
    """Have the job cancelled."""
    return await client.post(f"{path}/cancel")


async def remove(client: AppClient, path: str) -> object:
    """Have the job removed."""
    return await client.delete(path)


async def stop(client: AppClient, path: str) -> None:
    """Have the server stop."""
    client.service.refuse_work()
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("act", "status", "word"),
    [(cancel, 200, "cancelled"), (remove, 404, None), (stop, 200, "running")],
)
async def test_it_is_answered_when_somebody_acts(
    act: Act,
    status: int,
    word: str | None,
    open_app: OpenApp,
    check_problem: CheckProblem,
    autojump_clock: MockClock,
) -> None:
    """The job is cancelled or removed, or the server stops: each ends the wait."""
    answers: list[tuple[float, httpx.Response]] = []
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]

        async def hold() -> None:
            answer = await ask(client, path, 60)
            answers.append((trio.current_time(), answer))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(hold)
            await trio.sleep(2)
            assert (answers, client.service.board.held) == ([], 3)
            await act(client, path)
        assert client.service.board.held == 0
        assert len(answers) == 3
        for instant, answer in answers:
            assert instant == 2
            if word is None:
                check_problem(answer, status, "unknown-job")
            else:
                check_held(answer, JobStatus(word), 60)


async def test_a_server_that_stops_holds_nobody_any_more(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """What is asked afterwards is answered with what there is."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        client.service.refuse_work()
        check_held(await ask(client, path, 60), JobStatus.RUNNING, 60)
        assert trio.current_time() == 1


async def test_a_client_that_leaves_is_held_no_more(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Its place is free at once."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client, path, 60)
            await wait_all_tasks_blocked()
            assert client.service.board.held == 1
            nursery.cancel_scope.cancel()
        assert client.service.board.held == 0
        assert trio.current_time() == 0


async def test_the_cursor_is_older_than_what_it_comes_with(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A change during the look is told twice, by the answer and the feed, not never."""
    async with open_app() as client:
        job_id = (await client.submit()).json()["id"]
        await trio.sleep(1)
        get, before = client.store.get, client.store.cursor

        async def get_late(asked: str) -> JobRecord:
            now = client.service.now()
            await client.store.move(asked, JobStatus.CANCELLED, at=now)
            return await get(asked)

        with monkeypatch.context() as patch:
            patch.setattr(client.store, "get", get_late)
            answer = await client.get(f"/v1/translations/{job_id}")
        assert answer.json()["status"] == "cancelled"
        cursor = answer.headers["Events-Cursor"]
        assert cursor == f"{client.store.id}.{before}"
        feed = (await client.get("/v1/events", params={"after": cursor})).json()
        assert [event["status"] for event in feed["events"]] == ["cancelled"]


@pytest.mark.parametrize(
    ("lines", "applied"),
    [
        (["respond-async, wait=1"], 1),
        (["respond-async", 'WAIT="2";x=y'], 2),
        (["wait=3", "wait=4"], 3),
        (["wait"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=soon"], None),
    ],
)
async def test_a_preference_that_cannot_be_read_is_none(
    lines: list[str], applied: int | None, open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """It is a wish among others, in one line or in several."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        answer = await client.get(path, headers=[("Prefer", line) for line in lines])
        if applied is None:
            assert "Preference-Applied" not in answer.headers
            assert "Retry-After" in answer.headers
        else:
            check_held(answer, JobStatus.RUNNING, applied)
        assert trio.current_time() == 1 + (applied or 0)
