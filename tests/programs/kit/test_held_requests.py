"""Answers that a scripted server holds back, and what can become of them meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.testing import (
    Fault,
    Kind,
    ScriptedServer,
    after,
    buffering,
    busy,
    drip,
    hang,
    html,
    hung_up,
    job,
    refused,
    reset,
    says,
    server_error,
    too_many,
    truncated,
)

JOBS = "/v1/translations"
FEED = "/v1/events"
WAYS = {
    Kind.POLL: f"{JOBS}/j1",
    Kind.BATCH: f"{JOBS}?ids=j1,j2",
    Kind.FEED: f"{FEED}?after=00000001.2",
}
"""Questions of each kind that have no news as long as nothing happens."""


def two_jobs(**settings: Any) -> ScriptedServer:
    """Script a job that ends after 20 s, and one that does not."""
    server = ScriptedServer(**settings)
    server.add(
        job("pending", after(5, "pending", progress=0.1), after(20, "completed"))
    )
    server.add(job("running"), optional=True)
    return server


async def ask(
    server: ScriptedServer, path: str, wait: int | None = 60, **headers: str
) -> Any:
    """Ask, and have the answer held."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if wait is not None:
        told["Prefer"] = f"wait={wait}"
    return await server.http().get(path, headers=told)


@pytest.mark.parametrize("kind", WAYS)
async def test_it_is_answered_at_the_very_instant(
    kind: Kind, autojump_clock: MockClock
) -> None:
    """Of the news, or of the end of the hold; it is in flight until then."""
    server = two_jobs(retry_after=9)
    for wait, instant in ((3, 3.0), (60, 20.0)):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, server, WAYS[kind], wait)
                await wait_all_tasks_blocked()
                (held,) = server.open_exchanges
                assert (held.kind, held.status, held.outcome) == (kind, None, None)
        assert trio.current_time() == instant
        assert (held.ended_at, held.status) == (instant, 200)
        assert server.in_flight == 0
    assert server.requests == {kind: 2}
    assert f"(took {20 - 3:.3f} s)" in server.timeline()


async def test_its_ages_are_those_of_the_answer(autojump_clock: MockClock) -> None:
    """Not those of the question; and latency comes after the hold."""
    server = two_jobs(latency=0.5)
    answer = await ask(server, WAYS[Kind.POLL])
    assert answer.headers["Job-Age"] == "20.000"
    assert answer.headers["Job-Ended-Ago"] == "0.000"
    assert trio.current_time() == 20.5
    assert answer.json()["finished_at"] == "2026-01-01T00:00:20.000Z"


async def test_a_document_that_is_known_is_held_until_its_status_changes(
    autojump_clock: MockClock,
) -> None:
    """Other progress is no news, but another document when the hold is over."""
    server = two_jobs()
    first = await ask(server, WAYS[Kind.POLL], None)
    etag = first.headers["ETag"]
    assert (
        await ask(server, WAYS[Kind.POLL], 2, if_none_match=etag)
    ).status_code == 304
    again = await ask(server, WAYS[Kind.POLL], 4, if_none_match=etag)
    assert trio.current_time() == 6.0
    assert (again.status_code, again.json()["progress"]) == (200, 0.1)
    final = await ask(server, WAYS[Kind.POLL], if_none_match=again.headers["ETag"])
    assert trio.current_time() == 20.0
    assert final.json()["status"] == "completed"
    assert [e.outcome for e in server.exchanges] == [
        *("200 pending", "304 pending", "200 pending", "200 completed")
    ]


async def test_a_wish_may_come_in_several_lines(autojump_clock: MockClock) -> None:
    """As may the tags of the documents that a client has."""
    server = two_jobs()
    http = server.http()
    etag = (await http.get(WAYS[Kind.POLL])).headers["ETag"]
    lines = [("Prefer", "respond-async"), ("Prefer", "wait=2")]
    lines += [("If-None-Match", '"other"'), ("If-None-Match", etag)]
    answer = await http.get(WAYS[Kind.POLL], headers=lines)
    assert (answer.status_code, trio.current_time()) == (304, 2.0)
    assert server.exchanges[-1].headers["prefer"] == "respond-async, wait=2"


async def test_words_that_are_none_of_ours_can_be_known_too(
    autojump_clock: MockClock,
) -> None:
    """A tag names the word where it is one; a question about such a job is not held."""
    server = ScriptedServer()
    server.add(job("asleep"), id="a")
    server.add(job("fast asleep"), id="b")
    for job_id, beginning in (("a", '"asleep-'), ("b", '"other-')):
        path = f"{JOBS}/{job_id}"
        etag = (await ask(server, path, None)).headers["ETag"]
        assert etag.startswith(beginning)
        assert (await ask(server, path, 9, if_none_match=etag)).status_code == 304
    assert trio.current_time() == 0.0


