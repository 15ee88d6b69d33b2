"""What comes over HTTP, good and bad, with both libraries, in virtual time."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
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
    JobResult,
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
from vtrio.testing import (
    Exchange,
    Fault,
    Reply,
    ScriptedServer,
    after,
    busy,
    drip,
    gzip_bomb,
    hang,
    html,
    hung_up,
    job,
    refused,
    reset,
    respond,
    server_error,
    too_many,
)

DONE = b'{"result": "completed"}'


def packed(data: bytes, how: str = "gzip") -> Reply:
    """Answer with bytes that are said to be packed, one at a time."""
    pieces = [data[at : at + 1] for at in range(len(data))]
    return respond(body=pieces, headers={"Content-Encoding": how})


async def test_the_simplest_form(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """`GET {base_url}/status`, without an id, until the word is final."""
    vtrio_server.add(job("pending", "completed"))
    assert await vtrio_client.get_status() == "completed"
    asked = vtrio_server.exchanges
    assert [e.url for e in asked] == ["http://vtrio.test/status"] * 2
    assert [e.at for e in asked] == [0.0, 1.0]
    assert asked[0].method == "GET"
    assert asked[0].headers["accept-encoding"] == "identity"


async def test_a_form_that_knows_ids(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """The id goes into the path that the client was given, quoted."""
    path = "/jobs/{id}/status"
    server = ScriptedServer(status_path=path)
    server.add(job("completed"), id="a/b ?")
    server.add(job("completed"), id="..")
    client = server.client(library=library, status_path=path)
    assert await client.get_status("a/b ?") == "completed"
    assert (await client.wait("..")).status is JobStatus.COMPLETED
    targets = [e.target for e in server.exchanges]
    assert targets == ["/jobs/a%2Fb%20%3F/status", "/jobs/%2E%2E/status"]


async def test_job_documents(library: ModuleType, autojump_clock: MockClock) -> None:
    """With an id, the job document below /v1/translations, and its headers."""
    server = ScriptedServer(api_key="secret-key")
    script = job("running", after(28.25, "completed"), media_seconds=21.2)
    server.add(script, age=30.5)
    found = await server.client(library=library, api_key="secret-key").wait("j1")
    assert (found.status, found.progress) == ("completed", 1.0)
    assert found.media_seconds == 21.2
    assert found.created_at == datetime(2026, 1, 1, tzinfo=UTC) - timedelta(
        seconds=30.5
    )
    assert found.result is not None
    assert found.result.video_url == "/v1/translations/j1/video"
    assert found.seen is not None
    assert found.seen.age == 30.5
    (request,) = server.exchanges
    assert request.path == "/v1/translations/j1"
    assert request.headers["authorization"] == "Bearer secret-key"


async def test_unknown_members_pass(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """In the document and in its result: a newer server may say more."""
    document = {
        "id": "j1",
        "status": "completed",
        "progress": 1,
        "stage": None,
        "result": {"video_url": "/v", "subtitles_url": "/s", "more": 1},
        "novelty": [1, 2],
    }
    vtrio_server.route(respond(json=document))
    found = await vtrio_client.wait("j1")
    assert found.progress == 1.0
    assert found.result == JobResult(video_url="/v", subtitles_url="/s")


BROKEN: dict[str, Reply | Fault] = {
    "HTML": html(),
    "half a JSON": respond(body=b'{"result": "compl'),
    "nothing": respond(),
    "a list": respond(json=["completed"]),
    "no word": respond(json={"status": "completed"}),
    "a number for a word": respond(json={"result": 1}),
    "not UTF-8": respond(body=b'{"result": "\xff"}'),
    "nested deeply": respond(body=b'{"result":' + b"[" * 200_000),
    "an endless number": respond(body=b'{"result":' + b"9" * 500_000 + b"}"),
    "longer than 1 MiB": respond(body=b'"' + b"x" * 2**20),
    "unasked packing": packed(DONE, "br"),
    "no content": respond(204),
    "not modified": respond(304),
    "500": server_error(),
    "429": too_many(),
    "408": respond(408),
    "425": respond(425),
    "inflates beyond the limit": gzip_bomb(megabytes=4),
    "packed and cut short": packed(gzip.compress(DONE)[:-9]),
    "not gzip": packed(b"no gzip at all"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_costs_an_attempt_and_the_wait_goes_on(
    name: str,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """Whatever stands in for JSON is transient."""
    vtrio_server.add(job("completed"))
    vtrio_server.route(BROKEN[name], times=1)
    heard: list[str] = []
    assert await vtrio_client.get_status(on_update=heard.append) == "completed"
    assert heard == ["completed"]
    assert vtrio_server.asked_at == [0.0, 1.0]


async def test_transport_errors_are_transient(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """Refused, reset, cut short, timed out: each library's own kind."""

    def slow(_: Exchange) -> Reply:
        raise library.ReadTimeout("slow")

    vtrio_server.route(slow, times=1)
    vtrio_server.add(job(refused(), reset(), hung_up(), "completed"))
    assert await vtrio_client.get_status() == "completed"
    assert vtrio_server.asked_at == [0.0, 1.0, 3.0, 7.0, 15.0]
    vtrio_server.fault(refused())
    with pytest.raises(Unreachable, match=r"vtrio\.test/v1/.* refused"):
        await vtrio_client.get_job("j1")


