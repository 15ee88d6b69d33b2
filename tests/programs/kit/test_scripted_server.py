"""The scripted server: what it says on the wire, and what it writes down."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    JobStatus,
    RequestTimedOut,
)
from vtrio.testing import (
    Exchange,
    Pause,
    Reply,
    ScriptedServer,
    after,
    job,
    respond,
    says,
    truncated,
)


@pytest.mark.parametrize("job_id", ["a b", "é", "a/b", "..", "a%2Fb", "x?y#z"])
async def test_an_id_may_be_any_text(
    job_id: str, tmp_path: Path, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Links and paths are quoted, so that every call finds the job."""
    server = ScriptedServer()
    talk = server.add(job("completed"), id=job_id, video=b"dubbed")
    client = server.client(library=library)
    done = await client.wait(job_id)
    await client.download(done, tmp_path / "out")
    assert (await client.cancel(job_id)).id == job_id
    assert (tmp_path / "out").read_bytes() == b"dubbed"
    assert talk.asked_at == [0.0]
    server.check()
