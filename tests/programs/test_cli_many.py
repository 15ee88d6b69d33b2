"""The commands for many jobs against a server: what they leave, and how it goes on."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from vtrio.cli import main
from vtrio.cli.left import Left

VTRIO = [sys.executable, "-m", "vtrio"]
NUMBER = 10


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server whose jobs take 0.1 s."""
    yield from serve("--durations", "fixed:0.1", "--workers", "8")


@pytest.fixture(scope="module")
def slow_url() -> Iterator[str]:
    """The address of a server whose jobs take a minute."""
    yield from serve("--durations", "fixed:60")


def serve(*options: str) -> Iterator[str]:
    """Run a `vtrio serve` in a process of its own."""
    with subprocess.Popen(
        [*VTRIO, "serve", "--port", "0", "--engine", "simulated", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listening on ").strip()
        process.terminate()


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """More videos than have a bar each, one in a folder of its own."""
    (tmp_path / "apart").mkdir()
    files = [tmp_path / f"v{n}.mp4" for n in range(NUMBER - 1)]
    files.append(tmp_path / "apart" / "v9.mp4")
    for file in files:
        file.write_bytes(file.name.encode())
    return files


def vtrio(*arguments: object, url: str | None = None) -> int:
    """Run a command in this process."""
    where = [] if url is None else ["--base-url", url]
    return main([*map(str, arguments), *where])


def lines(text: str) -> list[dict[str, Any]]:
    """Read one JSON object a line."""
    return [json.loads(line) for line in text.splitlines()]


def again(told: str) -> list[str]:
    """Return the arguments of the one command that goes on."""
    assert told.count("to go on: ") == 1
    command = told.partition("to go on: ")[2].splitlines()[0].split()
    assert command[:3] == ["vtrio", "wait", "--resume"]
    return command[1:]


def test_many_files_are_translated(
    url: str,
    videos: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each result beside its file; the paths are told in the order of the files."""
    assert vtrio("translate", *videos, "--to", "pt", url=url) == 0
    printed = capsys.readouterr()
    results = [video.with_name(f"{video.stem}.pt.mp4") for video in videos]
    assert printed.out.splitlines() == list(map(str, results))
    assert [path.read_bytes() for path in results] == [v.read_bytes() for v in videos]
    assert all(path.with_suffix(".vtt").exists() for path in results)
    assert printed.err.count("submitted as") == NUMBER
    assert printed.err.count("completed, result in") == NUMBER
    assert printed.err.splitlines()[-1].startswith("10 of 10: 10 submitted, 0 running")
    assert "to go on" not in printed.err


def test_many_files_are_told_of_in_json(
    url: str, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same events as for a few: one that fails is an event, and the worst counts."""
    (tmp_path / "out" / "v3.pt.mp4.part").mkdir(parents=True)
    into = ("--into", tmp_path / "out")
    assert vtrio("translate", *videos, "--to", "pt", *into, "--json", url=url) == 2
    told = lines(capsys.readouterr().out)
    for event, number in (("submitted", 10), ("downloaded", 18), ("failed", 1)):
        assert sum(line["event"] == event for line in told) == number
    (failed,) = [line for line in told if line["event"] == "failed"]
    assert failed["file"] == "v3.mp4"
    assert "v3.pt.mp4.part" in failed["message"]
    assert {line["file"] for line in told} == {video.name for video in videos}


def test_what_is_left_of_many_is_taken_up(
    slow_url: str,
    url: str,
    videos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line and one file; the file says which server, and where results go."""
    monkeypatch.chdir(tmp_path)
    patience = ("--max-wait", 0.05, "--history", "durations.json")
    translate = ("translate", *videos, "--to", "pt", *patience, "--json")
    assert vtrio(*translate, url=slow_url) == 4
    printed = capsys.readouterr()
    timeouts = [line for line in lines(printed.out) if line["event"] == "timeout"]
    assert len(timeouts) == NUMBER
    command = again(printed.err)
    assert command == [
        *("wait", "--resume", "vtrio-left.json", "--history", "durations.json")
    ]
    assert {line["again"] for line in timeouts} == {" ".join(["vtrio", *command])}
    token = json.loads(Path("vtrio-left.json").read_text())
    assert token["base_url"] == slow_url
    assert token["unsent"] == []
    assert {job["video"] for job in token["jobs"]} == {v.name for v in videos}
    assert {job["output"] for job in token["jobs"]} == {
        str(video.with_name(f"{video.stem}.pt.mp4")) for video in videos
    }

    # Taken up where nothing else says which server, and left again in the same place.
    monkeypatch.setenv("VTRIO_BASE_URL", url)
    before = Path("vtrio-left.json").stat().st_mtime_ns
    assert vtrio(*command, "--max-wait", 0.05) == 4
    assert again(capsys.readouterr().err) == command
    assert Path("vtrio-left.json").stat().st_mtime_ns > before
    kept = json.loads(Path("vtrio-left.json").read_text())
    assert [{**job, "age": 0} for job in kept["jobs"]] == [
        {**job, "age": 0} for job in token["jobs"]
    ]
    assert sorted(path.name for path in tmp_path.glob("vtrio-left*")) == [
        "vtrio-left.json"
    ]

    # The flag itself says it better than the file.
    assert vtrio(*command, "--base-url", url) == 3
    assert "knows no job" in capsys.readouterr().err


def test_what_was_left_is_waited_for_and_fetched(
    url: str, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To where it was to go, or into another folder; from standard input too."""
    code = vtrio(
        *("translate", *videos, "--to", "pt", "--into", tmp_path / "out"),
        *("--max-wait", 0.01),
        url=url,
    )
    assert code == 4
    command = again(capsys.readouterr().err)
    file = tmp_path / "out" / "vtrio-left.json"
    assert command == ["wait", "--resume", str(file)]
    left = [job["output"] for job in json.loads(file.read_text())["jobs"]]
    assert left
    assert vtrio(*command) == 0
    told = capsys.readouterr().err
    assert all(Path(output).exists() for output in left)
    assert told.count("completed, result in") == len(left)
    assert "to go on" not in told
    elsewhere = tmp_path / "elsewhere"
    assert vtrio(*command, "--into", elsewhere) == 0
    assert {path.name for path in elsewhere.glob("*.mp4")} == {
        Path(output).name for output in left
    }
    capsys.readouterr()
    with subprocess.Popen(
        [*VTRIO, "wait", "--resume", "-", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        out, _ = process.communicate(file.read_text(), timeout=30)
    assert process.returncode == 0
    assert sum(line["event"] == "downloaded" for line in lines(out)) == 2 * len(left)


def test_many_ids_are_waited_for_together(
    slow_url: str,
    url: str,
    videos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With results only where a folder for them is given."""
    monkeypatch.chdir(tmp_path)
    vtrio("translate", *videos, "--to", "pt", "--json", url=url)
    told = lines(capsys.readouterr().out)
    ids = [line["id"] for line in told if line["event"] == "submitted"]
    assert vtrio("wait", *ids, url=url) == 0
    assert "10 of 10: 0 running, 10 completed, 0 failed" in capsys.readouterr().err
    assert vtrio("wait", *ids, "--into", "out", url=url) == 0
    assert {path.name for path in Path("out").iterdir()} == {
        f"{job_id}.{suffix}" for job_id in ids for suffix in ("mp4", "vtt")
    }
    capsys.readouterr()
    assert vtrio("wait", *ids, url=slow_url) == 3
    told_of = capsys.readouterr().err
    assert told_of.count("knows no job") == NUMBER
    assert "to go on" not in told_of


def test_results_that_cannot_be_fetched_are_left(
    url: str,
    videos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They can be gone on with, when whatever was in the way is not."""
    monkeypatch.chdir(tmp_path)
    vtrio("translate", *videos, "--to", "pt", "--json", url=url)
    told = lines(capsys.readouterr().out)
    ids = [line["id"] for line in told if line["event"] == "submitted"]
    in_the_way = tmp_path / "out" / f"{ids[3]}.mp4.part"
    in_the_way.mkdir(parents=True)
    assert vtrio("wait", *ids, "--into", "out", url=url) == 2
    command = again(capsys.readouterr().err)
    (left,) = json.loads((tmp_path / command[-1]).read_text())["jobs"]
    assert (left["id"], left["output"]) == (ids[3], str(tmp_path / f"out/{ids[3]}.mp4"))
    in_the_way.rmdir()
    assert vtrio(*command) == 0
    assert (tmp_path / f"out/{ids[3]}.mp4").exists()


def test_files_that_were_not_submitted_are_counted(
    slow_url: str, videos: list[Path], tmp_path: Path
) -> None:
    """And named in the file, for whoever goes on by hand."""
    videos += [tmp_path / f"more{n}.mp4" for n in range(300)]
    for file in videos[NUMBER:]:
        file.write_bytes(file.name.encode())
    into = tmp_path / "out"
    told = interrupted(
        ["translate", *videos, "--to", "pt", "--into", into, "--base-url", slow_url]
    )
    token = json.loads((into / "vtrio-left.json").read_text())
    assert token["unsent"]
    assert f"{len(token['unsent'])} files were not submitted" in told
    assert len(token["unsent"]) + len(token["jobs"]) == len(videos)


def interrupted(command: list[object]) -> str:
    """Run a command until all is submitted, interrupt it, and return what it told."""
    with subprocess.Popen(
        [*VTRIO, *map(str, command)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for _ in range(NUMBER):
            process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        assert process.wait(timeout=10) == 130
    assert "Traceback" not in told
    assert told.splitlines()[-1] == "vtrio: interrupted"
    return told


def test_many_that_are_interrupted_are_left_in_a_file(
    slow_url: str, videos: list[Path], tmp_path: Path
) -> None:
    """Whole, and in place; the next one has another name."""
    into = tmp_path / "out"
    command: list[object] = ["translate", *videos, "--to", "pt", "--into", into]
    for name in ("vtrio-left.json", "vtrio-left-2.json"):
        told = interrupted([*command, "--base-url", slow_url])
        assert again(told)[-1] == str(into / name)
        assert len(json.loads((into / name).read_text())["jobs"]) == NUMBER
    assert not list(into.glob("*.part"))


def test_many_that_are_interrupted_may_be_cancelled(
    slow_url: str,
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the server; then there is nothing to go on with."""
    into = tmp_path / "out"
    told = interrupted(
        [
            *("translate", *videos, "--to", "pt", "--into", into),
            *("--base-url", slow_url, "--on-exit", "cancel"),
        ]
    )
    assert "10 jobs were cancelled" in told
    assert "to go on" not in told
    assert not list(into.iterdir())


@pytest.mark.parametrize("number", [2, NUMBER])
def test_jobs_that_were_given_up_may_be_cancelled(
    slow_url: str,
    videos: list[Path],
    number: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Few or many: nothing is told to go on with, and the server has cancelled them."""
    giving_up = ("--max-wait", 0.05, "--on-exit", "cancel", "--json")
    code = vtrio("translate", *videos[:number], "--to", "pt", *giving_up, url=slow_url)
    assert code == 4
    printed = capsys.readouterr()
    told = lines(printed.out)
    assert not any("again" in line for line in told)
    assert "to go on" not in printed.err
    ids = [line["id"] for line in told if line["event"] == "submitted"]
    assert vtrio("status", *ids, "--json", url=slow_url) == 0
    statuses = [line["status"] for line in lines(capsys.readouterr().out)]
    assert statuses == ["cancelled"] * number


def test_what_cannot_be_cancelled_can_be_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody is there, or nobody answers within the time for it."""
    monkeypatch.setattr("vtrio.cli.commands.CANCEL_TIME", 0.1)
    giving_up = ("--max-wait", 0.1, "--on-exit", "cancel")
    for is_there in (False, True):
        with socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if is_there:
                silent.listen()
            where = f"http://127.0.0.1:{silent.getsockname()[1]}"
            assert vtrio("wait", "a", *giving_up, url=where) == 4
            told = capsys.readouterr().err
            assert f"to go on: vtrio wait a --base-url {where}" in told


def test_a_terminal_gets_bars_and_totals(url: str, videos: list[Path]) -> None:
    """What is left to read is the totals, and the paths of the results."""
    ours, theirs = pty.openpty()
    command = [*VTRIO, "translate", *map(str, videos), "--to", "pt", "--base-url", url]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # the way that a terminal's end is told
            while data := os.read(ours, 65_536):
                screen += data
        os.close(ours)
        assert process.wait() == 0
    told = screen.decode()
    assert "10 of 10: 10 submitted, 0 running, 10 completed, 0 failed" in told
    assert "submitted as" not in told
    assert told.rstrip().endswith("v9.pt.mp4")


def test_a_file_that_cannot_be_written_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the current folder; and a name that another one is just taking is left."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vtrio-left.json.part").touch()
    left = Left(tmp_path / "nowhere", history=None)
    assert left.write({"jobs": []}) == "vtrio wait --resume vtrio-left-2.json"
    assert left.write({"jobs": [1]}) == left.again
    assert json.loads(Path("vtrio-left-2.json").read_text()) == {"jobs": [1]}
    assert {path.name for path in tmp_path.iterdir()} == {
        *("vtrio-left.json.part", "vtrio-left-2.json")
    }


def test_a_file_that_cannot_be_replaced_stays_whole(tmp_path: Path) -> None:
    """An error half-way leaves what was there, and no part."""
    file = tmp_path / "left.json"
    file.write_text("before")
    (tmp_path / "left.json.part").mkdir()
    left = Left(tmp_path, file=file)
    with pytest.raises(OSError, match=r"left\.json\.part"):
        left.write({"jobs": []})
    assert file.read_text() == "before"


def test_where_nothing_can_be_written_the_ids_are_told(
    slow_url: str,
    videos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error: they are all that is needed to go on."""

    def fail(*_: object) -> str:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Left, "write", fail)
    code = vtrio(
        "translate", *videos, "--to", "pt", "--max-wait", 0.05, "--json", url=slow_url
    )
    assert code == 4
    printed = capsys.readouterr()
    ids = [j["id"] for j in lines(printed.out) if j["event"] == "submitted"]
    told = printed.err.partition("it is the jobs ")[2].split()
    assert sorted(told) == sorted(ids)
    assert "No space left on device" in printed.err


GOOD = {
    "version": 1,
    "base_url": "http://127.0.0.1:9",
    "saved_at": "2026-01-01T00:00:00+00:00",
    "cursor": None,
    "jobs": [{"id": "j1"}],
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be used: it is not JSON"),
        ("[" * 100_000, "cannot be used: it is not JSON"),
        ("\udcff", "cannot be used: it is not JSON"),
        ("[]", "cannot be used: it is [], and no token of waits"),
        ("{}", "cannot be used: the token's version=None is not allowed"),
        ({"base_url": "localhost"}, "base_url='localhost' is not allowed"),
        ({"jobs": [{}]}, "the token's jobs={} is not allowed"),
        ({"jobs": [{"id": "\ud800"}]}, "is not allowed: must be a Job or its id"),
        ({"jobs": [{"id": "j1", "output": 5}]}, "the token's output=5 is not allowed"),
        ({"jobs": [{"id": "j1", "video": ""}]}, "the token's video='' is not allowed"),
        (
            {"jobs": [{"id": n, "output": "/out/a.mp4"} for n in ("j1", "j2")]},
            "two files would be in one place, '/out/a.mp4'",
        ),
    ],
)
def test_a_bad_file_is_one_sentence_and_exit_status_2(
    text: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what is wrong with it."""
    file = tmp_path / "left.json"
    if isinstance(text, dict):
        text = json.dumps({**GOOD, **text})
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert vtrio("wait", "--resume", file) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (sentence,) = printed.err.splitlines()
    assert sentence.startswith("vtrio: ")
    assert told in sentence


def test_a_file_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is nothing on standard input a token."""
    assert vtrio("wait", "--resume", tmp_path / "nothing.json") == 2
    assert "must be a file that can be read" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert vtrio("wait", "--resume", "-") == 2
    assert "--resume - cannot be used: it is not JSON" in capsys.readouterr().err


def test_a_token_of_nothing_is_nothing_to_wait_for(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is over at once, and well."""
    file = tmp_path / "left.json"
    file.write_text(json.dumps({**GOOD, "base_url": url, "jobs": []}))
    assert vtrio("wait", "--resume", file) == 0
    assert "0 of 0" in capsys.readouterr().err


def test_jobs_that_have_no_place_go_into_the_folder_by_their_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they do for a few; an id that is no name of a file is refused."""
    file = tmp_path / "left.json"
    file.write_text(json.dumps({**GOOD, "jobs": [{"id": "a/b"}]}))
    assert vtrio("wait", "--resume", file, "--into", tmp_path) == 2
    assert "ID='a/b' is not allowed with --into" in capsys.readouterr().err
