"""Schemathesis against the server that is described, in two processes of their own.

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
seed = 5
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
max-examples = 600

[phases.stateful.generation]
max-examples = 150

[checks.negative_data_rejection]
# What is too large is refused as that.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]

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


@pytest.mark.slow
def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    """No failure of the server among thousands of cases, and none that hangs."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "settings.toml").write_text(SETTINGS)
    key = add_key(folder)
    with serving(folder) as url:
        command = [
            sys.executable,
            "-c",
            "from schemathesis.cli import schemathesis as s; s()",
        ]
        command += ["--config-file", "settings.toml", "run", f"{url}/openapi.json"]
        command += ["-H", f"Authorization: Bearer {key}"]
        run = subprocess.run(
            [*command, "--report", "json", "--report-json-path", "report.json"],
            cwd=tmp_path,
            env={**os.environ, "VTRIO_KEY": key},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
        assert httpx.get(f"{url}/status").status_code == 200
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"]
    assert report["test_cases"]["generated"] >= LEAST_CASES
    assert '"level": "error"' not in (folder / "log").read_text()
