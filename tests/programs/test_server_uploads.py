"""Uploads: forms in pieces of any size, a gate that keeps memory bounded."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.server import asgi, uploads
from vtrio.server.asgi import BodyGate, Boundary, GatedBody
from vtrio.server.errors import (
    BadField,
    BadUpload,
    RequestRefused,
    TooLarge,
    TooSlow,
    WrongMediaType,
)
from vtrio.server.uploads import UploadedForm, receive_form

MULTIPART = "multipart/form-data; boundary=b"
Message = MutableMapping[str, Any]


def part(name: str | None, content: bytes, filename: str | None = None) -> bytes:
    """Write one part of a form."""
    disposition = "form-data" if name is None else f'form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    head = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    return head + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """Write a whole form."""
    return b"".join(parts) + b"--b--\r\n"


class Pieces:
    """Gives a body out in pieces."""

    def __init__(self, content: bytes, size: int) -> None:
        self._rest = content
        self._size = size

    def __aiter__(self) -> Pieces:
        """Iterate over itself, once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        await trio.lowlevel.checkpoint()
        if not self._rest:
            raise StopAsyncIteration
        piece, self._rest = self._rest[: self._size], self._rest[self._size :]
        return piece


def left_in(folder: Path) -> list[Path]:
    """Return what lies in a folder, at any depth."""
    return [path for path in folder.rglob("*") if path.is_file()]


async def receive(
    folder: Path, body: bytes, *, size: int = 1000, **options: Any
) -> tuple[UploadedForm, bytes]:
    """Take a form in; return it and its video, which is gone afterwards."""
    options = {"content_type": MULTIPART, "content_length": None, **options}
    async with receive_form(Pieces(body, size), folder=folder, **options) as got:
        return got, got.video.read_bytes()


VIDEO = b"\r\n--b\r--\n" * 50
GOOD = form(part("video", VIDEO, "a.MP4"), part("target_language", b" pt "))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
async def test_a_form_comes_in_whatever_its_pieces(size: int, tmp_path: Path) -> None:
    """Fields and file are found, also where a piece ends inside a delimiter."""
    video = VIDEO.replace(b"\r\n--b", b"\r\n--c")
    body = form(part("video", video, "a.MP4"), part("target_language", b" pt "))

    got, content = await receive(tmp_path, body, size=size)

    assert content == video
    assert got.sha256 == hashlib.sha256(video).hexdigest()
    assert (got.size, got.suffix) == (len(video), ".MP4")
    assert (got.target_language, got.source_language) == ("pt", None)
    assert not left_in(tmp_path)


@given(
    video=st.binary(min_size=1, max_size=300).filter(lambda raw: b"--b" not in raw),
    size=st.integers(1, 400),
    first=st.booleans(),
)
def test_any_bytes_survive_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, video: bytes, size: int, *, first: bool
) -> None:
    """Whatever the file and the order of the parts, it arrives as it was."""
    parts = [part("video", video, "v"), part("target_language", b"pt")]
    body = form(*(parts if first else parts[::-1]))
    folder = tmp_path_factory.getbasetemp()
    _, content = trio.run(lambda: receive(folder, body, size=size))
    assert content == video


def test_the_digest_is_of_fields_and_content() -> None:
    """It does not depend on names, and tells any difference that matters."""

    def digest(**changes: Any) -> str:
        fields: dict[str, Any] = {
            "video": Path("x"),
            "suffix": ".mp4",
            "sha256": "00",
            "size": 1,
            "target_language": "pt",
            "source_language": None,
        }
        return UploadedForm(**{**fields, **changes}).digest

    assert digest() == digest(video=Path("y"), suffix=".mkv")
    others = ({"sha256": "01"}, {"target_language": "es"}, {"source_language": "en"})
    assert len({digest(), *(digest(**other) for other in others)}) == 4


