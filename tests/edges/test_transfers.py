"""Downloading: streamed, resumed, checked, and whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Job,
    JobResult,
    JobStatus,
    Refused,
    TransientError,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
)
from vtrio.testing import (
    Cut,
    Exchange,
    Kind,
    Reply,
    ScriptedServer,
    expired_link,
    hang,
    job,
    reset,
    respond,
    wrong_length,
)

VIDEO = bytes(range(256)) * 1000
LINK = "/v1/translations/j1/video"
ETAG = '"v1"'


def a_job(**members: object) -> Job:
    """Make a completed job with a result."""
    result = JobResult(video_url=LINK, subtitles_url="/s")
    given = {"id": "j1", "status": JobStatus.COMPLETED, "result": result, **members}
    return Job(**given)  # type: ignore[arg-type]


def keep_a_part(folder: Path, data: bytes, **noted: object) -> None:
    """Leave behind what an earlier call would have."""
    note = {"result": "video of j1", "etag": ETAG, "total": None, **noted}
    (folder / "out.mp4.part").write_bytes(data)
    (folder / "out.mp4.part.json").write_text(json.dumps(note))


def broken_off(after_bytes: int, *, etag: str = ETAG) -> Reply:
    """Begin with the whole of a video, and break."""
    headers = {"ETag": etag, "Content-Length": str(len(VIDEO))}
    return respond(body=[VIDEO[:after_bytes], Cut.RESET], headers=headers)


def a_part(extent: str, body: bytes, *, etag: str = ETAG) -> Reply:
    """Answer with a part, of which `extent` says what part it is."""
    headers = {"ETag": etag, "Content-Range": f"bytes {extent}"}
    return respond(206, body=body, headers=headers)


def ranges(server: ScriptedServer) -> list[str | None]:
    """Return what part each request for a result has asked for."""
    results = [e for e in server.exchanges if e.kind is Kind.RESULT]
    return [request.headers.get("range") for request in results]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the result is to be."""
    return tmp_path / "out.mp4"


@pytest.fixture
def completed(vtrio_server: ScriptedServer) -> ScriptedServer:
    """The scripted server, with a job that has a result."""
    vtrio_server.add(job("completed"), video=VIDEO)
    return vtrio_server


