"""`vtrio demo`, as the README promises it: really translated, within a minute."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_translates_the_sample(
    sample: Path, assert_promised: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """It prints each update, the final status, and where the result lies."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "vtrio", "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    # The promise is a minute on two cores; half of it is spare on a quiet machine.
    assert time.monotonic() - started < 60
    told = done.stdout.splitlines()
    assert told[0].startswith("server: http://127.0.0.1:")
    assert told[1].startswith("sense.mp4: submitted as ")
    assert any("speaking" in line for line in told)
    assert told[-2] == "final status: completed"
    result = tmp_path / "vtrio-demo" / "sense.pt.mp4"
    assert told[-1] == f"result: {result}"
    assert_promised(result, sample)
    assert result.with_suffix(".vtt").read_text("utf-8").startswith("WEBVTT")
