"""The commands against a server: what they print, write and return."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from socket import socket

import pytest

from vtrio import Job, JobStatus
from vtrio.cli import main
from vtrio.cli.drawing import describe

VTRIO = [sys.executable, "-m", "vtrio"]


class Server:
    """A `vtrio serve` in a process of its own."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [*VTRIO, "serve", "--port", "0", "--engine", "simulated", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.url = self.line.removeprefix("listening on ").strip()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and return the exit status and the log."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=10)
        return self.process.returncode, log


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server whose jobs take 0.2 s."""
    server = Server("--durations", "fixed:0.2", "--workers", "4")
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def slow_url() -> Iterator[str]:
    """The address of a server whose jobs take a minute."""
    server = Server("--durations", "fixed:60", "--workers", "4")
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def failing_url() -> Iterator[str]:
    """The address of a server whose jobs all fail."""
    server = Server("--durations", "fixed:0.1", "--failure-rate", "1")
    yield server.url
    server.stop()


@pytest.fixture
def videos(tmp_path: Path, sample: Path) -> list[Path]:
    """Two videos in a folder."""
    files = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for file in files:
        file.write_bytes(sample.read_bytes())
    return files


def vtrio(*arguments: object, url: str | None = None) -> int:
    """Run a command in this process."""
    where = [] if url is None else ["--base-url", url]
    return main([*map(str, arguments), *where])


def lines(text: str) -> list[dict[str, object]]:
    """Read one JSON object a line."""
    return [json.loads(line) for line in text.splitlines()]


def submit(url: str, video: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Leave a job running on a server, and return its id."""
    code = vtrio(
        "translate", video, "--to", "pt", "--max-wait", 0.05, "--json", url=url
    )
    assert code == 4
    return str(lines(capsys.readouterr().out)[0]["id"])


