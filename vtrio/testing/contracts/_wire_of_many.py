"""What holds for every server of the wire that tells of many jobs at once.

Cursors are opaque: what a server may do with them is not asked, but for those that it
gave out, and for what cannot be one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from ...sources._events import EventReader
from ...sources._reading import give_up
from ._server_under_test import (
    COLLECTION,
    INSTANT,
    ServerUnderTest,
    check_about_jobs,
    check_hint,
    check_problem,
    read_job,
    read_json,
)

_FEED = "/v1/events"
_MEMBERS = {"cursor", "id", "status", "progress", "at"}
_MOST_IDS = 200
_PATIENCE = 10.0


class ManyOnTheWire:
    """Lists, the change feed, and the end of several jobs; a part of `WireContract`."""

    async def test_several_jobs_are_told_in_one_answer(
        self, server: ServerUnderTest
    ) -> None:
        """In the order asked, each once, as alone; those that are not there are named."""
        order = [server.jobs[word] for word in ("error", "running", "completed")]
        ids = ",".join([*order[:2], "nobody", *order, "nothing"])
        answer = await server.get(f"{COLLECTION}?ids={ids}")
        assert answer.status_code == 200, answer.text
        check_about_jobs(answer)
        check_hint(answer)  # for one of them runs
        document = read_json(answer)
        assert document.keys() == {"translations", "missing"}
        assert [one["id"] for one in document["translations"]] == order
        assert document["missing"] == ["nobody", "nothing"]
        for one in document["translations"]:
            assert one == read_job(await server.get(f"{COLLECTION}/{one['id']}"))

    async def test_a_list_of_what_is_over_asks_for_no_pause(
        self, server: ServerUnderTest
    ) -> None:
        """There is nothing to wait for; nor where no job is known."""
        over = f"{server.jobs['completed']},{server.jobs['error']}"
        for ids in (over, "nobody"):
            answer = await server.get(f"{COLLECTION}?ids={ids}")
            assert answer.status_code == 200
            assert "Retry-After" not in answer.headers

    async def test_a_list_has_so_many_ids_and_no_more(
        self, server: ServerUnderTest
    ) -> None:
        """200, all of which are told of; and one at least."""
        many = [f"nobody{number}" for number in range(_MOST_IDS + 1)]
        answer = await server.get(f"{COLLECTION}?ids={','.join(many[:-1])}")
        assert read_json(answer)["missing"] == many[:-1]
        for method, path, sent in (
            ("GET", f"{COLLECTION}?ids={','.join(many)}", None),
            ("POST", f"{COLLECTION}/cancel", {"ids": many}),
            ("POST", f"{COLLECTION}/cancel", {"ids": []}),
        ):
            answer = await server.send(method, path, json=sent)
            check_problem(answer, 422, "too-many-ids")
        check_problem(await server.get(f"{COLLECTION}?ids="), 422)
        check_problem(await server.get(f"{COLLECTION}?ids=a,,b"), 422)
        check_problem(await server.get(f"{COLLECTION}?ids=a&ids=b"), 422)

    async def test_several_jobs_are_cancelled_at_once(
        self, server: ServerUnderTest
    ) -> None:
        """202 where that has changed one of them, 200 where it has not."""
        ids = [server.jobs["running"], "nobody", server.jobs["completed"]]
        for status in (202, 200):
            answer = await server.send(
                "POST", f"{COLLECTION}/cancel", json={"ids": [*ids, ids[0]]}
            )
            assert answer.status_code == status, answer.text
            check_about_jobs(answer)
            document = read_json(answer)
            assert [(one["id"], one["status"]) for one in document["translations"]] == [
                (ids[0], "cancelled"),
                (ids[2], "completed"),
            ]
            assert document["missing"] == ["nobody"]
        one = read_job(await server.get(f"{COLLECTION}/{ids[0]}"))
        assert one == document["translations"][0]

    async def test_what_names_no_jobs_cancels_none(
        self, server: ServerUnderTest
    ) -> None:
        """What is no JSON, other JSON, and JSON by another name."""
        path = f"{COLLECTION}/cancel"
        for sent in ({"id": ["a"]}, ["a"], {"ids": "a"}, {"ids": [1]}, {"ids": [""]}):
            check_problem(await server.send("POST", path, json=sent), 400, "bad-json")
        headers = {"Content-Type": "application/json"}
        answer = await server.send("POST", path, content=b"{", headers=headers)
        check_problem(answer, 400, "bad-json")
        headers = {"Content-Type": "text/plain"}
        answer = await server.send("POST", path, content=b"{}", headers=headers)
        check_problem(answer, 415, "wrong-media-type")

    async def test_the_feed_tells_how_jobs_came_to_be_what_they_are(
        self, server: ServerUnderTest
    ) -> None:
        """From the oldest change that is kept; the last one is how a job stands."""
        answer = await server.get(_FEED)
        assert answer.status_code == 200
        check_about_jobs(answer)
        document = read_json(answer)
        assert document.keys() == {"events", "next"}
        assert answer.headers["Events-Cursor"] == document["next"]
        latest: dict[str, str] = {}
        for event in document["events"]:
            assert event.keys() >= _MEMBERS
            assert event["progress"] is None or 0 <= event["progress"] <= 1
            assert INSTANT.fullmatch(event["at"])
            assert latest.get(event["id"]) != event["status"]
            latest[event["id"]] = event["status"]
        for word, job_id in server.jobs.items():
            assert latest[job_id] == word

    async def test_the_feed_is_read_in_parts(self, server: ServerUnderTest) -> None:
        """Each event has its own cursor, behind which the next ones are."""
        whole = (await _follow(server))[0]
        parts: list[Any] = []
        cursor = ""
        while len(parts) < len(whole):
            events, cursor = await _follow(server, after=cursor, limit=2)
            assert 1 <= len(events) <= 2
            assert cursor == events[-1]["cursor"]
            parts += events
        assert parts == whole
        assert await _follow(server, after=cursor) == ([], cursor)
        assert (await _follow(server, after=whole[0]["cursor"]))[0] == whole[1:]

    async def test_the_feed_may_go_on_in_one_answer(
        self, server: ServerUnderTest
    ) -> None:
        """As events whose ids are their cursors; a server may know no streams."""
        events, end = await _follow(server)
        accept = {"Accept": "text/event-stream, application/json;q=0.9"}
        url = f"{server.url}{_FEED}?after={events[0]['cursor']}"
        with trio.fail_after(_PATIENCE):
            async with server.http.stream("GET", url, headers=accept) as answer:
                assert answer.status_code == 200
                kind = answer.headers["Content-Type"].partition(";")[0]
                if kind == "application/json":
                    pytest.skip("it knows no streams")
                assert kind == "text/event-stream"
                assert answer.headers["Cache-Control"] == "private, no-cache"
                told: list[Any] = []
                reader = EventReader(1_000_000)
                pieces = answer.aiter_raw()
                while not told or told[-1]["cursor"] != end:
                    for event in reader.feed(await anext(pieces)):
                        told.append(json.loads(event.data))
                        assert event.last_id.decode() == told[-1]["cursor"]
                await give_up(pieces)
        assert told == events[1:]

    async def test_what_is_no_cursor_is_told(self, server: ServerUnderTest) -> None:
        """So are limits that are none."""
        check_problem(await server.get(f"{_FEED}?after=x"), 400, "bad-cursor")
        for query in ("limit=0", "limit=1001", "limit=x", "limit=1&limit=1"):
            check_problem(await server.get(f"{_FEED}?{query}"), 422, "bad-query")
        cursor = (await _follow(server))[1]
        twice = await server.get(f"{_FEED}?after={cursor}&after={cursor}")
        check_problem(twice, 422, "bad-query")

    async def test_no_change_is_lost_between_an_answer_and_the_feed(
        self, server: ServerUnderTest
    ) -> None:
        """Every answer about a job has a cursor from before; all else comes after it."""
        made = await server.submit()
        job_id = read_job(made)["id"]
        path = f"{COLLECTION}/{job_id}"
        answers = [made, await server.get(path)]
        answers.append(await server.get(f"{COLLECTION}?ids={job_id}"))
        etag = answers[1].headers["ETag"]
        answers.append(await server.get(path, if_none_match=etag))
        answers.append(await server.post(f"{COLLECTION}/{server.jobs['error']}/cancel"))
        for answer in answers:
            cursor = answer.headers["Events-Cursor"]
            await _follow(server, after=cursor)
        events, cursor = await _follow(server, after=made.headers["Events-Cursor"])
        with trio.fail_after(_PATIENCE):
            while not any(
                (event["id"], event["status"]) == (job_id, "completed")
                for event in events
            ):
                assert len({event["cursor"] for event in events}) == len(events)
                more, cursor = await _follow(server, after=cursor, wait=5)
                events += more
        final = await server.get(path)
        assert read_job(final)["status"] == "completed"
        later = (await _follow(server, after=final.headers["Events-Cursor"]))[0]
        assert job_id not in {event["id"] for event in later}

    async def test_a_cancel_is_told_by_the_feed(self, server: ServerUnderTest) -> None:
        """Once, after the cursor of its answer, which is from before."""
        job_id = server.jobs["running"]
        cursor = (await _follow(server))[1]
        answer = await server.post(f"{COLLECTION}/{job_id}/cancel")
        await server.post(f"{COLLECTION}/{job_id}/cancel")
        assert answer.headers["Events-Cursor"] == cursor
        events = (await _follow(server, after=cursor))[0]
        assert [(event["id"], event["status"]) for event in events] == [
            (job_id, "cancelled")
        ]


async def _follow(
    server: ServerUnderTest, *, wait: int | None = None, **query: object
) -> tuple[list[Any], str]:
    """Ask for events; return them, and the cursor behind them."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    headers = {} if wait is None else {"prefer": f"wait={wait}"}
    answer = await server.get(f"{_FEED}?{text}", **headers)
    assert answer.status_code == 200, answer.text
    document = read_json(answer)
    return document["events"], document["next"]
