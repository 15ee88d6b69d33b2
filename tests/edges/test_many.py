"""What is alike of lists, cancellations and changes, with both libraries."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Unreachable,
)
from vtrio.sources import (
    TranslationsSource,
)
from vtrio.sources._http import HttpEdge
from vtrio.sources._lists import parse_answers, parse_changes
from vtrio.testing import URL, Fault, Reply, ScriptedServer, hang, refused, respond

CURSOR = "0a1b2c3d.41"


@pytest.fixture
def source(vtrio_server: ScriptedServer, library: ModuleType) -> TranslationsSource:
    """The wire of job documents, over each of the libraries."""
    return TranslationsSource(HttpEdge(URL, http=vtrio_server.http(library)))


Ask = Callable[[TranslationsSource, float | None], Awaitable[Any]]


async def ask_many(source: TranslationsSource, wait: float | None) -> Any:
    """Ask for a list."""
    return await source.status_of_many(["j1"], wait=wait)


async def ask_feed(source: TranslationsSource, wait: float | None) -> Any:
    """Ask for changes."""
    return await source.changes(CURSOR, wait=wait)


async def cancel_both(source: TranslationsSource, wait: float | None) -> Any:
    """Cancel two jobs."""
    return await source.cancel_many(["j1", "j2"])


ASKS = pytest.mark.parametrize("ask", [ask_many, ask_feed])
ALL = pytest.mark.parametrize("ask", [ask_many, ask_feed, cancel_both])
NOTHING = {"translations": [], "missing": [], "events": [], "next": "a.1"}


def nothing(**headers: str) -> Reply:
    """Answer well to each of them, with nothing new."""
    return respond(json=NOTHING, headers=headers)


@ASKS
@pytest.mark.parametrize(
    ("wait", "asked"),
    [(None, None), (0, "wait=0"), (20, "wait=20"), (20.01, "wait=21")],
)
async def test_a_hold_is_asked_for_in_whole_seconds(
    ask: Ask,
    wait: float | None,
    asked: str | None,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Rounded up, as a preference (RFC 7240)."""
    vtrio_server.route(nothing())
    await ask(source, wait)
    (exchange,) = vtrio_server.exchanges
    preferences = exchange.headers.get("prefer", "").split(", ")
    if "/events" in exchange.target:
        assert preferences.pop() == "return=representation"
    assert [each for each in preferences if each] == ([asked] if asked else [])


