"""Status asked for with the tag of the last answer: 304 where nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock

if TYPE_CHECKING:
    from tests.programs.conftest import OpenApp

# A preference that means nothing here; with it a poll takes the whole way.
ANY = {"Prefer": "respond-async"}


async def test_no_change_is_told_without_a_document(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """A 304 has the headers of the answer that it stands for, and no body."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        for second in (5.25, 15):
            await trio.sleep_until(second)
            headers = {"X-Request-Id": "r"}
            whole = await client.get(path, headers=headers)
            headers["If-None-Match"] = whole.headers["ETag"]
            short = await client.get(path, headers=headers)
            slow = await client.get(path, headers={**headers, **ANY})
            head = await client.head(path, headers=headers)

            for answer in (short, slow, head):
                assert (answer.status_code, answer.content) == (304, b"")
                expected = dict(whole.headers)
                del expected["content-type"], expected["content-length"]
                assert dict(answer.headers) == expected
            cursor = f"{client.store.id}.{client.store.cursor}"
            assert short.headers["Events-Cursor"] == cursor
            assert short.headers["Job-Age"] == f"{second:.3f}"
        assert "Retry-After" not in short.headers
        assert short.headers["Job-Ended-Ago"] == "5.000"


async def test_the_tag_names_the_status(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """So that it can be told later whether the status is still the same."""
    async with open_app(workers=1) as client:
        await client.submit()
        path = (await client.submit()).headers["Location"]
        tags = []
        for second in (5, 15, 25):
            await trio.sleep_until(second)
            tags.append((await client.get(path)).headers["ETag"])
        await client.delete(path)
        assert [tag.partition("-")[0] for tag in tags] == [
            '"pending',
            '"running',
            '"completed',
        ]


async def test_the_tag_is_found_however_it_is_written(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Strong, made weak by a cache, among others, or any; and what is none is none."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(5.25)
        tag = (await client.get(path)).headers["ETag"]
        for given, status in (
            *((tag, 304), (f"W/{tag}", 304), ("*", 304), (" * ", 304)),
            *((f'"a", {tag}', 304), (f'"a",W/{tag} , "b"', 304)),
            *((f'{tag[:-2]}x"', 200), (tag.strip('"'), 200), ('"*"', 200)),
            *(("nonsense", 200), ("", 200)),
        ):
            for more in ({}, ANY):
                headers = {"If-None-Match": given, **more}
                answer = await client.get(path, headers=headers)
                assert answer.status_code == status, given
                assert answer.headers["ETag"] == tag


async def test_tags_in_several_lines_are_one_list(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """As HTTP has it for every header that is a list."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(5.25)
        tag = (await client.get(path)).headers["ETag"]
        for more in ([], list(ANY.items())):
            lines = [("If-None-Match", '"a"'), ("If-None-Match", tag), *more]
            assert (await client.get(path, headers=lines)).status_code == 304


async def test_progress_is_a_change_of_the_document(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The tag of half a second ago brings a document; its status is the same."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(5.25)
        first = await client.get(path)
        await trio.sleep(0.5)
        headers = {"If-None-Match": first.headers["ETag"]}
        second = await client.get(path, headers=headers)
        assert second.status_code == 200
        assert (first.json()["progress"], second.json()["progress"]) == (0.5, 0.55)
        assert first.json()["status"] == second.json()["status"] == "running"


async def test_a_job_that_is_gone_is_no_unchanged_one(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Whatever tag comes with the question."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await client.delete(path)
        for given in ("*", '"a"'):
            answer = await client.get(path, headers={"If-None-Match": given})
            assert answer.status_code == 404