@pytest.mark.parametrize("how", ["gzip", "x-gzip", "deflate"])
async def test_a_compressed_answer_is_inflated_all_the_same(
    how: str,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """Though identity was asked for."""
    data = zlib.compress(DONE) if how == "deflate" else gzip.compress(DONE)
    vtrio_server.route(packed(data, how))
    assert await vtrio_client.get_status() == "completed"
    assert vtrio_server.asked_at == [0.0]


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
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """It ends the wait at once; a redirect is not followed but named."""
    headers = {"Location": "https://elsewhere.example/x"} if status < 400 else {}
    vtrio_server.route(respond(status, headers=headers))
    with pytest.raises(error, match=told) as caught:
        await vtrio_client.get_status()
    assert caught.value.status_code == status
    assert vtrio_server.asked_at == [0.0]


async def test_a_wrong_key_is_told_as_such(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """And the key itself is in no message."""
    server = ScriptedServer(api_key="another")
    client = server.client(library=library, api_key="secret-key")
    with pytest.raises(Unauthorized, match="check the api_key") as caught:
        await client.get_job("j1")
    assert "secret-key" not in str(caught.value) + repr(client)


async def test_the_servers_own_words_are_quoted(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """A problem document's title and detail stand in the message."""
    vtrio_server.on_submit(job("pending"))
    await vtrio_client.submit(io.BytesIO(b"one"), "pt", idempotency_key="mine")
    told = "The Idempotency-Key was used before: its payload was another one"
    with pytest.raises(Refused, match=told) as caught:
        await vtrio_client.submit(io.BytesIO(b"two"), "pt", idempotency_key="mine")
    assert caught.value.status_code == 422


async def test_a_server_that_is_busy_is_told_as_such(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """With the pause that it asked for."""
    vtrio_server.fault(busy(retry_after=7))
    with pytest.raises(ServerBusy) as caught:
        await vtrio_client.get_job("j1")
    assert caught.value.hint == 7.0


NONSENSE = [
    *("-5", "soon", "", "1e3", "1_0", "0x10", "٣", "5 s", "nan", "inf", "--"),
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Feb 2031 99:00:00 GMT", "1" * 400),
]


@pytest.mark.parametrize("text", NONSENSE)
async def test_a_hint_that_is_nonsense_is_ignored(
    text: str,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """Negative, no number, a date in the past: the schedule goes on as if unsaid."""
    vtrio_server.add(job("completed"))
    pending = respond(json={"result": "pending"}, headers={"Retry-After": text})
    vtrio_server.route(pending, times=1)
    assert await vtrio_client.get_status() == "completed"
    assert vtrio_server.asked_at == [0.0, 1.0]


@pytest.mark.parametrize(
    "target",
    [
        *("localhost:8000/status", "mailto:x", "about:blank", "https:login"),
        *("http://xn--a/", "http://999.1.1.1/", "http://[bad", "//", ""),
    ],
)
async def test_a_redirect_to_nowhere_is_a_redirect_too(
    target: str,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """The library looks at where it leads; that is not the caller's trouble."""
    vtrio_server.route(respond(302, headers={"Location": target}))
    with pytest.raises(Redirected, match=r"vtrio\.test/status answered"):
        await vtrio_client.get_status()
    assert vtrio_server.asked_at == [0.0]


async def test_a_hook_of_the_callers_cannot_turn_passing_errors_into_others(
    vtrio_server: ScriptedServer, library: ModuleType, autojump_clock: MockClock
) -> None:
    """One that raises for a status, and one that reads and inflates by itself."""

    async def strict(response: Any) -> None:
        response.raise_for_status()

    async def eager(response: Any) -> None:
        await response.aread()

    http = library.AsyncClient(
        transport=vtrio_server.transport(library),
        event_hooks={"response": [strict, eager]},
    )
    vtrio_server.fault(busy(retry_after=5), times=1)
    vtrio_server.route(BROKEN["not gzip"], times=1)
    vtrio_server.route(BROKEN["longer than 1 MiB"], times=1)
    vtrio_server.add(job("completed"))
    assert await vtrio_server.client(http=http).get_status() == "completed"
    assert vtrio_server.asked_at == [0.0, 5.0, 7.0, 11.0]


async def test_an_answer_of_brackets_alone_is_not_unfolded(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """A megabyte of them would become thirty of objects."""
    vtrio_server.add(job("completed"))
    many = b'{"result": [' + b"{}," * 300_000 + b"{}]}"
    vtrio_server.route(respond(body=many), times=1)
    tracemalloc.start()
    try:
        assert await vtrio_client.get_status() == "completed"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert vtrio_server.asked_at == [0.0, 1.0]
    assert peak < 8 * 2**20


async def test_an_endless_word_is_cut(
    vtrio_server: ScriptedServer,
    library: ModuleType,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a server calls a status is told and remembered in short, and not for ever."""
    words = [f"{n}{'x' * 100_000}" for n in range(30)]
    vtrio_server.add(job(*words, "completed"))
    heard: list[str] = []
    client = vtrio_server.client(library=library, max_attempts=100, backoff_factor=1)
    assert await client.get_status(on_update=heard.append) == "completed"
    assert max(map(len, heard)) == 64
    assert len(caplog.records) == 20


@pytest.mark.parametrize(("hint", "next_at"), [("4", 4.0), ("9" * 30, 300.0)])
async def test_a_hint_on_a_good_answer_lengthens_the_delay(
    hint: str,
    next_at: float,
    vtrio_server: ScriptedServer,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """Clamped to five minutes."""
    vtrio_server.add(job("completed"))
    pending = respond(json={"result": "pending"}, headers={"Retry-After": hint})
    vtrio_server.route(pending, times=1)
    client = vtrio_server.client(library=library, max_wait_time=None)
    assert await client.get_status() == "completed"
    assert vtrio_server.asked_at == [0.0, next_at]


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
    vtrio_server: ScriptedServer, library: ModuleType, autojump_clock: MockClock
) -> None:
    """The caller's cancellation gets out of a body that drips."""
    vtrio_server.add(job("completed"))
    vtrio_server.fault(drip())
    client = vtrio_server.client(library=library, max_wait_time=5)
    with trio.move_on_after(3.5) as scope:
        await client.get_status()
    assert scope.cancelled_caught
    assert trio.current_time() == 3.5
    assert await client.get_status() == "timeout"
    assert trio.current_time() == 8.5
    assert vtrio_server.in_flight == 0


async def test_a_request_in_flight_ends_with_the_clients_block(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """At once, and it says so."""
    vtrio_server.fault(hang())

    async def outlive() -> None:
        with pytest.raises(trio.ClosedResourceError, match="block has ended"):
            await vtrio_client.get_job("j1")

    async with trio.open_nursery() as nursery, vtrio_client:
        nursery.start_soon(outlive)
        await trio.sleep(2)
        assert vtrio_server.in_flight == 1
    assert trio.current_time() == 2.0
    assert vtrio_server.in_flight == 0


async def test_a_wait_that_times_out_lists_what_it_survived(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """The receipt has one line an error, and the bytes of all bodies."""
    vtrio_server.route(respond(body=b"<html>"))
    with pytest.raises(WaitTimeout) as caught:
        await vtrio_client.wait("j1", max_attempts=3)
    receipt = caught.value.receipt
    assert receipt is not None
    assert (receipt.polls, receipt.bytes_received) == (3, 18)
    assert len(receipt.errors) == 3
    assert "not JSON: b'<html>'" in receipt.errors[0]
