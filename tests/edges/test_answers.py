"""What comes over HTTP, good and bad, with both libraries, in virtual time."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import ModuleType
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    JobNotFound,
    JobStatus,
    Redirected,
    Refused,
    ServerBusy,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio.sources._documents import parse_job, parse_object
from vtrio.sources._headers import parse_retry_after, parse_seconds

Make = Callable[..., Any]
DONE = b'{"result": "completed"}'


@pytest.fixture
def replay(fake_server: Make, library: ModuleType) -> Make:
    """Make a server that gives one answer after the other, and the last for ever."""

    def make(*steps: dict[str, Any] | Exception) -> object:
        left = list(steps)

        def answer(request: Any) -> object:
            step = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(step, Exception):
                raise step
            given = {"status_code": 200, **step}
            return library.Response(**given)

        return fake_server(answer)

    return make


class Whole:
    """Bytes as they are, whatever the headers say of them.

    No generator: one that is dropped half-read would have to be closed by somebody.
    """

    def __init__(self, data: bytes, size: int = 65_536) -> None:
        self._chunks = [
            data[start : start + size] for start in range(0, len(data), size)
        ]

    def __aiter__(self) -> Whole:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop(0)


async def test_the_simplest_form(replay: Make, autojump_clock: MockClock) -> None:
    """`GET {base_url}/status`, without an id, until the word is final."""
    server = replay({"content": b'{"result": "pending"}'}, {"content": DONE})
    assert await server.client().get_status() == "completed"
    assert [str(r.url) for r in server.requests] == [
        "http://translations.example/status"
    ] * 2
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert server.asked_at == [0.0, 1.0]


async def test_a_form_that_knows_ids(replay: Make, autojump_clock: MockClock) -> None:
    """The id goes into the path that the client was given, quoted."""
    server = replay({"content": DONE})
    client = server.client(status_path="/jobs/{id}/status")
    assert await client.get_status("a/b ?") == "completed"
    assert (await client.wait("..")).status is JobStatus.COMPLETED
    paths = [r.url.raw_path for r in server.requests]
    assert paths == [b"/jobs/a%2Fb%20%3F/status", b"/jobs/%2E%2E/status"]


async def test_job_documents(replay: Make, autojump_clock: MockClock) -> None:
    """With an id, the job document below /v1/translations; unknown members pass."""
    document = {
        "id": "j1",
        "status": "completed",
        "progress": 1,
        "stage": None,
        "media_seconds": 21.2,
        "created_at": "2026-11-22T08:00:00.000Z",
        "result": {"video_url": "/v", "subtitles_url": "/s", "more": 1},
        "novelty": [1, 2],
    }
    server = replay(
        {
            "content": json.dumps(document).encode(),
            "headers": {"Job-Age": "30.5", "Job-Ended-Ago": "2.25"},
        }
    )
    job = await server.client(api_key="secret-key").wait("j1")
    assert (job.status, job.progress, job.media_seconds) == ("completed", 1.0, 21.2)
    assert job.created_at == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert job.result is not None
    assert job.result.video_url == "/v"
    assert job.seen is not None
    assert job.seen.age == 30.5
    request = server.requests[0]
    assert request.url.path == "/v1/translations/j1"
    assert request.headers["Authorization"] == "Bearer secret-key"


BROKEN: dict[str, dict[str, Any]] = {
    "HTML": {"content": b"<html><body>All is well</body></html>"},
    "half a JSON": {"content": b'{"result": "compl'},
    "nothing": {"content": b""},
    "a list": {"content": b'["completed"]'},
    "no word": {"content": b'{"status": "completed"}'},
    "a number for a word": {"content": b'{"result": 1}'},
    "not UTF-8": {"content": b'{"result": "\xff"}'},
    "nested deeply": {"content": b'{"result":' + b"[" * 200_000},
    "an endless number": {"content": b'{"result":' + b"9" * 500_000 + b"}"},
    "longer than 1 MiB": {"content": b'"' + b"x" * 2**20},
    "unasked packing": {"content": DONE, "headers": {"Content-Encoding": "br"}},
    "no content": {"status_code": 204},
    "not modified": {"status_code": 304},
    "500": {"status_code": 500},
    "429": {"status_code": 429},
    "408": {"status_code": 408},
    "425": {"status_code": 425},
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_costs_an_attempt_and_the_wait_goes_on(
    name: str, replay: Make, autojump_clock: MockClock
) -> None:
    """Whatever stands in for JSON is transient."""
    step = dict(BROKEN[name])
    if name == "unasked packing":
        step["content"] = Whole(DONE)
    server = replay(step, {"content": DONE})
    heard: list[str] = []
    assert await server.client().get_status(on_update=heard.append) == "completed"
    assert heard == ["completed"]
    assert server.asked_at == [0.0, 1.0]


async def test_transport_errors_are_transient(
    replay: Make, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Refused, reset, cut short, timed out: each library's own kind."""
    errors = [
        library.ConnectError("refused"),
        library.ReadError(""),
        library.RemoteProtocolError("peer closed"),
        library.ReadTimeout("slow"),
    ]
    server = replay(*errors, {"content": DONE})
    assert await server.client().get_status() == "completed"
    assert server.asked_at == [0.0, 1.0, 3.0, 7.0, 15.0]
    with pytest.raises(Unreachable, match=r"translations\.example/v1/.* refused"):
        await replay(errors[0]).client().get_job("j1")


