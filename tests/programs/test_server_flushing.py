"""Flushing: what attempts have made is kept together, and refused one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from vtrio.server import flushing
from vtrio.server.flushing import Flusher


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[Path, ...]]]:
    """Return what is flushed in each hand-over to a thread."""
    calls: list[list[tuple[Path, ...]]] = []
    flush_all = flushing._flush_all

    def noting(files: Sequence[tuple[Path, ...]]) -> list[Exception | None]:
        calls.append(list(files))
        return flush_all(files)

    monkeypatch.setattr(flushing, "_flush_all", noting)
    return calls


async def test_what_comes_together_is_flushed_together(
    autojump_clock: MockClock,
    tmp_path: Path,
    flushed: list[list[tuple[Path, ...]]],
) -> None:
    """The first waits for nobody; those behind it share a few threads."""
    flusher = Flusher()
    files = [tmp_path / str(number) for number in range(13)]
    for file in files:
        file.touch()

    async with trio.open_nursery() as nursery:
        for file in files:
            nursery.start_soon(flusher.flush, file)
            await trio.testing.wait_all_tasks_blocked()

    assert [len(share) for share in flushed] == [1, 3, 3, 3, 3]
    assert trio.current_time() == pytest.approx(flushing._PAUSE)
    assert repr(flusher) == "<Flusher waiting=0>"


async def test_only_who_asked_for_it_hears_that_a_file_is_not_kept(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The others of the same batch are kept."""
    flusher = Flusher()
    (tmp_path / "there").touch()
    refused: list[str] = []

    async def flush(name: str) -> None:
        try:
            await flusher.flush(tmp_path / name)
        except FileNotFoundError:
            refused.append(name)

    async with trio.open_nursery() as nursery:
        for name in ("there", "missing", "there"):
            nursery.start_soon(flush, name)

    assert refused == ["missing"]


async def test_only_who_asked_for_it_hears_of_a_path_that_can_be_none(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It is no error of the disk's, and that of one alone all the same."""
    flusher = Flusher()
    (tmp_path / "there").touch()
    refused: list[str] = []

    async def flush(name: str) -> None:
        try:
            await flusher.flush(tmp_path / name)
        except ValueError:
            refused.append(name)

    async with trio.open_nursery() as nursery:
        for name in ("there", "nul\0in it", "there"):
            nursery.start_soon(flush, name)

    assert refused == ["nul\0in it"]


async def test_who_is_cancelled_leaves_nobody_behind(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The first of a batch flushes it for the others, though it is cancelled."""
    flusher = Flusher()
    (tmp_path / "there").touch()
    kept: list[str] = []

    async def flush(name: str) -> None:
        await flusher.flush(tmp_path / "there")
        kept.append(name)

    await flush("alone")
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(flush, "follower")
            scope.cancel("before it has begun")
            await flush("leader")

    assert scope.cancelled_caught
    assert kept == ["alone", "follower"]


async def test_what_ends_a_thread_is_told_to_each(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a thread that could not be started."""

    async def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(flushing, "in_thread", none_left)

    with pytest.raises(RuntimeError, match="new thread"):
        await Flusher().flush(tmp_path)


class Interrupted(BaseException):
    """Ends a thread or a task as a signal does."""


@pytest.mark.parametrize("ended", ["flushing.in_thread", "trio.sleep_until"])
async def test_what_was_ended_before_its_time_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """Those who share it hear so and wait no longer; the next is flushed."""
    flusher = Flusher()
    (tmp_path / "there").touch()
    heard: list[str] = []

    async def interrupt(*_: object) -> None:
        raise Interrupted

    async def follow() -> None:
        with pytest.raises(OSError, match="ended before") as error:
            await flusher.flush(tmp_path / "there")
        heard.append(str(error.value))

    with monkeypatch.context() as patched:
        patched.setattr(ended.replace("flushing", flushing.__name__), interrupt)
        with pytest.RaisesGroup(Interrupted, flatten_subgroups=True):
            async with trio.open_nursery() as nursery, flusher._one_at_a_time:
                nursery.start_soon(flusher.flush, tmp_path / "there")
                await trio.testing.wait_all_tasks_blocked()
                for _ in range(2):
                    nursery.start_soon(follow)
                await trio.testing.wait_all_tasks_blocked()
    assert len(heard) == 2

    await flusher.flush(tmp_path / "there")
