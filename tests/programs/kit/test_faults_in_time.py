"""Where and when a fault strikes: on the timeline, by count, in a script."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Fixed,
    ServerBusy,
    Unreachable,
    VideoTranslationClient,
)
from vtrio.testing import (
    ScriptedServer,
    after,
    busy,
    hang,
    html,
    hung_up,
    job,
    refused,
    reset,
    says,
    server_error,
    truncated,
)


def patient(
    server: ScriptedServer, library: ModuleType | None = None, **settings: Any
) -> VideoTranslationClient:
    """Make a client that asks ten seconds after every answer."""
    given = {"schedule": Fixed(10), "request_timeout": 4, **settings}
    return server.client(library=library, **given)


async def outcomes(
    server: ScriptedServer, *, until: int, every: float = 10
) -> list[bool]:
    """Ask about `j1` in even steps, and tell which questions failed."""
    failed = []
    for _ in range(until):
        try:
            await server.client().get_job("j1")
        except Unreachable:
            failed.append(True)
        else:
            failed.append(False)
        await trio.sleep(every)
    return failed


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"at": 20}, [2, 3, 4, 5]),
        ({"at": 20, "lasting": 20}, [2, 3]),
        ({"lasting": 20.5}, [0, 1, 2]),
        ({"times": 2}, [0, 1]),
        ({"skip": 3}, [3, 4, 5]),
        ({"times": 1, "skip": 4}, [4]),
        ({"at": 10, "skip": 1, "times": 2}, [2, 3]),
        ({"to": "poll", "about": "j1", "times": 1}, [0]),
        ({"to": "result", "optional": True}, []),
        ({"about": "j2", "optional": True}, []),
    ],
    ids=repr,
)
async def test_a_fault_strikes_when_it_was_told_to(
    when: dict[str, Any], struck: list[int], autojump_clock: MockClock
) -> None:
    """From an instant on, for so long, so often, after so many."""
    server = ScriptedServer()
    server.add(job("running"))
    server.fault(refused(), **when)
    failed = await outcomes(server, until=6)
    assert [n for n, did in enumerate(failed) if did] == struck
    server.check()


async def test_a_fault_strikes_the_kind_that_it_is_for(
    tmp_path: Path, library: ModuleType, autojump_clock: MockClock
) -> None:
    """Each call of the client meets its own fault, once."""
    server = ScriptedServer()
    server.on_submit(job("running", after(30, "completed")))
    server.fault(reset(), to="submission", times=1)
    server.fault(server_error(), to="poll", times=1)
    server.fault(html(), to="cancel", times=1)
    server.fault(hung_up(), to="result", times=1)
    client = patient(server, library)
    with pytest.raises(Unreachable):
        await client.submit(io.BytesIO(b"video"), "pt")
    talk = await client.submit(io.BytesIO(b"video"), "pt")
    with pytest.raises(ServerBusy):
        await client.get_job(talk)
    with pytest.raises(BadAnswer):
        await client.cancel(talk)
    done = await client.wait(talk)
    await client.download(done, tmp_path / "out")
    assert [(e.kind, e.at) for e in server.exchanges] == [
        ("submission", 0.0),
        ("submission", 0.0),
        ("poll", 0.0),
        ("cancel", 0.0),
        ("poll", 10.0),
        ("poll", 20.0),
        ("poll", 30.0),
        ("result", 30.0),
        ("result", 30.5),
    ]
    server.check()


async def test_a_fault_may_be_about_one_job(autojump_clock: MockClock) -> None:
    """The other job never meets it."""
    server = ScriptedServer()
    one = server.add(job("running", after(25, "completed")))
    other = server.add(job("running", after(5, "completed")))
    server.fault(busy(retry_after=12), about=one, at=5, lasting=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(patient(server).wait, one.id)
        nursery.start_soon(patient(server).wait, other.id)
    assert one.asked_at == [0.0, 10.0, 22.0, 32.0]
    assert other.asked_at == [0.0, 10.0]
    server.check()


async def test_the_first_of_two_faults_strikes(autojump_clock: MockClock) -> None:
    """One that is used up, or not yet due, leaves the request to the next."""
    server = ScriptedServer()
    talk = server.add(job("running", after(25, "completed")))
    server.fault(refused(), times=1)
    server.fault(html(), at=5, times=1)
    server.fault(busy(), times=1)
    await patient(server).wait(talk.id)
    assert [poll.outcome for poll in talk.polls] == [
        "connection refused",
        "200 HTML",
        "503",
        "200 completed",
    ]


async def test_a_step_may_be_a_fault_from_an_age_on(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """It holds until the next step, for this job alone."""
    server = ScriptedServer()
    talk = server.add(
        job("running", after(5, busy(retry_after=13)), after(30, "completed")), age=2
    )
    await patient(server, library).wait(talk.id)
    assert talk.asked_at == [0.0, 10.0, 23.0, 36.0]
    assert [poll.outcome for poll in talk.polls] == [
        "200 running",
        "503 Retry-After: 13",
        "503 Retry-After: 13",
        "200 completed",
    ]
    server.check()


async def test_a_step_may_be_a_fault_for_one_question(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Each fault of a script is met once, in order, and the job stands as before."""
    server = ScriptedServer()
    talk = server.add(
        job("running", refused(), says("asleep"), truncated(), hang(), "completed")
    )
    heard: list[str] = []
    await patient(server, library).wait(talk.id, on_update=heard.append)
    assert heard == ["running", "asleep", "completed"]
    assert talk.asked_at == [0.0, 10.0, 20.0, 30.0, 40.0, 54.0]
    server.check()


async def test_a_fault_of_the_server_leaves_a_script_where_it_is(
    autojump_clock: MockClock,
) -> None:
    """A question whose answer was not heard is not one that the script counts."""
    server = ScriptedServer()
    talk = server.add(job("pending", "running", "completed"))
    server.fault(truncated(), times=2, skip=1)
    heard: list[str] = []
    await patient(server).wait(talk.id, on_update=heard.append)
    assert heard == ["pending", "running", "completed"]
    assert talk.asked_at == [0.0, 10.0, 20.0, 30.0, 40.0]
