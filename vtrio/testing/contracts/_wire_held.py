"""What holds for every server of the wire that holds answers back until there is news."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from ._server_under_test import (
    COLLECTION,
    ServerUnderTest,
    check_about_jobs,
    check_hint,
    read_job,
    read_json,
)

_FEED = "/v1/events"
# A held answer comes at a change, or when it was to: a server that is busy with other
# things has this long.
_PATIENCE = 10.0
_LONG = "wait=30"


class HeldOnTheWire:
    """Documents that are known, and answers that are held; a part of `WireContract`."""

    async def test_a_document_that_is_known_is_not_sent_again(
        self, server: ServerUnderTest
    ) -> None:
        """304, with all that changes from look to look."""
        for word in ("running", "completed"):
            path = f"{COLLECTION}/{server.jobs[word]}"
            known = await server.get(path)
            etag = known.headers["ETag"]
            assert etag.startswith(f'"{word}-')
            for header in (etag, f'"other", {etag}', f"W/{etag}", "*"):
                answer = await server.get(path, if_none_match=header)
                assert (answer.status_code, answer.content) == (304, b""), header
                assert answer.headers["ETag"] == etag
                assert "Content-Type" not in answer.headers
                assert "Job-Age" in answer.headers
                assert "Preference-Applied" not in answer.headers
                check_about_jobs(answer)
                if word == "running":
                    check_hint(answer)
                else:
                    assert "Job-Ended-Ago" in answer.headers
            other = await server.get(path, if_none_match='"other"')
            assert read_job(other) == read_job(known)

    async def test_an_answer_is_held_as_long_as_was_asked(
        self, server: ServerUnderTest
    ) -> None:
        """Then it is what there is; and it says that it was held, but names no pause."""
        job_id = server.jobs["running"]
        path = f"{COLLECTION}/{job_id}"
        etag = (await server.get(path)).headers["ETag"]
        cursor = (await server.get(_FEED)).headers["Events-Cursor"]

        async def hold(path: str, status: int, **headers: str) -> None:
            begun = trio.current_time()
            answer = await server.get(path, prefer="wait=1", **headers)
            assert 0.9 < trio.current_time() - begun < _PATIENCE
            assert answer.status_code == status
            check_about_jobs(answer)
            assert answer.headers["Preference-Applied"] == "wait=1"
            assert "Retry-After" not in answer.headers
            if path.startswith(_FEED):
                assert read_json(answer) == {"events": [], "next": cursor}

        asked_for: list[tuple[str, int, Mapping[str, str]]] = [
            (path, 304, {"if_none_match": etag}),
            (path, 200, {}),
            (f"{COLLECTION}?ids={job_id},nobody", 200, {}),
            (f"{_FEED}?after={cursor}", 200, {}),
        ]
        async with trio.open_nursery() as nursery:
            for asked, status, headers in asked_for:
                nursery.start_soon(partial(hold, asked, status, **headers))

    async def test_an_answer_is_held_until_there_is_news(
        self, server: ServerUnderTest
    ) -> None:
        """Of one job, of several, and of any."""
        job_id = server.jobs["running"]
        path = f"{COLLECTION}/{job_id}"
        etag = (await server.get(path)).headers["ETag"]
        cursor = (await server.get(_FEED)).headers["Events-Cursor"]
        told: list[tuple[str, str]] = []
        asked_for: list[tuple[str, str, Mapping[str, str]]] = [
            (path, "", {"if_none_match": etag}),
            (path, "", {}),
            (f"{COLLECTION}?ids={job_id}", "translations", {}),
            (f"{_FEED}?after={cursor}", "events", {}),
        ]

        async def hold(path: str, member: str, **headers: str) -> None:
            answer = await server.get(path, prefer=_LONG, **headers)
            assert answer.status_code == 200
            assert answer.headers["Preference-Applied"] == _LONG
            document = read_json(answer)
            one = document[member][0] if member else document
            told.append((one["id"], one["status"]))

        with trio.fail_after(_PATIENCE):
            async with trio.open_nursery() as nursery:
                for asked, member, headers in asked_for:
                    nursery.start_soon(partial(hold, asked, member, **headers))
                await trio.sleep(0.1)
                assert told == []
                await server.post(f"{path}/cancel")
        assert told == [(job_id, "cancelled")] * 4

    async def test_what_is_news_already_is_not_held(
        self, server: ServerUnderTest
    ) -> None:
        """What is over, what nobody knows, what the client has not seen, and events."""
        running, over = server.jobs["running"], server.jobs["completed"]
        etag = (await server.get(f"{COLLECTION}/{over}")).headers["ETag"]
        asked_for: list[tuple[str, int, Mapping[str, str]]] = [
            (f"{COLLECTION}/{over}", 200, {}),
            (f"{COLLECTION}/{over}", 304, {"if_none_match": etag}),
            (f"{COLLECTION}/{running}", 200, {"if_none_match": etag}),
            (f"{COLLECTION}?ids={running},{over}", 200, {}),
            (f"{COLLECTION}?ids=nobody", 200, {}),
            (_FEED, 200, {}),
        ]
        with trio.fail_after(_PATIENCE):
            for path, status, headers in asked_for:
                answer = await server.get(path, prefer=_LONG, **headers)
                assert answer.status_code == status, path
                assert answer.headers["Preference-Applied"] == _LONG
                assert "Retry-After" not in answer.headers
            for path in (f"{COLLECTION}/nobody", f"{_FEED}?after=x", "/status"):
                answer = await server.get(path, prefer=_LONG)
                assert "Preference-Applied" not in answer.headers

    async def test_a_minute_is_the_longest_hold(self, server: ServerUnderTest) -> None:
        """The answer says what was applied; a wish that cannot be read is none."""
        path = f"{COLLECTION}/{server.jobs['completed']}"
        for wish, applied in (
            ("wait=90", "wait=60"),
            ('Wait="7"', "wait=7"),
            ("respond-async, wait=7; x=1, wait=8", "wait=7"),
            ("wait=soon", None),
            ("wait=-1", None),
        ):
            answer = await server.get(path, prefer=wish)
            assert answer.headers.get("Preference-Applied") == applied, wish