@pytest.mark.parametrize("packed", ["gzip", "x-gzip", "deflate"])
async def test_a_compressed_answer_is_inflated_all_the_same(
    packed: str, replay: Make, autojump_clock: MockClock
) -> None:
    """Though identity was asked for."""
    data = zlib.compress(DONE) if packed == "deflate" else gzip.compress(DONE)
    server = replay(
        {"content": Whole(data, 5), "headers": {"Content-Encoding": packed}}
    )
    assert await server.client().get_status() == "completed"


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"x" * 2**22), gzip.compress(DONE)[:-9], b"no gzip at all"],
    ids=["inflates beyond the limit", "cut short", "not gzip"],
)
async def test_a_compressed_answer_that_is_bad_is_transient(
    data: bytes, replay: Make, autojump_clock: MockClock
) -> None:
    """And its size is bounded, packed and unpacked."""
    step = {"content": Whole(data), "headers": {"Content-Encoding": "gzip"}}
    server = replay(step, {"content": DONE})
    assert await server.client().get_status() == "completed"
    assert server.asked_at == [0.0, 1.0]


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, Unauthorized, "give the client an api_key"),
        (403, Unauthorized, "an api_key that may do this"),
        (404, JobNotFound, "check the address, and the job's id"),
        (410, JobNotFound, "check the address, and the job's id"),
        (400, Refused, "must change before it is sent again"),
        (418, Refused, "answered 418"),
        (301, Redirected, "redirect to 'https://elsewhere.example/x'"),
        (307, Redirected, "give its address as base_url"),
    ],
)
async def test_a_refusal_says_what_to_do(
    status: int,
    error: type[Refused],
    told: str,
    replay: Make,
    autojump_clock: MockClock,
) -> None:
    """It ends the wait at once; a redirect is not followed but named."""
    headers = {"Location": "https://elsewhere.example/x"} if status < 400 else {}
    server = replay({"status_code": status, "headers": headers})
    with pytest.raises(error, match=told) as caught:
        await server.client().get_status()
    assert caught.value.status_code == status
    assert server.asked_at == [0.0]


async def test_a_wrong_key_is_told_as_such(
    replay: Make, autojump_clock: MockClock
) -> None:
    """And the key itself is in no message."""
    client = replay({"status_code": 401}).client(api_key="secret-key")
    with pytest.raises(Unauthorized, match="check the api_key") as caught:
        await client.get_job("j1")
    assert "secret-key" not in str(caught.value) + repr(client)


async def test_the_servers_own_words_are_quoted(
    replay: Make, autojump_clock: MockClock
) -> None:
    """A problem document's title and detail stand in the message."""
    problem = b'{"title": "No such language", "detail": "xx is not one of pt"}'
    server = replay({"status_code": 422, "content": problem})
    with pytest.raises(Refused, match="No such language: xx is not one of pt"):
        await server.client().get_job("j1")


async def test_a_server_that_is_busy_is_told_as_such(
    replay: Make, autojump_clock: MockClock
) -> None:
    """With the pause that it asked for."""
    server = replay({"status_code": 503, "headers": {"Retry-After": "7"}})
    with pytest.raises(ServerBusy) as caught:
        await server.client().get_job("j1")
    assert caught.value.hint == 7.0


NONSENSE = [
    *("-5", "soon", "", "1e3", "1_0", "0x10", "٣", "5 s", "nan", "inf", "--"),
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Feb 2031 99:00:00 GMT", "1" * 400),
]


@pytest.mark.parametrize("text", NONSENSE)
async def test_a_hint_that_is_nonsense_is_ignored(
    text: str, replay: Make, autojump_clock: MockClock
) -> None:
    """Negative, no number, a date in the past: the schedule goes on as if unsaid."""
    hint = {"Retry-After": text.encode()}
    server = replay(
        {"content": b'{"result": "pending"}', "headers": hint}, {"content": DONE}
    )
    assert await server.client().get_status() == "completed"
    assert server.asked_at == [0.0, 1.0]


@pytest.mark.parametrize(
    "target",
    [
        *("localhost:8000/status", "mailto:x", "about:blank", "https:login"),
        *("http://xn--a/", "http://999.1.1.1/", "http://[bad", "//", ""),
    ],
)
async def test_a_redirect_to_nowhere_is_a_redirect_too(
    target: str, replay: Make, autojump_clock: MockClock
) -> None:
    """The library looks at where it leads; that is not the caller's trouble."""
    server = replay({"status_code": 302, "headers": {"Location": target}})
    with pytest.raises(Redirected, match=r"translations\.example/status answered"):
        await server.client().get_status()
    assert server.asked_at == [0.0]