BAD = {
    "no body": (b"", BadUpload),
    "broken off in the file": (GOOD[:100], BadUpload),
    "broken off before the end": (GOOD[:-8], BadUpload),
    "broken off after a delimiter": (
        part("target_language", b"pt") + part("video", b"1") + b"--b",
        BadUpload,
    ),
    "no disposition": (form(b"--b\r\nX: y\r\n\r\nz\r\n"), BadUpload),
    "headers not UTF-8": (form(b"--b\r\nX: \xff\r\n\r\nz\r\n"), BadUpload),
    "endless headers": (b"--b\r\nX: " + b"y" * 100_000, BadUpload),
    "endless preamble": (b"y" * 100_000, BadUpload),
    "too many parts": (form(*[part(f"f{n}", b"") for n in range(20)]), TooLarge),
    "two videos": (form(part("video", b"1"), part("video", b"2")), BadField),
    "two targets": (form(*[part("target_language", b"pt")] * 2), BadField),
    "long target": (form(part("target_language", b"p" * 5000)), BadField),
    "target not UTF-8": (
        form(part("video", b"1"), part("target_language", b"\xff")),
        BadField,
    ),
    "endless blanks": (
        part("video", b"1")[:-2] + b"\r\n--b" + b" " * 5000 + b"\r\n",
        BadUpload,
    ),
    "only an end": (b"--b--\r\n", BadField),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("size", [1000, 10])
async def test_a_bad_form_is_refused(name: str, size: int, tmp_path: Path) -> None:
    """Each kind of nonsense has its typed refusal, and leaves no file."""
    body, error = BAD[name]
    with pytest.raises(error):
        await receive(tmp_path, body, size=size)
    assert not left_in(tmp_path)


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        (None, WrongMediaType),
        ("text/plain", WrongMediaType),
        ("application/json; charset=utf-8", WrongMediaType),
        ("multipart/mixed; boundary=b", WrongMediaType),
        ("multipart/form-data", BadUpload),
        ("multipart/form-data; boundary=", BadUpload),
        ("multipart/form-data; boundary=" + "b" * 71, BadUpload),
        ("multipart/form-data; boundary=é", BadUpload),
    ],
)
async def test_the_type_of_the_body_is_checked_first(
    content_type: str | None, error: type[RequestRefused], tmp_path: Path
) -> None:
    """A body of another type is refused before a byte of it is read."""
    with pytest.raises(error):
        await receive(tmp_path, GOOD, content_type=content_type)


async def test_fields_that_are_not_ours_are_passed_over(tmp_path: Path) -> None:
    """Clients may be ahead of us; a part without a name is nobody's."""
    body = form(part("new", b"x" * 9000), part(None, b"y"), GOOD[: -len(b"--b--\r\n")])
    body = body.replace(VIDEO, b"v")
    got, content = await receive(tmp_path, body)
    assert (content, got.target_language) == (b"v", "pt")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.b.webm", ".webm"), ("noname", ""), ("x.$(rm)", ""), ("../../y.mp4", ".mp4")],
)
async def test_only_a_plain_suffix_is_kept_of_the_name(
    name: str, suffix: str, tmp_path: Path
) -> None:
    """The client's file name goes no further than a suffix of letters and digits."""
    body = form(part("video", b"v", name), part("target_language", b"pt"))
    got, _ = await receive(tmp_path, body)
    assert got.suffix == suffix


