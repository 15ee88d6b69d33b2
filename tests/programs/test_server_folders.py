"""The folder of a run: its own while it lasts, and nobody's when its server is gone."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from vtrio.server import ServeError, ServerSettings, serve
from vtrio.server.engines.simulated import SimulatedEngine
from vtrio.server.files import Patience
from vtrio.server.folders import folder_for_run


def left_behind(data_dir: Path, name: str = "vtrio-run-x") -> Path:
    """Leave a folder, as a server does that is killed."""
    folder = data_dir / name
    (folder / "uploads").mkdir(parents=True)
    (folder / "uploads" / "half.part").write_bytes(b"half a video")
    return folder


async def test_a_run_has_a_folder_of_its_own_while_it_lasts(tmp_path: Path) -> None:
    """Two at once have two, each with a place for uploads, and nothing stays."""
    patience = Patience()
    async with (
        folder_for_run(tmp_path, patience) as first,
        folder_for_run(tmp_path, patience) as second,
    ):
        assert first != second
        assert set(tmp_path.iterdir()) == {first, second}
        assert (first / "uploads").is_dir()
    assert not list(tmp_path.iterdir())


async def test_what_a_server_left_that_is_gone_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells; the folder of one that runs stays, and what is no server's."""
    left = left_behind(tmp_path)
    (tmp_path / "own").mkdir()
    async with folder_for_run(tmp_path, Patience()) as running:
        left.mkdir()
        async with folder_for_run(tmp_path, Patience()):
            assert not left.exists()
            assert running.exists()
            assert (tmp_path / "own").exists()
    assert f"left-over-removed folder={str(left)!r}" in caplog.messages


async def test_the_systems_temporary_folder_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system sees to it, and others may use it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = left_behind(tmp_path)
    async with folder_for_run(None, Patience()) as folder:
        assert folder.parent == tmp_path
        assert left.exists()


async def test_what_cannot_be_removed_does_not_keep_a_server_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and left."""
    (tmp_path / "vtrio-run-file").touch()
    with caplog.at_level(logging.WARNING, "vtrio.server"):
        async with folder_for_run(tmp_path, Patience()) as folder:
            assert folder.exists()
    assert "remove-failed" in caplog.text


async def test_where_there_are_no_locks_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems have none: nobody can tell there whose server is gone."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    left = left_behind(tmp_path)
    async with folder_for_run(tmp_path, Patience()) as folder:
        assert folder.exists()
        assert left.exists()


async def test_a_disk_that_is_full_at_the_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence; what was made already is removed, and no descriptor stays open."""
    mkdir = Path.mkdir

    def refuse(self: Path, **options: Any) -> None:
        if self.name == "uploads":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(self, **options)

    before = set(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ServeError, match=r"cannot be used \(No space left"):
        await serve(SimulatedEngine(), ServerSettings(port=0, data_dir=tmp_path))
    assert not list(tmp_path.iterdir())
    assert set(Path("/proc/self/fd").iterdir()) <= before
