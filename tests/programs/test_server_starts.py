"""Starts that fail: one sentence, exit status 2, and nothing of the folder is damaged."""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio.cli import main

if TYPE_CHECKING:
    from tests.programs.conftest import BenchOf

FILE = "vtrio.sqlite3"


@pytest.fixture
def folder(bench_of: BenchOf) -> Path:
    """A data directory with a job in it."""
    bench = bench_of()

    async def serve() -> None:
        async with bench.running():
            await bench.submit()

    trio.run(serve, clock=MockClock(autojump_threshold=0))
    (bench.folder / "lock").touch()
    return bench.folder


def content(folder: Path) -> dict[str, bytes | None]:
    """Return the bytes of all that is in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def newer(folder: Path) -> None:
    """Have the store be one of a later version."""
    with closing(sqlite3.connect(folder / FILE)) as store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
        store.commit()


def foreign(folder: Path) -> None:
    """Put another program's database in its place."""
    (folder / FILE).unlink()
    with closing(sqlite3.connect(folder / FILE)) as store:
        store.execute("CREATE TABLE recipes (name)")
        store.execute("INSERT INTO recipes VALUES ('soup')")
        store.commit()


def garbage(folder: Path) -> None:
    """Put something that is no database in its place."""
    (folder / FILE).write_bytes(b"no database at all\n" * 500)


def cut_off(folder: Path) -> None:
    """Have half of the database be gone."""
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[: len(whole) // 2])


def a_folder(folder: Path) -> None:
    """Have a folder be where the database should."""
    (folder / FILE).unlink()
    (folder / FILE).mkdir()


@pytest.mark.parametrize("command", ["serve --engine simulated --port 0", "keys list"])
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (newer, "written by a newer version of vtrio (its schema is '9999'"),
        (foreign, "is no store of vtrio: it has the table 'recipes'"),
        (garbage, "cannot be used (file is not a database)"),
        (cut_off, "cannot be used (database disk image is malformed)"),
        (a_folder, "cannot be used (unable to open database file)"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_store_that_cannot_be_used_is_told_and_left_alone(
    command: str,
    damage: Callable[[Path], None],
    told: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By `serve` and by `keys` alike; every byte is as before."""
    damage(folder)
    before = content(folder)

    assert main([*command.split(), "--data-dir", str(folder)]) == 2

    printed = capsys.readouterr()
    *log, sentence = printed.err.splitlines()
    assert sentence.startswith(f"vtrio: the store {str(folder / FILE)!r} ")
    assert told in sentence
    assert "pass another --data-dir" in sentence
    assert all(json.loads(line)["level"] == "info" for line in log)
    assert printed.out == ""
    assert content(folder) == before


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have another server hold the folder."""
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_folder_of_another_server_is_told_and_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The keys of the other one can be looked after all the same."""
    (folder / "uploads" / "coming-in.part").write_bytes(b"half a video")
    with locked(folder):
        before = content(folder)
        line = ["serve", "--engine", "simulated", "--port", "0"]
        assert main([*line, "--data-dir", str(folder)]) == 2
        sentence = capsys.readouterr().err.splitlines()[-1]
        assert sentence == (
            f"vtrio: the data directory {str(folder)!r} is in use by another server:"
            " end that one, or pass another --data-dir"
        )
        assert content(folder) == before
        assert main(["keys", "list", "--data-dir", str(folder)]) == 0


@pytest.mark.parametrize("command", ["serve --engine simulated --port 0", "keys add x"])
def test_a_folder_that_cannot_be_made_is_told(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is in its way."""
    (tmp_path / "file").touch()
    where = str(tmp_path / "file" / "x")
    assert main([*command.split(), "--data-dir", where]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence == (
        f"vtrio: the data directory {where!r} cannot be used (Not a directory):"
        " pass another --data-dir"
    )


def test_the_process_says_it_too(folder: Path) -> None:
    """With no traceback, and the exit status for the shell."""
    newer(folder)
    before = content(folder)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vtrio", "serve", "--engine", "simulated"),
            *("--port", "0", "--data-dir", str(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    *log, sentence = done.stderr.splitlines()
    assert sentence.startswith("vtrio: the store ")
    assert [json.loads(line)["event"] for line in log] == ["engine-chosen"]
    assert content(folder) == before


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A small disk of the test's own, where the system lets it have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*mounted, f"mount -t tmpfs -o size=64k none {disk}"],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("no disk can be mounted here")  # pragma: no cover
    command = (
        f"mount -t tmpfs -o size=64k none {disk}; exec {sys.executable} -m vtrio serve"
        f" --engine simulated --port 0 --data-dir {disk}"
    )
    done = subprocess.run(
        [*mounted, command],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (2, "")
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("vtrio: the store ")
    assert "database or disk is full" in sentence
    assert "free its disk" in sentence


def test_a_store_that_fails_ends_the_process(tmp_path: Path) -> None:
    """While it serves: one sentence, and the status of a start that fails."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "vtrio", "serve", "--engine", "simulated"),
            *("--port", "0", "--data-dir", str(tmp_path), "--keep", "1s"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with closing(sqlite3.connect(tmp_path / FILE)) as store:
            store.execute("DROP TABLE events")
        _, log = process.communicate(timeout=20)
    assert process.returncode == 2
    *_, sentence = log.splitlines()
    assert sentence == (
        "vtrio: the store has failed (no such table: events): repair it or its disk,"
        " and start the server again"
    )
    assert "Traceback" not in log
