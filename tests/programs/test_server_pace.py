"""How fast an upload has to come in: so much in each minute, at exact instants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio.server import Limits, uploads
from vtrio.server.errors import TooSlow
from vtrio.server.uploads import receive_form

if TYPE_CHECKING:
    from tests.programs.conftest import CheckProblem, OpenApp

MULTIPART = "multipart/form-data; boundary=b"
HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="target_language"\r\n\r\npt\r\n'
    b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
)


async def come(arrivals: Sequence[tuple[float, int]]) -> AsyncIterator[bytes]:
    """Send so many bytes at these instants, then nothing more."""
    rest = HEAD
    for instant, size in arrivals:
        await trio.sleep_until(instant)
        piece, rest = rest[:size], rest[size:]
        yield piece.ljust(size, b"v")
    await trio.sleep_forever()


async def given_up(
    folder: Path, arrivals: Sequence[tuple[float, int]], rate: int
) -> float:
    """Take an upload in until it is given up; return when that is."""
    with pytest.raises(TooSlow) as raised:
        async with receive_form(
            come(arrivals),
            content_type=MULTIPART,
            content_length=None,
            folder=folder,
            limits=Limits(upload_rate=rate),
        ):
            pass
    assert f"{max(1, rate * 60)} bytes" in str(raised.value)
    assert not list(folder.iterdir())
    return trio.current_time()


@pytest.mark.parametrize(
    ("arrivals", "rate", "end"),
    [
        # Nothing, and a byte too few, in the first minute.
        ([], 10, 60),
        ([(0, 300), (59, 299)], 10, 60),
        # What makes a minute's share begins the next minute, whenever it comes.
        ([(59, 600)], 10, 119),
        ([(1, 600)], 10, 61),
        ([(20, 300), (59, 300), (118, 600), (120, 599)], 10, 178),
        # More than a share is not saved up.
        ([(10, 6000)], 10, 70),
        # Without a rate, something has to come each minute.
        ([], 0, 60),
        ([(59, 1), (118, 1), (177, 1)], 0, 237),
    ],
)
async def test_an_upload_that_brings_too_little_is_given_up(
    arrivals: list[tuple[float, int]],
    rate: int,
    end: float,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """Each minute has to bring as much as the slowest rate makes of it."""
    assert await given_up(tmp_path, arrivals, rate) == end


@pytest.mark.parametrize(
    ("arrivals", "end"), [([(10, 599)], 160), ([(10, 600)], 170), ([(59.5, 599)], 160)]
)
async def test_the_time_that_the_disk_takes_does_not_count(
    arrivals: list[tuple[float, int]],
    end: float,
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write of 100 s lengthens the minute by as much, or the next one begins there."""

    async def write(work: Callable[[bytes], None], content: bytes) -> None:
        work(content)
        await trio.sleep(100)

    monkeypatch.setattr(uploads, "in_thread", write)
    assert await given_up(tmp_path, arrivals, 10) == end


async def test_an_upload_that_trickles_is_told_so(
    open_app: OpenApp,
    check_problem: CheckProblem,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """By default a thousand bytes a second; its file is gone, and it made no job."""
    async with open_app() as client:
        arrivals = [(20 * n, 19_999) for n in range(10)]
        answer = await client.post(
            "/v1/translations",
            content=come(arrivals),
            headers={"Content-Type": MULTIPART},
        )
        # Two seconds more are given to what is still on its way.
        assert trio.current_time() == 62
        detail = check_problem(answer, 408, "upload-too-slow")
        assert "60000 bytes" in detail
        assert not list((tmp_path / "uploads").iterdir())
        assert client.store.cursor == 0