async def test_a_hook_of_the_callers_cannot_turn_passing_errors_into_others(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """One that raises for a status, and one that reads and inflates by itself."""

    async def strict(response: Any) -> None:
        response.raise_for_status()

    async def eager(response: Any) -> None:
        await response.aread()

    steps = [
        library.Response(503, headers={"Retry-After": "5"}),
        library.Response(
            200, content=Whole(b"no gzip"), headers={"Content-Encoding": "gzip"}
        ),
        library.Response(200, content=DONE),
    ]
    asked_at = []

    def answer(request: Any) -> object:
        asked_at.append(trio.current_time())
        return steps.pop(0)

    http = library.AsyncClient(
        transport=library.MockTransport(answer),
        event_hooks={"response": [strict, eager]},
    )
    client = VideoTranslationClient("http://x.example", http=http, jitter=0)
    assert await client.get_status() == "completed"
    assert asked_at == [0.0, 5.0, 7.0]


async def test_an_answer_of_brackets_alone_is_not_unfolded(
    replay: Make, autojump_clock: MockClock
) -> None:
    """A megabyte of them would become thirty of objects."""
    many = b'{"result": [' + b"{}," * 300_000 + b"{}]}"
    server = replay({"content": many}, {"content": DONE})
    tracemalloc.start()
    try:
        assert await server.client().get_status() == "completed"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


async def test_an_endless_word_is_cut(
    replay: Make, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What a server calls a status is told and remembered in short, and not for ever."""
    steps = [
        {"content": json.dumps({"result": f"{n}{'x' * 100_000}"}).encode()}
        for n in range(30)
    ]
    heard: list[str] = []
    schedule = {"max_attempts": 100, "backoff_factor": 1}
    client = replay(*steps, {"content": DONE}).client(**schedule)
    assert await client.get_status(on_update=heard.append) == "completed"
    assert max(map(len, heard)) == 64
    assert len(caplog.records) == 20


@pytest.mark.parametrize(("hint", "next_at"), [("4", 4.0), ("9" * 30, 300.0)])
async def test_a_hint_on_a_good_answer_lengthens_the_delay(
    hint: str, next_at: float, replay: Make, autojump_clock: MockClock
) -> None:
    """Clamped to five minutes."""
    pending = {"content": b'{"result": "pending"}', "headers": {"Retry-After": hint}}
    server = replay(pending, {"content": DONE})
    assert await server.client(max_wait_time=None).get_status() == "completed"
    assert server.asked_at == [0.0, next_at]


def test_a_date_is_measured_against_the_answers_own() -> None:
    """Clocks differ; without a `Date`, ours must do."""
    date, later = "Sun, 22 Nov 2026 08:00:00 GMT", "Sun, 22 Nov 2026 08:01:30 GMT"
    assert parse_retry_after(later, date=date) == 90.0
    assert parse_retry_after(date, date=later) is None
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    pause = parse_retry_after(soon)
    assert pause is not None
    assert 50 < pause <= 60
    assert parse_retry_after(soon, date="nonsense") is not None
    assert parse_retry_after(None) is None


@given(st.text(max_size=40))
def test_no_header_breaks_the_reader(text: str) -> None:
    """Whatever stands there is seconds from now, or nothing."""
    pause = parse_retry_after(text)
    assert pause is None or pause >= 0
    assert parse_seconds(text) is None or pause is not None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
MEMBERS = [
    *("id", "status", "progress", "stage", "media_seconds", "created_at", "error"),
    *("result", "target_language"),
]


@given(st.dictionaries(st.sampled_from(MEMBERS), json_values))
def test_no_document_breaks_the_reader(document: dict[str, object]) -> None:
    """It is a job or a bad answer, whatever its members hold."""
    try:
        job = parse_job(document, job_id="j1")
    except BadAnswer:
        assert not isinstance(document.get("status"), str)
    else:
        assert job.id
        assert job.progress is None or 0 <= job.progress <= 1


@given(st.binary(max_size=60))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    """It is an object or a bad answer."""
    try:
        assert isinstance(parse_object(body), dict)
    except BadAnswer as error:
        assert len(str(error)) < 300


async def test_cancelling_in_the_middle_of_an_answer(
    replay: Make, autojump_clock: MockClock
) -> None:
    """The caller's cancellation gets out of a body that drips."""

    async def drip() -> AsyncIterator[bytes]:
        while True:
            await trio.sleep(1)
            yield b" "

    server = replay({"content": drip()})
    with trio.move_on_after(3.5) as scope:
        await server.client().get_status()
    assert scope.cancelled_caught
    assert trio.current_time() == 3.5
    assert (
        await replay({"content": drip()}).client(max_wait_time=5).get_status()
        == "timeout"
    )
    assert trio.current_time() == 8.5


async def test_a_wait_that_times_out_lists_what_it_survived(
    replay: Make, autojump_clock: MockClock
) -> None:
    """The receipt has one line an error, and the bytes of all bodies."""
    server = replay({"content": b"<html>"})
    with pytest.raises(WaitTimeout) as caught:
        await server.client().wait("j1", max_attempts=3)
    receipt = caught.value.receipt
    assert receipt is not None
    assert (receipt.polls, receipt.bytes_received) == (3, 18)
    assert len(receipt.errors) == 3
    assert "not JSON: b'<html>'" in receipt.errors[0]