@ASKS
@pytest.mark.parametrize(
    ("applied", "held"),
    [
        ({}, False),
        ({"Preference-Applied": "wait=9"}, True),
        ({"Preference-Applied": "respond-async"}, False),
    ],
)
async def test_who_holds_says_so(
    ask: Ask,
    applied: dict[str, str],
    held: bool,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """By naming the preference that it applied."""
    vtrio_server.route(nothing(**applied))
    told = await ask(source, 9)
    assert told.held is held


@ASKS
@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf"), "20", True, 86_401])
async def test_a_hold_that_is_no_time_is_misuse(
    ask: Ask, wait: Any, source: TranslationsSource
) -> None:
    """Nothing is sent."""
    with pytest.raises(ValueError, match=r"^wait=.* is not allowed: must be"):
        await ask(source, wait)


BROKEN: dict[str, Reply | Fault] = {
    "HTML": respond(body=b"<html>"),
    "half a JSON": respond(body=b'{"translations": [], "events": ['),
    "a bare list": respond(json=[]),
    "no list": respond(json={"next": CURSOR}),
    "null for a list": respond(
        json={"translations": None, "events": None, "next": "a.1"}
    ),
    "an object for a list": respond(
        json={"translations": {"j1": 1}, "events": {}, "next": "a.1"}
    ),
    "not modified": respond(304),
    "longer than 1 MiB": respond(body=b'"' + b"x" * 2**20),
}


@ALL
@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_is_no_list_is_a_bad_one(
    name: str,
    ask: Ask,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """Asking again can help; what is known of the answer is kept."""
    vtrio_server.route(BROKEN[name])
    with pytest.raises(BadAnswer) as caught:
        await ask(source, None)
    assert caught.value.status_code in {200, 304}


@pytest.mark.parametrize("odd", ["", " ", "a b", "x" * 1025])
async def test_a_cursor_that_none_can_be_is_ignored_in_a_header(
    odd: str,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """A list is good without one."""
    vtrio_server.route(nothing(**{"Events-Cursor": odd}))
    assert (await source.status_of_many(["j1"])).cursor is None


@ALL
async def test_a_server_that_is_not_there_may_come_back(
    ask: Ask,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """As with single questions."""
    vtrio_server.fault(refused())
    with pytest.raises(Unreachable):
        await ask(source, None)


@ALL
async def test_a_held_request_has_no_limit_but_the_callers(
    ask: Ask,
    vtrio_server: ScriptedServer,
    source: TranslationsSource,
    autojump_clock: MockClock,
) -> None:
    """No timeout of the library's cuts it, and cancelling it leaves nothing."""
    vtrio_server.fault(hang())
    with trio.move_on_after(3600) as scope:
        await ask(source, 60)
    assert scope.cancelled_caught
    assert trio.current_time() == 3600.0
    assert vtrio_server.in_flight == 0


async def test_lists_and_cursors_are_not_kept(
    vtrio_server: ScriptedServer,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """Each is another address, and ten thousand of them would be megabytes."""
    edge = HttpEdge(URL, http=vtrio_server.http(library))
    source = TranslationsSource(edge)
    vtrio_server.route(nothing())
    for number in range(5):
        await source.status_of_many([f"j{number}"])
        await source.changes(f"a.{number}")
    assert len(edge._targets) == 2


def read_list(body: bytes) -> object:
    """Read a list of two."""
    return parse_answers(body, ["j1", "j2"], cursor=None)


@pytest.mark.parametrize(
    "entries",
    [b"{}", b'{"":0}', b"[]", b"[[[]]]", b'{"id":"j1","status":"x","e":{}}'],
)
@pytest.mark.parametrize("read", [read_list, parse_changes])
def test_a_list_of_next_to_nothing_is_not_unfolded(
    read: Callable[[bytes], object], entries: bytes
) -> None:
    """A megabyte of brackets would become thirty of objects."""
    count = 2**20 // (len(entries) + 1) - 20
    many = b",".join([entries] * count)
    body = b'{"translations":[%s]}' % many
    tracemalloc.start()
    try:
        with pytest.raises(BadAnswer, match="too many members"):
            read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**16


def test_the_most_that_is_unfolded_is_bounded() -> None:
    """Forty thousand members, however they are cut, are ten megabytes."""
    for entry, cost in ((b"{}", 2), (b'{"":0}', 2), (b'{"a":[{}]}', 4), (b"[]", 2)):
        count = 39_990 // cost
        body = b'{"translations":[%s]}' % b",".join([entry] * count)
        tracemalloc.start()
        try:
            assert read_list(body) == ((), ())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 10 * 2**20, entry


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
WORDS = st.sampled_from(["j1", "j2", "running", "completed", "2026-01-01T00:00:00Z"])
MEMBERS = ["id", "status", "progress", "at", "stage", "error", "result"]
INSIDE = VALUES | WORDS | st.lists(VALUES, max_size=2) | st.just({"type": 1})
ENTRIES = st.lists(
    st.dictionaries(st.sampled_from(MEMBERS), INSIDE) | INSIDE, max_size=4
)


@given(ENTRIES, INSIDE)
def test_no_entry_breaks_the_readers(entries: list[Any], missing: Any) -> None:
    """Each is told as it is, or left out."""
    told = {"translations": entries, "events": entries, "missing": missing}
    body = json.dumps({**told, "next": "a.1"}).encode()
    answers, gone = parse_answers(body, ["j1", "j2"], cursor=None)
    assert {answer.job.id for answer in answers} | set(gone) <= {"j1", "j2"}
    changes, following = parse_changes(body)
    assert all(change.job_id for change in changes)
    assert following == "a.1"
