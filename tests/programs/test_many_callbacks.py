"""What callbacks are told, and what they and the body of a block raise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Fixed,
    Job,
    Outcome,
    VideoTranslationClient,
)
from vtrio.testing import (
    Invariants,
    ScriptedServer,
    after,
    job,
)


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[tuple[float, Outcome]]:
    """Wait for all, and return the outcomes with their instants."""
    async with client.as_completed(jobs, **settings) as outcomes:
        return [(trio.current_time(), outcome) async for outcome in outcomes]


class OddGroup(ExceptionGroup[Exception]):
    """A group of somebody's own, which does not know how to be split."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        StopAsyncIteration("mine"),
        StopIteration("mine"),
        KeyboardInterrupt("mine"),
        trio.BrokenResourceError("mine"),
        trio.ClosedResourceError("mine"),
        trio.EndOfChannel("mine"),
        OddGroup("mine", [ValueError("one"), KeyError("two")]),
        OddGroup("mine", [ValueError("alone")]),
    ],
    ids=repr,
)
async def test_what_the_body_raises_comes_out_as_itself(
    autojump_clock: MockClock, error: BaseException
) -> None:
    """The very object, whatever it is, and with no cause that is not its own."""
    server = ScriptedServer()
    server.add(job("running", after(5, "completed")), id="j1")
    server.add(job("running", after(50, "completed")), id="j2", optional=True)
    with Invariants(server):
        async with server.client() as client:
            caught = None
            try:
                async with client.as_completed(["j1", "j2"]) as outcomes:
                    async for _ in outcomes:
                        raise error
            except BaseException as raised:  # noqa: BLE001 - whatever it is
                caught = raised
    assert caught is error
    assert error.__cause__ is None
    assert trio.current_time() == 5


Callback = Callable[[Any], Awaitable[None] | None]


def raising(error: Exception, *, is_async: bool) -> Callback:
    """Make a callback that raises."""

    def at_once(_: object) -> None:
        raise error

    async def later(_: object) -> None:
        await trio.sleep(1)
        raise error

    return later if is_async else at_once


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", ["on_job", "on_stall"])
async def test_what_a_callback_raises_ends_the_block_as_itself(
    autojump_clock: MockClock, name: str, is_async: bool
) -> None:
    """Unwrapped, although it ran in a task beside the body, which is cancelled."""
    error = LookupError("mine")
    callback = raising(error, is_async=is_async)
    settings: dict[str, Any] = {name: callback, "max_run_time": 3}
    server = ScriptedServer()
    server.add(job("running", after(50, "completed")), id="j1", optional=True)
    cleaned_up_at = -1.0

    async def follow(client: VideoTranslationClient) -> None:
        nonlocal cleaned_up_at
        async with client.as_completed(["j1"], **settings):
            try:
                await trio.sleep_forever()
            finally:
                cleaned_up_at = trio.current_time()

    with Invariants(server):
        async with server.client() as client:
            with pytest.raises(LookupError) as caught:
                await follow(client)
    assert caught.value is error
    assert cleaned_up_at == trio.current_time()
    assert trio.current_time() == (3 if name == "on_stall" else 0) + is_async


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_each_change_of_status_is_called_back_once(
    autojump_clock: MockClock, is_async: bool
) -> None:
    """With the job; also at its end, before the outcome is handed over."""
    heard: list[tuple[float, str, str]] = []

    def at_once(told: Job) -> None:
        heard.append((trio.current_time(), told.id, told.word))

    async def later(told: Job) -> None:
        await trio.lowlevel.checkpoint()
        at_once(told)

    server = ScriptedServer()
    server.add(job("pending", after(2, "running"), after(9, "completed")), id="a")
    server.add(job("pending", after(4, "running"), after(6, "error")), id="b")
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100)) as client,
            client.as_completed(
                ["a", "b"], on_job=later if is_async else at_once
            ) as outcomes,
        ):
            async for outcome in outcomes:
                assert heard[-1][1] == outcome.job_id
    assert heard == [
        (0, "a", "pending"),
        (0, "b", "pending"),
        (2, "a", "running"),
        (4, "b", "running"),
        (6, "b", "error"),
        (9, "a", "completed"),
    ]
    server.check()


async def test_a_wait_that_is_given_up_is_no_change_of_status(
    autojump_clock: MockClock,
) -> None:
    """The job still runs, and that has been told."""
    heard: list[tuple[float, str]] = []
    server = ScriptedServer()
    server.add(job("running", after(90, "completed")), id="a", optional=True)
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            told = await collect(
                client,
                ["a"],
                max_wait_time=20,
                on_job=lambda told: heard.append((trio.current_time(), told.word)),
            )
    assert [at for at, _ in told] == [20]
    assert heard == [(0, "running")]


async def test_a_stall_is_called_back_and_the_wait_goes_on(
    autojump_clock: MockClock,
) -> None:
    """Once, awaited, and before whatever comes later."""
    stalls: list[tuple[float, str, float, float]] = []

    async def on_stall(stall: Any) -> None:
        await trio.lowlevel.checkpoint()
        stalls.append((trio.current_time(), stall.phase, stall.seconds, stall.budget))

    server = ScriptedServer()
    server.add(job("running", after(50, "completed")), id="j1")
    with Invariants(server):
        async with server.client(schedule=Fixed(100)) as client:
            told = await collect(client, ["j1"], max_run_time=12, on_stall=on_stall)
    assert [at for at, _ in told] == [50]
    assert stalls == [(12, "run", 12, 12)]
    server.check()
