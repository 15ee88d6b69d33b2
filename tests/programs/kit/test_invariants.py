"""The invariants checker: each thing that no wait may do is told, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import httpx
import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Capabilities,
    Fixed,
    Job,
    JobStatus,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio._session import Limits, Session
from vtrio._watching import a_poll, a_wait
from vtrio.testing import (
    InvariantBroken,
    Invariants,
    Pause,
    ScriptedServer,
    ScriptedSource,
    after,
    hang,
    job,
    respond,
)

SOURCE = ScriptedSource("running")


def a_session(job_id: str = "j1", *, limit: float = 2.0) -> Session:
    """Make a session that begins now and gives up after so many seconds."""
    return Session(
        job_id=job_id,
        schedule=Fixed(1),
        limits=Limits(max_wait_time=limit),
        started_at=trio.current_time(),
    )


def a_client(source: object) -> VideoTranslationClient:
    """Make a client that asks a source."""
    return VideoTranslationClient("http://x", source=source)  # type: ignore[arg-type]


@contextmanager
def must_break(
    *lines: str, servers: tuple[ScriptedServer, ...] = ()
) -> Iterator[Invariants]:
    """Have a block in which exactly this is broken, in whichever order."""
    with pytest.raises(InvariantBroken) as caught, Invariants(*servers) as invariants:
        yield invariants
    head, *told = str(caught.value).splitlines()
    assert head == "what must hold did not:"
    assert sorted(told) == sorted(f"  {line}" for line in lines)


@pytest.mark.parametrize("in_nursery", [False, True])
async def test_what_was_broken_is_told_where_the_block_is_cancelled(
    in_nursery: bool, autojump_clock: MockClock
) -> None:
    """A note on what a scope swallows would be read by nobody."""

    async def wait_twice() -> None:
        source = ScriptedSource("running", latency=9)
        async with trio.open_nursery() as nursery:
            for _ in range(2):  # waits of one client would share their polls
                nursery.start_soon(a_client(source).wait, "j1")

    async def cancelled_block() -> None:
        with trio.move_on_after(2), Invariants():
            if in_nursery:
                await wait_twice()
            with a_poll(a_session(), SOURCE), a_poll(a_session(), SOURCE):
                await trio.sleep_forever()

    broken = r"^what must hold did not:\n  at 0 s: 2 polls for job 'j1' are in flight$"
    with pytest.raises(InvariantBroken, match=broken):
        await cancelled_block()
    assert trio.current_time() == 2.0


async def test_a_clean_run_passes(autojump_clock: MockClock) -> None:
    """Waits that end well, in time, at their limit, or by a cancel."""
    server = ScriptedServer(latency=0.3)
    server.add(job("running", after(20, "completed")))
    server.add(job("running"))
    server.add(job("running"))
    server.fault(hang(), about="j3", at=1)
    client = server.client()
    with Invariants(server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.wait, "j1")
            nursery.start_soon(client.get_status, "j2")
            with trio.move_on_after(15):
                await client.wait("j3")
        with pytest.raises(WaitTimeout):
            await client.wait("j3", max_wait_time=7.7)
        assert await client.get_status() == "completed"


async def test_a_wait_beyond_its_deadline_is_told(autojump_clock: MockClock) -> None:
    """By how much, and when."""

    class Stubborn:
        """Shields its answers from the deadline, as no source may."""

        capabilities = Capabilities()

        async def status(self, job_id: str) -> Answer:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            return Answer(job=Job(id=job_id, status=JobStatus.RUNNING))

    with (
        must_break("at 5 s: the wait for job 'j1' ended 2 s too late"),
        pytest.raises(WaitTimeout),
    ):
        await a_client(Stubborn()).wait("j1", max_wait_time=3)


@pytest.mark.parametrize(
    ("tick", "late", "is_told"),
    [(None, 0.0, False), (None, 0.25, True), (0.5, 0.5, False), (0.5, 0.75, True)],
)
async def test_a_tick_is_forgiven(
    tick: float | None, late: float, is_told: bool, autojump_clock: MockClock
) -> None:
    """None where time is virtual, unless one is given."""
    outcome: AbstractContextManager[object] = nullcontext()
    if is_told:
        outcome = pytest.raises(InvariantBroken, match=rf"ended {late} s too late")
    with outcome, Invariants(tick=tick), a_wait(a_session(limit=2)):
        await trio.sleep(2 + late)


async def test_a_real_clock_is_given_a_tick() -> None:
    """Other tasks may be having their turn; a little is no fault of the wait's."""
    with Invariants(), a_wait(a_session(limit=1e-9)):
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("job_id", "name"), [("j1", "job 'j1'"), ("", "the job of /status")]
)
async def test_two_polls_for_one_job_are_told(
    job_id: str, name: str, autojump_clock: MockClock
) -> None:
    """Not where they are one after the other."""

    async def ask(begin: float) -> None:
        await trio.sleep(begin)
        with a_poll(a_session(job_id), SOURCE):
            await trio.sleep(2)

    with must_break(f"at 3 s: 2 polls for {name} are in flight"):
        async with trio.open_nursery() as nursery:
            for begin in (0, 2.5, 3):
                nursery.start_soon(ask, begin)


