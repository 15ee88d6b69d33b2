"""Waiting through the client, in virtual time: exact instants, exact counts."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from vtrio import (
    Exponential,
    Fixed,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobStatus,
    Learned,
    NoAnswer,
    Refused,
    ServerBusy,
    Unreachable,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio._job import Sighting
from vtrio._runs import this_run
from vtrio.schedules import Observation
from vtrio.testing import ScriptedServer, ScriptedSource, after, hang, job

URL = "http://translations.example"


def a_client(source: object, **settings: object) -> VideoTranslationClient:
    """Make a client that asks a source instead of a server; no jitter unless given."""
    if settings.get("schedule") is None:
        settings = {"jitter": 0.0, **settings}
    return VideoTranslationClient(URL, source=source, **settings)  # type: ignore[arg-type]


def submitted_now(job_id: str = "j1") -> Job:
    """Make a job as `submit` returns it."""
    return Job(
        id=job_id,
        status=JobStatus.PENDING,
        seen=Sighting(
            at=trio.current_time(),
            run=this_run(),
            age=0.0,
        ),
    )


async def test_polls_come_at_the_seeds_instants(autojump_clock: MockClock) -> None:
    """Without jitter: 0, 1, 3, 7, 15, 31 s, each delay twice the last."""
    source = ScriptedSource("pending", after(20.0, "completed"))
    assert await a_client(source).get_status() == "completed"
    assert source.asked_at == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]
    assert trio.current_time() == 31.0


async def test_jitter_comes_from_the_injected_generator(
    autojump_clock: MockClock,
) -> None:
    """A uniform draw from ±jitter around each delay, in the generator's order."""
    source = ScriptedSource("pending")
    client = a_client(source, jitter=0.5, max_attempts=5, rng=random.Random(7))
    assert await client.get_status() == "timeout"
    drawn, asked = random.Random(7), [0.0]
    drawn.random()  # drawn for the beginning, which has no delay
    for k in range(1, 5):
        asked.append(asked[-1] + 2.0 ** (k - 1) + drawn.uniform(-0.5, 0.5))
    assert source.asked_at == pytest.approx(asked, abs=1e-12)


async def test_jitter_never_makes_a_delay_negative(autojump_clock: MockClock) -> None:
    """A large jitter around a small delay asks at once at most."""
    source = ScriptedSource("pending")
    client = a_client(source, initial_wait_time=0.1, jitter=5.0, rng=random.Random(1))
    await client.get_status()
    assert source.asked_at == sorted(source.asked_at)


@pytest.mark.parametrize(
    ("ending", "told"),
    [("completed", "completed"), ("error", "error"), ("cancelled", "error")],
)
async def test_a_final_status_is_told_in_the_seeds_words(
    ending: str, told: str, autojump_clock: MockClock
) -> None:
    """A cancelled job is an error."""
    assert await a_client(ScriptedSource("running", ending)).get_status() == told


async def test_the_last_attempt_ends_the_wait_at_once(
    autojump_clock: MockClock,
) -> None:
    """Failed polls count, and there is no sleep after the last."""
    source = ScriptedSource(Unreachable("refused"), "pending", Unreachable("refused"))
    assert await a_client(source, max_attempts=3).get_status() == "timeout"
    assert source.asked_at == [0.0, 1.0, 3.0]
    assert trio.current_time() == 3.0


REFUSING = Unreachable("refused")
BUSY = ServerBusy("503", status_code=503, hint=3600.0)


@pytest.mark.parametrize(
    ("step", "latency"),
    [("pending", 0.0), ("pending", math.inf), (REFUSING, 0.0), (BUSY, 0.1)],
    ids=["never ends", "never answers", "refuses", "503 and Retry-After: 3600"],
)
@pytest.mark.parametrize("limit", [0.5, 6.0, 61.0])
async def test_the_deadline_is_exact(
    step: object, latency: float, limit: float, autojump_clock: MockClock
) -> None:
    """With attempts to spare, 'timeout' comes at the deadline: not before, not after."""
    source = ScriptedSource(step, latency=latency)  # type: ignore[arg-type]
    client = a_client(source, max_wait_time=limit, max_attempts=1000)
    assert await client.get_status() == "timeout"
    assert trio.current_time() == limit
    assert source.in_flight == 0


