"""The folder of a server: one server's at a time, and nobody's when that one is gone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path, PurePath
from typing import Any

import pytest
import trio

from vtrio.server import ServeError, ServerSettings, serve
from vtrio.server.engines.simulated import SimulatedEngine
from vtrio.server.files import Patience
from vtrio.server.folders import (
    attempt_folder,
    default_data_dir,
    folders_of_jobs,
    job_folder,
    lock_folder,
    sweep,
)

TEMPORARY = f"vtrio-{os.getuid()}-"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a temporary folder of the test's own in place of the system's."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def left_behind(temporary: Path, name: str = TEMPORARY + "x") -> Path:
    """Leave a folder, as a server does that is killed."""
    folder = temporary / name
    (folder / "uploads").mkdir(parents=True)
    (folder / "uploads" / "half.part").write_bytes(b"half a video")
    (folder / "lock").touch()
    return folder


def descriptors() -> set[str]:
    """Return what this process has open."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a program that inherits whatever may be inherited."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )


# --- a data directory ---------------------------------------------------------------


async def test_a_data_directory_is_made_with_its_places(tmp_path: Path) -> None:
    """The folders above it too; all of it stays."""
    data_dir = tmp_path / "a" / "b"
    async with lock_folder(data_dir, Patience()) as folder:
        assert folder == data_dir
    assert sorted(path.name for path in data_dir.iterdir()) == [
        "jobs",
        "lock",
        "uploads",
    ]


@pytest.mark.parametrize("name", [".", "data", "../data"])
async def test_a_data_directory_is_told_from_the_root_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """However it was named."""
    monkeypatch.chdir(tmp_path)
    async with lock_folder(Path(name), Patience()) as folder:
        assert folder == tmp_path / name
        assert (Path(name) / "lock").exists()


async def test_what_people_send_is_nobody_elses_to_read(tmp_path: Path) -> None:
    """A folder that is there keeps its mode, and the places in it are closed."""
    (tmp_path / "old").mkdir(mode=0o755)
    for name, mode in (("new", 0o700), ("old", 0o755)):
        async with lock_folder(tmp_path / name, Patience()) as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == mode
            for place in ("uploads", "jobs"):
                assert stat.S_IMODE((folder / place).stat().st_mode) == 0o700


async def test_a_data_directory_belongs_to_one_server(tmp_path: Path) -> None:
    """The second is told so; when the first has ended, the next may have it."""
    async with lock_folder(tmp_path, Patience()):
        before = descriptors()
        with pytest.raises(ServeError, match="is in use by another server: end that"):
            async with lock_folder(tmp_path, Patience()):
                pass
        assert descriptors() == before
    async with lock_folder(tmp_path, Patience()):
        pass