async def test_jobs_of_two_servers_may_have_one_id(autojump_clock: MockClock) -> None:
    """They are told apart by where they are and what leads there, or by source."""
    here, there = ScriptedServer(latency=1), ScriptedServer(latency=1)
    clients = [
        here.client(),
        there.client(),
        a_client(ScriptedSource("pending", "completed", latency=1)),
    ]
    for server in (here, there):
        server.add(job("pending", "completed"))
    with Invariants(here, there):
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.wait, "j1")


async def test_requests_on_the_wire_count_whoever_makes_them(
    autojump_clock: MockClock,
) -> None:
    """A single question is no wait, and a poll all the same."""
    server = ScriptedServer(latency=2)
    server.add(job("running"), optional=True)
    server.add(job("running"), optional=True)
    client = server.client()
    await client.get_job("j1")
    with must_break(
        "at 5 s: job 'j1' was asked about at 3 s, while the poll of 2 s had no whole"
        " answer",
        servers=(server,),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get_job, "j1")
            await trio.sleep(1)
            nursery.start_soon(client.get_job, "j2")
            nursery.start_soon(client.get_job, "j1")


async def test_a_wait_that_is_left_running_is_told(autojump_clock: MockClock) -> None:
    """And the task in which it runs, where that began within the block."""
    client = a_client(ScriptedSource("running"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.wait, "before")
        await trio.sleep(1)
        with must_break(
            "at 2 s: the task vtrio.client.VideoTranslationClient.get_status is still"
            " running",
            "at 2 s: the task vtrio.client.VideoTranslationClient.wait is still running",
            "at 2 s: the wait for job 'j1' is still running",
            "at 2 s: the wait for the job of /status is still running",
        ):
            nursery.start_soon(client.wait, "j1")
            nursery.start_soon(client.get_status)
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def test_an_answer_that_nobody_reads_is_told(autojump_clock: MockClock) -> None:
    """Of the servers that were given to the block."""
    server, other = ScriptedServer(), ScriptedServer()
    server.route(respond(body=[b"begun", Pause(9), b"ended"]))
    other.route(respond(body=[b"begun"]))
    left: list[httpx.Response] = []
    with must_break(
        "at 4 s: the answer to GET http://x/x of 1 s was neither read to its end nor closed",
        servers=(server,),
    ):
        for one in (server, other):
            await trio.sleep(1)
            request = httpx.Request("GET", "http://x/x")
            left.append(await one.http().send(request, stream=True))
        await trio.sleep(2)
    with Invariants(server, other):
        for answer in left:
            await answer.aclose()


async def test_another_error_gets_a_note(autojump_clock: MockClock) -> None:
    """It is what the test is about; what was broken stands beside it."""
    with (
        pytest.raises(KeyError) as caught,
        Invariants(),
        a_poll(a_session(), SOURCE),
        a_poll(a_session(), SOURCE),
    ):
        raise KeyError
    assert caught.value.__notes__ == [
        "what must hold did not:\n  at 0 s: 2 polls for job 'j1' are in flight"
    ]
    with pytest.raises(KeyError) as clean, Invariants():
        raise KeyError
    assert not hasattr(clean.value, "__notes__")


async def test_a_test_can_report_what_it_saw(autojump_clock: MockClock) -> None:
    """All that was broken is told together, in order."""
    with must_break(
        "at 0 s: the bar went backwards", "at 1.5 s: the bar is full too early"
    ) as invariants:
        invariants.report("the bar went backwards")
        await trio.sleep(1.5)
        invariants.report("the bar is full too early")


async def test_blocks_within_each_other_watch_alike(autojump_clock: MockClock) -> None:
    """Each tells what it saw."""
    late = "at 2 s: the wait for job 'j1' ended 1 s too late"
    with must_break(late), must_break(late), a_wait(a_session(limit=1)):
        await trio.sleep(2)


def test_a_block_belongs_into_a_run_of_trio() -> None:
    """One sentence says so."""
    with pytest.raises(RuntimeError, match="use them inside one"), Invariants():
        pass