@pytest.mark.parametrize(
    "schedule",
    [Fixed(0.4), Fixed(1.7), Fixed(5.9), Fixed(1000), Exponential(1, 2), None],
    ids=str,
)
@pytest.mark.parametrize("limit", [3.0, 6.0, 10.0])
async def test_a_job_that_ends_just_before_the_deadline_is_reported(
    schedule: Fixed | Exponential | None, limit: float, autojump_clock: MockClock
) -> None:
    """At D - 0.3 s, with answers that take 0.1 s, whatever the schedule would do."""
    source = ScriptedSource("pending", after(limit - 0.3, "completed"), latency=0.1)
    client = a_client(
        source, schedule=schedule, max_wait_time=limit, max_attempts=10_000
    )
    assert await client.get_status() == "completed"
    assert trio.current_time() <= limit


async def test_no_two_polls_are_in_flight_and_none_after_the_last(
    autojump_clock: MockClock,
) -> None:
    """After a last poll that says "running", the wait sleeps on to the deadline."""
    source = ScriptedSource("pending", latency=0.1)
    client = a_client(source, schedule=Fixed(1.0), max_wait_time=5, max_attempts=99)
    assert await client.get_status() == "timeout"
    assert source.asked_at == pytest.approx([0.0, 1.1, 2.2, 3.3, 4.4, 4.8])
    assert trio.current_time() == 5.0


async def test_a_hung_poll_is_given_up_and_the_wait_goes_on(
    vtrio_server: ScriptedServer, autojump_clock: MockClock
) -> None:
    """One poll may take `request_timeout`; a half-open connection is noticed."""
    vtrio_server.add(job("completed"))
    vtrio_server.fault(hang(), times=1)
    client = vtrio_server.client(request_timeout=4.0)
    assert await client.get_status() == "completed"
    assert vtrio_server.asked_at == [0.0, 5.0]


async def test_on_update_hears_every_answer_and_no_failure(
    autojump_clock: MockClock,
) -> None:
    """The word of each answer, repeated ones too, as plain text."""
    source = ScriptedSource("pending", REFUSING, "pending", "running", "completed")
    heard: list[str] = []
    await a_client(source).get_status(on_update=heard.append)
    assert heard == ["pending", "pending", "running", "completed"]
    assert [str(word) for word in heard] == heard


