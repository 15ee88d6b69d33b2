"""The README is run, not written: every block of code in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
TESTS = [code for code in PYTHON if "def test_" in code]
PROGRAMS = [code for code in PYTHON if code not in TESTS]
SHELL = [code for language, code in BLOCKS if language == "sh"]
SET_UPS = [code for code in SHELL if "pip install" in code]
SERVING = "vtrio serve --data-dir jobs/\n"
COMMANDS = [code for code in SHELL if code not in SET_UPS and code != SERVING]

# A server like `vtrio serve`, but quick: its demonstration ends after a second.
QUICK_SERVER = """
import trio
from functools import partial
from vtrio._distributions import Durations
from vtrio.server import Demonstration, ServerSettings, serve
from vtrio.server.engines.simulated import SimulatedEngine

async def main():
    async with trio.open_nursery() as nursery:
        demonstration = Demonstration(started=trio.current_time(), duration=1.0)
        engine = SimulatedEngine(Durations("fixed", (0.8,)))
        serving = await nursery.start(
            partial(serve, engine, ServerSettings(port=0), demonstration=demonstration)
        )
        print(serving.url, flush=True)

trio.run(main)
"""


CHECK_FIGURES = """
from benchmarks import _readme

text = _readme.README.read_text(encoding="utf-8")
assert "| `Learned`, after 0 jobs |" in text
assert _readme.with_tables(text) == text
"""


def environment(url: str) -> dict[str, str]:
    """Return an environment in which `vtrio` is this one, and asks that server."""
    here = Path(sys.executable).parent
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "VTRIO_BASE_URL": url}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that is quick."""
    # It is killed in the end, so what it leaves behind must lie where that is tidied.
    folder = tmp_path_factory.mktemp("server")
    with subprocess.Popen(
        [sys.executable, "-c", QUICK_SERVER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def folder(tmp_path: Path, sample: Path) -> Path:
    """A folder with a video to translate."""
    shutil.copy(sample, tmp_path / "talk.mp4")
    return tmp_path


def test_every_block_is_run_by_a_test() -> None:
    """No block is of a language that nothing here runs."""
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    assert (len(PYTHON), len(SET_UPS), len(COMMANDS)) == (7, 2, 1)
    assert SERVING in SHELL


@pytest.mark.parametrize("code", PROGRAMS, ids=range(len(PROGRAMS)))
def test_an_example_runs(code: str, url: str, folder: Path) -> None:
    """As it stands, but for the server's address."""
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:5000", url)],
        cwd=folder,
        env=environment(url),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    if "final_status" in code:
        assert "final status: completed" in done.stdout
    if "as_completed" in code:
        assert done.stdout.count(".mp4 took ") == 3
    elif "download" in code:
        assert (folder / "talk.pt.mp4").exists()
    if "durations.json" in code:
        assert (folder / "durations.json").exists()
        assert "completed after " in done.stdout
    elif "receipt" in code and "as_completed" not in code:
        assert "s: last poll" in done.stdout


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    """In a folder of its own, by pytest as it comes; its script is of ten lines."""
    (code,) = TESTS
    (tmp_path / "test_waits.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert len(code[code.index("@pytest") :].splitlines()) == 10


@pytest.mark.slow
def test_the_commands_run(url: str, folder: Path) -> None:
    """Line by line, in a shell."""
    subprocess.run(
        ["sh", "-euc", COMMANDS[0]],  # noqa: S607 - whichever shell there is
        cwd=folder,
        env=environment(url),
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert (folder / "talk.pt.mp4").exists()
    assert (folder / "dubbed" / "talk.pt.mp4").exists()


def test_the_server_runs(folder: Path) -> None:
    """With the engine that is installed, on the port that the README names."""
    with subprocess.Popen(
        ["sh", "-c", f"exec {SERVING.strip()} --port 0"],  # noqa: S607 - likewise
        cwd=folder,
        env=environment(""),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_the_set_ups_are_what_the_gate_runs() -> None:
    """`.ci/run` takes both commands from here, and runs them in an empty folder."""
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in gate
    assert [code.count("\n") for code in SET_UPS] == [1, 1]
    assert SET_UPS[0].rstrip().endswith("vtrio demo")
    assert SET_UPS[1].rstrip().endswith("pytest -n 2")


def test_the_figures_are_those_of_the_results() -> None:
    """They are written by a program, not by hand; so is the picture beside them."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK_FIGURES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "benchmarks/results/schedules.png" in README
    assert (ROOT / "benchmarks" / "results" / "schedules.png").exists()


def test_the_readme_knows_no_machine() -> None:
    """No path of one, and no address of a registry."""
    assert not re.search(r"(^|\s)/(root|home|work|tmp)/", README)
    assert "index-url" not in README
