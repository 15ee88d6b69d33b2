"""Submitting and cancelling: streamed, keyed, and told in the server's words."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    JobNotFound,
    JobStatus,
    Refused,
    ServerBusy,
    VideoTranslationClient,
)
from vtrio.testing import ScriptedServer, hang, job, respond

VIDEO = bytes(range(256)) * 1000


async def test_a_video_is_submitted(
    library: ModuleType, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """As multipart, with a key; the answer is the job, seen at age 0."""
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    server = ScriptedServer(retry_after=2)
    server.on_submit(job("pending"))
    client = server.client(library=library)
    made = await client.submit(path, to="pt", source_language="en")
    assert (made.id, made.status, made.target_language) == ("j1", "pending", "pt")
    assert made.source_language == "en"
    assert made.seen is not None
    assert (made.seen.age, made.seen.retry_after) == (0.0, 2.0)
    (request,) = server.exchanges
    assert (request.method, request.path) == ("POST", "/v1/translations")
    body = request.body
    assert VIDEO in body
    assert b'name="target_language"\r\n\r\npt\r\n' in body
    assert b'name="source_language"\r\n\r\nen\r\n' in body
    assert b'name="video"; filename="talk.mp4"' in body
    assert request.headers["content-length"] == str(len(body))
    assert re.fullmatch(r'"[0-9a-f]{32}"', request.headers["idempotency-key"])


async def test_a_file_that_is_open_stays_open(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """Whoever opened it closes it; a key of the caller's own is sent."""
    vtrio_server.on_submit(job("pending"))
    video = io.BytesIO(VIDEO)
    await vtrio_client.submit(video, "pt", idempotency_key="mine")
    assert not video.closed
    (request,) = vtrio_server.exchanges
    assert VIDEO in request.body
    assert request.headers["idempotency-key"] == '"mine"'


@pytest.mark.parametrize(
    ("status", "error"), [(503, ServerBusy), (415, Refused), (404, JobNotFound)]
)
async def test_a_failed_submission_tells_the_key_to_try_again_with(
    status: int,
    error: type[Refused],
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """So that a second try cannot make a second job."""
    vtrio_server.route(respond(status))
    with pytest.raises(error) as caught:
        await vtrio_client.submit(io.BytesIO(b"x"), "pt")
    key = vtrio_server.exchanges[0].headers["idempotency-key"]
    assert key == f'"{caught.value.idempotency_key}"'


async def test_cancelling_a_submission_closes_the_file(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """At whatever step."""
    import gc
    import warnings

    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    vtrio_server.fault(hang())
    for deadline in (0.0, 1.0):
        with trio.move_on_after(deadline) as scope:
            await vtrio_client.submit(path, "pt")
        assert scope.cancelled_caught
    assert vtrio_server.in_flight == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        gc.collect()


async def test_a_file_that_changes_while_it_is_sent_is_told(
    vtrio_client: VideoTranslationClient, autojump_clock: MockClock
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

    for by in (-5, 5):
        with pytest.raises(OSError, match="changed while it was sent"):
            await vtrio_client.submit(Changing(VIDEO[:1000], by), "pt")


async def test_a_name_of_any_bytes_is_sent(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """As text that can be read, with a mark for what cannot."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    path.write_bytes(VIDEO)
    vtrio_server.on_submit(job("pending"))
    await vtrio_client.submit(path, "pt")
    assert b'filename="?.mp4"' in vtrio_server.exchanges[0].body


async def test_what_cannot_be_submitted_is_named(
    vtrio_server: ScriptedServer, vtrio_client: VideoTranslationClient, tmp_path: Path
) -> None:
    """The value, and what is allowed."""
    with pytest.raises(FileNotFoundError):
        await vtrio_client.submit(tmp_path / "nothing.mp4", "pt")
    with pytest.raises(ValueError, match="video=17 is not allowed: must be a path or"):
        await vtrio_client.submit(17, "pt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="opened in binary mode"):
        await vtrio_client.submit(io.StringIO("text"), "pt")  # type: ignore[arg-type]
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(ValueError, match="a pipe"):
        await vtrio_client.submit(pipe, "pt")
    with pytest.raises(ValueError, match="idempotency_key='' is not allowed"):
        await vtrio_client.submit(io.BytesIO(b"x"), "pt", idempotency_key="")
    with pytest.raises(ValueError, match="to='' is not allowed"):
        await vtrio_client.submit(io.BytesIO(b"x"), "")
    with pytest.raises(ValueError, match="idempotency_key='a\"b' is not allowed"):
        await vtrio_client.submit(io.BytesIO(b"x"), "pt", idempotency_key='a"b')
    assert vtrio_server.exchanges == ()


async def test_a_job_is_cancelled(
    vtrio_server: ScriptedServer,
    vtrio_client: VideoTranslationClient,
    autojump_clock: MockClock,
) -> None:
    """One request; the job comes back as it then stands."""
    scripted = vtrio_server.add(job("running"))
    cancelled = await vtrio_client.cancel("j1")
    assert cancelled.status is JobStatus.CANCELLED
    assert scripted.cancelled_at == 0.0
    (request,) = vtrio_server.exchanges
    assert request.method == "POST"
    assert request.path == "/v1/translations/j1/cancel"