def test_a_file_is_translated(
    url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The result lies beside it; its path alone is on standard output."""
    assert vtrio("translate", videos[0], "--to", "pt", url=url) == 0
    result = videos[0].with_name("one.pt.mp4")
    printed = capsys.readouterr()
    assert printed.out == f"{result}\n"
    assert result.read_bytes() == videos[0].read_bytes()  # simulated
    assert result.with_suffix(".vtt").read_text().startswith("WEBVTT")
    assert "one.mp4: submitted as " in printed.err
    assert "one.mp4: completed" in printed.err


@pytest.mark.slow
def test_many_files_are_translated_into_a_folder(
    url: str, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is made; JSON is one object a line and nothing else."""
    into = tmp_path / "new" / "out"
    assert (
        vtrio("translate", *videos, "--to", "pt", "--into", into, "--json", url=url)
        == 0
    )
    assert {path.name for path in into.iterdir()} == {
        *("one.pt.mp4", "one.pt.vtt", "two.pt.mp4", "two.pt.vtt")
    }
    told = lines(capsys.readouterr().out)
    assert {str(line["event"]) for line in told} == {
        "submitted",
        "status",
        "downloaded",
    }
    final = [line for line in told if line["status"] == "completed"]
    assert {line["target_language"] for line in final} == {"pt"}
    members = {
        *("event", "id", "status", "progress", "stage", "target_language"),
        *("source_language", "media_seconds", "created_at", "started_at"),
        *("finished_at", "error", "result"),
    }
    assert all(members <= set(line) for line in told)
    assert {line["file"] for line in told} == {"one.mp4", "two.mp4"}


@pytest.mark.slow
def test_a_named_output(
    url: str, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-o` says where the video goes; the subtitles go beside it."""
    out = tmp_path / "dubbed.mp4"
    assert vtrio("translate", videos[0], "--to", "pt", "-o", out, url=url) == 0
    assert out.exists()
    assert out.with_suffix(".vtt").exists()


def test_a_wait_that_times_out_tells_how_to_go_on(
    slow_url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 4, and the command that takes the wait up again."""
    code = vtrio("translate", videos[0], "--to", "pt", "--max-wait", 0.05, url=slow_url)
    assert code == 4
    told = capsys.readouterr().err
    again = told.partition("to go on: ")[2].split()
    assert again[:2] == ["vtrio", "wait"]
    assert again[3:5] == ["--base-url", slow_url]
    assert again[5:] == ["-o", str(videos[0].with_name("one.pt.mp4"))]
    assert vtrio(*again[1:], "--max-wait", 0.05, "--json") == 4
    told_line = lines(capsys.readouterr().out)[-1]
    assert told_line["event"] == "timeout"
    assert told_line["id"] == again[2]
    assert "vtrio wait" in str(told_line["again"])


def test_what_was_learned_is_kept_in_a_file(
    url: str, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a translation and of a later wait; a damaged file is wrong usage."""
    history = tmp_path / "durations.json"
    keeping = ("--history", history)
    code = vtrio("translate", videos[0], "--to", "pt", *keeping, "--json", url=url)
    assert code == 0
    job_id = str(lines(capsys.readouterr().out)[0]["id"])
    assert vtrio("wait", job_id, *keeping, url=url) == 0
    for after, until, _ in json.loads(history.read_text())["classes"][""]:
        assert 0.2 <= after == until < 2  # the server tells it exactly
    capsys.readouterr()
    history.write_text("{")
    assert vtrio("wait", job_id, *keeping, url=url) == 2
    assert "durations.json' cannot be used: it is not JSON" in capsys.readouterr().err
    assert vtrio("wait", job_id, "--history", tmp_path, url=url) == 2
    assert "must be a file that can be read" in capsys.readouterr().err


def test_the_command_that_goes_on_learns_in_the_same_place(
    slow_url: str,
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And what was given up is in the file."""
    history = tmp_path / "durations.json"
    keeping = ("--history", history, "--max-wait", 0.05)
    assert vtrio("translate", videos[0], "--to", "pt", *keeping, url=slow_url) == 4
    assert f"--history {history}" in capsys.readouterr().err


def test_a_job_is_asked_about_and_cancelled(
    slow_url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """`status` answers with 0 however the job stands; a wait for it ends badly."""
    job_id = submit(slow_url, videos[0], capsys)
    assert vtrio("status", job_id, url=slow_url) == 0
    assert capsys.readouterr().out.startswith(f"{job_id} status=")
    assert vtrio("cancel", job_id, url=slow_url) == 0
    assert f"{job_id} status=cancelled" in capsys.readouterr().out
    assert vtrio("cancel", job_id, url=slow_url) == 0
    assert vtrio("status", job_id, "--json", url=slow_url) == 0
    told = lines(capsys.readouterr().out.splitlines()[-1])
    assert (told[0]["event"], told[0]["status"]) == ("status", "cancelled")
    assert vtrio("wait", job_id, url=slow_url) == 1
    assert "was cancelled on the server" in capsys.readouterr().err


@pytest.mark.slow
def test_a_job_that_fails_is_exit_status_1(
    failing_url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the server's reason; of several jobs the worst counts."""
    assert vtrio("translate", videos[0], "--to", "pt", "--json", url=failing_url) == 1
    told = lines(capsys.readouterr().out)[-1]
    assert (told["event"], told["status"]) == ("failed", "error")
    assert told["error"]
    code = vtrio("wait", told["id"], "nobody", url=failing_url)
    assert code == 3


def test_an_unknown_job_is_exit_status_3(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server refused; the rest is asked about all the same."""
    assert vtrio("status", "nobody", "neither", url=url) == 3
    told = capsys.readouterr().err
    assert "nobody: " in told
    assert "neither: " in told
    assert "404" in told
    assert vtrio("wait", "nobody", "--json", url=url) == 3
    assert lines(capsys.readouterr().out)[0]["event"] == "failed"


def test_a_language_that_the_server_refuses_is_exit_status_3(
    url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the server's own words."""
    assert vtrio("translate", videos[0], "--to", "123", url=url) == 3
    assert "language '123' is not allowed" in capsys.readouterr().err


def test_nobody_there_is_exit_status_3(
    videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """And told in one line."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert vtrio("status", "a", "b", url=nobody) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert vtrio("translate", videos[0], "--to", "pt", url=nobody) == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_a_question_may_be_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that accepts and never answers: exit status 4, and how to go on."""
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert vtrio("status", "a", "b", "--max-wait", 0.1, url=where) == 4
        told = capsys.readouterr().err
        assert "there was no answer within max-wait=0.1 s" in told
        assert f"to go on: vtrio status a b --base-url {where}" in told
        assert vtrio("cancel", "a", "--max-wait", 0.1, "--json", url=where) == 4
        (line,) = lines(capsys.readouterr().out)
        assert (line["event"], line["id"]) == ("timeout", "a")


@pytest.mark.slow
def test_a_result_that_cannot_be_written_is_told(
    url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and the file is named."""
    (videos[0].with_name("one.pt.mp4.part")).mkdir()
    assert vtrio("translate", videos[0], "--to", "pt", url=url) == 2
    assert "one.pt.mp4.part" in capsys.readouterr().err


def test_a_reader_that_leaves_ends_the_command(
    slow_url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """`vtrio wait … --json | head -1`: no traceback, and no endless wait."""
    job_id = submit(slow_url, videos[0], capsys)
    with subprocess.Popen(
        [*VTRIO, "wait", job_id, job_id, "--base-url", slow_url, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert vtrio("cancel", job_id, url=slow_url) == 0
        assert process.wait(timeout=20) == 141
        assert "Traceback" not in process.stderr.read()


def test_a_server_cannot_steer_the_terminal() -> None:
    """What it says is written so that it can be read and does nothing."""
    job = Job(id="j1", status=JobStatus.RUNNING, stage="\x1b[2J\ud83d")
    assert describe(job) == r"running \x1b[2J\ud83d"


def test_a_terminal_gets_bars(url: str, videos: list[Path]) -> None:
    """And, when it is over, the path of the result."""
    code, screen = run_on_a_terminal(
        [*VTRIO, "translate", str(videos[0]), "--to", "pt", "--base-url", url]
    )
    assert code == 0
    assert "one.mp4: " in screen
    assert "━" in screen
    assert "100 %" in screen
    assert "one.pt.mp4" in screen


def run_on_a_terminal(command: Sequence[str]) -> tuple[int, str]:
    """Run a command on a pseudo-terminal, and return what it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=a_terminal()
    ) as process:
        os.close(theirs)
        screen = b""
        while True:
            try:
                data = os.read(ours, 65_536)
            except OSError as error:  # the way that a terminal's end is told
                assert error.errno == errno.EIO
                break
            screen += data
        os.close(ours)
        return process.wait(), screen.decode()


def a_terminal() -> dict[str, str]:
    """Return an environment in which a terminal can draw."""
    return {**os.environ, "TERM": "xterm", "COLUMNS": "100"}


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)]
)
def test_the_server_ends_in_order(number: int, status: int) -> None:
    """One line says where it listens; the log says which engine, and that it ended."""
    server = Server("--durations", "fixed:60")
    assert server.line.startswith("listening on http://127.0.0.1:")
    code, log = server.stop(number)
    assert code == status
    events = {line["event"]: line for line in lines(log)}
    assert events["engine-chosen"]["engine"] == "simulated"
    assert events["signal-received"]["signal"] == signal.Signals(number).name
    assert "server-ended" in events


def test_a_busy_port_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence that names it."""
    port = url.rpartition(":")[2]
    assert main(["serve", "--engine", "simulated", "--port", port]) == 2
    assert port in capsys.readouterr().err


def test_an_interrupted_wait_is_exit_status_130(
    slow_url: str, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The job runs on, and the way to it is told."""
    job_id = submit(slow_url, videos[0], capsys)
    with subprocess.Popen(
        [*VTRIO, "wait", job_id, "--base-url", slow_url],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first answer has come: it waits
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        assert process.wait(timeout=10) == 130
    assert "interrupted" in told
    assert f"to go on: vtrio wait {job_id}" in told
    assert vtrio("status", job_id, "--json", url=slow_url) == 0
    assert lines(capsys.readouterr().out)[0]["status"] in {"pending", "running"}


def test_the_simulated_demo_is_the_seeds_test_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A server of its own, the updates and the final status printed."""
    code = main(["demo", "--engine", "simulated", "--max-wait", "0.5"])
    printed = capsys.readouterr().out.splitlines()
    assert code == 4  # the demonstration's job takes 5 s or more
    assert printed[0].startswith("server: http://127.0.0.1:")
    assert printed[1] == "status: pending"
    assert printed[-1] == "final status: timeout"


@pytest.mark.slow
def test_the_simulated_demo_sees_its_job_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After 5 to 15 s, completed or error."""
    code = main(["demo", "--engine", "simulated", "--json"])
    told = [line["status"] for line in lines(capsys.readouterr().out)]
    assert told[0] == "pending"
    assert told[-1] == {0: "completed", 1: "error"}[code]
