"""The picture of many jobs: cheap however much changes, and what is told only once."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from vtrio import Job, JobStatus, NoAnswer, Refused, VtrioError, WaitTimeout
from vtrio._scopes import beside
from vtrio.cli.crowd import (
    MOST_SHOWN,
    Board,
    CrowdLines,
    JsonCrowd,
    Tally,
    open_crowd,
)


def a_job(number: int, status: JobStatus = JobStatus.RUNNING) -> Job:
    """Have a job as it was seen."""
    return Job(id=f"j{number}", status=status)


def make_board(of: int) -> tuple[Board, io.StringIO]:
    """Make a board on a terminal that is a text."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30)
    return Board(Tally(of, submits=True), console), screen


async def test_ten_thousand_changes_in_a_second_are_five_pictures(
    autojump_clock: MockClock,
) -> None:
    """Failures that are printed above the bars among them."""
    board, screen = make_board(1000)
    drawn_at: list[float] = []
    with board:
        async with beside(board.keep_drawn, name="draw"):
            for n in range(10_000):
                job = a_job(n % 1000)
                if n < 1000:
                    board.submitted(job, f"{job.id}.mp4")
                board.changed(job, f"{job.id}.mp4")
                if n % 100 == 0:
                    board.failed(VtrioError(f"trouble {n}"), f"j{n}", f"j{n}.mp4")
                await trio.sleep(0.0001)
                if len(drawn_at) < board.pictures:
                    drawn_at.append(trio.current_time())
            assert 0.99 < trio.current_time() < 1.01
    assert board.pictures <= 5
    assert len(drawn_at) >= 4
    assert "100 of 1000: 1000 submitted, " in screen.getvalue()
    assert "trouble 9900" in screen.getvalue()


async def test_no_second_has_more_than_five_pictures(
    autojump_clock: MockClock,
) -> None:
    """Wherever the second begins, and wherever the command ends."""
    for ends_at in (0.1, 0.999, 1.0, 1.124, 3.26):
        board, _ = make_board(3)
        drawn_at = [trio.current_time()]
        with board:
            async with beside(board.keep_drawn, name="draw"):
                last = trio.current_time() + ends_at
                while (now := trio.current_time()) < last:
                    await trio.sleep(min(0.01, last - now))
                    drawn_at += [now] * (board.pictures - len(drawn_at))
        drawn_at += [last] * (board.pictures - len(drawn_at))
        for at in drawn_at:
            assert sum(at <= other < at + 1 for other in drawn_at) <= 5


async def test_a_change_draws_nothing(autojump_clock: MockClock) -> None:
    """It costs a few calls of ours, however many jobs there are, and none of rich's."""
    board, _ = make_board(1000)
    jobs = [a_job(n) for n in range(1000)]

    def change_all() -> None:
        for job in jobs:
            board.changed(job, job.id)

    with board:
        calls = count_calls(change_all)
    assert calls["rich"] == 0
    assert calls["vtrio"] <= 4 * len(jobs)


def count_calls(work: Callable[[], object]) -> dict[str, int]:
    """Count the functions that are called, by the package that they are of."""
    calls = {"rich": 0, "vtrio": 0}

    def profile(frame: FrameType, event: str, _: Any) -> None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if event == "call" and package in calls:
            calls[package] += 1

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


async def test_the_few_that_run_longest_are_shown(autojump_clock: MockClock) -> None:
    """One that ends makes room for the next; what a server says steers no terminal."""
    board, screen = make_board(20)
    with board:
        for n in range(12):
            board.changed(a_job(n), f"clip{n}.mp4\x1b[2J")
        board.changed(a_job(0, JobStatus.PENDING), "clip0.mp4")
        board.completed("j1", "clip1.mp4", Path("out/clip1.pt.mp4"))
        board.failed(Refused("no"), "j2", "clip2.mp4")
    picture = screen.getvalue().rpartition("clip3.mp4")[2]
    bars, _, line = picture.partition("2 of 20: ")
    assert [n for n in range(12) if f"clip{n}.mp4" in bars] == [4, 5, 6, 7, 8, 9, 10]
    assert MOST_SHOWN == 8
    assert "clip2.mp4: no" in line
    assert "2 of 20: 0 submitted, 9 running, 1 completed, 1 failed" in picture
    assert "mp4\x1b[2J" not in screen.getvalue()
    assert r"mp4\x1b[2J" in screen.getvalue()


async def test_a_job_has_two_lines_where_there_is_no_terminal() -> None:
    """One when it is submitted, and one when it is over; the totals come last."""
    log = io.StringIO()
    lines = CrowdLines(Tally(2, submits=True), log)
    job, out = a_job(1, JobStatus.PENDING), Path("out/one.pt.mp4")
    lines.submitted(job, "one.mp4")
    for status in (JobStatus.RUNNING, JobStatus.COMPLETED):
        lines.changed(a_job(1, status), "one.mp4")
    lines.downloaded(job, "one.mp4", out)
    lines.downloaded(job, "one.mp4", out.with_suffix(".vtt"))
    lines.completed("j1", "one.mp4", out)
    lines.completed("j2", "j2", None)
    lines.finish()
    assert log.getvalue().splitlines() == [
        "one.mp4: submitted as j1",
        "one.mp4: completed, result in out/one.pt.mp4",
        "j2: completed",
        "2 of 2: 1 submitted, 0 running, 2 completed, 0 failed",
    ]


async def test_what_goes_wrong_with_many_alike_is_told_once() -> None:
    """And counted; what was given up is told apart from what failed."""
    log = io.StringIO()
    lines = CrowdLines(Tally(10, submits=False), log)
    for n in range(3):
        lines.failed(Refused("the key is wrong"), "", f"{n}.mp4")
        lines.timed_out(WaitTimeout(f"j{n} was not over"), f"j{n}", f"{n}.mp4", "again")
    lines.failed(NoAnswer("j9 has not answered"), "j9", "9.mp4")
    lines.failed(VtrioError("its own"), "j8", "8.mp4")
    lines.finish()
    assert log.getvalue().splitlines() == [
        "0.mp4: the key is wrong",
        "0.mp4: j0 was not over",
        "9.mp4: j9 has not answered",
        "8.mp4: its own",
        "2 more: the key is wrong",
        "2 more: not over in time",
        "8 of 10: 0 running, 0 completed, 4 failed, 4 given up",
    ]


async def test_json_is_the_same_for_many(capsys: pytest.CaptureFixture[str]) -> None:
    """Each event is an object; `again` is there where something can be gone on with."""
    async with open_crowd(as_json=True, of=9, submits=True) as drawing:
        assert isinstance(drawing, JsonCrowd)
        drawing.submitted(a_job(1), "one.mp4")
        drawing.completed("j1", "one.mp4", None)
        drawing.timed_out(WaitTimeout("late"), "j1", "one.mp4", "vtrio wait")
        drawing.timed_out(WaitTimeout("late"), "j1", "one.mp4", None)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in told] == ["submitted", "timeout", "timeout"]
    assert [line.get("again") for line in told] == [None, "vtrio wait", None]


async def test_without_the_extra_a_terminal_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing fails for want of bars."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    async with open_crowd(as_json=False, of=9, submits=True) as drawing:
        assert type(drawing) is CrowdLines
    assert capsys.readouterr().err == (
        "0 of 9: 0 submitted, 0 running, 0 completed, 0 failed\n"
    )