async def test_a_result_is_fetched_whole(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """It gets its name when it is whole, and nothing stays beside it."""
    assert await vtrio_client.download(a_job(), target) == target
    assert target.read_bytes() == VIDEO
    assert list(target.parent.iterdir()) == [target]
    (request,) = completed.exchanges
    assert request.url == f"http://vtrio.test{LINK}"
    assert request.headers["accept-encoding"] == "identity"


async def test_a_broken_transfer_goes_on_where_it_broke(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """With Range and If-Range; no byte is fetched twice."""
    for length in (100_000, 50_000, 20_000):
        completed.fault(reset(after_bytes=length), times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(completed) == [
        *(None, "bytes=100000-", "bytes=150000-", "bytes=170000-")
    ]
    first, *others = [e.headers.get("if-range") for e in completed.exchanges]
    etag = (await completed.http().get(LINK)).headers["ETag"]
    assert (first, others) == (None, [etag] * 3)


async def test_a_later_call_goes_on_where_an_earlier_one_was_cancelled(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """The part stays, with what it is a part of."""
    completed.fault(hang(after_bytes=30_000), times=1)
    with trio.move_on_after(10) as scope:
        await vtrio_client.download(a_job(), target)
    assert scope.cancelled_caught
    assert not target.exists()
    await vtrio_client.download(a_job(), target)
    assert ranges(completed) == [None, "bytes=30000-"]
    assert target.read_bytes() == VIDEO


async def test_a_part_of_something_else_is_not_gone_on_with(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """If the result has changed, the transfer starts again."""
    completed.route(broken_off(30_000, etag='"old"'), times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(completed) == [None, "bytes=30000-"]
    assert completed.exchanges[1].headers["if-range"] == '"old"'


async def test_a_part_of_another_job_is_not_gone_on_with(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Two results may have one validator: it is a word about one of them."""
    keep_a_part(target.parent, b"another", result="video of j0")
    await vtrio_client.download(a_job(), target)
    assert ranges(completed) == [None]
    assert target.read_bytes() == VIDEO


@pytest.mark.parametrize("note", ["", "{}", "[]", "\xff"])
async def test_a_part_without_a_readable_note_is_begun_again(
    note: str,
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Bytes of unknown origin are not joined on to."""
    target.with_name("out.mp4.part").write_bytes(b"x" * 100)
    target.with_name("out.mp4.part.json").write_bytes(note.encode("latin-1"))
    await vtrio_client.download(a_job(), target)
    assert ranges(completed) == [None]
    assert target.read_bytes() == VIDEO


async def test_a_part_that_is_whole_only_gets_its_name(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Nothing is fetched twice if a call ended between the last byte and the name."""
    keep_a_part(target.parent, VIDEO, total=len(VIDEO))
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert vtrio_server.exchanges == ()


async def test_the_length_told_first_holds(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A later part that does not know the whole length cannot make it shorter."""
    vtrio_server.route(broken_off(5), times=1)
    for begin in (5, 100_005, 200_005):
        body = VIDEO[begin : begin + 100_000]
        part = a_part(f"{begin}-{begin + len(body) - 1}/*", body)
        vtrio_server.route(part, times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(vtrio_server) == [
        *(None, "bytes=5-", "bytes=100005-", "bytes=200005-")
    ]


async def test_a_server_that_ignores_if_range_is_asked_from_the_start(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A part of something else than before is thrown away with what it would follow."""
    keep_a_part(target.parent, b"OLDOL")
    rest = a_part(f"5-{len(VIDEO) - 1}/{len(VIDEO)}", VIDEO[5:], etag='"new"')
    completed.route(rest, times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(completed) == ["bytes=5-", None]


@pytest.mark.parametrize("status", [202, 203, 204, 206])
async def test_what_is_no_file_is_no_result(
    status: int,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A server that is "processing" still, or sends a part unasked, sends no video."""
    body = b"" if status == 204 else b'{"status": "processing"}'
    headers = {"Content-Range": "bytes 0-23/99"} if status == 206 else {}
    vtrio_server.route(respond(status, body=body, headers=headers))
    with pytest.raises(BadAnswer) as caught:
        await vtrio_client.download(a_job(), target)
    assert not target.exists()
    assert caught.value.job_id == "j1"


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("/v1/translations/j1/video", "http://t.example/api/v1/translations/j1/video"),
        ("files/x.mp4", "http://t.example/api/files/x.mp4"),
        ("//cdn.example/x.mp4", "http://cdn.example/x.mp4"),
        ("https://cdn.example/x.mp4?sig=1", "https://cdn.example/x.mp4?sig=1"),
    ],
)
async def test_a_reference_leads_where_it_says(
    reference: str,
    address: str,
    vtrio_server: ScriptedServer,
    library: ModuleType,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Below the address that we were given, or anywhere in full."""
    vtrio_server.route(respond(body=VIDEO))
    base_url = "http://t.example/api/"
    client = vtrio_server.client(library=library, base_url=base_url)
    await client.download(a_job(result=JobResult(video_url=reference)), target)
    assert [request.url for request in vtrio_server.exchanges] == [address]


@pytest.mark.parametrize(
    "reference", ["http://[bad", "http://h:99999/", "file:///etc/passwd", "ftp://h/x"]
)
async def test_a_reference_that_leads_nowhere_is_refused(
    reference: str,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Nothing is asked but whether there is a fresh one by now."""
    vtrio_server.add(job("completed", result={"video_url": reference}))
    stale = a_job(result=JobResult(video_url=reference))
    with pytest.raises(Refused, match="cannot be used"):
        await vtrio_client.download(stale, target)
    assert [e.kind for e in vtrio_server.exchanges] == [Kind.POLL]


async def test_a_server_without_ranges_is_asked_from_the_start(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A whole answer to a question for a part is taken as a whole."""
    vtrio_server.route(broken_off(30_000), times=1)
    vtrio_server.route(respond(body=VIDEO, headers={"ETag": ETAG}))
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(vtrio_server) == [None, "bytes=30000-"]


async def test_a_part_longer_than_the_whole_is_dropped(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """416 says that what we have is no part of it."""
    etag = (await completed.http().get(LINK)).headers["ETag"]
    keep_a_part(target.parent, VIDEO + b"more", etag=etag)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    _, *asked = completed.exchanges
    assert [e.headers.get("range") for e in asked] == ["bytes=256004-", None]
    assert [str(e.outcome)[:3] for e in asked] == ["416", "200"]


async def test_a_transfer_without_progress_is_given_up(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Six times in a row without a new byte; the part stays for a later call."""
    completed.fault(reset(after_bytes=30_000), times=1)
    completed.fault(reset(after_bytes=0))
    with pytest.raises(Unreachable, match="reset"):
        await vtrio_client.download(a_job(), target)
    assert ranges(completed) == [None, *["bytes=30000-"] * 6]
    assert target.with_name("out.mp4.part").stat().st_size == 30_000


async def test_bytes_that_must_be_dropped_are_no_progress(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A server that breaks off and then sends too much is not asked for ever."""

    def answer(exchange: Exchange) -> Reply:
        if "range" not in exchange.headers:
            return respond(body=(VIDEO[:5], Cut.RESET), headers={"ETag": ETAG})
        headers = {"ETag": ETAG, "Content-Range": "bytes 5-9/10"}
        return respond(206, body=VIDEO[5:], headers=headers)

    vtrio_server.route(answer)
    with pytest.raises(TransientError):
        await vtrio_client.download(a_job(), target, max_silence=60)
    assert len(vtrio_server.exchanges) == 7


async def test_a_length_that_was_told_too_large_is_not_believed(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """The connection breaks off, and behind what came there is nothing more: again."""
    completed.fault(wrong_length(by=10), times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(completed) == [None, "bytes=256000-", None]


async def test_a_file_that_is_too_short_is_no_result(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A partial file is never taken for a whole one."""
    keep_a_part(target.parent, VIDEO[:5])

    def rest(exchange: Exchange) -> Reply:
        begin = int(exchange.headers["range"].removeprefix("bytes=").rstrip("-"))
        return a_part(f"{begin}-999998/999999", VIDEO[begin:])

    vtrio_server.route(rest)
    with pytest.raises(BadAnswer, match="256000 bytes came where 999999"):
        await vtrio_client.download(a_job(), target)
    assert not target.exists()


async def test_a_file_that_is_too_long_is_no_result(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Which of its bytes are right nobody knows, so that all are fetched again."""
    keep_a_part(target.parent, VIDEO[:5])
    completed.route(a_part("5-9/10", VIDEO[5:]), times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert ranges(completed) == ["bytes=5-", None]


async def test_a_file_that_is_packed_is_no_result(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """What was asked for are its bytes as they are."""
    vtrio_server.route(respond(body=VIDEO, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(BadAnswer, match="compressed, though identity was asked"):
        await vtrio_client.download(a_job(), target)
    assert not target.exists()


async def test_a_hook_of_the_callers_may_read_a_result(
    completed: ScriptedServer,
    library: ModuleType,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """It comes in one piece then."""

    async def eager(response: Any) -> None:
        await response.aread()

    http = library.AsyncClient(
        transport=completed.transport(library), event_hooks={"response": [eager]}
    )
    await completed.client(http=http).download(a_job(), target)
    assert target.read_bytes() == VIDEO


@pytest.mark.parametrize("told", [None, "nonsense", "bytes 7-10/11"])
async def test_a_partial_answer_must_say_what_part_it_is(
    told: str | None,
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """Bytes of an unknown place are not joined on."""
    keep_a_part(target.parent, VIDEO[:5])
    headers = {"ETag": ETAG, **({"Content-Range": told} if told else {})}
    vtrio_server.route(respond(206, body=b"x", headers=headers))
    with pytest.raises(BadAnswer):
        await vtrio_client.download(a_job(), target)
    assert target.with_name("out.mp4.part").read_bytes() == VIDEO[:5]


async def test_an_expired_link_is_asked_for_afresh(
    completed: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    target: Path,
    autojump_clock: MockClock,
) -> None:
    """A fresh answer about the job brings a fresh link; a dead one stays an error."""
    completed.fault(expired_link(), times=1)
    await vtrio_client.download(a_job(), target)
    assert target.read_bytes() == VIDEO
    targets = [request.target for request in completed.exchanges]
    assert targets == [LINK, "/v1/translations/j1", f"{LINK}?link=2"]
    completed.fault(expired_link())
    with pytest.raises(Unauthorized):
        await vtrio_client.download(a_job(), target)


async def test_the_key_goes_only_to_the_server_that_it_belongs_to(
    library: ModuleType, target: Path, autojump_clock: MockClock
) -> None:
    """Wherever a link leads; also when a fresh one is asked for."""
    server = ScriptedServer(api_key="secret")
    fresh = "https://files.example/fresh"
    server.add(job("completed", result={"video_url": fresh}))
    server.route(respond(403), path="https://files.example/old")
    server.route(respond(body=VIDEO), path=fresh)
    old = a_job(result=JobResult(video_url="https://files.example/old"))
    client = server.client(library=library, api_key="secret")
    await client.download(old, target)
    assert target.read_bytes() == VIDEO
    assert [
        (urlsplit(e.url).hostname, e.headers.get("authorization"))
        for e in server.exchanges
    ] == [
        ("files.example", None),
        ("vtrio.test", "Bearer secret"),
        ("files.example", None),
    ]


async def test_subtitles_by_id(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """An id is enough: the job is asked for first."""
    link = "/v1/translations/j1/subtitles"
    vtrio_server.add(job("completed", result={"subtitles_url": link}))
    target = tmp_path / "out.vtt"
    await vtrio_client.download("j1", target, what="subtitles")
    assert target.read_bytes() == b"WEBVTT\n"
    with pytest.raises(Refused, match="the server has no video of it") as caught:
        await vtrio_client.download("j1", target)
    assert caught.value.job_id == "j1"


async def test_what_cannot_be_downloaded_is_told_before_anything_is_asked(
    vtrio_server: ScriptedServer, vtrio_client: VideoTranslationClient, tmp_path: Path
) -> None:
    """A job that is not completed, a folder for a file, an unknown result."""
    running = Job(id="j1", status=JobStatus.RUNNING)
    with pytest.raises(ValueError, match="'j1' is running and has no video yet"):
        await vtrio_client.download(running, tmp_path / "out.mp4")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        await vtrio_client.download(a_job(), tmp_path)
    with pytest.raises(ValueError, match="what='audio' is not allowed"):
        await vtrio_client.download(a_job(), tmp_path / "x", what="audio")  # type: ignore[arg-type]
    assert vtrio_server.exchanges == ()
