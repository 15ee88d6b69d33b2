"""The invariants checker: each thing that no wait may do is told, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import httpx
import pytest
import trio
import trio.testing
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
    drip,
    hang,
    job,
    respond,
)


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


@pytest.mark.parametrize("in_nursery", [False, True])
async def test_what_was_broken_is_told_where_the_block_is_cancelled(
    in_nursery: bool, autojump_clock: MockClock
) -> None:
    """A note on what a scope swallows would be read by nobody."""

    async def wait_twice() -> None:
        client = a_client(ScriptedSource("running", latency=9))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.wait, "j1")
            nursery.start_soon(client.wait, "j1")

    broken = r"^what must hold did not:\n  at 0 s: 2 polls for job 'j1' are in flight$"
    with pytest.raises(InvariantBroken, match=broken), trio.move_on_after(2):
        with Invariants():
            if in_nursery:
                await wait_twice()
            with a_poll(a_session()), a_poll(a_session()):
                await trio.sleep_forever()
    assert trio.current_time() == 2.0
