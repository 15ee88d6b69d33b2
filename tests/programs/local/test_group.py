"""The process group of one attempt: how it ends, and that all of it ends.

The workers are scripts of a few lines, in real processes on the real clock.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from vtrio.server.engines import EngineError, Progress
from vtrio.server.engines.local import LocalSettings
from vtrio.server.engines.local._listen import Tail
from vtrio.server.engines.local._process import run_attempt
from vtrio.server.engines.local._wire import Made, Request

Members = Callable[[int], list[int]]
RunScript = Callable[..., Awaitable[Made | EngineError]]

# Python that a worker may be in place of ours: its process group on stdout first.
HELLO = """
import json, os, signal, subprocess, sys, time
def tell(**message): print(json.dumps(message), flush=True)
tell(progress={"stage": str(os.getpid()), "fraction": 0})
"""


@pytest.fixture
def sample_request(sample: Path, fakes: LocalSettings, tmp_path: Path) -> Request:
    """Ask for the sample, with the stand-ins."""
    return Request(source=sample, work=tmp_path, source_language=None, settings=fakes)


@pytest.fixture
def run_script(sample_request: Request, members: Members) -> RunScript:
    """Run a worker of our own making; see its group gone, and return how it ended."""

    async def run(script: str, *, wall_time: float = 20.0) -> Made | EngineError:
        groups: list[int] = []
        try:
            ending: Made | EngineError = await run_attempt(
                [sys.executable, "-c", HELLO + script],
                sample_request,
                lambda progress: groups.append(int(progress.stage)),
                wall_time=wall_time,
            )
        except EngineError as error:
            ending = error
        assert members(groups[0]) == []
        return ending

    return run


@pytest.mark.usefixtures("nothing_left")
async def test_the_last_word_ends_the_attempt(run_script: RunScript) -> None:
    """A worker that has said its result is not waited for."""
    script = """
tell(made={"media_seconds": 2.5, "source_language": "en", "notes": ["a note"]})
time.sleep(60)
"""
    with trio.fail_after(5):
        ending = await run_script(script)

    assert ending == Made(media_seconds=2.5, source_language="en", notes=("a note",))


@pytest.mark.usefixtures("nothing_left")
async def test_an_error_in_the_worker_comes_out_as_it_was(
    run_script: RunScript,
) -> None:
    """Kind, title, detail and permanence survive the way through the pipe."""
    error = {"kind": "no-speech", "title": "T", "detail": None, "permanent": True}

    ending = await run_script(f"tell(error={error})")

    assert isinstance(ending, EngineError)
    assert vars(ending) == error


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("print('Loading...', flush=True)", "Loading..."),
        ("tell(made={})", "made"),
        ("tell(progress=[])", "progress"),
        ("sys.stdout.buffer.write(b'\\xff' * (2**20 + 70000))", "a line of more than"),
    ],
)
@pytest.mark.usefixtures("nothing_left")
async def test_a_worker_that_talks_nonsense_has_crashed(
    script: str, told: str, run_script: RunScript, caplog: pytest.LogCaptureFixture
) -> None:
    """What is not a message ends the attempt and is logged."""
    ending = await run_script(f"{script}\ntime.sleep(60)")

    assert isinstance(ending, EngineError)
    assert (ending.kind, ending.permanent) == ("crashed", False)
    assert told in caplog.text
    assert len(caplog.text) < 5_000


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("sys.exit('out of cheese')", "exit status 1"),
        ("sys.exit(0)", "exit status 0"),
    ],
)
@pytest.mark.usefixtures("nothing_left")
async def test_a_worker_that_dies_has_crashed(
    script: str, told: str, run_script: RunScript, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says how it died; what it wrote last stands in the log."""
    ending = await run_script(script)

    assert isinstance(ending, EngineError)
    assert (ending.kind, ending.permanent) == ("crashed", False)
    assert f"{told}; incident " in str(ending)
    assert "cheese" not in str(ending)
    assert ("out of cheese" in caplog.text) == ("cheese" in script)


@pytest.mark.usefixtures("nothing_left")
async def test_a_worker_may_write_any_amount_of_diagnosis(
    run_script: RunScript, caplog: pytest.LogCaptureFixture
) -> None:
    """A full pipe stops nobody, and only the end of what was written is kept."""
    script = "sys.stderr.write('x' * 5_000_000 + 'the end'); sys.exit(3)"

    with trio.fail_after(10):
        await run_script(script)

    assert "the end" in caplog.text
    assert len(caplog.text) < 5_000


@pytest.mark.usefixtures("nothing_left")
async def test_a_worker_that_ends_for_want_of_memory_has_not_crashed(
    run_script: RunScript,
) -> None:
    """C++ code ends the process where Python would raise an error."""
    ending = await run_script(
        "print('what(): std::bad_alloc', file=sys.stderr); os.abort()"
    )

    assert isinstance(ending, EngineError)
    assert (ending.kind, ending.permanent) == ("out-of-memory", False)
    assert "8192 MiB" in str(ending)


@pytest.mark.usefixtures("nothing_left")
async def test_an_attempt_ends_at_its_time_limit(run_script: RunScript) -> None:
    """The engine's own limit is an error of its own; the next try would take as long."""
    ending = await run_script("time.sleep(60)", wall_time=0.5)

    assert isinstance(ending, EngineError)
    assert (ending.kind, ending.permanent) == ("too-slow", True)
    assert "after 0.5 s" in str(ending)


@pytest.mark.usefixtures("nothing_left")
async def test_a_signal_for_too_much_processor_time_is_told_as_that(
    run_script: RunScript,
) -> None:
    """The kernel's limit on processor time is not taken for a crash."""
    ending = await run_script("os.kill(os.getpid(), signal.SIGXCPU)")

    assert isinstance(ending, EngineError)
    assert (ending.kind, ending.permanent) == ("too-slow", True)


@pytest.mark.usefixtures("nothing_left")
async def test_what_a_dead_worker_leaves_behind_is_killed(
    run_script: RunScript,
) -> None:
    """A grandchild that holds the pipes open holds nothing up and does not live on."""
    script = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"

    with trio.fail_after(5):
        ending = await run_script(script)  # asserts an empty group

    assert isinstance(ending, EngineError)
    assert ending.kind == "crashed"


@pytest.mark.usefixtures("nothing_left")
async def test_a_callback_that_raises_ends_the_attempt(
    sample_request: Request, members: Members
) -> None:
    """Its exception comes out as itself, not in a group."""
    groups = []

    def refuse(progress: Progress) -> None:
        groups.append(int(progress.stage))
        raise LookupError("the job is gone")

    with pytest.raises(LookupError, match="the job is gone"):
        await run_attempt(
            [sys.executable, "-c", f"{HELLO}time.sleep(60)"],
            sample_request,
            refuse,
            wall_time=20,
        )
    assert members(groups[0]) == []


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01, 0.05, 0.2])
@pytest.mark.usefixtures("nothing_left")
async def test_a_cancel_at_any_moment_leaves_nothing(
    delay: float, sample_request: Request
) -> None:
    """Starting, greeting or at work: the group is gone when the call returns."""
    script = "subprocess.Popen(['sleep', '60']); time.sleep(60)"

    with trio.fail_after(5), trio.move_on_after(delay) as scope:
        await run_attempt(
            [sys.executable, "-c", HELLO + script],
            sample_request,
            lambda _: None,
            wall_time=20,
        )

    assert scope.cancelled_caught


def test_what_was_written_last_can_be_looked_at() -> None:
    """In a debugger, for example."""
    assert repr(Tail()) == "<Tail ''>"
