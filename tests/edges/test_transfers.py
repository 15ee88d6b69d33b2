"""Downloading: streamed, resumed, checked, and whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Job,
    JobResult,
    JobStatus,
    Refused,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
)

Make = Callable[..., Any]
VIDEO = bytes(range(256)) * 1000
ETAG = '"v1"'


def a_job(**members: object) -> Job:
    """Make a completed job with a result."""
    result = JobResult(video_url="/v1/translations/j1/video", subtitles_url="/s")
    given = {"id": "j1", "status": JobStatus.COMPLETED, "result": result, **members}
    return Job(**given)  # type: ignore[arg-type]


class Breaking:
    """Bytes, and then a break.

    No generator: one that is dropped half-read would have to be closed by somebody.
    """

    def __init__(self, data: bytes, error: Exception | None) -> None:
        size = 10_000
        self._chunks = [
            data[start : start + size] for start in range(0, len(data), size)
        ]
        self._error = error

    def __aiter__(self) -> Breaking:
        return self

    async def __anext__(self) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        raise self._error or StopAsyncIteration


def keep_a_part(folder: Path, data: bytes, **noted: object) -> None:
    """Leave behind what an earlier call would have."""
    note = {"result": "video of j1", "etag": ETAG, "total": None, **noted}
    (folder / "out.mp4.part").write_bytes(data)
    (folder / "out.mp4.part.json").write_text(json.dumps(note))


@pytest.fixture
def results(fake_server: Make, library: ModuleType) -> Make:
    """Make a server of one result whose connection breaks after so many bytes each."""

    def make(
        *breaks: int, etags: tuple[str, ...] = (ETAG,), ranges: bool = True
    ) -> object:
        left, tags = list(breaks), list(etags)

        def answer(request: Any) -> object:
            etag = tags.pop(0) if len(tags) > 1 else tags[0]
            asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
            same = request.headers.get("If-Range") == etag
            begin = int(asked[1]) if asked and same and ranges else 0
            body = VIDEO[begin:]
            headers = {"ETag": etag, "Content-Length": str(len(body))}
            if begin:
                headers["Content-Range"] = (
                    f"bytes {begin}-{len(VIDEO) - 1}/{len(VIDEO)}"
                )
            error = None
            if left:
                body, error = body[: left.pop(0)], library.ReadError("reset")
            return library.Response(
                206 if begin else 200, content=Breaking(body, error), headers=headers
            )

        return fake_server(answer)

    return make


async def test_a_result_is_fetched_whole(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It gets its name when it is whole, and nothing stays beside it."""
    server = results()
    target = tmp_path / "out.mp4"
    assert await server.client().download(a_job(), target) == target
    assert target.read_bytes() == VIDEO
    assert list(tmp_path.iterdir()) == [target]
    url = "http://translations.example/v1/translations/j1/video"
    assert [str(request.url) for request in server.requests] == [url]
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_broken_transfer_goes_on_where_it_broke(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """With Range and If-Range; no byte is fetched twice."""
    server = results(100_000, 50_000, 20_000)
    target = tmp_path / "out.mp4"
    await server.client().download(a_job(), target)
    assert target.read_bytes() == VIDEO
    asked = [request.headers.get("Range") for request in server.requests]
    assert asked == [None, "bytes=100000-", "bytes=150000-", "bytes=170000-"]
    assert server.requests[1].headers["If-Range"] == ETAG


async def test_a_later_call_goes_on_where_an_earlier_one_was_cancelled(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The part stays, with what it is a part of."""
    target = tmp_path / "out.mp4"
    first = results(30_000)
    breaking_off = first.answer
    with trio.CancelScope() as scope:

        async def answer(request: Any) -> object:
            if len(first.requests) == 2:
                scope.cancel()
                await trio.lowlevel.checkpoint()
            return breaking_off(request)

        first.answer = answer
        await first.client().download(a_job(), target)
    assert scope.cancelled_caught
    assert not target.exists()
    server = results()
    await server.client().download(a_job(), target)
    assert server.requests[0].headers["Range"] == "bytes=30000-"
    assert target.read_bytes() == VIDEO


async def test_a_part_of_something_else_is_not_gone_on_with(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """If the result has changed, the transfer starts again."""
    server = results(30_000, etags=('"old"', '"new"'))
    target = tmp_path / "out.mp4"
    await server.client().download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert len(server.requests) == 2


async def test_a_part_of_another_job_is_not_gone_on_with(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Two results may have one validator: it is a word about one of them."""
    keep_a_part(tmp_path, b"another", result="video of j0")
    server = results()
    target = tmp_path / "out.mp4"
    await server.client().download(a_job(), target)
    assert "Range" not in server.requests[0].headers
    assert target.read_bytes() == VIDEO


@pytest.mark.parametrize("note", ["", "{}", "[]", "\xff"])
async def test_a_part_without_a_readable_note_is_begun_again(
    note: str, results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Bytes of unknown origin are not joined on to."""
    (tmp_path / "out.mp4.part").write_bytes(b"x" * 100)
    (tmp_path / "out.mp4.part.json").write_bytes(note.encode("latin-1"))
    target = tmp_path / "out.mp4"
    await results().client().download(a_job(), target)
    assert target.read_bytes() == VIDEO


async def test_a_part_that_is_whole_only_gets_its_name(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nothing is fetched twice if a call ended between the last byte and the name."""
    keep_a_part(tmp_path, VIDEO, total=len(VIDEO))
    server = results()
    target = tmp_path / "out.mp4"
    await server.client().download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert server.requests == []


async def test_the_length_told_first_holds(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A later part that does not know the whole length cannot make it shorter."""
    asked: list[str | None] = []

    def answer(request: Any) -> object:
        asked.append(request.headers.get("Range"))
        if len(asked) == 1:
            return library.Response(
                200,
                content=Breaking(VIDEO[:5], library.ReadError("reset")),
                headers={"ETag": ETAG, "Content-Length": str(len(VIDEO))},
            )
        begin = int(asked[-1].removeprefix("bytes=").removesuffix("-"))  # type: ignore[union-attr]
        body = VIDEO[begin : begin + 100_000]
        told = f"bytes {begin}-{begin + len(body) - 1}/*"
        headers = {"ETag": ETAG, "Content-Range": told}
        return library.Response(206, content=Breaking(body, None), headers=headers)

    target = tmp_path / "out.mp4"
    await fake_server(answer).client().download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert asked == [None, "bytes=5-", "bytes=100005-", "bytes=200005-"]


async def test_a_server_that_ignores_if_range_is_asked_from_the_start(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A part of something else than before is thrown away with what it would follow."""
    keep_a_part(tmp_path, b"OLDOL")

    def answer(request: Any) -> object:
        headers = {"ETag": '"new"'}
        if "Range" not in request.headers:
            return library.Response(200, content=VIDEO, headers=headers)
        headers["Content-Range"] = f"bytes 5-{len(VIDEO) - 1}/{len(VIDEO)}"
        return library.Response(206, content=VIDEO[5:], headers=headers)

    server = fake_server(answer)
    target = tmp_path / "out.mp4"
    await server.client().download(a_job(), target)
    assert target.read_bytes() == VIDEO
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [202, 203, 204, 206])
async def test_what_is_no_file_is_no_result(
    status: int,
    fake_server: Make,
    library: ModuleType,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """A server that is "processing" still, or sends a part unasked, sends no video."""
    body = b"" if status == 204 else b'{"status": "processing"}'
    headers = {"Content-Range": "bytes 0-23/99"} if status == 206 else {}
    server = fake_server(
        lambda _: library.Response(status, content=body, headers=headers)
    )
    with pytest.raises(BadAnswer) as caught:
        await server.client().download(a_job(), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
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
    reference: str, address: str, library: ModuleType, tmp_path: Path
) -> None:
    """Below the address that we were given, or anywhere in full."""
    asked = []

    def answer(request: Any) -> object:
        asked.append(str(request.url))
        return library.Response(200, content=VIDEO)

    http = library.AsyncClient(transport=library.MockTransport(answer))
    client = VideoTranslationClient("http://t.example/api/", http=http)
    job = a_job(result=JobResult(video_url=reference))
    await client.download(job, tmp_path / "out.mp4")
    assert asked == [address]


@pytest.mark.parametrize(
    "reference", ["http://[bad", "http://h:99999/", "file:///etc/passwd", "ftp://h/x"]
)
async def test_a_reference_that_leads_nowhere_is_refused(
    reference: str, fake_server: Make, tmp_path: Path
) -> None:
    """Before anything is asked."""
    server = fake_server(lambda _: None)
    job = a_job(result=JobResult(video_url=reference))
    answered = {"id": "j1", "status": "completed", "result": {"video_url": reference}}
    server.answer = lambda _: server.library.Response(200, json=answered)
    with pytest.raises(Refused, match="cannot be used"):
        await server.client().download(job, tmp_path / "out.mp4")


async def test_a_server_without_ranges_is_asked_from_the_start(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A whole answer to a question for a part is taken as a whole."""
    target = tmp_path / "out.mp4"
    await results(30_000, ranges=False).client().download(a_job(), target)
    assert target.read_bytes() == VIDEO


async def test_a_part_longer_than_the_whole_is_dropped(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """416 says that what we have is no part of it."""
    keep_a_part(tmp_path, VIDEO + b"more")

    def answer(request: Any) -> object:
        if "Range" in request.headers:
            return library.Response(
                416, headers={"Content-Range": f"bytes */{len(VIDEO)}"}
            )
        return library.Response(200, content=Breaking(VIDEO, None))

    target = tmp_path / "out.mp4"
    await fake_server(answer).client().download(a_job(), target)
    assert target.read_bytes() == VIDEO


async def test_a_transfer_without_progress_is_given_up(
    results: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Six times in a row without a new byte; the part stays for a later call."""
    server = results(30_000, *[0] * 20)
    with pytest.raises(Unreachable, match="reset"):
        await server.client().download(a_job(), tmp_path / "out.mp4")
    assert len(server.requests) == 6
    assert (tmp_path / "out.mp4.part").stat().st_size == 30_000


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Content-Length": "999999"}, "256000 bytes came where 999999"),
        ({"Content-Length": "10"}, "256000 bytes came where 10"),
        ({"Content-Encoding": "gzip"}, "compressed, though identity was asked"),
    ],
)
async def test_a_file_of_the_wrong_length_is_no_result(
    headers: dict[str, str],
    told: str,
    fake_server: Make,
    library: ModuleType,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """A partial file is never taken for a whole one."""

    def answer(request: Any) -> object:
        return library.Response(200, content=Breaking(VIDEO, None), headers=headers)

    with pytest.raises(BadAnswer, match=told):
        await fake_server(answer).client().download(a_job(), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("told", [None, "nonsense", "bytes 7-10/11"])
async def test_a_partial_answer_must_say_what_part_it_is(
    told: str | None,
    fake_server: Make,
    library: ModuleType,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """Bytes of an unknown place are not joined on."""
    keep_a_part(tmp_path, VIDEO[:5])

    def answer(request: Any) -> object:
        headers = {"ETag": ETAG, **({"Content-Range": told} if told else {})}
        return library.Response(206, content=Breaking(b"x", None), headers=headers)

    with pytest.raises(BadAnswer):
        await fake_server(answer).client().download(a_job(), tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4.part").read_bytes() == VIDEO[:5]


async def test_an_expired_link_is_asked_for_afresh(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A fresh answer about the job brings a fresh link; a dead one stays an error."""

    def answer(request: Any) -> object:
        path = request.url.path
        if path == "/v1/translations/j1":
            document = {
                "id": "j1",
                "status": "completed",
                "result": {"video_url": "https://files.example/fresh"},
            }
            return library.Response(200, json=document)
        if path == "/fresh":
            return library.Response(200, content=VIDEO)
        return library.Response(403)

    server = fake_server(answer)
    old = a_job(result=JobResult(video_url="https://files.example/old"))
    target = tmp_path / "out.mp4"
    await server.client(api_key="secret").download(old, target)
    assert target.read_bytes() == VIDEO
    keys = {r.url.host: r.headers.get("Authorization") for r in server.requests}
    assert keys == {
        "files.example": None,  # the key goes to the server that it belongs to
        "translations.example": "Bearer secret",
    }
    dead = a_job(result=JobResult(video_url="https://files.example/fresh"))
    server.answer = lambda request: (
        answer(request) if request.url.path.startswith("/v1") else library.Response(403)
    )
    with pytest.raises(Unauthorized):
        await server.client().download(dead, target)


async def test_subtitles_by_id(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """An id is enough: the job is asked for first."""

    def answer(request: Any) -> object:
        if request.url.path == "/s":
            return library.Response(200, content=b"WEBVTT\n")
        document = {
            "id": "j1",
            "status": "completed",
            "result": {"subtitles_url": "/s"},
        }
        return library.Response(200, json=document)

    client = fake_server(answer).client()
    target = tmp_path / "out.vtt"
    await client.download("j1", target, what="subtitles")
    assert target.read_bytes() == b"WEBVTT\n"
    with pytest.raises(Refused, match="the server has no video of it") as caught:
        await client.download("j1", target)
    assert caught.value.job_id == "j1"


async def test_what_cannot_be_downloaded_is_told_before_anything_is_asked(
    fake_server: Make, tmp_path: Path
) -> None:
    """A job that is not completed, a folder for a file, an unknown result."""
    client = fake_server(lambda _: None).client()
    running = Job(id="j1", status=JobStatus.RUNNING)
    with pytest.raises(ValueError, match="'j1' is running and has no video yet"):
        await client.download(running, tmp_path / "out.mp4")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        await client.download(a_job(), tmp_path)
    with pytest.raises(ValueError, match="what='audio' is not allowed"):
        await client.download(a_job(), tmp_path / "x", what="audio")
