"""Outcomes of many jobs: in the order of completion, each job's own, and no other's."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Capabilities,
    Fixed,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobStatus,
    Outcome,
    Unauthorized,
    VideoTranslationClient,
)
from vtrio.testing import (
    URL,
    Invariants,
    Kind,
    ScriptedServer,
    Steady,
    after,
    job,
)

TRANSPORTS = ["auto", "batch", "single"]


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[tuple[float, Outcome]]:
    """Wait for all, and return the outcomes with their instants."""
    async with client.as_completed(jobs, **settings) as outcomes:
        return [(trio.current_time(), outcome) async for outcome in outcomes]


async def test_outcomes_come_in_the_order_of_completion(
    autojump_clock: MockClock,
) -> None:
    """Each with its job, at the instant of its end, told by the feed in one look."""
    server = ScriptedServer()
    for number, end in enumerate((30, 10, 20), 1):
        server.add(job("pending", after(end, "completed")), id=f"j{number}")
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            told = await collect(client, ["j1", "j2", "j3"])

    assert [(at, o.job_id) for at, o in told] == [(10, "j2"), (20, "j3"), (30, "j1")]
    for at, outcome in told:
        assert outcome.exception is None
        assert outcome.job is not None
        assert outcome.result() is outcome.job
        assert outcome.job.id == outcome.receipt.job_id == outcome.job_id
        assert outcome.job.receipt == outcome.receipt
        assert outcome.receipt.told_by == "feed"
        assert outcome.receipt.polls == 2  # the first look, and the one at its end
        assert outcome.receipt.waited == at
    server.check()


@pytest.mark.parametrize(
    ("transport", "told_by", "polls", "at"),
    [("auto", "feed", 2, 25), ("batch", "held", 2, 25), ("single", "single", 4, 30)],
)
async def test_a_receipt_says_what_told_the_end(
    autojump_clock: MockClock, transport: Any, told_by: str, polls: int, at: float
) -> None:
    """The better the rung, the sooner it is known and the fewer polls it takes."""
    server = ScriptedServer()
    server.add(job("running", after(25, "completed")), id="j1")
    with Invariants(server):
        async with server.client(schedule=Fixed(10)) as client:
            ((came_at, outcome),) = await collect(client, ["j1"], transport=transport)
    assert came_at == at
    assert outcome.receipt.told_by == told_by
    if transport != "batch":  # held lists are asked again as they come back
        assert outcome.receipt.polls == polls
    server.check()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_one_jobs_bad_end_is_no_other_jobs(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Failed, cancelled, unknown: each has its own exception, and the rest go on."""
    server = ScriptedServer()
    server.add(job("running", after(5, "error")), id="failed")
    server.add(job("running", after(10, "cancelled")), id="cancelled")
    server.add(job("running", after(15, "completed")), id="well")
    ids = ["failed", "cancelled", "strange", "well"]
    with Invariants(server):
        async with server.client(schedule=Fixed(5)) as client:
            told = await collect(client, ids, transport=transport)

    assert [(at, o.job_id) for at, o in told] == [
        (0, "strange"),
        (5, "failed"),
        (10, "cancelled"),
        (15, "well"),
    ]
    by_id = {outcome.job_id: outcome for _, outcome in told}
    kinds = {name: type(outcome.exception) for name, outcome in by_id.items()}
    assert kinds == {
        "strange": JobNotFound,
        "failed": JobFailed,
        "cancelled": JobCancelled,
        "well": type(None),
    }
    for name in ("strange", "failed", "cancelled"):
        outcome = by_id[name]
        assert outcome.exception is not None
        assert outcome.exception.job_id == name
        assert outcome.exception.receipt is outcome.receipt
        assert outcome.exception.job is outcome.job
        with pytest.raises(type(outcome.exception)):
            outcome.result()
    assert by_id["strange"].job is None


async def test_jobs_that_have_ended_are_told_without_a_request(
    autojump_clock: MockClock,
) -> None:
    """What is known need not be asked."""
    server = ScriptedServer()
    server.add(job("completed"), id="j1", optional=True)
    server.add(job("error"), id="j2", optional=True)
    async with server.client() as client:
        done, failed = await client.get_job("j1"), await client.get_job("j2")
        asked = len(server.exchanges)
        with Invariants(server):
            told = await collect(client, [failed, done])
    assert [(at, o.job_id, o.receipt.polls) for at, o in told] == [
        (0, "j2", 0),
        (0, "j1", 0),
    ]
    assert isinstance(told[0][1].exception, JobFailed)
    assert told[1][1].result() == done
    assert len(server.exchanges) == asked


@pytest.mark.parametrize("jobs", [[], (), iter(())], ids=["list", "tuple", "iterator"])
async def test_no_jobs_are_over_at_once(autojump_clock: MockClock, jobs: Any) -> None:
    """And nothing is asked."""
    server = ScriptedServer()
    with Invariants(server):
        async with server.client() as client:
            assert await collect(client, jobs) == []
            async with client.watch(jobs) as updates:
                assert [update async for update in updates] == []
    assert not server.exchanges
    assert trio.current_time() == 0


async def test_a_job_that_is_named_twice_is_waited_for_once(
    autojump_clock: MockClock,
) -> None:
    """As a job and by its id; whether it still runs, or has ended before."""
    server = ScriptedServer()
    server.add(job("running", after(5, "completed")), id="runs")
    server.add(job("completed"), id="over")
    with Invariants(server):
        async with server.client(schedule=Fixed(5)) as client:
            runs, over = await client.get_job("runs"), await client.get_job("over")
            jobs = (each for each in [runs, over, "runs", over, runs, "over"])
            told = await collect(client, jobs)
    assert [(at, o.job_id) for at, o in told] == [(0, "over"), (5, "runs")]
    server.check()


