"""Leaving a block of many waits: what the body sees, and what becomes of the jobs."""

from __future__ import annotations

from typing import Any, Self

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, WaitTimeout
from vtrio.testing import (
    Invariants,
    ScriptedServer,
    after,
    job,
)


async def test_a_body_may_leave_while_something_is_handed_over(
    autojump_clock: MockClock,
) -> None:
    """No broken channel comes out of the block."""
    server = ScriptedServer()
    jobs = [server.add(job("pending", after(2, "completed"))) for _ in range(5)]
    with Invariants(server):
        async with server.client() as client:
            async with client.watch([job.id for job in jobs]) as updates:
                async for _ in updates:
                    await trio.sleep(1)
                    break
            assert trio.current_time() == 1


async def test_a_wait_that_was_given_up_is_in_the_token(
    autojump_clock: MockClock,
) -> None:
    """Its job runs on, so another wait can take it up; one that has ended is not in it."""
    server = ScriptedServer()
    slow = server.add(job("running", after(60, "completed")), optional=True)
    quick = server.add(job("running", after(1, "error")))
    async with server.client() as client:
        async with client.as_completed(
            [slow.id, quick.id], max_wait_time=5
        ) as outcomes:
            ended = [outcome async for outcome in outcomes]
        assert [outcome.job_id for outcome in ended] == [quick.id, slow.id]
        assert isinstance(ended[1].exception, WaitTimeout)
        left = outcomes.token()
        assert left["jobs"] == [{"id": slow.id, "age": None, "status": None}]
        async with client.as_completed(left) as again:
            assert [outcome.result().id async for outcome in again] == [slow.id]
        assert again.token()["jobs"] == []


# --- nothing is left, however it ends ---------------------------------------------------


def make_server(jobs: int = 20, **settings: Any) -> tuple[ScriptedServer, list[str]]:
    """Make a server with jobs of which half end soon and half late."""
    server = ScriptedServer(**settings)
    for number in range(jobs):
        end = 5 if number % 2 else 500
        server.add(
            job("pending", after(2, "running"), after(end, "completed")),
            id=f"j{number}",
            optional=True,
        )
    return server, [f"j{number}" for number in range(jobs)]


@pytest.mark.parametrize("transport", ["auto", "batch", "single"])
async def test_the_bodys_clean_up_comes_before_the_end_of_the_background(
    autojump_clock: MockClock, transport: Any
) -> None:
    """It can still look, add, iterate, ask for a token, and use the client."""
    server, ids = make_server()
    seen: list[object] = []
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            with trio.move_on_after(3) as scope:
                async with client.watch(ids, transport=transport) as updates:
                    try:
                        async for _ in updates:
                            pass
                    finally:
                        with trio.move_on_after(10, shield=True):
                            seen.append(updates.statistics().waiting)
                            updates.add("late")
                            seen.append(len(updates.token()["jobs"]))
                            await client.cancel("j1")
                            async for update in updates:
                                if update.job_id == "late":
                                    break
                            else:
                                seen.append("it was over")
    assert scope.cancelled_caught
    assert seen == [20, 21]
    assert 3 <= trio.current_time() <= 13


@pytest.mark.parametrize(("kind", "jobs"), [("as_completed", 24), ("watch", 8)])
@pytest.mark.parametrize(
    "transport", ["auto", pytest.param("single", marks=pytest.mark.slow)]
)
async def test_a_block_can_be_cancelled_at_every_step(
    autojump_clock: MockClock, transport: Any, kind: str, jobs: int
) -> None:
    """`Cancelled` gets out, no virtual time passes, and no task or request is left."""
    finished = False
    for steps in range(200):
        server, ids = make_server(jobs)
        client = server.client(schedule=Fixed(60))
        wait = getattr(client, kind)
        began = trio.current_time()
        finished = False
        scope = trio.CancelScope()
        with Invariants(server), scope, CancelAfter(steps, scope) as instrument:
            async with client, wait(ids, transport=transport) as block:
                async for _ in block:
                    await trio.lowlevel.checkpoint()
            finished = True
        if finished:
            assert steps > 40
            break
        assert scope.cancelled_caught
        assert instrument.at is not None
        assert trio.current_time() == instrument.at >= began
    assert finished


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope when its task has been run so many times in a block."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self.at: float | None = None
        self._left = steps
        self._scope = scope
        self._task = trio.lowlevel.current_task()

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        if not self._left:
            self._cancel("before the first step")
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the steps of the task."""
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._cancel("in the middle of a wait")

    def _cancel(self, reason: str) -> None:
        self.at = trio.current_time()
        self._scope.cancel(reason)


class CancelAtEvent(trio.abc.Instrument):
    """Cancels a scope when all tasks together have been run so many times in a block."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self.is_over = False
        self._left = steps
        self._scope = scope

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, _: trio.lowlevel.Task) -> None:
        """Count the steps."""
        self._left -= 1
        if self._left == 0:
            self.is_over = True
            self._scope.cancel("somewhere")


@pytest.mark.parametrize(
    "transport",
    ["auto", *(pytest.param(t, marks=pytest.mark.slow) for t in ("batch", "single"))],
)
async def test_whatever_runs_when_it_is_cancelled_no_outcome_is_lost(
    autojump_clock: MockClock, transport: Any
) -> None:
    """Each job was told of, or is in the token; none is both."""
    ends = 0
    for steps in range(1, 400, 9):
        server, ids = make_server(8)
        client = server.client(schedule=Fixed(3))
        told: list[str] = []
        block = None
        scope = trio.CancelScope()
        with Invariants(server), scope, CancelAtEvent(steps, scope) as instrument:
            async with client.as_completed(ids, transport=transport) as block:
                async for outcome in block:
                    told.append(outcome.job_id)
                    left = [job["id"] for job in block.token()["jobs"]]
                    assert sorted(told + left) == sorted(ids)
        if block is not None:
            left = [job["id"] for job in block.token()["jobs"]]
            assert sorted(told + left) == sorted(ids)
        ends += not instrument.is_over
    assert ends < 30


async def test_cancelling_a_thousand_waits_takes_no_time_and_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    """Whatever they wait for at that moment."""
    for transport in ("auto", "batch", "single"):
        server, ids = make_server(1000)
        began = trio.current_time()
        with Invariants(server):
            async with server.client(schedule=Fixed(3)) as client:
                with trio.move_on_after(4):
                    async with client.as_completed(ids, transport=transport):
                        await trio.sleep_forever()
        assert trio.current_time() == began + 4
        assert server.in_flight == 0


@pytest.mark.parametrize("by", ["break", "return", "raise", "deadline", "cancel"])
async def test_a_block_leaves_nothing_however_it_is_left(
    autojump_clock: MockClock, by: str
) -> None:
    """In the middle of what it does, and at once."""
    server, ids = make_server()
    client = server.client(schedule=Fixed(3))

    async def follow(scope: trio.CancelScope) -> str:
        async with client.as_completed(ids) as outcomes:
            async for outcome in outcomes:
                if by == "return":
                    return outcome.job_id
                if by == "raise":
                    raise LookupError(outcome.job_id)
                if by == "cancel":
                    scope.cancel()
                if by == "break":
                    break
        return ""

    with Invariants(server), trio.CancelScope() as scope:
        if by == "deadline":
            scope.deadline = trio.current_time() + 5
        if by == "raise":
            with pytest.raises(LookupError):
                await follow(scope)
        else:
            await follow(scope)
    assert trio.current_time() == 5
    assert scope.cancelled_caught is (by in {"deadline", "cancel"})