async def test_what_on_update_returns_is_awaited(autojump_clock: MockClock) -> None:
    """An async callback runs to its end before the next poll."""
    source = ScriptedSource("pending", "completed")
    heard: list[tuple[float, str]] = []

    async def slow(word: str) -> None:
        await trio.sleep(0.25)
        heard.append((trio.current_time(), word))

    assert await a_client(source).get_status(on_update=slow) == "completed"
    assert heard == [(0.25, "pending"), (1.25, "completed")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_on_update_raises_ends_the_wait_unwrapped(
    asynchronous: bool, autojump_clock: MockClock
) -> None:
    """The very exception, in no group."""
    mistake = KeyError("mine")

    def raising(word: str) -> None:
        raise mistake

    async def raising_later(word: str) -> None:
        await trio.sleep(1)
        raise mistake

    source = ScriptedSource("pending")
    with pytest.raises(KeyError) as caught:
        await a_client(source).get_status(
            on_update=raising_later if asynchronous else raising
        )
    assert caught.value is mistake
    assert source.asked_at == [0.0]


async def test_a_final_answer_outlives_a_callback_that_overruns(
    autojump_clock: MockClock,
) -> None:
    """The callback's time counts, the answer is not thrown away."""
    source = ScriptedSource("pending", "completed")

    async def slow(word: str) -> None:
        if word == "completed":
            await trio.sleep(1000)

    client = a_client(source, max_wait_time=5)
    assert await client.get_status(on_update=slow) == "completed"
    assert trio.current_time() == 5.0


async def test_a_callback_cannot_carry_a_wait_past_its_deadline(
    autojump_clock: MockClock,
) -> None:
    """While the job runs, the deadline ends the callback too."""
    client = a_client(ScriptedSource("pending"), max_wait_time=5)

    async def slow(word: str) -> None:
        await trio.sleep(1000)

    assert await client.get_status(on_update=slow) == "timeout"
    assert trio.current_time() == 5.0


@pytest.mark.parametrize("own", [2.0, 5.0])
async def test_the_callers_scope_is_never_taken_for_our_deadline(
    own: float, autojump_clock: MockClock
) -> None:
    """Even where both end at the same instant, the caller's cancellation gets out."""
    client = a_client(ScriptedSource("pending"), max_wait_time=5, max_attempts=99)
    returned = None
    with trio.move_on_after(own) as scope:
        returned = await client.get_status()
    assert scope.cancelled_caught
    assert returned is None
    assert trio.current_time() == own


async def test_an_unknown_word_means_still_running_and_is_reported_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The wait goes on, the callback hears the server's word, the log tells it once."""
    source = ScriptedSource("queued", "queued", "completed")
    heard: list[str] = []
    with caplog.at_level(logging.WARNING, logger="vtrio"):
        assert await a_client(source).get_status(on_update=heard.append) == "completed"
    assert heard == ["queued", "queued", "completed"]
    assert len([r for r in caplog.records if "queued" in r.getMessage()]) == 1


async def test_a_refusal_ends_get_status_with_an_exception(
    autojump_clock: MockClock,
) -> None:
    """It is neither an error of the job nor a timeout."""
    source = ScriptedSource(Refused("403", status_code=403))
    with pytest.raises(Refused) as caught:
        await a_client(source).get_status("j1")
    assert caught.value.job_id == "j1"
    assert caught.value.receipt is not None


async def test_wait_goes_on_from_the_submission(autojump_clock: MockClock) -> None:
    """The answer to `submit` is the observation at age 0; the default schedule follows."""
    source = ScriptedSource("pending", after(4.0, "completed"))
    client = a_client(source, schedule=Learned(spread=0))
    job = await client.wait(submitted_now())
    assert job.status is JobStatus.COMPLETED
    assert source.asked_at == [1.0, 2.5, 4.75]


async def test_wait_by_id_asks_at_once(autojump_clock: MockClock) -> None:
    """Nothing is known, so the first poll is now."""
    source = ScriptedSource("pending", after(2.0, "completed"))
    await a_client(source, schedule=Learned(spread=0)).wait("j1")
    assert source.asked_at == [0.0, 1.0, 2.5]


async def test_a_sighting_of_another_run_does_not_count(
    autojump_clock: MockClock,
) -> None:
    """Its instant is on another clock, so the wait asks at once."""
    source = ScriptedSource("completed")
    elsewhere = Job(
        id="j1",
        status=JobStatus.RUNNING,
        seen=Sighting(at=1e6, run=object(), age=0.0),
    )
    await a_client(source).wait(elsewhere)
    assert source.asked_at == [0.0]


async def test_wait_raises_what_the_job_ended_with(autojump_clock: MockClock) -> None:
    """Failed and cancelled jobs are exceptions of their own."""
    with pytest.raises(JobFailed):
        await a_client(ScriptedSource("error")).wait("j1")
    with pytest.raises(JobCancelled):
        await a_client(ScriptedSource("cancelled")).wait("j1")


async def test_wait_has_no_limit_unless_given_one(autojump_clock: MockClock) -> None:
    """The seed's limits bind `get_status` alone."""
    source = ScriptedSource("pending", after(86_400.0, "completed"))
    job = await a_client(source, max_attempts=2, max_wait_time=3).wait("j1")
    assert job.status is JobStatus.COMPLETED


async def test_a_wait_that_gives_up_can_be_taken_up_again(
    autojump_clock: MockClock,
) -> None:
    """The error carries the last job: the next wait goes on from there."""
    source = ScriptedSource("pending", after(8.0, "completed"))
    client = a_client(source, schedule=Learned(spread=0))
    with pytest.raises(WaitTimeout) as caught:
        await client.wait(submitted_now(), max_wait_time=5)
    error = caught.value
    assert trio.current_time() == 5.0
    assert error.job_id == "j1"
    assert error.job is not None
    assert error.receipt is not None
    assert error.receipt.polls == 4  # at 1, 2.5, 4.75 and the last one at 4.96
    done = await client.wait(error.job)
    assert done.status is JobStatus.COMPLETED
    # It was last seen at the age of 4.96 s, so it is asked about as at that age.
    assert source.asked_at[4] == pytest.approx(4.96 + 1.5**3)


async def test_silence_is_a_limit_of_its_own(autojump_clock: MockClock) -> None:
    """Nothing answers for 30 s: the wait ends then, exactly."""
    with pytest.raises(NoAnswer):
        await a_client(ScriptedSource(REFUSING)).wait("j1", max_silence=30)
    assert trio.current_time() == 30.0


async def test_on_job_hears_the_whole_job(autojump_clock: MockClock) -> None:
    """Progress and stage come with it; both callbacks may be given."""
    half = Job(id="j1", status=JobStatus.RUNNING, progress=0.5, stage="speaking")
    source = ScriptedSource(half, "completed")
    words: list[str] = []
    jobs: list[Job] = []

    async def later(job: Job) -> None:
        await trio.lowlevel.checkpoint()
        jobs.append(job)

    await a_client(source).wait("j1", on_update=words.append, on_job=later)
    assert words == ["running", "completed"]
    assert jobs[0] == half
    assert jobs[0].seen is not None


async def test_a_history_takes_in_what_a_wait_saw(autojump_clock: MockClock) -> None:
    """However the wait ends: an end is an interval, a cancelled wait a lower bound."""
    seen: list[Observation] = []

    class Listening:
        def observe(self, observation: Observation) -> None:
            seen.append(observation)

    still = Exponential(1, 1.5)
    client = a_client(
        ScriptedSource("pending", after(4.0, "completed")),
        history=Listening(),
        schedule=still,
    )
    await client.wait(submitted_now(), key="pt")
    assert seen == [Observation(after=2.5, until=4.75, key="pt", job="j1")]
    client = a_client(ScriptedSource("pending"), history=Listening(), schedule=still)
    with trio.move_on_after(3):
        await client.wait(submitted_now())
    assert seen[1:] == [Observation(after=2.5, until=None, job="j1")]
    await client_that_knows_no_age(Listening())
    assert len(seen) == 2


async def client_that_knows_no_age(history: object) -> None:
    """Wait for a job whose submission nobody has told of."""
    await a_client(ScriptedSource("completed"), history=history).get_status()


async def test_waits_always_pass_a_checkpoint() -> None:
    """On the quick paths too."""
    done = Job(id="j1", status=JobStatus.COMPLETED)
    client = a_client(ScriptedSource("completed"))
    with assert_checkpoints():
        await client.wait(done)
    with assert_checkpoints():
        await client.get_status()
    with assert_checkpoints():
        await client.get_job("j1")


async def a_short_nap(word: str) -> None:
    """Take a while over an update."""
    await trio.sleep(0.3)


@pytest.mark.parametrize("mistake", [JobFailed("another's"), WaitTimeout("another's")])
async def test_an_error_of_ours_from_a_callback_is_the_callbacks(
    mistake: Exception, autojump_clock: MockClock
) -> None:
    """A callback may wait for another job; how that ends is not how this one does."""

    def raising(word: str) -> None:
        raise mistake

    for script in (["running"], ["completed"]):
        with pytest.raises(type(mistake)) as caught:
            await a_client(ScriptedSource(*script)).get_status(on_update=raising)
        assert caught.value is mistake


async def test_get_status_of_a_fresh_job_tolerates_404(
    autojump_clock: MockClock,
) -> None:
    """It asks at once all the same, and keeps the seed's instants."""
    source = ScriptedSource(JobNotFound("404", status_code=404), "running", "completed")
    assert await a_client(source).get_status(submitted_now()) == "completed"
    assert source.asked_at == [0.0, 1.0, 3.0]
    with pytest.raises(JobNotFound):
        await a_client(ScriptedSource(JobNotFound("404", status_code=404))).get_status(
            "j1"
        )


async def test_a_history_at_fault_costs_no_result(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of in the log, and `Cancelled` gets out as ever."""

    class Broken:
        def observe(self, observation: Observation) -> None:
            raise OSError("disk full")

    client = a_client(
        ScriptedSource("pending", after(4.0, "completed")), history=Broken()
    )
    job = await client.wait(submitted_now())
    assert job.status is JobStatus.COMPLETED
    assert "history-failed" in caplog.text
    client = a_client(ScriptedSource("pending"), history=Broken())
    with trio.move_on_after(3) as scope:
        await client.wait(submitted_now())
    assert scope.cancelled_caught


async def test_a_job_can_be_taken_apart(autojump_clock: MockClock) -> None:
    """As a dictionary, or copied whole: when it was seen then counts no more."""
    source = ScriptedSource("running")
    job = await a_client(source).get_job("j1")
    assert dataclasses.asdict(job)["id"] == "j1"
    assert copy.deepcopy(job) == job


Call = Callable[[VideoTranslationClient], Awaitable[object]]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_status("j1", on_update=a_short_nap),
        lambda client: client.wait("j1", on_update=a_short_nap),
        lambda client: client.get_job("j1"),
    ],
    ids=["get_status", "wait", "get_job"],
)
async def test_cancelling_at_every_step_leaves_nothing(
    call: Call, autojump_clock: MockClock
) -> None:
    """Before, in and between polls and callbacks: `Cancelled` gets out, nothing stays.

    The client is as good as new afterwards.
    """
    for step in range(24):
        source = ScriptedSource("pending", after(100.0, "completed"), latency=0.2)
        client = a_client(source)
        tasks = trio.lowlevel.current_statistics().tasks_living
        start = trio.current_time()
        with trio.move_on_after(step * 0.1) as scope:
            await call(client)
        assert scope.cancelled_caught or step >= 2
        assert trio.current_time() <= start + step * 0.1
        assert source.in_flight == 0
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        asked = len(source.asked_at)
        await wait_all_tasks_blocked()
        await trio.sleep(50)
        assert len(source.asked_at) == asked


async def test_the_request_timeout_bounds_a_single_question(
    autojump_clock: MockClock,
) -> None:
    """`get_job` does not hang on a server that accepts and never answers."""
    client = a_client(ScriptedSource("pending", latency=math.inf), request_timeout=3)
    with pytest.raises(Exception, match="within request_timeout=3 s"):
        await client.get_job("j1")
    assert trio.current_time() == 3.0


async def test_waits_run_side_by_side(autojump_clock: MockClock) -> None:
    """Each wait is a plain coroutine; a nursery of the caller's runs many."""
    client = a_client(
        ScriptedSource("pending", after(30.0, "completed")), schedule=Learned(spread=0)
    )
    ends: list[float] = []

    async def one(job: Job) -> None:
        await client.wait(job)
        ends.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(one, submitted_now(f"j{number}"))
    assert len(ends) == 50
    assert len(set(ends)) == 1


def test_under_asyncio_the_first_await_says_so() -> None:
    """One sentence, and no hang."""
    import asyncio

    client = VideoTranslationClient(URL)
    with pytest.raises(RuntimeError, match=r"under trio only; .* trio\.run"):
        asyncio.run(client.get_status())
