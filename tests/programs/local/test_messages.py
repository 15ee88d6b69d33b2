"""What the engine and its worker tell each other, and how often."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines import EngineError, Progress
from vtrio.server.engines.local import LocalSettings
from vtrio.server.engines.local._steps import SHARES, Steps
from vtrio.server.engines.local._wire import (
    Made,
    Request,
    decode_message,
    decode_request,
    encode_message,
    encode_request,
)


@pytest.mark.parametrize(
    "message",
    [
        Progress(stage="speaking", fraction=0.5, media_seconds=3.0),
        Made(media_seconds=3, source_language="en", notes=("a", "ção")),
        EngineError("no-speech", "Title", "detail", permanent=True),
    ],
)
def test_messages_survive_the_pipe(message: Progress | Made | EngineError) -> None:
    """What is written on one side is read on the other."""
    read = decode_message(encode_message(message))

    assert type(read) is type(message)
    if isinstance(message, EngineError):
        assert vars(read) == vars(message)
    else:
        assert read == message


@given(
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["progress", "made", "error", "stage", "kind"]),
                    inner,
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_what_is_not_a_message_is_refused(line: bytes) -> None:
    """No line makes the engine fail in a way that nobody expects."""
    with pytest.raises(ValueError, match="is not a message"):
        decode_message(line)


def test_requests_survive_the_pipe() -> None:
    """The worker works with the settings that the engine was given."""
    request = Request(
        source=Path("/a b/ç.mp4"),
        work=Path("/w"),
        source_language=None,
        settings=LocalSettings(threads=7, cache="/c"),
    )

    assert decode_request(encode_request(request)) == request
    assert asdict(request.settings)["threads"] == 7


def test_progress_only_rises_and_is_not_told_too_often() -> None:
    """From 0 to 1 over all stages; between them at most a few messages a second."""
    told: list[Progress] = []
    now = 0.0
    steps = Steps(told.append, clock=lambda: now)
    for stage in SHARES:
        steps.enter(stage)
        for part in steps.through(range(100)):
            now += 0.01
            steps.reach(part / 50 - 0.5)  # before the start, and beyond the end
    steps.learn(source_language="en")
    steps.finish()

    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert told[-2].source_language == "en"
    assert len(told) <= 2 + len(SHARES) * 5
    assert sum(SHARES.values()) == pytest.approx(1)
