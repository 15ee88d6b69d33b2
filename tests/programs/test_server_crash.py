"""A server that is killed again and again, as `python -m benchmarks crash` kills it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FAULTS = ("lost", "doubled", "stuck", "ended_more_than_once", "ended_untold")


@pytest.mark.slow
def test_no_job_is_lost_doubled_or_stuck_by_20_kills(tmp_path: Path) -> None:
    """All 200 of 8 tasks that repeat what got no answer are completed, once."""
    file = tmp_path / "found.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "crash", "--json", str(file)),
            *("--kills", "20", "--jobs", "200", "--tasks", "8"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())["results"]["crash"]
    assert found["kills"] == 20
    assert found["statuses"] == {"completed": 200}
    assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert found["keys_forgotten"] == 0
    assert found["repeated"] > 0  # some kill hit a submission
