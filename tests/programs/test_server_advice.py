"""When a client is told to ask again, learned from the jobs that were run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio._job import JobStatus
from vtrio.schedules import Fixed
from vtrio.server.advice import Advice
from vtrio.server.engines import EngineError
from vtrio.server.store import Instant, JobRecord

if TYPE_CHECKING:
    from tests.programs.conftest import BenchOf

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def a_job(
    name: str = "j",
    status: JobStatus = JobStatus.PENDING,
    *,
    created: float = 0,
    finished: float | None = None,
) -> JobRecord:
    """Make a job that was submitted, and perhaps ended, at these instants."""
    return JobRecord(
        id=name,
        status=status,
        source=PurePath(),
        target_language="pt",
        created=Instant(created, NOON),
        finished=None if finished is None else Instant(finished, NOON),
    )


def ended(name: str, *, created: float = 0, finished: float) -> JobRecord:
    """Make a job that was completed."""
    return a_job(name, JobStatus.COMPLETED, created=created, finished=finished)


@pytest.mark.parametrize(("pause", "told"), [(0, 1), (1.0, 1), (2.01, 3), (5, 5)])
def test_it_is_in_whole_seconds_rounded_up(pause: float, told: int) -> None:
    """And never none, whatever the schedule says."""
    assert Advice(Fixed(pause)).ask_again_after(a_job(), age=0) == told


def test_it_grows_with_the_age_until_something_is_known() -> None:
    """From one second to twenty."""
    advice = Advice()
    ages = (0, 1, 10, 60, 250)
    assert [advice.ask_again_after(a_job(), age=age) for age in ages] == [
        *(1, 2, 2, 7, 20)
    ]


def test_a_job_that_nobody_saw_begin_teaches_nothing() -> None:
    """Nor does one that has ended twice, or has no end."""
    advice = Advice()
    advice.ended(ended("stranger", finished=9))
    advice.begun(a_job("a"))
    advice.ended(a_job("a"))
    advice.begun(a_job("b"))
    advice.ended(ended("b", finished=9))
    advice.ended(ended("b", finished=99))
    assert [lesson.until for lesson in advice.durations.remembered()] == [9.0]


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    """A job that ended before it began took no time."""
    advice = Advice()
    advice.begun(a_job("a", created=10))
    advice.ended(ended("a", created=10, finished=5))
    (lesson,) = advice.durations.remembered()
    assert (lesson.after, lesson.until) == (0.0, 0.0)


def test_jobs_that_still_run_count_as_longer() -> None:
    """What has run for a minute lasts longer than that, though nobody asked about it."""
    advice, alone = Advice(), Advice()
    for name in "abc":
        advice.begun(a_job(f"long-{name}"))
    for number in range(4):
        for each in (advice, alone):
            each.begun(a_job(f"short-{number}", created=60))
            each.ended(ended(f"short-{number}", created=60, finished=62))
    assert advice.durations.statistics().running == 3
    fresh = a_job("new", created=62)
    assert advice.ask_again_after(fresh, age=3) > alone.ask_again_after(fresh, age=3)


async def test_the_pause_that_is_asked_for_is_learned(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """From the jobs that were run: until most of them end, and then little by little."""
    bench = bench_of(script=[(60.0, None), (55.0, None), (65.0, None)] * 4)
    async with bench.running():
        first = await bench.submit()
        assert bench.service.ask_again_after(first) == 1
        for _ in range(12):
            record = await bench.submit()
            await trio.sleep(200)
        fresh = replace(record, status=JobStatus.PENDING, created=bench.service.now())
        pause = bench.service.ask_again_after(fresh)
        assert pause is not None
        assert 15 <= pause <= 60
        await trio.sleep(58)
        assert bench.service.ask_again_after(fresh) in range(1, 8)


async def test_what_teaches_the_pause(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Ends and failures since the submission; a cancelled job would last longer."""
    broken = EngineError("bad", "It is bad", permanent=True)
    bench = bench_of(script=[(30.0, None), (10.0, broken), (90.0, None)])
    async with bench.running():
        for _ in range(2):
            await bench.submit()
            await trio.sleep(50)
        record = await bench.submit()
        await trio.sleep(20)
        await bench.service.cancel(record.id)
        seen = list(bench.service.advice.durations.remembered())
    assert [(lesson.after, lesson.until) for lesson in seen] == [
        (30.0, 30.0),
        (10.0, 10.0),
        (20.0, None),
    ]
    assert seen[0].work == 3.5
    assert bench.service.advice.durations.statistics().running == 0
