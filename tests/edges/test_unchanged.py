"""Asking again about a job that has not changed, with both libraries."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import BadAnswer, JobNotFound, VideoTranslationClient
from vtrio.sources import ResultWordSource, TranslationsSource
from vtrio.sources._http import HttpEdge
from vtrio.testing import URL, Exchange, Reply, ScriptedServer, respond

MOST = 1024


@pytest.fixture
def edge(vtrio_server: ScriptedServer, library: ModuleType) -> HttpEdge:
    """The way to the server, over each of the libraries."""
    return HttpEdge(URL, http=vtrio_server.http(library))


@pytest.fixture
def source(edge: HttpEdge) -> TranslationsSource:
    """The wire of job documents."""
    return TranslationsSource(edge)


def told(status: str = "running", **headers: str) -> Reply:
    """Answer with a job's document."""
    document = {"id": "j1", "status": status, "progress": 0.5}
    return respond(json=document, headers=named(headers))


def unchanged(**headers: str) -> Reply:
    """Answer that there is no change."""
    return respond(304, headers=named(headers))


def named(headers: Mapping[str, str]) -> dict[str, str]:
    """Write names of headers as they are."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def seen(server: ScriptedServer) -> list[str | None]:
    """Return what each request said that it has."""
    return [request.headers.get("if-none-match") for request in server.exchanges]


async def test_no_change_is_a_good_answer(
    vtrio_server: ScriptedServer, edge: HttpEdge, autojump_clock: MockClock
) -> None:
    """The job as it was told, with what the headers say of now; sources may differ."""
    first = told(ETag='"running-1"', Job_Age="10.5", Events_Cursor="a.1")
    vtrio_server.route(first, times=1)
    age, cursor = {"Job_Age": "12.5", "Retry_After": "3"}, {"Events_Cursor": "a.2"}
    vtrio_server.route(unchanged(ETag='"running-1"', **age, **cursor), times=1)
    answer = await TranslationsSource(edge).status("j1")
    assert (answer.age, answer.hint, answer.cursor) == (10.5, None, "a.1")
    again = await TranslationsSource(edge).status("j1")
    assert again.job is answer.job
    assert (again.age, again.hint, again.cursor, again.size) == (12.5, 3.0, "a.2", 0)
    assert (again.ended_ago, again.run_time) == (None, None)
    assert seen(vtrio_server) == [None, '"running-1"']


async def test_a_change_comes_with_a_tag_of_its_own(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Which is what is said next; of a job that is over nothing is kept."""
    vtrio_server.route(told("pending", ETag='"1"'), times=1)
    vtrio_server.route(told("running", ETag='W/"2"'), times=1)
    vtrio_server.route(unchanged(ETag='W/"2"'), times=1)
    vtrio_server.route(told("completed", ETag='"3"'))
    statuses = [(await source.status("j1")).job.status.value for _ in range(5)]
    assert statuses == ["pending", "running", "running", "completed", "completed"]
    assert seen(vtrio_server) == [None, '"1"', 'W/"2"', 'W/"2"', None]


