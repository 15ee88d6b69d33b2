"""What owners do to their jobs: cancel several at once, and remove them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

if TYPE_CHECKING:
    from tests.programs.conftest import CheckProblem, OpenApp

JOBS = "/v1/translations"
CANCEL = f"{JOBS}/cancel"


async def test_several_jobs_are_cancelled_at_once(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """202 where that changed any, told in the order asked; 200 where all had ended."""
    async with open_app(workers=1) as client:
        ids = [(await client.submit()).json()["id"] for _ in range(4)]
        await trio.sleep(10.5)
        asked = [ids[2], "nobody", ids[0], ids[1], ids[2]]

        first = await client.post(CANCEL, json={"ids": asked})
        second = await client.post(CANCEL, json={"ids": asked})

        assert (first.status_code, second.status_code) == (202, 200)
        assert first.json() == second.json()
        document = first.json()
        told = [(job["id"], job["status"]) for job in document["translations"]]
        assert told == [
            (ids[2], "cancelled"),
            (ids[0], "completed"),
            (ids[1], "cancelled"),
        ]
        assert document["missing"] == ["nobody"]
        assert first.headers["Cache-Control"] == "private, no-cache"
        assert "Retry-After" not in first.headers
        # The worker that was freed took the only job that was left.
        await trio.sleep(0.25)
        left = await client.get(JOBS, params={"status": "running"})
        assert [job["id"] for job in left.json()["translations"]] == [ids[3]]

        answer = await client.post(CANCEL, json={"ids": ["nobody"], "more": 1})
        assert answer.status_code == 200
        assert answer.json() == {"translations": [], "missing": ["nobody"]}


async def test_the_cursor_of_a_cancelling_comes_before_its_events(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Whoever follows the feed from there is told of them."""
    async with open_app(workers=1) as client:
        ids = [(await client.submit()).json()["id"] for _ in range(2)]
        await trio.sleep(1)
        answer = await client.post(CANCEL, json={"ids": ids})
        after = {"after": answer.headers["Events-Cursor"]}
        feed = (await client.get("/v1/events", params=after)).json()["events"]
        assert sorted((event["id"], event["status"]) for event in feed) == sorted(
            (job_id, "cancelled") for job_id in ids
        )


BAD = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"ids": "a"}',
    b'{"ids": {"a": 1}}',
    b'{"ids": [1]}',
    b'{"ids": [null]}',
    b'{"ids": ["a b"]}',
    b'{"ids": [""]}',
    b'{"ids": ["a"], "ids": ["b"]}',
    b'{"ids": ["a"], "x": NaN}',
    b'{"ids": ["a"], "x": -Infinity}',
    b'{"ids": ["a"]} x',
    b"\xef\xbb\xbf" + b'{"ids": ["a"]}',
    b'{"ids": ["\xff"]}',
    b'{"ids": ["\\ud800"]}',
    '{"ids": ["a"]}'.encode("utf-16"),
    b'{"ids": ["a"], "x": ' + b"9" * 5000 + b"}",
    b"[" * 30_000,
]


async def test_json_that_is_none_is_refused(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """And so is JSON of another shape; none of it is a failure of ours."""
    async with open_app() as client:
        for body in BAD:
            answer = await client.post(
                CANCEL, content=body, headers={"Content-Type": "application/json"}
            )
            check_problem(answer, 400, "bad-json")


@pytest.mark.parametrize(
    ("number", "second", "ended"),
    [(1, 1.0, "cancelled"), (0, 1.0, "cancelled"), (0, 10.5, "completed")],
    ids=["waiting", "running", "completed"],
)
async def test_a_job_is_removed_with_all_that_it_has(
    number: int,
    second: float,
    ended: str,
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """It waits, runs or has ended: its files go, and its id is known no more."""
    async with open_app(workers=1) as client:
        ids = [(await client.submit()).json()["id"] for _ in range(2)]
        removed, kept = ids[number], ids[1 - number]
        path = f"{JOBS}/{removed}"
        await trio.sleep(second)
        answer = await client.delete(path)

        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert not {"content-type", "content-length"} & set(answer.headers)
        for method, tail in (
            *(("GET", ""), ("DELETE", ""), ("POST", "/cancel")),
            *(("GET", "/video"), ("GET", "/subtitles")),
        ):
            answer = await client.request(method, f"{path}{tail}")
            check_problem(answer, 404, "unknown-job")
        assert [folder.name for folder in (tmp_path / "jobs").iterdir()] == [kept]
        feed = (await client.get("/v1/events")).json()["events"]
        told = [event["status"] for event in feed if event["id"] == removed]
        assert told[-1] == ended
        # The other one is not held up by it.
        await trio.sleep(20)
        other = await client.get(f"{JOBS}/{kept}")
        assert other.json()["status"] == "completed"
