"""Submissions that come again: one job a key, and the answer that was given first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock

from vtrio.server import Limits

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

VIDEO = bytes(range(256)) * 40
FORM = {"target_language": "pt"}


def check_replay(answer: httpx.Response, first: httpx.Response) -> None:
    """Assert that an answer says what the first one did."""
    assert answer.status_code == first.status_code == 202
    assert answer.content == first.content
    for name in ("Location", "ETag"):
        assert answer.headers[name] == first.headers[name]


async def test_a_key_makes_one_job(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Quoted or bare it is the same key, and names and boundaries do not matter."""
    async with open_app() as client:
        first = await client.submit(key='"a-key"')
        await trio.sleep(1)
        check_replay(await client.submit(key="a-key"), first)
        renamed = await client.post(
            "/v1/translations",
            files={"spare": ("a", b"b"), "video": ("other.mkv", VIDEO)},
            data=FORM,
            headers={"Idempotency-Key": '"a-key"'},
        )
        check_replay(renamed, first)

        other = await client.submit(key="another-key")
        assert other.json()["id"] != first.json()["id"]
        without = await client.submit()
        assert without.json()["id"] not in {first.json()["id"], other.json()["id"]}


async def test_a_repeated_answer_tells_where_its_feed_begins(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Its document says pending; the feed from its cursor on says what came of that."""
    async with open_app(keep=100) as client:
        await client.submit()
        await client.submit(key="k")
        await trio.sleep(50)
        again = await client.submit(key="k")
        await client.submit()
        after = {"after": again.headers["Events-Cursor"]}
        events = (await client.get("/v1/events", params=after)).json()["events"]
        own = [event for event in events if event["id"] == again.json()["id"]]
        assert [event["status"] for event in own] == ["pending", "running", "completed"]

        # When its events are dropped, the feed begins with the oldest one kept.
        await trio.sleep(90)
        again = await client.submit(key="k")
        after = {"after": again.headers["Events-Cursor"]}
        kept = await client.get("/v1/events", params=after)
        assert kept.json() == (await client.get("/v1/events")).json()
        assert kept.json()["events"]
        assert again.json()["id"] not in kept.text


async def test_the_first_answer_comes_whatever_became_of_the_job(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """It runs, is completed, was cancelled, was removed: the replay says the same."""
    async with open_app() as client:
        done = await client.submit(key="done")
        await trio.sleep(5)
        check_replay(await client.submit(key="done"), done)
        await trio.sleep(5.5)
        again = await client.submit(key="done")
        check_replay(again, done)
        assert (await client.get(done.headers["Location"])).json()["status"] == (
            "completed"
        )

        stopped = await client.submit(key="stopped")
        await client.post(f"{stopped.headers['Location']}/cancel")
        check_replay(await client.submit(key="stopped"), stopped)

        await client.delete(done.headers["Location"])
        check_replay(await client.submit(key="done"), done)
        check_problem(await client.get(done.headers["Location"]), 404, "unknown-job")
        assert len((await client.get("/v1/translations")).json()["translations"]) == 1


async def test_a_restart_forgets_no_key_for_a_day(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """The next server on the same folder answers as the first did, until then."""
    async with open_app() as client:
        first = await client.submit(key="k", target_language="pt", source_language="en")
        await trio.sleep(1)
    async with open_app() as client:
        again = await client.submit(key="k", target_language="pt", source_language="en")
        check_replay(again, first)
        check_problem(await client.submit(key="k"), 422, "key-reused")

        await trio.sleep_until(86_399)
        again = await client.submit(key="k", target_language="pt", source_language="en")
        check_replay(again, first)
        await trio.sleep_until(86_401)
        fresh = await client.submit(key="k", target_language="pt", source_language="en")
        assert fresh.json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    ("video", "fields"),
    [
        (VIDEO + b"!", FORM),
        (VIDEO, {"target_language": "es"}),
        (VIDEO, {"target_language": "pt", "source_language": "en"}),
    ],
)
async def test_a_key_with_another_payload_is_refused(
    video: bytes,
    fields: dict[str, str],
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """Another file or another field is another payload; nothing is left of it."""
    async with open_app() as client:
        await client.submit(key="k")
        answer = await client.submit(video=video, key="k", **fields)
        assert "'k'" in check_problem(answer, 422, "key-reused")
        assert len(list((tmp_path / "jobs").iterdir())) == 1
        assert not list((tmp_path / "uploads").iterdir())


async def test_twins_at_once_make_one_job(
    open_app: OpenApp, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Sixteen submissions of one key in flight together have one answer, and one job."""
    answers: list[httpx.Response] = []

    async def one(client: AppClient) -> None:
        answers.append(await client.submit(video=b"v", key="k"))

    async with open_app() as client:
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(one, client)
        for answer in answers:
            check_replay(answer, answers[0])
        assert len(answers) == 16
        assert len(list((tmp_path / "jobs").iterdir())) == 1
        assert not list((tmp_path / "uploads").iterdir())
        assert client.store.cursor == 2  # pending, running


async def test_a_replay_needs_no_room_among_the_waiting(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """Its job is there already, so it is told of it where no other is taken."""
    async with open_app(workers=1, limits=Limits(waiting=1)) as client:
        await client.submit()
        await trio.sleep(1)
        first = await client.submit(key="k")
        check_problem(await client.submit(), 503, "too-many-waiting")
        check_problem(await client.submit(key="l"), 503, "too-many-waiting")
        check_replay(await client.submit(key="k"), first)


@pytest.mark.parametrize("key", ["", '"', '""', "two words", '"open', "ü", "k" * 256])
async def test_a_key_that_cannot_be_read_is_refused(
    key: str,
    open_app: OpenApp,
    check_problem: CheckProblem,
    autojump_clock: MockClock,
) -> None:
    """An unreadable key is a 400, never ignored: the client relies on it."""
    async with open_app() as client:
        answer = await client.post(
            "/v1/translations",
            files={"video": ("clip.mp4", VIDEO)},
            data=FORM,
            headers={b"Idempotency-Key": key.encode()},
        )
        check_problem(answer, 400, "bad-idempotency-key")


async def test_two_keys_are_refused(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """Which of them counts would be a guess."""
    async with open_app() as client:
        answer = await client.post(
            "/v1/translations",
            files={"video": ("clip.mp4", VIDEO)},
            data=FORM,
            headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
        )
        assert "2" in check_problem(answer, 400, "bad-idempotency-key")
