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
