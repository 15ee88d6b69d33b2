"""What clients send, read by pure functions: whatever it is, they read it or refuse."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from vtrio._job import JobStatus
from vtrio.server import Limits, queries
from vtrio.server.errors import BadCursor, BadJson, BadQuery, ExpiredCursor, TooManyIds
from vtrio.server.json_body import is_id, parse
from vtrio.server.preferences import LONGEST_HOLD, Seen, read_seen, read_wait
from vtrio.server.service import new_id

# --- preferences ------------------------------------------------------------------

BLANKS = st.sampled_from(["", " ", "  "])
OTHERS = st.sampled_from(
    ["respond-async", "return=minimal", "wait", "wait=x", "waiting=3", "wait=-1"]
)


@given(
    seconds=st.integers(0, 10**18),
    before=st.lists(OTHERS),
    after=st.lists(OTHERS | st.just("wait=7")),
    blank=BLANKS,
    quoted=st.booleans(),
    in_lines=st.booleans(),
)
def test_a_wait_is_found_among_other_preferences(
    seconds: int,
    before: list[str],
    after: list[str],
    blank: str,
    *,
    quoted: bool,
    in_lines: bool,
) -> None:
    """The first counts; it is a minute at most."""
    number = f'"{seconds}"' if quoted else str(seconds)
    wait = f"{blank}Wait{blank}={blank}{number}{blank}; more=1"
    lines = [*before, wait, *after]
    found = read_wait(lines if in_lines else [",".join(lines)])
    assert found == min(seconds, LONGEST_HOLD)


@given(st.lists(st.text(st.characters(max_codepoint=255))))
def test_whatever_is_preferred_is_a_wait_or_none(lines: list[str]) -> None:
    """A wish that cannot be read is no reason to refuse the request."""
    found = read_wait(lines)
    assert found is None or 0 <= found <= LONGEST_HOLD


TAGS = st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), max_size=20)


@given(tags=st.lists(TAGS, min_size=1), weak=st.booleans(), in_lines=st.booleans())
def test_every_tag_of_a_list_is_found(
    tags: list[str], *, weak: bool, in_lines: bool
) -> None:
    """Strong or weak, in one line or in several; and no other is."""
    written = [f'{"W/" if weak else ""}"{tag}"' for tag in tags]
    seen = read_seen(written if in_lines else [", ".join(written)])
    assert seen == Seen(frozenset(tags))
    assert all(seen.has(f'"{tag}"') for tag in tags)
    assert not seen.has(f'"{max(tags, key=len)}x"')


@given(st.lists(st.text(st.characters(max_codepoint=255)), min_size=1))
def test_whatever_is_sent_as_tags_can_be_read(lines: list[str]) -> None:
    """Nonsense names no document."""
    seen = read_seen(lines)
    assert seen is not None
    assert seen.anything == (",".join(lines).strip() == "*")


@pytest.mark.parametrize("status", JobStatus)
def test_a_tag_tells_the_status_of_its_document(status: JobStatus) -> None:
    """By its first word; a tag of another kind tells none."""
    known = Seen(frozenset({f"{status}-00ff", "a"}))
    assert [other for other in JobStatus if known.knows(other)] == [status]
    unknown = Seen(frozenset({f"{status}x-00ff", "", f"-{status}"}))
    assert not any(unknown.knows(other) for other in JobStatus)
    assert all(Seen(frozenset(), anything=True).knows(other) for other in JobStatus)


def test_what_is_not_said_has_its_usual_value() -> None:
    """Fifty jobs on a page, a thousand events; no cursor, no token, any status."""
    assert (queries.PAGE_SIZE, queries.MOST_EVENTS) == (50, 1000)
    nothing: MultiDict[str, str] = MultiDict()
    assert queries.read_count(nothing, "page_size", default=50, most=200) == 50
    assert queries.read_ids(nothing, LIMITS) is None
    assert queries.read_page_token(nothing) is None
    assert queries.read_status(nothing) is None
    assert queries.read_cursor(None, store_id="0123abcd") is None


def test_no_header_is_not_an_empty_one() -> None:
    """Who sends no tags has not said that he knows nothing."""
    assert read_seen([]) is None
    assert read_wait([]) is None
    assert read_seen([""]) == Seen(frozenset())


# --- queries ----------------------------------------------------------------------

LIMITS = Limits(ids=5)


@given(st.lists(st.text("aZ0_-", max_size=66) | st.text(max_size=3), max_size=7))
def test_ids_are_read_or_refused(ids: list[str]) -> None:
    """What is read are ids, each once, in the order in which they came."""
    text = ",".join(ids)
    try:
        found = queries.read_ids(MultiDict({"ids": text}), LIMITS)
    except TooManyIds:
        assert text.count(",") >= LIMITS.ids
    except BadQuery as refusal:
        assert refusal.field == "ids"
        assert not all(is_id(job_id) for job_id in text.split(","))
    else:
        assert found == list(dict.fromkeys(text.split(",")))
        assert all(map(is_id, found))


@given(st.text() | st.integers(-5, 300).map(str), st.integers(1, 200))
def test_a_count_is_within_its_bounds(text: str, most: int) -> None:
    """Or it is refused, by the name of its parameter."""
    query = MultiDict({"limit": text})
    try:
        found = queries.read_count(query, "limit", default=50, most=most)
    except BadQuery as refusal:
        assert refusal.field == "limit"
        assert text not in map(str, range(1, most + 1))
    else:
        assert 1 <= found <= most
        assert found == int(text)
    assert queries.read_count(MultiDict(), "limit", default=50, most=most) == min(
        50, most
    )


@given(st.text() | st.from_regex(r"[0-9a-f]{8}\.[0-9]{1,20}", fullmatch=True))
def test_a_cursor_is_read_or_refused(text: str) -> None:
    """What a feed gave out is read; another store's has expired; the rest is bad."""
    store = "0123abcd"
    for cursor in (text, f"{store}.{text.rpartition('.')[2]}"):
        try:
            found = queries.read_cursor(cursor, store_id=store)
        except ExpiredCursor:
            assert not cursor.startswith(store)
        except BadCursor:
            assert not re.fullmatch(r"[0-9a-f]{8}\.[0-9]{1,18}", cursor)
        else:
            assert found is None if cursor == "" else cursor.startswith(f"{store}.")
    largest = 10**18 - 1
    assert queries.read_cursor(f"{store}.{largest}", store_id=store) == largest