async def test_jobs_and_ids_are_mixed_and_need_be_no_list(
    autojump_clock: MockClock,
) -> None:
    """A generator of both is read once."""
    server = ScriptedServer()
    for number in range(6):
        server.add(job("running", after(5 + number, "completed")), id=f"j{number}")
    with Invariants(server):
        async with server.client(schedule=Fixed(50)) as client:
            first = [await client.get_job(f"j{number}") for number in range(3)]
            told = await collect(client, (*first, "j3", "j4", "j5"))
    assert [(at, o.job_id) for at, o in told] == [(5 + n, f"j{n}") for n in range(6)]
    server.check()


async def test_a_bare_client_opens_what_it_needs_for_the_block(
    autojump_clock: MockClock,
) -> None:
    """And closes it."""
    server = ScriptedServer()
    server.add(job("running", after(5, "completed")), id="j1")
    with Invariants(server):
        told = await collect(server.client(), ["j1"])
    assert [(at, o.job_id) for at, o in told] == [(5, "j1")]
    server.check()


async def test_a_server_of_words_is_asked_job_by_job(autojump_clock: MockClock) -> None:
    """Where `status_path` says so: it knows single jobs alone."""
    server = ScriptedServer(status_path="/jobs/{id}/status")
    for number in (1, 2):
        server.add(job("running", after(7 * number, "completed")), id=f"j{number}")
    server.add(job("running", after(4, "error")), id="j3")
    with Invariants(server):
        async with server.client(
            schedule=Fixed(5), status_path="/jobs/{id}/status"
        ) as client:
            told = await collect(client, ["j1", "j2", "j3"])
    assert [(at, o.job_id) for at, o in told] == [(5, "j3"), (10, "j1"), (15, "j2")]
    assert isinstance(told[0][1].exception, JobFailed)
    assert all(poll.path.endswith("/status") for poll in server.exchanges)
    assert len(server.exchanges) == 3 + 3 + 2 + 1
    server.check()


class OwnSource:
    """A source of the user's own: it knows single jobs, which end at an instant."""

    capabilities = Capabilities()

    def __init__(self, ends: dict[str, float]) -> None:
        self.ends = ends
        self.asked_at: list[float] = []

    async def status(self, job_id: str) -> Answer:
        """Tell by the clock."""
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        self.asked_at.append(now)
        is_over = self.ends[job_id] <= now
        status = JobStatus.COMPLETED if is_over else JobStatus.RUNNING
        return Answer(job=Job(id=job_id, status=status))


async def test_a_source_of_ones_own_is_asked_instead(autojump_clock: MockClock) -> None:
    """As little as a `StatusSource` has to do is enough."""
    source = OwnSource({"a": 7, "b": 3})
    client = VideoTranslationClient(URL, source=source, schedule=Fixed(5), rng=Steady())
    with Invariants():
        told = await collect(client, ["a", "b"])
    assert [(at, o.job_id) for at, o in told] == [(5, "b"), (10, "a")]
    assert source.asked_at == [0, 0, 5, 5, 10]


async def test_what_a_source_breaks_with_ends_the_block_as_itself(
    autojump_clock: MockClock,
) -> None:
    """A mistake in it is no failure of a job."""
    client = VideoTranslationClient(URL, source=OwnSource({}), rng=Steady())
    with Invariants(), pytest.raises(KeyError, match="a"):
        await collect(client, ["a"])


# --- stop_on_failure -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "kind"), [("error", JobFailed), ("cancelled", JobCancelled)]
)
async def test_the_first_bad_end_can_end_it_all(
    autojump_clock: MockClock, end: str, kind: type[Exception]
) -> None:
    """It comes out of the iteration and the block as it is, at that instant."""
    server = ScriptedServer()
    server.add(job("running", after(5, "completed")), id="good")
    server.add(job("running", after(10, end)), id="bad")
    server.add(job("running", after(500, "completed")), id="later", optional=True)
    told = []
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:

            async def follow() -> None:
                async with client.as_completed(
                    ["later", "bad", "good"], stop_on_failure=True
                ) as outcomes:
                    async for outcome in outcomes:
                        told.append(outcome.job_id)  # noqa: PERF401 - it is cut short

            with pytest.raises(kind) as caught:
                await follow()
    assert told == ["good"]
    assert caught.value.job_id == "bad"  # type: ignore[attr-defined]
    assert trio.current_time() == 10
    server.check()


# --- a key that is wrong ----------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_wrong_key_is_every_jobs_outcome_after_few_requests(
    autojump_clock: MockClock, transport: Any
) -> None:
    """It is no use to ask about the others."""
    server = ScriptedServer(api_key="right")
    ids = [f"j{number}" for number in range(1000)]
    for job_id in ids:
        server.add(job("running", after(9, "completed")), id=job_id, optional=True)
    with Invariants(server):
        async with server.client(api_key="wrong") as client:
            told = await collect(client, ids, transport=transport)
    assert sorted(o.job_id for _, o in told) == sorted(ids)
    assert {type(outcome.exception) for _, outcome in told} == {Unauthorized}
    assert trio.current_time() == 0
    assert len(server.exchanges) <= 20
    assert {e.kind for e in server.exchanges} <= {Kind.BATCH, Kind.FEED, Kind.POLL}
