"""The scripted source: one job that lives as a script says, without any server."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Job,
    JobStatus,
    ServerBusy,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio.testing import ScriptedSource, Steady, after, refused


def a_client(source: object, **settings: object) -> VideoTranslationClient:
    """Make a client that asks a source; chance plays no part."""
    return VideoTranslationClient(
        "http://x",
        source=source,  # type: ignore[arg-type]
        rng=Steady(),
        **settings,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("step", [refused(), after(5, refused()), 7, None])
def test_a_step_that_is_none_is_refused(step: object) -> None:
    """A server's fault would pass for an unknown status word."""
    with pytest.raises(ValueError, match=r"step .* is not allowed: must be a status"):
        ScriptedSource("pending", step)  # type: ignore[arg-type]


def a_job(status: JobStatus, **members: object) -> Job:
    """Make a job as a source gives it."""
    return Job(id="j1", status=status, **members)  # type: ignore[arg-type]


async def test_a_source_lives_by_the_clock_from_when_it_is_made(
    autojump_clock: MockClock,
) -> None:
    """Its age is that of its job."""
    await trio.sleep(100)
    source = ScriptedSource("pending", after(2, "running"), after(7, "completed"))
    heard: list[str] = []
    client = a_client(source, max_wait_time=None, max_attempts=None)
    assert await client.get_status("j1", on_update=heard.append) == "completed"
    assert heard == ["pending", "pending", "running", "completed"]
    assert source.asked_at == [100.0, 101.0, 103.0, 107.0]


def test_a_source_made_before_the_run_begins_with_it(
    autojump_clock: MockClock,
) -> None:
    """On whatever clock: instants count from the first use."""
    source = ScriptedSource("pending", after(0.5, "completed"))

    async def ask() -> list[str]:
        return [(await source.status("j1")).job.word for _ in range(3)]

    assert trio.run(ask) == ["pending"] * 3
    assert source.asked_at[0] == 0.0
    assert source.asked_at[-1] < 0.5


async def test_a_source_gives_whatever_its_steps_are(
    autojump_clock: MockClock,
) -> None:
    """Words, statuses, jobs, answers and errors, each for one question."""
    answer = Answer(job=a_job(JobStatus.RUNNING, progress=0.5), age=9.0, hint=4.0)
    busy = ServerBusy("503", status_code=503, hint=2.0)
    source = ScriptedSource(
        "asleep",
        JobStatus.PENDING,
        a_job(JobStatus.RUNNING, progress=0.25),
        answer,
        busy,
        "completed",
    )
    told: list[object] = []
    for _ in range(7):
        try:
            told.append(await source.status("j1"))
        except ServerBusy as error:
            told.append(error)
    assert told == [
        Answer(job=a_job(JobStatus.RUNNING, unknown_word="asleep")),
        Answer(job=a_job(JobStatus.PENDING)),
        Answer(job=a_job(JobStatus.RUNNING, progress=0.25)),
        answer,
        busy,
        Answer(job=a_job(JobStatus.COMPLETED)),
        Answer(job=a_job(JobStatus.COMPLETED)),
    ]


async def test_an_answer_tells_what_was_true_when_it_was_asked_for(
    autojump_clock: MockClock,
) -> None:
    """And it takes the latency."""
    source = ScriptedSource("pending", after(5, "completed"), latency=3)
    await trio.sleep(4)
    assert (await source.status("j1")).job.status == "pending"
    assert trio.current_time() == 7.0
    assert (await source.status("j1")).job.status == "completed"


async def test_a_source_may_never_answer(autojump_clock: MockClock) -> None:
    """Each question is given up at `request_timeout`, and none stays in flight."""
    source = ScriptedSource("running", latency=math.inf)
    client = a_client(source, request_timeout=2)
    with pytest.raises(WaitTimeout):
        await client.wait("j1", max_wait_time=7)
    assert source.asked_at[0] == 0.0
    assert trio.current_time() == 7.0
    assert source.in_flight == 0


def test_a_source_shows_its_script() -> None:
    """And how often it was asked."""
    source = ScriptedSource("pending", after(20, "completed"))
    assert repr(source) == (
        "<ScriptedSource job('pending', after(20, 'completed')): 0 requests>"
    )