async def test_an_upload_that_stops_coming_is_given_up(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute without a byte; a slow one that goes on is not."""

    async def run_inline(
        function: Callable[..., object], *args: object, **_: object
    ) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)

    async def trickle() -> AsyncIterator[bytes]:
        yield GOOD[:100]
        for byte in GOOD[100:110]:
            await trio.sleep(59)
            yield bytes([byte])
        await trio.sleep_forever()

    with pytest.raises(TooSlow):
        async with receive_form(
            trickle(), content_type=MULTIPART, content_length=None, folder=tmp_path
        ):
            pass
    assert trio.current_time() == 59 * 10 + 60
    assert not left_in(tmp_path)


async def test_a_client_that_leaves_leaves_no_file(tmp_path: Path) -> None:
    """Cancelled in the middle of an upload, the temporary name is gone."""

    async def half() -> AsyncIterator[bytes]:
        yield GOOD[:200]
        await wait_all_tasks_blocked()
        assert len(left_in(tmp_path)) == 1
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        async with receive_form(
            half(), content_type=MULTIPART, content_length=None, folder=tmp_path
        ):
            pass
    assert scope.cancelled_caught
    assert not left_in(tmp_path)


# --- the gate -------------------------------------------------------------------


class Wire:
    """A client's side of an ASGI request, over channels."""

    def __init__(self) -> None:
        self.feed, self._receive = trio.open_memory_channel[Message](0)
        self.taken = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """Give the app its next message."""
        message = await self._receive.receive()
        self.taken += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Take a message of the app."""
        await trio.lowlevel.checkpoint()
        self.sent.append(message)

    async def push(self, size: int, count: int, *, end: bool = True) -> None:
        """Send a body in pieces of a size."""
        for _ in range(count):
            await self.feed.send(
                {"type": "http.request", "body": bytes(size), "more_body": True}
            )
        if end:
            await self.feed.send(
                {"type": "http.request", "body": b"", "more_body": False}
            )


def a_scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """Make the scope of a POST."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "http_version": "1.1",
        "headers": headers,
    }


async def test_the_gate_lets_in_a_window_ahead(nursery: trio.Nursery) -> None:
    """Unconsumed bytes stop the reading; consuming them lets it go on."""
    wire = Wire()
    gate = BodyGate(wire.receive, window=100)
    nursery.start_soon(wire.push, 60, 10)
    got: list[Message] = []

    async def read() -> None:
        while not gate.over:
            got.append(await gate.receive())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert len(got) == 2

    gate.consumed(60)
    await wait_all_tasks_blocked()
    assert len(got) == 3

    gate.consumed(60 * 9)
    await wait_all_tasks_blocked()
    assert len(got) == 11
    assert gate.over


Routes = Callable[[BodyGate, Callable[[Message], Awaitable[None]]], Awaitable[None]]


def app_of(route: Routes) -> Boundary:
    """Make an app of one route that reads messages beside it, as Quart does."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def read(nursery: trio.Nursery) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, nursery)
            await route(scope[asgi.GATE], send)
            nursery.cancel_scope.cancel()

    return Boundary(app)


async def refuse(gate: BodyGate, send: Callable[[Message], Awaitable[None]]) -> None:
    """Answer without having read the body."""
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"no", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def test_an_early_answer_reads_the_rest_before_it_ends(
    autojump_clock: MockClock,
) -> None:
    """The client can finish writing; the connection is told to close."""
    wire = Wire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            app_of(refuse),
            a_scope((b"content-length", b"1")),
            wire.receive,
            wire.send,
        )
        await trio.sleep(0.1)
        assert [message["type"] for message in wire.sent] == [
            "http.response.start",
            "http.response.body",
            "http.response.body",
        ]
        assert (b"connection", b"close") in wire.sent[0]["headers"]
        await wire.push(100_000, 50)
        await wait_all_tasks_blocked()
        assert wire.taken == 5_000_000
        assert trio.current_time() == 0.1
    assert not wire.sent[-1].get("more_body", False)


async def test_an_early_answer_does_not_wait_for_ever(
    autojump_clock: MockClock,
) -> None:
    """A client that neither writes on nor leaves holds it for two seconds."""
    wire = Wire()
    await app_of(refuse)(
        a_scope((b"transfer-encoding", b"chunked")), wire.receive, wire.send
    )
    assert trio.current_time() == pytest.approx(2.05)
    assert not wire.sent[-1].get("more_body", False)


async def test_an_answer_to_a_body_that_comes_at_once_keeps_the_connection(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What comes without a pause is read and dropped, and nothing is closed."""
    wire = Wire()
    nursery.start_soon(wire.push, 100_000, 50)
    await app_of(refuse)(a_scope((b"content-length", b"10")), wire.receive, wire.send)
    assert trio.current_time() == 0
    assert wire.taken == 5_000_000
    assert wire.sent[0]["headers"] == []


