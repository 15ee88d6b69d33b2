"""The demonstration job: drawn once, then told by the clock."""

from __future__ import annotations

import random

import pytest

from vtrio._distributions import Durations
from vtrio._job import JobStatus
from vtrio.server import Demonstration


def test_it_is_pending_until_its_time_has_come() -> None:
    """At the instant of its end it has ended, and it stays so."""
    job = Demonstration(started=100, duration=5, ending=JobStatus.ERROR)
    statuses = [job.status(now) for now in (100, 104.999, 105, 1e9)]
    assert statuses == ["pending", "pending", "error", "error"]


def test_draws_come_from_the_generator() -> None:
    """A seed fixes duration and ending; durations lie between 5 and 15 s."""
    first, again = (
        [Demonstration.draw(0, rng=random.Random(seed)) for seed in range(300)]
        for _ in range(2)
    )
    assert first == again
    assert all(5 <= job.duration < 15 for job in first)
    assert {job.ending for job in first} == {JobStatus.COMPLETED, JobStatus.ERROR}


@pytest.mark.parametrize(("rate", "ending"), [(0, "completed"), (1, "error")])
def test_the_failure_rate_decides(rate: float, ending: str) -> None:
    """At 0 it never fails, at 1 always; its durations can be chosen."""
    job = Demonstration.draw(
        3,
        rng=random.Random(1),
        durations=Durations.parse("fixed:2"),
        failure_rate=rate,
    )
    assert (job.started, job.duration, job.ending) == (3, 2, ending)


def test_it_cannot_end_otherwise() -> None:
    """What is no ending, no duration or no share is refused by name."""
    with pytest.raises(ValueError, match="ending="):
        Demonstration(started=0, duration=1, ending=JobStatus.CANCELLED)
    with pytest.raises(ValueError, match="duration="):
        Demonstration(started=0, duration=-1)
    with pytest.raises(ValueError, match="failure_rate="):
        Demonstration.draw(0, rng=random.Random(), failure_rate=2)
