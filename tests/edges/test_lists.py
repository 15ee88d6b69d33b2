"""Lists of jobs over the wire, asked for or cancelled, with both libraries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from trio.testing import MockClock

from vtrio import (
    JobResult,
    JobStatus,
    Refused,
)
from vtrio.sources import (
    Capabilities,
    FeedSource,
    ManySource,
    TranslationsSource,
)
from vtrio.sources._http import HttpEdge
from vtrio.testing import URL, Reply, ScriptedServer, respond

CURSOR = "0a1b2c3d.41"


@pytest.fixture
def source(vtrio_server: ScriptedServer, library: ModuleType) -> TranslationsSource:
    """The wire of job documents, over each of the libraries."""
    return TranslationsSource(HttpEdge(URL, http=vtrio_server.http(library)))


def document(job_id: str, status: str = "running", **more: Any) -> dict[str, Any]:
    """Write a job's document as servers do."""
    return {
        "id": job_id,
        "status": status,
        "progress": 0.5,
        "stage": "dubbing",
        "target_language": "pt",
        "source_language": None,
        "media_seconds": 21.2,
        "created_at": "2026-01-01T00:00:00.250Z",
        "started_at": None,
        "finished_at": None,
        "error": None,
        "result": None,
        **more,
    }


def listed(*documents: Any, missing: Any = (), **headers: str) -> Reply:
    """Answer with a list of documents."""
    told = {"translations": list(documents), "missing": missing}
    return respond(json=told, headers=named(headers))


def named(headers: dict[str, str]) -> dict[str, str]:
    """Write names of headers as they are."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def test_it_says_what_it_can(source: TranslationsSource) -> None:
    """All that there is, and keeps the protocols of it."""
    assert isinstance(source, ManySource)
    assert isinstance(source, FeedSource)
    assert source.capabilities == Capabilities(
        status_of_many=True,
        held_status=True,
        change_feed=True,
        event_stream=True,
        most_ids=200,
    )


async def test_a_list_is_one_request(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """With the ids in the query, and what is said of all of them in the headers."""
    done = document(
        "j2", "completed", result={"video_url": "/v", "subtitles_url": "/s"}
    )
    reply = listed(
        *(done, document("j1")), missing=["j3"], events_cursor=CURSOR, retry_after="4"
    )
    vtrio_server.route(reply)
    told = await source.status_of_many(["j1", "j2", "j3"])
    (request,) = vtrio_server.exchanges
    assert (request.method, request.target) == ("GET", "/v1/translations?ids=j1,j2,j3")
    assert "prefer" not in request.headers
    assert "content-type" not in request.headers
    assert [answer.job.id for answer in told.answers] == ["j2", "j1"]
    assert (told.missing, told.held) == (("j3",), False)
    assert (told.cursor, told.hint) == (CURSOR, 4.0)
    assert told.size == len(b"".join(reply.body))  # type: ignore[arg-type]
    second, first = (answer.job for answer in told.answers)
    assert second.status is JobStatus.COMPLETED
    assert second.result == JobResult(video_url="/v", subtitles_url="/s")
    assert (first.status, first.progress, first.stage) == ("running", 0.5, "dubbing")
    assert first.created_at == datetime(2026, 1, 1, 0, 0, 0, 250_000, UTC)
    for answer in told.answers:
        assert answer.cursor == CURSOR
        assert (answer.age, answer.ended_ago, answer.run_time) == (None, None, None)
        assert answer.size == 0
    assert [answer.hint for answer in told.answers] == [None, 4.0]


@pytest.mark.parametrize("ids", [[], "j1", [str(n) for n in range(201)]])
async def test_a_list_of_too_few_or_too_many_is_misuse(
    ids: Any, source: TranslationsSource
) -> None:
    """Nor is one id in place of a list taken for the ids of its letters."""
    for ask in (source.status_of_many, source.cancel_many):
        with pytest.raises(ValueError, match=r"^job_ids=.* a list of 1 to 200 ids"):
            await ask(ids)


@pytest.mark.parametrize("ids", [["j1", ""], ["j1", 2]])
async def test_what_is_no_id_is_misuse(ids: Any, source: TranslationsSource) -> None:
    """One of them would spoil the whole list at the server."""
    for ask in (source.status_of_many, source.cancel_many):
        with pytest.raises(ValueError, match=r"^job_ids with .* not empty"):
            await ask(ids)


async def test_odd_ids_are_quoted_and_each_is_sent_once(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Commas within an id are not those between two; the answer is known by the id."""
    odd = ["a,b", "c&d=e", "f#g", "..", "ü 1%2C", "a,b"]
    vtrio_server.route(listed(*map(document, odd[:3]), missing=odd[3:5]))
    told = await source.status_of_many(odd)
    (request,) = vtrio_server.exchanges
    query = "a%2Cb,c%26d%3De,f%23g,..,%C3%BC%201%252C"
    assert request.target == f"/v1/translations?ids={query}"
    assert [answer.job.id for answer in told.answers] == odd[:3]
    assert told.missing == tuple(odd[3:5])


