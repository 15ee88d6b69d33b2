"""The file of a history: whole or not at all, and never overwritten when damaged."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from pathlib import Path

import pytest
import trio

from vtrio import DamagedHistory
from vtrio import _history_file as module
from vtrio._history_file import HistoryFile
from vtrio.schedules import DurationHistory, Observation

SEEN = [
    Observation(after=2.5, until=4.75, key="pt", work=66.0),
    Observation(after=4.0, until=4.0),
    Observation(after=9.0, until=None, job="j9"),
]


def a_history() -> DurationHistory:
    """Make a history that has seen something of everything."""
    history = DurationHistory()
    for observation in SEEN:
        history.observe(observation)
    return history


async def test_a_history_survives_its_program(tmp_path: Path) -> None:
    """What one has written, the next reads; folders are made."""
    path = tmp_path / "new" / "durations.json"
    first = HistoryFile(path, a_history())
    await first.load()
    first.note()
    await first.close()
    history = DurationHistory()
    second = HistoryFile(path, history)
    await second.load()
    await second.load()
    assert list(history.remembered()) == SEEN
    assert [file.name for file in path.parent.iterdir()] == ["durations.json"]
    document = json.loads(path.read_text())
    assert (document["format"], document["version"]) == ("vtrio durations", 1)
    assert document["classes"]["pt"] == [[2.5, 4.75, 66.0]]
    assert document["classes"][""][1] == [9.0, None, None, "j9"]


async def test_the_file_is_small(tmp_path: Path) -> None:
    """Five hundred jobs are some twenty kilobytes."""
    history = DurationHistory()
    for k in range(600):
        history.observe(Observation(after=k / 7, until=k / 7 + 1.25))
    file = HistoryFile(tmp_path / "h.json", history)
    await file.load()
    file.note()
    await file.close()
    assert (tmp_path / "h.json").stat().st_size < 25_000


async def test_it_is_written_when_a_tenth_more_is_known(tmp_path: Path) -> None:
    """And whatever is new when the client closes."""
    path = tmp_path / "h.json"
    history = DurationHistory()
    file = HistoryFile(path, history)
    await file.load()
    written = []
    for k in range(40):
        history.observe(Observation(after=k, until=k + 1))
        file.note()
        path.unlink(missing_ok=True)
        await file.save(before=math.inf, everything=False)
        written.append(path.exists())
    assert written[:10] == [True] * 10
    assert 3 < sum(written[10:]) < 15
    history.observe(Observation(after=1, until=2))
    file.note()
    await file.close()
    assert len(json.loads(path.read_text())["classes"][""]) == 41
    path.unlink()
    await file.close()
    assert not path.exists()  # nothing was new


GOOD = {"format": "vtrio durations", "version": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is not JSON"),
        ('{"format": "vtrio durations", "versi', "it is not JSON"),
        ("\x00\x00", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", 'does not say "format": "vtrio durations"'),
        ('{"jobs": []}', 'does not say "format": "vtrio durations"'),
        (json.dumps({**GOOD, "version": 2}), "it is of version 2, not 1"),
        (json.dumps(GOOD), "its classes are missing"),
        (json.dumps({**GOOD, "classes": {"a": 5}}), "class 'a' is not a list"),
        (json.dumps({**GOOD, "classes": {"a": [[1, 2]]}}), r"\[1, 2\] is not"),
        (json.dumps({**GOOD, "classes": {"a": [[1, "2", None]]}}), "'2' in .* number"),
        (json.dumps({**GOOD, "classes": {"a": [[None, 2, None]]}}), "None in .* no n"),
        (json.dumps({**GOOD, "classes": {"a": [[1, 2, True]]}}), "True in .* no num"),
        (json.dumps({**GOOD, "classes": {"a": [[1, 2, 3, 4]]}}), "4 in .* no job"),
        (json.dumps({**GOOD, "classes": {"a": [[1, 2, math.nan]]}}), "nan in .* no n"),
        (json.dumps({**GOOD, "classes": {"a": [[1, 2, math.inf]]}}), "inf in .* no n"),
        (
            json.dumps({**GOOD, "classes": {"a": [[1, 2, None], [10**400, None, 1]]}}),
            "in .* no number",
        ),
        (json.dumps({**GOOD, "classes": {"a": [[3, 2, None]]}}), "observation"),
        (json.dumps({**GOOD, "classes": {"a": [[math.nan, 2, None]]}}), "no number"),
        (json.dumps({**GOOD, "classes": {"a": [[1, math.inf, None]]}}), "no number"),
    ],
)
async def test_a_damaged_file_is_told_and_left_as_it_is(
    text: str, told: str, tmp_path: Path
) -> None:
    """One sentence: which file, what is wrong, what to do; and nothing is lost."""
    path = tmp_path / "h.json"
    path.write_text(text)
    history = a_history()
    file = HistoryFile(path, history)
    for _ in range(2):
        with pytest.raises(DamagedHistory, match=told) as caught:
            await file.load()
        assert str(path) in str(caught.value)
        assert "repair it, or name another file" in str(caught.value)
    file.note()
    await file.close()
    assert path.read_text() == text
    assert list(history.remembered()) == SEEN


async def test_a_file_that_is_far_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video, for instance."""
    monkeypatch.setattr(module, "_LARGEST", 1000)
    path = tmp_path / "video.mp4"
    path.write_bytes(b" " * 1001)
    with pytest.raises(DamagedHistory, match="larger than 1000 bytes"):
        await HistoryFile(path, DurationHistory()).load()