async def test_a_killed_servers_directory_is_free(tmp_path: Path) -> None:
    """The system lets go of the lock, however the process ended."""
    program = (
        "import sys, trio\n"
        "from pathlib import Path\n"
        "from vtrio.server.files import Patience\n"
        "from vtrio.server.folders import lock_folder\n"
        "async def main():\n"
        "    async with lock_folder(Path(sys.argv[1]), Patience()):\n"
        "        print('locked', flush=True)\n"
        "        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    with start(program, tmp_path) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(ServeError, match="in use by another server"):
                async with lock_folder(tmp_path, Patience()):
                    pass
        finally:
            other.send_signal(signal.SIGKILL)
    async with lock_folder(tmp_path, Patience()):
        pass


async def test_what_a_server_starts_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A program that outlives it has no hold of its directory."""
    async with lock_folder(tmp_path, Patience()):
        child = start("import sys; print(flush=True); sys.stdin.read()")
        assert child.stdout is not None
        # Only when it runs has it let go of what it is not to have.
        assert child.stdout.readline() == b"\n"
    with child:
        async with lock_folder(tmp_path, Patience()):
            pass
        assert child.poll() is None


async def test_half_uploads_of_the_last_server_are_removed(tmp_path: Path) -> None:
    """What belongs to jobs is left: the store says what becomes of it."""
    left = left_behind(tmp_path, "data")
    source = left / job_folder("j1") / "source.mp4"
    source.parent.mkdir(parents=True)
    source.touch()

    async with lock_folder(left, Patience()):
        assert list((left / "uploads").iterdir()) == []
        assert source.exists()


async def test_a_server_that_is_refused_removes_no_uploads(tmp_path: Path) -> None:
    """They are the other one's, which is taking them in."""
    async with lock_folder(tmp_path, Patience()):
        upload = tmp_path / "uploads" / "half.part"
        upload.touch()
        with pytest.raises(ServeError):
            async with lock_folder(tmp_path, Patience()):
                pass
        assert upload.exists()


async def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    """In one sentence, that says what to do."""
    place = tmp_path / "place"
    place.touch()
    with pytest.raises(
        ServeError, match=r"place' cannot be used \(File exists\): pass another --data"
    ):
        async with lock_folder(place, Patience()):
            pass


async def test_a_disk_without_locks_is_used_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some network disks have none: that one server has it is up to who runs it."""
    monkeypatch.setattr(fcntl, "flock", no_locks)
    async with lock_folder(tmp_path, Patience()):
        pass
    (record,) = caplog.records
    assert record.message == "folder-not-locked"
    assert vars(record)["path"] == str(tmp_path / "lock")


def no_locks(descriptor: object, operation: int) -> None:
    """Be a disk that has no locks."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize("name", ["data", None])
async def test_a_disk_that_is_full_at_the_start_is_told(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """One sentence; no descriptor stays open, and no temporary folder stays."""
    mkdir = Path.mkdir

    def refuse(self: Path, **options: Any) -> None:
        if self.name == "jobs":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(self, **options)

    before = descriptors()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ServeError, match=r"cannot be used \(No space left"):
        async with lock_folder(tmp_path / name if name else None, Patience()):
            pass
    assert descriptors() == before
    assert not list(temporary.iterdir())


async def test_a_server_that_cannot_have_its_directory_does_not_start(
    tmp_path: Path,
) -> None:
    """It says why before it listens."""
    async with lock_folder(tmp_path, Patience()):
        with pytest.raises(ServeError, match="in use by another server"):
            await serve(SimulatedEngine(), ServerSettings(port=0, data_dir=tmp_path))


# --- a temporary folder -------------------------------------------------------------


async def test_without_a_directory_each_server_has_a_temporary_folder(
    temporary: Path,
) -> None:
    """Two at once have two, for nobody else's eyes, and nothing stays."""
    patience = Patience()
    async with lock_folder(None, patience) as first, lock_folder(None, patience) as two:
        assert first != two
        assert set(temporary.iterdir()) == {first, two}
        for folder in (first, two):
            assert folder.name.startswith(TEMPORARY)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert (folder / "uploads").is_dir()
            assert (folder / "jobs").is_dir()
    assert not list(temporary.iterdir())


async def test_the_temporary_folder_is_removed_whatever_happens(
    temporary: Path,
) -> None:
    """After an error in the block, and where the block is cancelled."""
    with pytest.raises(RuntimeError, match="broken"):
        async with lock_folder(None, Patience()):
            raise RuntimeError("broken")
    with trio.CancelScope() as scope:
        async with lock_folder(None, Patience()) as folder:
            assert folder.exists()
            scope.cancel()
            await trio.sleep_forever()
    assert not list(temporary.iterdir())


async def test_what_a_killed_server_left_is_removed(
    temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells; the folder of one that runs stays, and what is no server's."""
    (temporary / "own").mkdir()
    other = left_behind(temporary, "vtrio-new-")
    async with lock_folder(None, Patience()) as running:
        left = left_behind(temporary)
        async with lock_folder(None, Patience()):
            assert not left.exists()
            assert running.exists()
            assert (temporary / "own").exists()
            assert other.exists()
    (record,) = caplog.records
    assert (record.message, vars(record)["path"]) == ("left-over-removed", str(left))


async def test_a_data_directory_leaves_temporary_folders_alone(
    temporary: Path, tmp_path: Path
) -> None:
    """They are the business of the servers that have such."""
    left = left_behind(temporary)
    async with lock_folder(tmp_path / "data", Patience()):
        assert left.exists()


async def test_what_cannot_be_removed_does_not_keep_a_server_from_starting(
    temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and left."""
    (temporary / (TEMPORARY + "file")).touch()
    async with lock_folder(None, Patience()) as folder:
        assert folder.exists()
    (record,) = caplog.records
    assert record.message == "remove-failed"


async def test_where_there_are_no_locks_nothing_is_removed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell there whose server is gone."""
    monkeypatch.setattr(fcntl, "flock", no_locks)
    left = left_behind(temporary)
    async with lock_folder(None, Patience()):
        assert (left / "uploads" / "half.part").exists()


# --- what is in it ------------------------------------------------------------------


async def test_what_belongs_to_no_job_is_swept(tmp_path: Path) -> None:
    """And of a job what attempts have made whose files do not count."""
    kept = ["jobs/a/attempt-2/out.mp4", "jobs/a/source.mp4", "jobs/b/source.mp4"]
    swept = ["jobs/a/attempt-1/out.mp4", "jobs/b/attempt-1/out", "jobs/gone/source.mp4"]
    for name in kept + swept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(await folders_of_jobs(tmp_path)) == ["a", "b", "gone"]

    await sweep(tmp_path, {"a": 2, "b": 0, "has no folder": 1})

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path)) for path in files) == kept
    assert await folders_of_jobs(tmp_path) in (["a", "b"], ["b", "a"])
    assert not (tmp_path / "jobs" / "b" / "attempt-1").exists()


def test_files_have_their_places() -> None:
    """Relative to the folder, so that it may be moved."""
    assert job_folder("j1") == PurePath("jobs/j1")
    assert attempt_folder("j1", 2) == PurePath("jobs/j1/attempt-2")


def test_each_port_has_a_data_directory_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Below what the desktop's standard names, or where that says it is otherwise."""
    monkeypatch.setenv("HOME", str(tmp_path))
    ours = tmp_path / ".local" / "share" / "vtrio" / "5000"
    assert default_data_dir(5000, {}) == ours
    assert default_data_dir(5000, {"XDG_DATA_HOME": ""}) == ours
    assert default_data_dir(80, {"XDG_DATA_HOME": "/data"}) == Path("/data/vtrio/80")
