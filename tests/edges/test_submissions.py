"""Submitting and cancelling: streamed, keyed, and told in the server's words."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    JobNotFound,
    JobStatus,
    Refused,
    ServerBusy,
)

Make = Callable[..., Any]
VIDEO = bytes(range(256)) * 1000


def accepting(library: ModuleType, **headers: str) -> Callable[[object], object]:
    """Take every video, as a server does."""

    def answer(request: Any) -> object:
        document = {"id": "j1", "status": "pending", "target_language": "pt"}
        return library.Response(202, json=document, headers=headers)

    return answer


async def test_a_video_is_submitted(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """As multipart, with a key; the answer is the job, seen at age 0."""
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    server = fake_server(accepting(library, **{"Retry-After": "2"}))
    job = await server.client().submit(path, to="pt", source_language="en")
    assert (job.id, job.status, job.target_language) == ("j1", "pending", "pt")
    assert job.seen is not None
    assert (job.seen.age, job.seen.retry_after) == (0.0, 2.0)
    request = server.requests[0]
    assert request.method == "POST"
    body = request.content
    assert VIDEO in body
    assert b'name="target_language"\r\n\r\npt\r\n' in body
    assert b'name="source_language"\r\n\r\nen\r\n' in body
    assert b'name="video"; filename="talk.mp4"' in body
    assert request.headers["Content-Length"] == str(len(body))
    assert re.fullmatch(r'"[0-9a-f]{32}"', request.headers["Idempotency-Key"])


async def test_a_file_that_is_open_stays_open(
    fake_server: Make, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Whoever opened it closes it; a key of the caller's own is sent."""
    server = fake_server(accepting(library))
    video = io.BytesIO(VIDEO)
    await server.client().submit(video, "pt", idempotency_key="mine")
    assert not video.closed
    assert VIDEO in server.requests[0].content
    assert server.requests[0].headers["Idempotency-Key"] == '"mine"'


@pytest.mark.parametrize(
    ("status", "error"), [(503, ServerBusy), (415, Refused), (404, JobNotFound)]
)
async def test_a_failed_submission_tells_the_key_to_try_again_with(
    status: int,
    error: type[Refused],
    fake_server: Make,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """So that a second try cannot make a second job."""
    server = fake_server(lambda _: library.Response(status))
    with pytest.raises(error) as caught:
        await server.client().submit(io.BytesIO(b"x"), "pt")
    key = server.requests[0].headers["Idempotency-Key"]
    assert key == f'"{caught.value.idempotency_key}"'


async def test_cancelling_a_submission_closes_the_file(
    fake_server: Make, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """At whatever step."""
    import gc
    import warnings

    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)

    async def slow(request: Any) -> None:
        await trio.sleep(10)

    for deadline in (0.0, 1.0):
        with trio.move_on_after(deadline) as scope:
            await fake_server(slow).client().submit(path, "pt")
        assert scope.cancelled_caught
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        gc.collect()


async def test_a_file_that_changes_while_it_is_sent_is_told(
    fake_server: Make, library: ModuleType, tmp_path: Path
) -> None:
    """Longer or shorter than it was announced: no half of a video is taken for one."""

    class Changing(io.BytesIO):
        def __init__(self, data: bytes, by: int) -> None:
            super().__init__(data)
            self._by = by

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            change, self._by = self._by, 0
            return data[:change] if change < 0 else data + b"x" * change

    client = fake_server(accepting(library)).client()
    for by in (-5, 5):
        with pytest.raises(OSError, match="changed while it was sent"):
            await client.submit(Changing(VIDEO[:1000], by), "pt")


async def test_a_name_of_any_bytes_is_sent(
    fake_server: Make, library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """As text that can be read, with a mark for what cannot."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    path.write_bytes(VIDEO)
    server = fake_server(accepting(library))
    await server.client().submit(path, "pt")
    assert b'filename="?.mp4"' in server.requests[0].content


async def test_what_cannot_be_submitted_is_named(
    fake_server: Make, library: ModuleType, tmp_path: Path
) -> None:
    """The value, and what is allowed."""
    client = fake_server(accepting(library)).client()
    with pytest.raises(FileNotFoundError):
        await client.submit(tmp_path / "nothing.mp4", "pt")
    with pytest.raises(ValueError, match="video=17 is not allowed: must be a path or"):
        await client.submit(17, "pt")
    with pytest.raises(ValueError, match="opened in binary mode"):
        await client.submit(io.StringIO("text"), "pt")
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(ValueError, match="a pipe"):
        await client.submit(pipe, "pt")
    with pytest.raises(ValueError, match="idempotency_key='' is not allowed"):
        await client.submit(io.BytesIO(b"x"), "pt", idempotency_key="")
    with pytest.raises(ValueError, match="to='' is not allowed"):
        await client.submit(io.BytesIO(b"x"), "")
    with pytest.raises(ValueError, match="idempotency_key='a\"b' is not allowed"):
        await client.submit(io.BytesIO(b"x"), "pt", idempotency_key='a"b')


async def test_a_job_is_cancelled(
    fake_server: Make, library: ModuleType, autojump_clock: MockClock
) -> None:
    """One request; the job comes back as it then stands."""

    def answer(request: Any) -> object:
        return library.Response(
            202, content=json.dumps({"id": "j", "status": "cancelled"})
        )

    server = fake_server(answer)
    job = await server.client().cancel("j1")
    assert job.status is JobStatus.CANCELLED
    assert server.requests[0].method == "POST"
    assert server.requests[0].url.path == "/v1/translations/j1/cancel"