async def test_a_script_that_goes_by_questions_goes_on_under_a_hold(
    autojump_clock: MockClock,
) -> None:
    """A held question is one question, however often it is looked at."""
    server = ScriptedServer()
    server.add(job("pending", "running", "completed"))
    path = WAYS[Kind.BATCH]
    assert (await ask(server, path, 5)).json()["translations"][0]["status"] == "pending"
    assert trio.current_time() == 5.0
    assert (await ask(server, path, 5)).json()["translations"][0]["status"] == "running"
    assert trio.current_time() == 10.0
    assert (await ask(server, path, 5)).json()["translations"][0][
        "status"
    ] == "completed"
    assert trio.current_time() == 10.0
    server.check()


async def test_one_question_wakes_those_that_are_held(
    autojump_clock: MockClock,
) -> None:
    """Where it moves the script on of what they ask about."""
    server = ScriptedServer()
    server.add(job("pending", "running"))
    server.add(job("pending"))
    ended = []

    async def hold(kind: Kind) -> None:
        await ask(server, WAYS[kind])
        ended.append((trio.current_time(), kind))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, Kind.BATCH)
        nursery.start_soon(hold, Kind.FEED)
        await trio.sleep(1)
        await ask(server, WAYS[Kind.POLL], None)
        await trio.sleep(1)
        assert ended == []
        await ask(server, WAYS[Kind.POLL], None)
    assert sorted(ended) == [(2.0, Kind.BATCH), (2.0, Kind.FEED)]


async def test_a_server_may_hold_nothing(autojump_clock: MockClock) -> None:
    """It answers at once, does not say that it applied a wish, and asks for a pause."""
    server = two_jobs(holds=False, retry_after=4)
    for path in WAYS.values():
        answer = await ask(server, path)
        assert answer.status_code == 200
        assert "Preference-Applied" not in answer.headers
        assert ("Retry-After" in answer.headers) == (FEED not in path)
    assert trio.current_time() == 0.0


async def test_the_form_without_ids_is_not_held(autojump_clock: MockClock) -> None:
    """It knows no such wish."""
    server = two_jobs(status_path="/jobs/{id}")
    for path in ("/status", "/jobs/j1"):
        answer = await ask(server, path)
        assert answer.json() == {"result": "pending"}
        assert "Preference-Applied" not in answer.headers
    assert trio.current_time() == 0.0


@pytest.mark.parametrize("kind", WAYS)
async def test_one_that_is_given_up_leaves_nothing(
    kind: Kind, autojump_clock: MockClock
) -> None:
    """Neither in flight, nor to be cut off, nor to be woken."""
    server = two_jobs()
    with trio.move_on_after(3):
        await ask(server, WAYS[kind])
    assert server.in_flight == 0
    assert server.exchanges[0].ended_at == 3.0
    assert str(server.exchanges[0]).endswith("given up while it waited  (took 3.000 s)")
    assert server.cut_off() == 0
    await trio.sleep(20)
    assert (await ask(server, WAYS[kind], None)).status_code == 200


@pytest.mark.parametrize("library_timeout", [4.0])
async def test_a_clients_own_timeout_ends_it(
    library_timeout: float, autojump_clock: MockClock
) -> None:
    """As it does with a socket."""
    server = two_jobs()
    http = httpx.AsyncClient(
        transport=server.transport(), base_url=server.url, timeout=library_timeout
    )
    with pytest.raises(httpx.ReadTimeout):
        await http.get(WAYS[Kind.FEED], headers={"Prefer": "wait=60"})
    assert trio.current_time() == 4.0
    assert server.in_flight == 0


# --- what goes wrong ------------------------------------------------------------------


async def hold_all(server: ScriptedServer) -> dict[Kind, tuple[float, str]]:
    """Hold a request of each kind; return when each ended, and how."""
    ended: dict[Kind, tuple[float, str]] = {}

    async def hold(kind: Kind) -> None:
        try:
            told = str((await ask(server, WAYS[kind], 10)).status_code)
        except httpx.TransportError as error:
            told = type(error).__name__
        ended[kind] = (trio.current_time(), told)

    async with trio.open_nursery() as nursery:
        for kind in WAYS:
            nursery.start_soon(hold, kind)
    return ended


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (None, "ReadError"),
        (reset(after_bytes=3), "ReadError"),
        (hung_up(), "RemoteProtocolError"),
        (busy(retry_after=3), "503"),
        (server_error(502), "502"),
        (html(), "200"),
    ],
    ids=repr,
)
async def test_what_is_held_can_be_cut_off(
    fault: Fault | None, told: str, autojump_clock: MockClock
) -> None:
    """By its kind or all of it, at once; what comes later is held as ever."""
    server = two_jobs()

    async def cut() -> None:
        await trio.sleep(2)
        assert server.cut_off(Kind.FEED, fault) == 1
        await trio.sleep(1)
        assert server.cut_off("feed") == 0
        assert server.cut_off("batch", fault) == 1
        await trio.sleep(1)
        assert server.cut_off(fault=fault) == 1
        assert server.cut_off() == 0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut)
        ended = await hold_all(server)
    assert ended == {
        Kind.FEED: (2.0, told),
        Kind.BATCH: (3.0, told),
        Kind.POLL: (4.0, told),
    }
    assert [e.ended_at for e in server.exchanges if e.kind is Kind.FEED] == [2.0]
    assert {
        kind: end[1] for kind, end in (await hold_all(server)).items()
    } == dict.fromkeys(WAYS, "200")


