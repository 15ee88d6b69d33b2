"""The scripted source: one job that lives as a script says, without any server."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Job,
    JobStatus,
    ServerBusy,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio.testing import ScriptedSource, Steady, after, refused


def a_client(source: object, **settings: object) -> VideoTranslationClient:
    """Make a client that asks a source; chance plays no part."""
    return VideoTranslationClient(
        "http://x",
        source=source,  # type: ignore[arg-type]
        rng=Steady(),
        **settings,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("step", [refused(), after(5, refused()), 7, None])
def test_a_step_that_is_none_is_refused(step: object) -> None:
    """A server's fault would pass for an unknown status word."""
    with pytest.raises(ValueError, match=r"step .* is not allowed: must be a status"):
        ScriptedSource("pending", step)  # type: ignore[arg-type]
