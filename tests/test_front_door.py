"""The front door: lazy, complete, and quick to open."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import vtrio


def run(code: str) -> str:
    """Run a piece of Python in an interpreter of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", [n for n in vtrio.__all__ if n != "__version__"])
def test_every_name_prints_by_the_front_door(name: str) -> None:
    """A public name is there and shows itself as `vtrio.X`."""
    thing = getattr(vtrio, name)
    assert thing.__module__ == "vtrio"
    assert thing.__qualname__ == name


def test_the_list_for_the_tools_is_the_list_of_the_program() -> None:
    """What type checkers see is what `__all__` says."""
    from pathlib import Path

    source = Path(vtrio.__file__).read_text(encoding="utf-8")
    told = {
        line.split(" as ")[1].strip()
        for line in source.splitlines()
        if line.strip().startswith("from .") and " as " in line
    }
    assert told == set(vtrio.__all__)
    assert set(dir(vtrio)) == set(vtrio.__all__)


def test_importing_the_package_loads_neither_trio_nor_http() -> None:
    """`import vtrio` is cheap, and so is asking for the version."""
    heavy = "{'trio', 'httpx', 'quart', 'hypercorn', 'rich'} & set(sys.modules)"
    assert run(f"import sys, vtrio; print({heavy})") == "set()"
    assert run(f"import sys, vtrio; vtrio.__version__; print({heavy})") == "set()"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """A slip of the pen is told as for any module."""
    with pytest.raises(AttributeError, match="'vtrio' has no attribute 'Clint'"):
        vtrio.Clint  # noqa: B018


def test_errors_survive_pickling() -> None:
    """An error crosses to another process with all that it carries."""
    job = vtrio.Job(id="j1", status=vtrio.JobStatus.RUNNING)
    receipt = vtrio.Receipt(job_id="j1", waited=2.0, polls=3)
    error = vtrio.WaitTimeout("late", job_id="j1", job=job, receipt=receipt)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(error, TimeoutError)
    assert type(copy) is vtrio.WaitTimeout
    assert (str(copy), copy.job_id, copy.job, copy.receipt) == (
        "late",
        "j1",
        job,
        receipt,
    )
    refused = vtrio.Unauthorized("no", status_code=401, hint=3.0, size=7, job_id="j")
    copy = pickle.loads(pickle.dumps(refused))  # noqa: S301
    assert (copy.status_code, copy.hint, copy.size, copy.job_id) == (401, 3.0, 7, "j")


def test_when_a_job_was_seen_stays_in_its_process() -> None:
    """An instant on one run's clock means nothing in another process."""
    from vtrio._job import Sighting

    job = vtrio.Job(
        id="j1", status=vtrio.JobStatus.RUNNING, seen=Sighting(at=5.0, run=object())
    )
    assert pickle.loads(pickle.dumps(job)).seen is None  # noqa: S301
