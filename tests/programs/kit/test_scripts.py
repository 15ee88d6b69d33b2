"""Scripts of jobs: steps by age and by question, lives by chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, JobFailed, JobStatus, Refused, WaitTimeout
from vtrio._distributions import Durations
from vtrio.testing import (
    Cut,
    Invariants,
    Pause,
    Reply,
    ScriptedServer,
    ScriptedSource,
    after,
    asks_to_wait,
    busy,
    drawn,
    drip,
    expired_link,
    gzip_bomb,
    hang,
    html,
    job,
    refused,
    reset,
    respond,
    says,
    server_error,
    too_many,
    wrong_length,
)


@pytest.mark.parametrize("step", [expired_link(), after(5, expired_link())])
def test_a_fault_of_downloads_is_no_step_of_a_job(step: object) -> None:
    """It would answer questions for the status with 403."""
    with pytest.raises(ValueError, match=r"step expired_link\(\) is not allowed: must"):
        job("pending", step)  # type: ignore[arg-type]


def test_the_first_step_has_no_age() -> None:
    """It holds from the submission on, and the message says so."""
    with pytest.raises(ValueError, match=r"first=after\(3, 'running'\) is not allowed"):
        job(after(3, "running"), "completed")  # type: ignore[arg-type]


@pytest.mark.parametrize("by", [0, 1.5, "5", True])
def test_a_wrong_length_is_wrong_by_a_whole_number(by: object) -> None:
    """One that is too small is allowed, and none is not."""
    with pytest.raises(ValueError, match=r"by=.* is not allowed: must be a whole numb"):
        wrong_length(by=by)  # type: ignore[arg-type]


def test_another_word_must_be_one() -> None:
    """Whatever else would be sent as JSON."""
    with pytest.raises(ValueError, match="word=5 is not allowed: must be a status wor"):
        says(5)  # type: ignore[arg-type]


def test_the_kind_of_a_fault_is_checked() -> None:
    """The message says which there are."""
    kinds = "to='polls' is not allowed: must be one of poll, submission, cancel, resul"
    with pytest.raises(ValueError, match=kinds):
        ScriptedServer().fault(refused(), to="polls")


async def test_the_first_question_is_told_the_first_step(
    autojump_clock: MockClock,
) -> None:
    """A bare step takes over with the question after the one that was told it."""
    server = ScriptedServer()
    talk = server.add(job("pending", "running", "completed"))
    heard: list[str] = []
    await server.client().wait(talk.id, on_update=heard.append)
    assert heard == ["pending", "running", "completed"]
    assert [poll.outcome for poll in talk.polls] == [
        "200 pending",
        "200 running",
        "200 completed",
    ]
