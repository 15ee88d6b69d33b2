"""The benchmarks' program: it finds its scenarios and writes what it found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def benchmarks(*arguments: str) -> str:
    """Run the program as a user does, from the top of the tree."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_scenarios_are_listed() -> None:
    """By name, with what each is about."""
    assert "wait" in benchmarks()


def test_a_scenario_writes_its_results_and_where_they_are_from(tmp_path: Path) -> None:
    """Versions, seed, machine and commit beside the figures."""
    file = tmp_path / "wait.json"
    few = ["--polls", "20", "--runs", "1", "--starts", "1", "--deadline", "0.2"]
    table = benchmarks("wait", *few, "--json", str(file))
    assert "CPU of one poll" in table
    document = json.loads(file.read_text())
    assert set(document) == {"environment", "results"}
    assert {"versions", "seed", "machine", "commit"} <= set(document["environment"])
    assert {"vtrio", "trio", "httpx"} <= set(document["environment"]["versions"])
    found = document["results"]["wait"]
    assert found["overhead"]["httpx"]["polls"] == 20
    overshoots = [row["overshoot_ms"]["min"] for row in found["deadline"].values()]
    assert len(overshoots) == 5
    assert min(overshoots) >= 0  # never early
