"""The limits of waits for many jobs: each job's, all jobs', and that of silence."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Fixed,
    JobNotFound,
    NoAnswer,
    Outcome,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio._session import LEAST_MARGIN
from vtrio.sources import TranslationsSource
from vtrio.sources._http import HttpEdge
from vtrio.testing import (
    URL,
    Invariants,
    ScriptedServer,
    after,
    busy,
    hang,
    job,
    not_found,
    refused,
    says,
    server_error,
    too_many,
)

TRANSPORTS = ["auto", "batch", "single"]


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[tuple[float, Outcome]]:
    """Wait for all, and return the outcomes with their instants."""
    async with client.as_completed(jobs, **settings) as outcomes:
        return [(trio.current_time(), outcome) async for outcome in outcomes]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_each_job_has_its_time_from_when_it_is_added(
    autojump_clock: MockClock, transport: Any
) -> None:
    """At exactly the instant its wait is over, and nobody else's."""
    server = ScriptedServer()
    for name in ("early", "late"):
        server.add(job("running", after(900, "completed")), id=name, optional=True)
    server.add(job("running", after(12, "completed")), id="quick")
    told = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(4)) as client,
            client.as_completed(
                ["early", "quick"], max_wait_time=25, transport=transport
            ) as outcomes,
        ):
            async for outcome in outcomes:
                told.append((trio.current_time(), outcome))
                if outcome.job_id == "quick":
                    await trio.sleep_until(15)
                    outcomes.add("late")
    assert [(at, o.job_id) for at, o in told] == [
        (12, "quick"),
        (25, "early"),
        (40, "late"),
    ]
    assert told[0][1].exception is None
    for _, outcome in told[1:]:
        assert isinstance(outcome.exception, WaitTimeout)
        assert outcome.receipt.waited == 25
        assert outcome.job is not None
        assert outcome.job.status == "running"
    server.check()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_jobs_together_have_a_time_from_the_beginning(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Those that are added later have what is left of it."""
    server = ScriptedServer()
    for name in ("early", "late"):
        server.add(job("running", after(900, "completed")), id=name, optional=True)
    server.add(job("running", after(12, "completed")), id="quick")
    told = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(4)) as client,
            client.as_completed(
                ["early", "quick"], max_total_time=25, transport=transport
            ) as outcomes,
        ):
            async for outcome in outcomes:
                told.append((trio.current_time(), outcome.job_id))
                if outcome.job_id == "quick":
                    await trio.sleep_until(15)
                    outcomes.add("late")
                    continue
                assert isinstance(outcome.exception, WaitTimeout)
    assert told == [(12, "quick"), (25, "early"), (25, "late")]


async def test_what_is_over_says_which_limit_it_was(autojump_clock: MockClock) -> None:
    """The parameter that the caller gave, and its value."""
    server = ScriptedServer()
    for name in ("a", "b"):
        server.add(job("running", after(900, "completed")), id=name, optional=True)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(4)) as client,
            client.as_completed(["a"], max_wait_time=20, max_total_time=30) as outcomes,
        ):
            await trio.sleep(15)
            outcomes.add("b")
            told = [(trio.current_time(), str(o.exception)) async for o in outcomes]
    assert [at for at, _ in told] == [20, 30]
    assert "max_wait_time=20 s" in told[0][1]
    assert "max_total_time=30 s" in told[1][1]


async def test_a_job_that_is_added_when_all_time_is_over_is_over_at_once(
    autojump_clock: MockClock,
) -> None:
    """Whatever was to come of it."""
    server = ScriptedServer()
    server.add(job("running", after(900, "completed")), id="a", optional=True)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(4)) as client,
            client.as_completed(["a"], max_total_time=10) as outcomes,
        ):
            await trio.sleep(15)
            outcomes.add("a")
            told = [(trio.current_time(), o.job_id) async for o in outcomes]
    assert told == [(15, "a"), (pytest.approx(15), "a")]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_last_poll_comes_just_before_the_deadline(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Even where a feed would have told of an end: it may have lost one."""
    server = ScriptedServer()
    server.add(job("running", after(99.95, "completed")), id="j1")
    server.add(job("running", after(99.99, "completed")), id="j2", optional=True)
    # From now on no end is told by anything that holds, and who asks hears it.
    source = LosesAllChanges(server)
    with Invariants(server):
        async with server.client(schedule=Fixed(10), source=source) as client:
            told = await collect(
                client, ["j1", "j2"], max_wait_time=100, transport=transport
            )
    assert [o.job_id for _, o in told] == ["j1", "j2"]
    assert told[0][1].exception is None, "nobody looked before the deadline"
    assert told[0][0] == 100 - LEAST_MARGIN
    assert isinstance(told[1][1].exception, WaitTimeout)
    assert told[1][0] == 100


class LosesAllChanges:
    """The wire of a server, whose feed and held lists are held and tell nothing."""

    def __init__(self, server: ScriptedServer) -> None:
        self._source = TranslationsSource(HttpEdge(URL, http=server.http()))
        self.capabilities = replace(self._source.capabilities, event_stream=False)
        self.remote = self._source.remote

    async def status(self, job_id: str) -> Any:
        """Tell the truth."""
        return await self._source.status(job_id)

    async def status_of_many(self, ids: Any, *, wait: float | None = None) -> Any:
        """Tell what was true when it was asked."""
        answers = await self._source.status_of_many(ids)
        if wait is not None:
            await trio.sleep(wait)
        return replace(answers, held=wait is not None)

    async def changes(self, after: str | None, *, wait: float | None = None) -> Any:
        """Tell of nothing."""
        changes = await self._source.changes(after)
        await trio.sleep(wait or 0)
        return replace(changes, changes=(), held=True)


class Late(random.Random):
    """Every roll is the latest one."""

    def random(self) -> float:
        """Return next to 1."""
        return 0.999


async def test_a_shift_does_not_cost_the_last_poll(autojump_clock: MockClock) -> None:
    """Polls are spread over a part of their interval, not beyond the deadline."""
    server = ScriptedServer(feed=False, holds=False)
    server.add(job("running", after(10, "completed")), id="j1")
    with Invariants(server):
        async with server.client(schedule=Fixed(20), rng=Late()) as client:
            ((_, outcome),) = await collect(
                client, ["j1"], max_wait_time=21, transport="single"
            )
    assert outcome.exception is None, "nobody looked before the deadline"
    server.check()


# --- silence ---------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", [hang(), refused()], ids=repr)
async def test_a_server_that_never_answers_is_given_up_in_time(
    autojump_clock: MockClock, transport: Any, fault: Any
) -> None:
    """For all jobs at exactly that instant, and in the middle of a request."""
    server = ScriptedServer()
    ids = [f"j{number}" for number in range(30)]
    for job_id in ids:
        server.add(job("running", after(900, "completed")), id=job_id, optional=True)
    server.fault(fault)
    with Invariants(server):
        async with server.client(schedule=Fixed(4)) as client:
            told = await collect(client, ids, max_silence=7, transport=transport)
    assert sorted(o.job_id for _, o in told) == sorted(ids)
    assert {at for at, _ in told} == {7}
    for _, outcome in told:
        assert isinstance(outcome.exception, NoAnswer)
        assert outcome.job is None


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_silence_counts_from_the_question_that_nobody_answered(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Not from the last answer: a pause is our own."""
    server = ScriptedServer(feed=False, holds=False)
    server.add(job("running", after(900, "completed")), id="j1", optional=True)
    server.fault(hang(), at=10)
    with Invariants(server):
        async with server.client(schedule=Fixed(20)) as client:
            told = await collect(client, ["j1"], max_silence=7, transport=transport)
    assert [at for at, _ in told] == [27]
    ((_, outcome),) = told
    assert isinstance(outcome.exception, NoAnswer)
    assert outcome.job is not None


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "fault", [too_many(), busy(), server_error(), too_many(retry_after=3)], ids=repr
)
async def test_a_refusal_is_no_silence(
    autojump_clock: MockClock, transport: Any, fault: Any
) -> None:
    """Somebody is there."""
    server = ScriptedServer()
    server.add(job("running", after(50, "completed")), id="j1")
    server.fault(fault, at=5, lasting=60)
    with Invariants(server):
        async with server.client(schedule=Fixed(6)) as client:
            ((_, outcome),) = await collect(
                client, ["j1"], max_silence=10, transport=transport
            )
    assert outcome.exception is None
    server.check()


async def test_a_server_that_answers_strangely_is_not_silent(
    autojump_clock: MockClock,
) -> None:
    """A word that nobody knows is an answer."""
    server = ScriptedServer()
    server.add(job("running", after(50, "completed")), id="j1")
    server.fault(says("strange"), lasting=50, to="batch")
    with Invariants(server):
        async with server.client(schedule=Fixed(6)) as client:
            ((_, outcome),) = await collect(
                client, ["j1"], max_silence=10, transport="batch"
            )
    assert outcome.exception is None
    assert outcome.receipt.unknown_words == ("strange",)


async def test_the_first_answer_may_be_that_the_job_is_not_there_yet(
    autojump_clock: MockClock,
) -> None:
    """Right after its submission, on single polls and in lists; not for ever."""
    server = ScriptedServer(feed=False)
    server.on_submit(job("pending", after(20, "completed")), job("pending"))
    for kind in ("poll", "batch"):
        server.fault(not_found(), lasting=3, to=kind, about="j1", optional=True)
        server.fault(not_found(), to=kind, about="j2", optional=True)
    with Invariants(server):
        async with server.client(schedule=Fixed(1)) as client:
            jobs = [await client.submit(io.BytesIO(b"v"), to="pt") for _ in range(2)]
            told = await collect(client, jobs)
    assert [o.job_id for _, o in told] == ["j2", "j1"]
    assert isinstance(told[0][1].exception, JobNotFound)
    assert told[1][1].exception is None


async def test_the_last_polls_of_a_crowd_are_one_a_job(
    autojump_clock: MockClock,
) -> None:
    """Spread so that none waits for the others, and not repeated: all end in time."""
    server = ScriptedServer(feed=False, holds=False, lists=False, latency=0.02)
    ids = [server.add(job("running", after(58.5, "completed"))).id for _ in range(30)]
    ids += [server.add(job("running", after(500, "completed"))).id for _ in range(30)]
    with Invariants(server):
        async with server.client(schedule=Fixed(10)) as client:
            told = await collect(client, ids, max_wait_time=60, transport="single")
    assert sum(outcome.exception is None for _, outcome in told) == 30
    polls = [poll.at for poll in server.polls]
    assert 60 <= sum(at > 56 for at in polls) <= 90  # some were due there anyway
    assert len({round(at, 2) for at in polls if at > 58}) > 10
