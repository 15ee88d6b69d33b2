"""Several jobs in one request: named ones, held or not, and pages of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import trio
from trio.testing import MockClock

from vtrio.server import Limits

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

JOBS = "/v1/translations"


async def submitted(client: AppClient, count: int) -> list[str]:
    """Submit some jobs; return their ids."""
    return [(await client.submit()).json()["id"] for _ in range(count)]


async def named(
    client: AppClient, ids: list[str], *, wait: int | None = None
) -> httpx.Response:
    """Ask for jobs by their ids."""
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    answer = await client.get(JOBS, params={"ids": ",".join(ids)}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Prefer, Authorization"
    return answer


def statuses(answer: httpx.Response) -> list[str]:
    """Return the statuses that an answer tells."""
    return [job["status"] for job in answer.json()["translations"]]


async def test_named_jobs_are_told_in_the_order_asked(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Each once, as it alone would be told; those that there are not apart."""
    async with open_app(workers=1) as client:
        first, second, third = await submitted(client, 3)
        await trio.sleep(10.25)
        asked = [third, "nobody", first, third, "-", second, "nobody"]
        answer = await named(client, asked)

        document = answer.json()
        ids = [job["id"] for job in document["translations"]]
        assert ids == [third, first, second]
        assert document["missing"] == ["nobody", "-"]
        assert statuses(answer) == ["pending", "completed", "running"]
        for job in document["translations"]:
            assert job == (await client.get(f"{JOBS}/{job['id']}")).json()
        cursor = f"{client.store.id}.{client.store.cursor}"
        assert answer.headers["Events-Cursor"] == cursor
        # When to ask for the one that is due first.
        pauses = [
            (await client.get(f"{JOBS}/{job_id}")).headers.get("Retry-After")
            for job_id in (first, second, third)
        ]
        assert pauses[0] is None
        assert answer.headers["Retry-After"] == str(min(int(p) for p in pauses[1:]))
        assert "Retry-After" not in (await named(client, [first])).headers


async def test_named_jobs_are_held_until_one_changes(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Then all of them are told, as they are at that instant."""
    async with open_app(workers=1) as client:
        first, second, third, last = await submitted(client, 4)
        await trio.sleep(1)

        async def told(ids: list[str], wait: int, at: float, *expected: str) -> None:
            answer = await named(client, ids, wait=wait)
            assert trio.current_time() == at
            assert statuses(answer) == list(expected)
            applied = answer.headers["Preference-Applied"]
            assert applied == f"wait={min(wait, 60)}"
            assert "Retry-After" not in answer.headers

        await told([last, third], 3, 4, "pending", "pending")
        await told([last, second, "nobody"], 30, 10, "pending", "running")
        await told([first, second], 30, 10, "completed", "running")
        await told([third, second], 30, 20, "pending", "completed")
        await told(["nobody"], 30, 20)

        await trio.sleep(0.5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told, [third, last], 30, 21.5, "running")
            nursery.start_soon(told, [third], 30, 22.5, "running")
            await trio.sleep(1)
            await client.delete(f"{JOBS}/{last}")
            await trio.sleep(1)
            client.service.refuse_work()


async def test_nothing_is_held_beyond_a_minute(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Also of several."""
    async with open_app(workers=1) as client:
        ids = await submitted(client, 9)
        answer = await named(client, ids[7:], wait=100)
        assert trio.current_time() == 60
        assert answer.headers["Preference-Applied"] == "wait=60"


async def test_ids_that_are_none_are_refused(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """And so is a page of what was named; the problem says which parameter it is."""
    async with open_app() as client:
        for query, field in (
            *(("ids=a%20b", "ids"), ("ids=a,", "ids"), (f"ids={'a' * 65}", "ids")),
            *(("ids=a&ids=b", "ids"), ("ids=%C3%BC", "ids"), ("ids=", "ids")),
            ("ids=a&page_size=2", "page_size"),
            ("ids=a&page_token=2", "page_token"),
            ("ids=a&status=running", "status"),
        ):
            answer = await client.get(f"{JOBS}?{query}")
            check_problem(answer, 422, "bad-query")
            assert answer.json()["field"] == field


async def page(client: AppClient, **params: Any) -> tuple[list[str], str | None]:
    """Return the ids on a page, and the token of the next one."""
    answer = await client.get(JOBS, params=params)
    assert answer.status_code == 200
    document = answer.json()
    return [job["id"] for job in document["translations"]], document["next_page_token"]


async def test_pages_are_of_the_newest_first(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The last one has no token, also where it is full."""
    async with open_app(workers=1) as client:
        assert await page(client) == ([], None)
        ids = (await submitted(client, 6))[::-1]
        assert await page(client) == (ids, None)
        assert await page(client, page_size=6) == (ids, None)
        found: list[str] = []
        token: str | None = ""
        while token is not None:
            shown, token = await page(client, page_size=2, page_token=token)
            assert len(shown) == 2
            found += shown
        assert found == ids

        answer = await client.get(JOBS)
        assert answer.headers["Events-Cursor"] == (
            f"{client.store.id}.{client.store.cursor}"
        )
        assert "Retry-After" in answer.headers
        assert len((await page(client, page_size=200))[0]) == 6


async def test_a_page_is_of_no_more_than_the_limit(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Also where nothing was said of its size, and the limit is less than usual."""
    async with open_app(workers=1, limits=Limits(page=2)) as client:
        ids = (await submitted(client, 3))[::-1]
        shown, token = await page(client)
        assert shown == ids[:2]
        assert await page(client, page_token=token) == (ids[2:], None)


async def test_pages_do_not_shift(open_app: OpenApp, autojump_clock: MockClock) -> None:
    """Jobs that come or go between two pages make none come twice or not at all."""
    async with open_app(workers=1) as client:
        ids = (await submitted(client, 6))[::-1]
        first, token = await page(client, page_size=2)
        await submitted(client, 2)
        await client.delete(f"{JOBS}/{ids[1]}")
        second, token = await page(client, page_size=2, page_token=token)
        await client.delete(f"{JOBS}/{ids[4]}")
        third, token = await page(client, page_size=2, page_token=token)
        assert (first, second, third) == (ids[:2], ids[2:4], ids[5:])
        assert token is None


async def test_pages_can_be_of_one_status(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """As they are at the moment, in the same order."""
    async with open_app(workers=1) as client:
        ids = await submitted(client, 5)
        await client.post(f"{JOBS}/{ids[4]}/cancel")
        await trio.sleep(10.5)
        for status, expected in (
            ("completed", [ids[0]]),
            ("running", [ids[1]]),
            ("pending", [ids[3], ids[2]]),
            ("cancelled", [ids[4]]),
            ("error", []),
            ("", ids[::-1]),
        ):
            assert await page(client, status=status) == (expected, None)
        shown, token = await page(client, status="pending", page_size=1)
        assert shown == [ids[3]]
        more = await page(client, status="pending", page_size=1, page_token=token)
        assert more == ([ids[2]], None)

        for query, field in (
            ("status=done", "status"),
            ("status=pending&status=error", "status"),
            ("page_token=x", "page_token"),
            ("page_token=-1", "page_token"),
            (f"page_token={'9' * 19}", "page_token"),
            ("page_size=2&page_size=2", "page_size"),
        ):
            answer = await client.get(f"{JOBS}?{query}")
            check_problem(answer, 422, "bad-query")
            assert answer.json()["field"] == field