async def test_the_most_ids_go_into_one_request(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Two hundred of the longest that our server gives out."""
    ids = [f"{n:064}" for n in range(200)]
    done = {"video_url": "/v" * 50, "subtitles_url": "/s" * 50}
    vtrio_server.route(
        listed(*[document(job_id, "completed", result=done) for job_id in ids])
    )
    told = await source.status_of_many(ids)
    assert [answer.job.id for answer in told.answers] == ids
    # The ids are the caller's own objects: a second copy of each would be memory.
    assert all(
        answer.job.id is own for answer, own in zip(told.answers, ids, strict=True)
    )


async def test_ids_that_no_address_can_hold_are_refused(
    source: TranslationsSource,
) -> None:
    """With what to do about it."""
    with pytest.raises(Refused, match="ask about fewer jobs at once"):
        await source.status_of_many(["x" * 70_000])


async def test_what_a_list_tells_of_others_is_ignored(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """A server that knows no lists gives a page of whatever jobs there are."""
    page = listed(document("j8"), document("j9"), missing=["j7"])
    vtrio_server.route(page)
    told = await source.status_of_many(["j1"])
    assert (told.answers, told.missing) == ((), ())


SPOILED = [
    {},
    None,
    "j2",
    ["j2"],
    {"id": "j2"},
    {"id": "j2", "status": 3},
    {"status": "completed"},
    {"id": ["j2"], "status": "completed"},
    {"id": 2, "status": "completed"},
]


@pytest.mark.parametrize("spoiled", SPOILED)
async def test_one_document_that_cannot_be_read_does_not_spoil_the_others(
    spoiled: Any,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """It is left out, and neither answered about nor missing."""
    vtrio_server.route(listed(document("j1"), spoiled, document("j3")))
    told = await source.status_of_many(["j1", "j2", "j3"])
    assert [answer.job.id for answer in told.answers] == ["j1", "j3"]
    assert told.missing == ()


async def test_a_job_is_told_once_and_not_missing_as_well(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Whatever the server says twice; a list of the missing may be no list at all."""
    vtrio_server.route(
        listed({"id": "j1"}, document("j1"), document("j1", "error"), missing=["j1"]),
        times=1,
    )
    vtrio_server.route(listed(document("j1"), missing={"j2": 1}), times=1)
    vtrio_server.route(listed(missing=["j2", ["j1"], None, "j2"]), times=1)
    told = await source.status_of_many(["j1", "j2"])
    assert [answer.job.status for answer in told.answers] == ["running"]
    assert told.missing == ()
    told = await source.status_of_many(["j1", "j2"])
    assert (len(told.answers), told.missing) == (1, ())
    told = await source.status_of_many(["j1", "j2"])
    assert (told.answers, told.missing) == ((), ("j2",))


async def test_cancelling_many_is_one_request(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """With the ids in a JSON body; the answer is a list as of status."""
    gone = document("j1", "cancelled")
    vtrio_server.route(
        respond(
            202,
            json={"translations": [gone], "missing": ["j2"]},
            headers={"Events-Cursor": CURSOR},
        )
    )
    told = await source.cancel_many(["j1", "j2", "j1"])
    (request,) = vtrio_server.exchanges
    assert (request.method, request.target) == ("POST", "/v1/translations/cancel")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {"ids": ["j1", "j2"]}
    assert [answer.job.status for answer in told.answers] == ["cancelled"]
    assert (told.missing, told.cursor) == (("j2",), CURSOR)


async def test_a_word_of_the_servers_own_is_still_running(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """The word is told, in short."""
    vtrio_server.route(listed(document("j1", "x" * 100)))
    (answer,) = (await source.status_of_many(["j1"])).answers
    assert (answer.job.status, answer.job.unknown_word) == ("running", "x" * 64)


async def test_what_most_jobs_share_is_kept_once(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Stages and languages of ten thousand jobs are a handful of texts."""
    vtrio_server.route(
        listed(document("j1", stage="a stage"), document("j2", stage="a stage"))
    )
    first, second = (await source.status_of_many(["j1", "j2"])).answers
    assert first.job.stage is second.job.stage
    assert first.job.target_language is second.job.target_language
    assert first.cursor is second.cursor


async def test_the_pause_that_a_list_asks_for_is_for_all_that_run(
    source: TranslationsSource, vtrio_server: ScriptedServer, autojump_clock: MockClock
) -> None:
    """Whoever is over asks for none."""
    told = [{"id": "j1", "status": "running"}, {"id": "j2", "status": "completed"}]
    answer = respond(
        json={"translations": told, "missing": []}, headers={"retry-after": "7"}
    )
    vtrio_server.route(answer)
    answers = await source.status_of_many(["j1", "j2"])
    assert answers.hint == 7
    assert [answer.hint for answer in answers.answers] == [7, None]