async def test_what_cannot_be_read_is_an_error_of_the_system(tmp_path: Path) -> None:
    """A folder has no text."""
    with pytest.raises(IsADirectoryError):
        await HistoryFile(tmp_path, DurationHistory()).load()


async def test_what_cannot_be_written_costs_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, tried again, and the file that was there stays."""
    folder = tmp_path / "folder"
    folder.mkdir()
    file = HistoryFile(folder / "h.json", a_history())
    await file.load()
    folder.rmdir()
    folder.write_text("no folder any more")
    file.note()
    await file.close()
    assert "history-not-saved" in caplog.text
    folder.unlink()
    await file.close()
    assert (folder / "h.json").exists()


async def test_a_broken_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written whole, then renamed: a full disk half-way changes nothing."""
    path = tmp_path / "h.json"
    file = HistoryFile(path, a_history())
    await file.load()
    file.note()
    await file.close()
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    file.note()
    await file.close()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["h.json"]


async def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file behind it is written."""
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    link.symlink_to(target)
    file = HistoryFile(link, a_history())
    await file.load()
    file.note()
    await file.close()
    assert link.is_symlink()
    assert target.exists()


async def test_closing_is_not_cut_off_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancelled caller's file is written; a disk that hangs is given up."""
    file = HistoryFile(tmp_path / "h.json", a_history())
    await file.load()
    file.note()
    with trio.CancelScope() as scope:
        scope.cancel()
        await file.close()
    assert (tmp_path / "h.json").exists()
    hanging = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: hanging.wait(10))
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    file.note()
    with trio.fail_after(2):
        await file.close()
    assert "too slow" in caplog.text
    hanging.set()


async def test_saving_ends_when_it_must_and_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the instant that it was given, and as soon as somebody cancels it."""
    file = HistoryFile(tmp_path / "h.json", a_history())
    await file.load()
    file.note()
    await file.save(before=trio.current_time(), everything=True)
    assert not (tmp_path / "h.json").exists()
    hanging = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: hanging.wait(10))
        with trio.fail_after(2):
            await file.save(before=trio.current_time() + 0.05, everything=True)
            with trio.move_on_after(0.05) as scope:
                await file.save(before=math.inf, everything=True)
        assert scope.cancelled_caught
        hanging.set()
    await file.close()  # nothing of it was forgotten
    assert json.loads((tmp_path / "h.json").read_text())["version"] == 1


async def test_work_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    """A source may tell nonsense; the file must still be one that can be read."""
    history = DurationHistory()
    history.observe(Observation(after=1, until=2, work=math.nan))
    file = HistoryFile(tmp_path / "h.json", history)
    await file.load()
    file.note()
    await file.close()
    assert json.loads((tmp_path / "h.json").read_text())["classes"][""] == [
        [1, 2, None]
    ]


async def test_a_large_file_holds_nobody_up(tmp_path: Path) -> None:
    """It is parsed in a thread, and restored in slices."""
    history = DurationHistory()
    for k in range(2000):
        history.observe(Observation(after=k + 1, until=k + 2, key=str(k % 20)))
    file = HistoryFile(tmp_path / "h.json", history)
    await file.load()
    file.note()
    await file.close()
    turns = 0

    async def count(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal turns
        task_status.started()
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    copy = DurationHistory()
    async with trio.open_nursery() as nursery:
        await nursery.start(count)
        await HistoryFile(tmp_path / "h.json", copy).load()
        nursery.cancel_scope.cancel()
    assert turns >= 10
    assert copy.statistics().remembered == 2000


async def test_savings_take_turns(tmp_path: Path) -> None:
    """Of many at once each writes a whole file, one after the other."""
    file = HistoryFile(tmp_path / "h.json", a_history())
    await file.load()

    async def one() -> None:
        file.note()
        await file.close()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert json.loads((tmp_path / "h.json").read_text())["version"] == 1
    assert len(list(tmp_path.iterdir())) == 1
