"""The deadline, whatever the schedule, the jitter and the way of waiting."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from vtrio import (
    Exponential,
    Fixed,
    Job,
    JobStatus,
    Schedule,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio._job import Sighting
from vtrio._runs import this_run
from vtrio.testing import ScriptedSource, after

URL = "http://translations.example"

# In steps that a virtual clock meets exactly: it jumps by differences, and those of
# arbitrary numbers are rounded.
limits = st.integers(min_value=32, max_value=90 * 64).map(lambda steps: steps / 64)
factors = st.floats(min_value=1, max_value=3)
schedules = st.one_of(
    st.builds(Fixed, st.floats(min_value=0.01, max_value=100)),
    st.builds(
        Exponential,
        st.floats(min_value=0.01, max_value=3),
        factors,
        cap=st.one_of(st.none(), st.just(20.0)),
        jitter=st.floats(min_value=0, max_value=1),
    ),
)


async def by_get_status(client: VideoTranslationClient, limit: float) -> bool:
    """Wait as the seed does; the limit is the client's own."""
    return await client.get_status() == "completed"


async def by_id(client: VideoTranslationClient, limit: float) -> bool:
    """Wait for a job of which nothing is known."""
    try:
        await client.wait("j1", max_wait_time=limit)
    except WaitTimeout:
        return False
    return True


async def from_a_submission(client: VideoTranslationClient, limit: float) -> bool:
    """Wait for a job that was submitted just now, to a quick answer."""
    seen = Sighting(at=trio.current_time(), run=this_run(), age=0.0, took=0.01)
    job = Job(id="j1", status=JobStatus.PENDING, seen=seen)
    try:
        await client.wait(job, max_wait_time=limit)
    except WaitTimeout:
        return False
    return True


Way = Callable[[VideoTranslationClient, float], Awaitable[bool]]
ways = st.sampled_from([by_get_status, by_id, from_a_submission])


def wait_by(
    way: Way, schedule: Schedule, limit: float, source: ScriptedSource, seed: int
) -> tuple[bool, float]:
    """Wait in virtual time; return whether the end was told, and when."""

    async def main() -> tuple[bool, float]:
        client = VideoTranslationClient(
            URL,
            max_attempts=None,
            max_wait_time=limit,
            schedule=schedule,
            source=source,
            rng=random.Random(seed),
        )
        return await way(client, limit), trio.current_time()

    return trio.run(main, clock=MockClock(autojump_threshold=0))


@given(ways, schedules, limits, st.integers())
def test_a_job_that_ends_in_time_is_reported_in_every_run(
    way: Way, schedule: Schedule, limit: float, seed: int
) -> None:
    """At D - 0.3 s, with answers that take 0.1 s."""
    source = ScriptedSource("pending", after(limit - 0.3, "completed"), latency=0.1)
    told, at = wait_by(way, schedule, limit, source, seed)
    assert told
    assert at <= limit


@given(
    ways,
    schedules,
    limits,
    st.sampled_from([0.0, 0.05, 1.3, float("inf")]),
    st.integers(),
)
def test_a_job_that_never_ends_is_given_up_at_the_deadline(
    way: Way, schedule: Schedule, limit: float, latency: float, seed: int
) -> None:
    """Exactly then, however quick, slow or silent the server is."""
    source = ScriptedSource("pending", latency=latency)
    assert wait_by(way, schedule, limit, source, seed) == (False, limit)
    assert source.in_flight == 0