@given(st.text())
def test_tokens_and_statuses_are_read_or_refused(text: str) -> None:
    """Empty is as good as none, for clients that always send the parameter."""
    query = MultiDict({"page_token": text, "status": text})
    for name, read in (
        ("page_token", queries.read_page_token),
        ("status", queries.read_status),
    ):
        try:
            found: object = read(query)
        except BadQuery as refusal:
            assert refusal.field == name
        else:
            number = text.lstrip("0") or "0"
            assert found is None if text == "" else str(found) in (text, number)


# --- JSON -------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    """Tell how deep arrays and objects lie in one another."""
    match value:
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case _:
            return 0


@given(value=VALUES, ascii_only=st.booleans())
def test_json_is_read_as_it_was_written(value: Any, *, ascii_only: bool) -> None:
    """Up to the depth that is allowed, and no deeper, whatever its strings hold."""
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    depth = depth_of(value)
    assert parse(raw, deepest=depth) == json.loads(raw)
    if depth:
        with pytest.raises(BadJson, match="deep"):
            parse(raw, deepest=depth - 1)


@given(st.binary() | st.text(st.sampled_from('[]{}",:\\01eNaN ')).map(str.encode))
def test_whatever_is_sent_is_json_or_refused(raw: bytes) -> None:
    """By the one error that is told to the client."""
    try:
        parse(raw, deepest=16)
    except BadJson:
        return
    json.loads(raw)


def test_json_that_is_made_to_be_slow_is_read_fast() -> None:
    """Strings that never end, and brackets without end, of as much as is taken."""
    began = time.process_time()
    for raw in (
        b'"' + b'\\"' * 32_000,
        b'"\\' * 32_000,
        b'"' * 65_000,
        b'{"a":' * 13_000,
    ):
        with pytest.raises(BadJson):
            parse(raw, deepest=10**6)
    with pytest.raises(BadJson, match="deep"):
        parse(b"[" * 200_000 + b"]" * 200_000, deepest=10**6)
    assert time.process_time() - began < 2


def test_ids_that_are_made_are_ids() -> None:
    """What the server draws it takes back."""
    assert all(is_id(new_id()) for _ in range(100))
    assert not any(map(is_id, ("", "a" * 65, "a.b", "ä", 1, None, "a\n")))