@pytest.mark.parametrize("how", [{}, {"ETag": '"1"'}, {"ETag": 'W/"1"'}])
async def test_a_cache_on_the_way_may_weaken_a_tag_or_leave_it_out(
    how: dict[str, str],
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """There was only one that was asked about."""
    vtrio_server.route(told(ETag='"1"'), times=1)
    vtrio_server.route(unchanged(**how))
    answer = await source.status("j1")
    assert (await source.status("j1")).job is answer.job


async def test_no_change_of_another_document_is_a_bad_answer(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """What is kept is forgotten, so that the next question brings the whole."""
    vtrio_server.route(told(ETag='"1"'), times=1)
    vtrio_server.route(unchanged(ETag='"2"', Retry_After="4"), times=1)
    vtrio_server.route(told("completed"))
    await source.status("j1")
    with pytest.raises(BadAnswer, match="'\"2\"' is unchanged, .* '\"1\"'") as caught:
        await source.status("j1")
    assert (caught.value.status_code, caught.value.hint) == (304, 4.0)
    assert (await source.status("j1")).job.is_final
    assert seen(vtrio_server) == [None, '"1"', None]


@pytest.mark.parametrize(
    "tag",
    [
        *("", "1", "'1'", '"', '"1', '"1"2"', '"a b"', '"é"', 'w/"1"', '"1", "2"', "*"),
        f'"{"x" * 251}"',
    ],
)
async def test_what_is_no_tag_is_never_sent(
    tag: str,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Nor what is no proper one, or endless; and a 304 without one is a bad answer."""
    vtrio_server.route(told(ETag='"1"'), times=1)
    vtrio_server.route(told(ETag=tag), times=1)
    vtrio_server.route(unchanged(ETag=tag))
    await source.status("j1")
    await source.status("j1")
    with pytest.raises(BadAnswer, match="answered 304") as caught:
        await source.status("j1")
    assert caught.value.status_code == 304
    assert seen(vtrio_server) == [None, '"1"', None]


async def test_a_document_that_cannot_be_read_is_not_kept(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Nor does it push out the one that could be."""
    vtrio_server.route(told(ETag='"1"'), times=1)
    vtrio_server.route(respond(json={}, headers={"ETag": '"2"'}), times=1)
    vtrio_server.route(respond(404), times=1)
    vtrio_server.route(unchanged(ETag='"1"'))
    answer = await source.status("j1")
    with pytest.raises(BadAnswer):
        await source.status("j1")
    with pytest.raises(JobNotFound):
        await source.status("j1")
    assert (await source.status("j1")).job is answer.job
    assert seen(vtrio_server) == [None, '"1"', '"1"', '"1"']


async def test_questions_about_one_job_at_once_keep_what_each_asked_with(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """A slow "no change" is of the document that was asked about, not of the newest."""

    async def slow(_: Exchange) -> Reply:
        await trio.sleep(5)
        return unchanged(ETag='"1"')

    vtrio_server.route(told("pending", ETag='"1"'), times=1)
    vtrio_server.route(slow, times=1)
    vtrio_server.route(told("running", ETag='"2"'), times=1)
    heard: list[tuple[float, str]] = []

    async def ask() -> None:
        answer = await source.status("j1")
        heard.append((trio.current_time(), answer.job.status.value))

    await ask()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(1)
        nursery.start_soon(ask)
    assert heard == [(0.0, "pending"), (1.0, "running"), (5.0, "pending")]


async def test_jobs_are_told_apart(
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """The tag that is sent is that of the job that is asked about."""

    def answer(exchange: Exchange) -> Reply:
        job_id = exchange.path.rpartition("/")[2]
        tag = f'"{job_id}"'
        if exchange.headers.get("if-none-match") == tag:
            return unchanged(ETag=tag)
        return told(ETag=tag)

    vtrio_server.route(answer)
    for job_id in ("a", "b", "a", "b"):
        assert (await source.status(job_id)).job.id == job_id
    assert seen(vtrio_server) == [None, None, '"a"', '"b"']


async def test_as_many_are_kept_as_were_asked_about_last(
    vtrio_server: ScriptedServer, edge: HttpEdge, autojump_clock: MockClock
) -> None:
    """More would be memory that nobody bounds."""
    source = TranslationsSource(edge)
    vtrio_server.route(told(ETag='"1"'))
    for number in range(MOST):
        await source.status(f"j{number}")
    await source.status("j0")  # which makes it the last
    await source.status("one more")
    kept = [edge.kept.of(job_id) is not None for job_id in ("j0", "j1", "j2")]
    assert kept == [True, False, True]
    assert len(edge.kept._by_id) == MOST


async def test_nothing_is_kept_beyond_the_block(
    vtrio_server: ScriptedServer, library: ModuleType, autojump_clock: MockClock
) -> None:
    """An edge that has ended lets go of its jobs, as of its connections."""
    vtrio_server.route(told(ETag='"1"'))
    async with HttpEdge(URL, http=vtrio_server.http(library)) as edge:
        await TranslationsSource(edge).status("j1")
        assert edge.kept.of("j1") is not None
    assert edge.kept.of("j1") is None


async def test_a_client_waits_on_answers_of_no_change(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """In its block and bare; each counts as an answer, of no bytes."""

    def answer(exchange: Exchange) -> Reply:
        if exchange.at >= 60:
            return told("completed", ETag='"2"')
        if exchange.headers.get("if-none-match") == '"1"':
            return unchanged(ETag='"1"', Retry_After="10")
        return told(ETag='"1"', Retry_After="10")

    vtrio_server.route(answer)
    heard: list[Any] = []
    async with vtrio_client:
        await vtrio_client.get_job("j1")
        done = await vtrio_client.wait("j1", on_job=heard.append)
    assert done.status == "completed"
    assert [job.status.value for job in heard[:-1]] == ["running"] * (len(heard) - 1)
    assert seen(vtrio_server) == [None, *['"1"'] * len(heard)]
    assert done.receipt is not None
    assert done.receipt.bytes_received == len(
        '{"id": "j1", "status": "completed", "progress": 0.5}'
    )
    assert (await vtrio_client.get_job("j1")).is_final


async def test_the_simplest_form_knows_no_tags(
    vtrio_server: ScriptedServer, edge: HttpEdge, autojump_clock: MockClock
) -> None:
    """Nothing is kept of it, and a 304 is what it was: a bad answer."""
    reply = respond(json={"result": "pending"}, headers={"ETag": '"1"'})
    vtrio_server.route(reply, times=1)
    vtrio_server.route(unchanged(ETag='"1"'))
    source = ResultWordSource(edge)
    await source.status("")
    with pytest.raises(BadAnswer, match="answered 304"):
        await source.status("")
    assert seen(vtrio_server) == [None, None]