async def test_a_newer_protocol_has_no_connection_header(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """HTTP/2 forbids it."""
    wire = Wire()
    request = {**a_scope((b"content-length", b"1")), "http_version": "2"}
    await app_of(refuse)(request, wire.receive, wire.send)
    assert wire.sent[0]["headers"] == []


async def test_the_end_of_an_answer_is_not_cut_off_by_its_own_disconnect() -> None:
    """Hypercorn tells of a disconnect while it ends an answer; it may finish that."""
    wire = Wire()
    finished = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await wire.feed.send({"type": "http.disconnect"})
            await wait_all_tasks_blocked()
            finished.append(message)

    await app_of(refuse)(a_scope(), wire.receive, send)
    assert len(finished) == 1


async def test_a_client_that_leaves_cancels_the_route() -> None:
    """Before the answer, a disconnect reaches the app as it always did."""
    wire = Wire()
    cancelled = []

    async def wait(gate: BodyGate, send: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(gate.left)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(app_of(wait), a_scope(), wire.receive, wire.send)
        await wire.feed.send({"type": "http.disconnect"})
    assert cancelled == [True]


async def test_what_goes_wrong_for_a_client_that_left_is_noted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is nobody to answer, and no reason for hypercorn to log a traceback."""
    wire = Wire()

    async def wait(gate: BodyGate, send: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("clean-up")

    with caplog.at_level("INFO", "vtrio.server"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app_of(wait), a_scope(), wire.receive, wire.send)
            await wire.feed.send({"type": "http.disconnect"})
    assert not wire.sent
    assert "client-left" in caplog.text
    assert "clean-up" in caplog.text


async def test_a_body_cut_off_by_a_client_that_left_is_no_failure() -> None:
    """Newer Quarts raise an error of theirs then; any other error stays what it is."""

    class Broken:
        """A body that breaks off."""

        def __aiter__(self) -> Broken:
            """Iterate over itself."""
            return self

        async def __anext__(self) -> bytes:
            """Break."""
            await trio.lowlevel.checkpoint()
            raise ConnectionError

    gate = BodyGate(Wire().receive)
    with pytest.raises(ConnectionError):
        await anext(GatedBody(Broken(), gate))
    gate.left = True
    with pytest.raises(BadUpload, match="left"):
        await anext(GatedBody(Broken(), gate))


async def test_a_failure_after_the_answer_began_goes_up() -> None:
    """There is no second answer; hypercorn closes the connection."""
    wire = Wire()

    async def break_off(
        gate: BodyGate, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError

    with pytest.RaisesGroup(LookupError):
        await app_of(break_off)(a_scope(), wire.receive, wire.send)


async def test_a_slow_disk_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB pushed at once against slow writes grow the process by under 8 MiB."""
    import httpx

    from vtrio.server import Demonstration, JobService, MemoryStore, create_app
    from vtrio.server.engines.simulated import SimulatedEngine

    write = uploads._Video.write

    def write_slowly(self: uploads._Video, data: bytes) -> None:
        import time

        time.sleep(len(data) / 2**28)  # a disk of 256 MiB/s
        write(self, data)

    monkeypatch.setattr(uploads._Video, "write", write_slowly)
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    (tmp_path / "uploads").mkdir()
    piece = bytes(2**16)

    async def body() -> AsyncIterator[bytes]:
        yield part("target_language", b"pt") + part("video", b"")[:-2]
        for _ in range(2**10):
            yield piece
        yield b"\r\n--b--\r\n"

    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        tracemalloc.start()
        answer = await client.post(
            "/v1/translations", content=body(), headers={"Content-Type": MULTIPART}
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert answer.status_code == 202
    assert peak < 8 * 2**20, f"{peak / 2**20:.1f} MiB"
    (source,) = left_in(tmp_path)
    assert source.stat().st_size == 2**26
