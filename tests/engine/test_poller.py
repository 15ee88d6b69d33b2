"""The loop of one wait: it asks when told, keeps its limits, and always yields."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from vtrio import Answer, Capabilities, Fixed, Job, JobStatus
from vtrio._limits import Limits
from vtrio._poller import poll
from vtrio._session import Deliver, Session, Stop
from vtrio.testing import ScriptedSource


def a_session(**limits: float) -> Session:
    """Make a session that begins now and would ask every two seconds."""
    return Session(
        job_id="j1",
        schedule=Fixed(2),
        limits=Limits(**limits),  # type: ignore[arg-type]
        started_at=trio.current_time(),
    )


async def test_the_verdict_is_returned_not_raised(autojump_clock: MockClock) -> None:
    """So that nothing a callback raises can be taken for it."""
    verdict = await poll(
        ScriptedSource("running", "completed"), a_session(), rng=random.Random()
    )
    assert isinstance(verdict, Deliver)
    assert trio.current_time() == 2.0
    verdict = await poll(
        ScriptedSource("running"), a_session(max_wait_time=3), rng=random.Random()
    )
    assert isinstance(verdict, Stop)
    assert trio.current_time() == 5.0


@pytest.mark.parametrize(("limits", "limit"), [({}, 10), ({"request_timeout": 3}, 3)])
async def test_a_poll_without_an_answer_is_given_up_alone(
    limits: dict[str, float], limit: float, autojump_clock: MockClock
) -> None:
    """The wait goes on; its receipt tells how long the poll was given."""

    class SilentOnce:
        capabilities = Capabilities()

        def __init__(self) -> None:
            self.asked_at: list[float] = []

        async def status(self, job_id: str) -> Answer:
            self.asked_at.append(trio.current_time())
            if len(self.asked_at) == 1:
                await trio.sleep_forever()
            return Answer(job=Job(id=job_id, status=JobStatus.COMPLETED))

    source = SilentOnce()
    verdict = await poll(source, a_session(**limits), rng=random.Random())
    assert isinstance(verdict, Deliver)
    assert source.asked_at == [0.0, limit + 2.0]
    assert verdict.job.receipt is not None
    (error,) = verdict.job.receipt.errors
    assert error == f"no answer within request_timeout={limit} s"


async def test_an_unknown_word_is_logged_once_with_its_job(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A line begins with what to search for, and tells job and word."""
    await poll(
        ScriptedSource("queued", "queued", "completed"),
        a_session(),
        rng=random.Random(),
    )
    (line,) = caplog.messages
    assert line.startswith("unknown-status job='j1' status='queued'")


async def test_a_source_that_never_waits_starves_nobody(
    autojump_clock: MockClock,
) -> None:
    """The loop passes a checkpoint at every poll, whatever the source does."""

    class Immediate:
        capabilities = Capabilities()
        asked = 0

        async def status(self, job_id: str) -> Answer:
            self.asked += 1
            return Answer(job=Job(id=job_id, status=JobStatus.RUNNING))

    source = Immediate()
    session = Session(job_id="j1", schedule=Fixed(0), limits=Limits(), started_at=0.0)
    with trio.CancelScope() as scope:

        def stop(job: Job) -> None:
            if source.asked == 100:
                scope.cancel()

        await poll(source, session, rng=random.Random(), on_job=stop)
    assert scope.cancelled_caught
    assert source.asked == 100


async def test_silence_is_the_servers_not_the_callbacks(
    autojump_clock: MockClock,
) -> None:
    """Whoever takes his time over an update has not been left without an answer."""

    async def slow(job: Job) -> None:
        await trio.sleep(5)

    verdict = await poll(
        ScriptedSource("running", "completed"),
        a_session(max_silence=2),
        rng=random.Random(),
        on_job=slow,
    )
    assert isinstance(verdict, Deliver)


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.2])
async def test_a_cancel_comes_out_at_once(at: float, autojump_clock: MockClock) -> None:
    """In the poll, in the callback, in the sleep."""
    source = ScriptedSource("pending", latency=1.0)

    async def slow(job: Job) -> None:
        await trio.sleep(1)

    with trio.move_on_at(at) as scope:
        await poll(source, a_session(), rng=random.Random(), on_job=slow)
    assert scope.cancelled_caught
    assert trio.current_time() == at
    assert source.in_flight == 0
