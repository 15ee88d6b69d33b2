"""Uploads: forms in pieces of any size, to disk as they come in."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from vtrio.server import Limits, uploads
from vtrio.server.errors import (
    BadField,
    BadUpload,
    NoRoom,
    RequestRefused,
    TooLarge,
    WrongMediaType,
)
from vtrio.server.uploads import UploadedForm, receive_form

if TYPE_CHECKING:
    from tests.programs.conftest import OpenApp

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
    defaults = {
        "content_type": MULTIPART,
        "content_length": None,
        "limits": Limits(),
    }
    options = {**defaults, **options}
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
    "a long field that is not ours": (form(part("new", b"x" * 5000)), TooLarge),
    "a long file that is not ours": (form(part("new", b"x" * 5000, "x")), TooLarge),
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
    body = form(part("new", b"x" * 4000), part(None, b"y"), GOOD[: -len(b"--b--\r\n")])
    body = body.replace(VIDEO, b"v")
    got, content = await receive(tmp_path, body)
    assert (content, got.target_language) == (b"v", "pt")


async def test_the_name_of_the_type_may_be_written_in_capitals(tmp_path: Path) -> None:
    """Media types are compared without regard to case."""
    body = form(part("video", b"v"), part("target_language", b"pt"))
    got, _ = await receive(
        tmp_path, body, content_type="Multipart/Form-Data; Boundary=b"
    )
    assert got.target_language == "pt"


async def test_the_whole_body_is_counted(tmp_path: Path) -> None:
    """Without a length and however it is divided, it may be little longer than a video."""
    body = (
        b"x" * 60_000 + b"\r\n" + b"".join(part(f"f{n}", b"x" * 4000) for n in range(4))
    )
    with pytest.raises(TooLarge, match="body"):
        await receive(tmp_path, body, size=4000, limits=Limits(upload=100))


def refuse_klingon(target: str, source: str | None) -> None:
    """Refuse one language."""
    if "tlh" in (target, source):
        raise BadField("language", "'tlh' is not allowed")


@pytest.mark.parametrize(
    "fields",
    [
        [("target_language", b"tlh")],
        [("target_language", b"pt"), ("source_language", b"tlh")],
        [("source_language", b"tlh"), ("target_language", b"pt")],
        [("target_language", b" ")],
        [("source_language", b"\xff")],
    ],
)
async def test_a_field_is_refused_when_it_has_come(
    fields: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    """Not when the file after it has come in too."""
    beginning = b"".join(part(*field) for field in fields) + part("video", b"v")
    body = Pieces(beginning + b"more", len(beginning))
    with pytest.raises(BadField):
        async with receive_form(
            body,
            content_type=MULTIPART,
            content_length=None,
            folder=tmp_path,
            limits=Limits(),
            check_languages=refuse_klingon,
        ):
            pass
    assert await anext(body) == b"more"
    assert not left_in(tmp_path)


class FullDisk:
    """A file on a disk that has room for a few bytes."""

    def __init__(self, room: int, number: int) -> None:
        self._room = room
        self._number = number
        self.closed = False

    def write(self, data: memoryview) -> int:
        """Write a part, as the system may; then nothing."""
        if not self._room:
            raise OSError(self._number, os.strerror(self._number))
        written = min(self._room, len(data))
        self._room -= written
        return written

    def close(self) -> None:
        """Close it."""
        self.closed = True


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, NoRoom), (errno.EDQUOT, NoRoom), (errno.EIO, OSError)],
)
async def test_a_full_disk_is_told_of(
    number: int,
    error: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is a refusal and one line in the log; another fault of the disk is a fault."""
    disk = FullDisk(10, number)
    monkeypatch.setattr(Path, "open", lambda *_, **__: disk)
    with pytest.raises(error):
        await receive(tmp_path, part("video", b"v" * 50))
    assert disk.closed
    told = [record.exc_info for record in caplog.records]
    assert told == ([None] if error is NoRoom else [])


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
            half(),
            content_type=MULTIPART,
            content_length=None,
            folder=tmp_path,
            limits=Limits(),
        ):
            pass
    assert scope.cancelled_caught
    assert not left_in(tmp_path)


async def test_a_slow_disk_does_not_fill_the_memory(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB pushed at once against slow writes grow the process by under 8 MiB."""
    write = uploads._Video.write

    def write_slowly(self: uploads._Video, data: bytes) -> None:
        time.sleep(len(data) / 2**28)  # a disk of 256 MiB/s
        write(self, data)

    monkeypatch.setattr(uploads._Video, "write", write_slowly)
    piece = bytes(2**16)

    async def body() -> AsyncIterator[bytes]:
        yield part("target_language", b"pt") + part("video", b"")[:-2]
        for _ in range(2**10):
            yield piece
        yield b"\r\n--b--\r\n"

    async with open_app(limits=Limits(upload=2**26)) as client:
        tracemalloc.start()
        answer = await client.post(
            "/v1/translations", content=body(), headers={"Content-Type": MULTIPART}
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert answer.status_code == 202
    assert peak < 8 * 2**20, f"{peak / 2**20:.1f} MiB"
    (source,) = tmp_path.rglob("source*")
    assert source.stat().st_size == 2**26