async def test_a_cut_may_be_a_silence(autojump_clock: MockClock) -> None:
    """Then nothing comes, neither at the news nor at the end of the hold."""
    server = two_jobs()
    with trio.move_on_after(100) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, server, WAYS[Kind.FEED])
            await trio.sleep(1)
            server.cut_off("feed", hang())
    assert scope.cancelled_caught
    assert server.exchanges[0].outcome == "no answer"


def test_a_cut_has_to_be_one() -> None:
    """The kind and the fault are checked."""
    server = ScriptedServer()
    with pytest.raises(ValueError, match="to='feeds' is not allowed: must be one of"):
        server.cut_off("feeds")
    with pytest.raises(ValueError, match="fault='reset' is not allowed: must be one"):
        server.cut_off(fault="reset")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "instant"),
    [
        (refused(), 0.0),
        (reset(), 0.0),
        (busy(), 0.0),
        (too_many(), 0.0),
        (server_error(), 0.0),
        (html(), 0.0),
        (reset(after_bytes=3), 10.0),
        (truncated(), 10.0),
        (says("asleep"), 10.0),
        (drip(interval=1, size=100_000), 11.0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", WAYS)
async def test_a_fault_strikes_where_it_does_without_a_hold(
    fault: Fault, instant: float, kind: Kind, autojump_clock: MockClock
) -> None:
    """In place of an answer at once; what spoils the right answer has to wait for it."""
    server = two_jobs()
    server.fault(fault, to=kind)
    ended = await hold_all(server)
    assert {k: end[0] for k, end in ended.items()} == {
        **dict.fromkeys(WAYS, 10.0),
        kind: instant,
    }


async def test_a_fault_in_the_script_ends_the_hold(autojump_clock: MockClock) -> None:
    """When the clock comes to it; on the feed it has no bearing."""
    server = ScriptedServer()
    server.add(job("running", after(4, busy())))
    server.add(job("running"))
    assert await hold_all(server) == {
        Kind.POLL: (4.0, "503"),
        Kind.BATCH: (4.0, "503"),
        Kind.FEED: (10.0, "200"),
    }


@pytest.mark.parametrize("kind", WAYS)
async def test_a_proxy_that_buffers_gives_no_answer_that_is_held(
    kind: Kind, autojump_clock: MockClock
) -> None:
    """However long one waits; what is not to be held it gives at once, and whole."""
    server = two_jobs()
    server.fault(buffering())
    with trio.move_on_after(1000) as scope:
        await ask(server, WAYS[kind])
    assert scope.cancelled_caught
    assert server.exchanges[0].outcome == "no answer"
    assert server.exchanges[0].status is None
    assert (await ask(server, WAYS[kind], None)).status_code == 200
    assert trio.current_time() == 1000.0


async def test_a_proxy_that_buffers_hides_what_it_keeps_from_the_client(
    autojump_clock: MockClock,
) -> None:
    """A script goes on with what the client has heard, and with nothing else."""
    server = ScriptedServer()
    server.add(job("pending", "completed"))
    server.fault(buffering())
    with trio.move_on_after(9):
        await ask(server, WAYS[Kind.BATCH], 5)
    poll = partial(ask, server, WAYS[Kind.POLL], None)
    assert [(await poll()).json()["status"] for _ in range(2)] == [
        *("pending", "completed")
    ]


async def test_a_held_answer_goes_on_while_its_neighbour_is_silent(
    autojump_clock: MockClock,
) -> None:
    """Faults are of one request, not of the server."""
    server = two_jobs()
    server.fault(hang(), to="feed", lasting=30)
    made: Callable[[], Any] = partial(ask, server, WAYS[Kind.BATCH])
    with trio.move_on_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, server, WAYS[Kind.FEED])
            answer = await made()
            assert trio.current_time() == 20.0
    assert answer.json()["translations"][0]["status"] == "completed"
    assert (await ask(server, WAYS[Kind.FEED])).json()["events"][0]["id"] == "j1"
