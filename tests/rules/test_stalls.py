"""Stalls: what is too long follows from those who came to an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio import Job, JobStatus
from vtrio._stalls import ENOUGH, REMEMBERED, JobPhase, PhaseTimes

DAWN = datetime(2026, 1, 1, tzinfo=UTC)


def ended(queued: float, ran: float, status: JobStatus = JobStatus.COMPLETED) -> Job:
    """Make a job that waited and was worked on for so many seconds."""
    return Job(
        id="j",
        status=status,
        created_at=DAWN,
        started_at=DAWN + timedelta(seconds=queued),
        finished_at=DAWN + timedelta(seconds=queued + ran),
    )


def times_of(*jobs: Job) -> PhaseTimes:
    """Take in jobs that have ended."""
    times = PhaseTimes()
    for job in jobs:
        times.note(job)
    return times


def test_nothing_is_too_long_before_there_is_enough_to_judge_by() -> None:
    """One job less than enough says nothing."""
    few = [ended(30, 60)] * (ENOUGH - 1)
    assert times_of(*few).budget(JobPhase.RUN) is None
    assert times_of(*few, ended(30, 60)).budget(JobPhase.RUN) == 90


def test_a_budget_lies_as_far_beyond_the_99th_percentile_as_that_beyond_the_median() -> (
    None
):
    """In ratio: half take 20 s, the longest 40: then 80 is too long."""
    jobs = [ended(0, 20)] * 50 + [ended(0, 40)] * 50
    assert times_of(*jobs).budget(JobPhase.RUN) == 40 * 1.5
    jobs = [ended(0, 20)] * 51 + [ended(0, 40)] * 49
    assert times_of(*jobs).budget(JobPhase.RUN) == 80


def test_the_queue_and_the_work_are_learned_apart() -> None:
    """A long queue does not excuse long work."""
    times = times_of(*[ended(600, 20)] * ENOUGH)
    assert times.budget(JobPhase.QUEUE) == 900
    assert times.budget(JobPhase.RUN) == 30


def test_short_times_are_no_reason_to_cry() -> None:
    """A queue that was always empty allows ten seconds all the same."""
    assert times_of(*[ended(0, 1)] * ENOUGH).budget(JobPhase.QUEUE) == 10
    assert times_of(*[ended(0, 1)] * ENOUGH).budget(JobPhase.RUN) == 10


def test_a_job_that_failed_says_nothing_of_how_long_work_takes() -> None:
    """It says how long it waited for its turn."""
    times = times_of(*[ended(30, 1, JobStatus.ERROR)] * ENOUGH)
    assert times.budget(JobPhase.RUN) is None
    assert times.budget(JobPhase.QUEUE) == 45


@pytest.mark.parametrize(
    "job",
    [
        Job(id="j", status=JobStatus.COMPLETED),
        Job(id="j", status=JobStatus.COMPLETED, created_at=DAWN, finished_at=DAWN),
        ended(-5, -5),
    ],
    ids=["no times", "never started", "clocks that go back"],
)
def test_what_the_server_does_not_tell_is_not_guessed(job: Job) -> None:
    """A job without usable times is passed over."""
    times = times_of(*[job] * ENOUGH)
    assert times.budget(JobPhase.QUEUE) is None
    assert times.budget(JobPhase.RUN) is None


def test_old_jobs_are_forgotten() -> None:
    """The server may have become faster."""
    times = times_of(*[ended(0, 1000)] * REMEMBERED, *[ended(0, 20)] * REMEMBERED)
    assert times.budget(JobPhase.RUN) == 30


@given(st.lists(st.floats(0, 1e6), min_size=ENOUGH, max_size=2 * ENOUGH))
def test_a_budget_allows_all_but_one_in_a_hundred(seconds: list[float]) -> None:
    """And with fewer jobs than a hundred: all that were seen."""
    times = times_of(*(ended(0, s) for s in seconds))
    budget = times.budget(JobPhase.RUN)
    assert budget is not None
    assert budget >= max(seconds)
    assert budget >= 10
