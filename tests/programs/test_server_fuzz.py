"""Schemathesis against the server that is described, in processes of their own.

It makes requests from `/openapi.json`, good and bad ones, goes from answers to further
requests, and compares every answer with the document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

HOOKS = Path(__file__).with_name("fuzz_hooks.py")
SETTINGS = f"""
hooks = {json.dumps(str(HOOKS))}
continue-on-failure = true
request-timeout = 10
max-stream-events = 1
warnings = false

[cache]
enabled = false

[auth.openapi.key]
bearer = "${{VTRIO_KEY}}"

[generation]
database = "none"
max-examples = 250

[phases.stateful.generation]
max-examples = 100

[checks.negative_data_rejection]
# Whatever it is that is wrong.
expected-statuses = ["4xx", 503, 507]

[checks.not_a_server_error]
# Of these a limit may be the reason.
expected-statuses = ["2xx", "3xx", "4xx", 503, 507]

[[operations]]
include-path = "/v1/translations/cancel"
# This path is that of a job too, whose id is `cancel`, for all but POST.
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false

[[operations]]
include-tag = "server"
# Their requests are all alike.
generation.max-examples = 20
"""
SEEDS = (1, 2)
LEAST_CASES = 5000


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve from a folder, with jobs that end at once; give the address."""
    command = [
        *(sys.executable, "-m", "vtrio", "serve", "--port", "0"),
        *("--data-dir", str(folder), "--workers", "4"),
        *("--engine", "simulated", "--durations", "fixed:0"),
    ]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()
            assert process.wait(10) == 0


def add_key(folder: Path) -> str:
    """Add a key to the server of this folder."""
    command = [sys.executable, "-m", "vtrio", "keys", "add", "fuzz", "--json"]
    command += ["--data-dir", str(folder)]
    added = subprocess.run(command, check=True, capture_output=True, text=True)
    return str(json.loads(added.stdout)["key"])


def start_fuzzing(url: str, folder: Path, key: str, seed: int) -> subprocess.Popen[str]:
    """Start Schemathesis on the document in a folder."""
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    return subprocess.Popen(
        [
            *(sys.executable, "-c", program, "--config-file", "settings.toml"),
            *("run", "openapi.json", "--url", url, "--seed", str(seed)),
            *("--report", "json", "--report-json-path", f"report-{seed}.json"),
        ],
        cwd=folder,
        env={**os.environ, "VTRIO_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    """No failure of the server among thousands of cases, and none that hangs.

    Two halves run at once, because the making of cases takes longer than the server.
    """
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "settings.toml").write_text(SETTINGS)
    key = add_key(folder)
    with serving(folder) as url:
        described = httpx.get(
            f"{url}/openapi.json", headers={"Authorization": f"Bearer {key}"}
        )
        (tmp_path / "openapi.json").write_bytes(described.content)
        halves = {seed: start_fuzzing(url, tmp_path, key, seed) for seed in SEEDS}
        try:
            said = {
                seed: half.communicate(timeout=300)[0] for seed, half in halves.items()
            }
        finally:
            for half in halves.values():
                half.kill()
        assert httpx.get(f"{url}/status").status_code == 200
    for seed, half in halves.items():
        assert half.returncode == 0, said[seed][-20_000:]
    reports = [
        json.loads((tmp_path / f"report-{seed}.json").read_text()) for seed in SEEDS
    ]
    assert all(report["complete"] for report in reports)
    cases = sum(report["test_cases"]["generated"] for report in reports)
    assert cases >= LEAST_CASES
    assert '"level": "error"' not in (folder / "log").read_text()
