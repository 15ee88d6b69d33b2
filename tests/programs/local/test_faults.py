"""Whose fault it was: the machine's, a limit's or the file's; and what is told of it."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vtrio.server.engines import EngineError
from vtrio.server.engines.local import LocalSettings
from vtrio.server.engines.local._complaints import FfmpegError, fit_for_strangers
from vtrio.server.engines.local._faults import explain
from vtrio.server.engines.local._ffmpeg import Ffmpeg, local
from vtrio.server.engines.local._mux import Parts, mux
from vtrio.server.engines.local._probe import Stream
from vtrio.server.engines.local._recognize import _not_loaded
from vtrio.server.engines.local._stages import build_translator

ScriptedFfmpeg = Callable[[str], Ffmpeg]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a"), "no-room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no-room"),
        (OSError(errno.EIO, "Input/output error"), "no-room"),
        (OSError(errno.EFBIG, "File too large"), "too-large"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out-of-memory"),
        (OSError("for no number"), None),
        (PermissionError(errno.EACCES, "Permission denied"), None),
        (MemoryError(), "out-of-memory"),
        (RuntimeError("mkl_malloc: failed to allocate memory"), "out-of-memory"),
        (RuntimeError("std::bad_alloc"), "out-of-memory"),
        (ImportError("x.so: failed to map segment"), "out-of-memory"),
        (RuntimeError("out of cheese"), None),
    ],
)
def test_a_fault_of_the_machine_is_known_by_its_error(
    error: Exception, kind: str | None
) -> None:
    """What is none stays a crash, which is logged."""
    told = explain(error, LocalSettings())

    assert (told.kind if told else None) == kind
    assert "/a" not in str(told)


FULL = "[out#0/mp4 @ 0x55] Error closing file: No space left on device"


@pytest.mark.parametrize(
    ("script", "kind", "permanent"),
    [
        ("exit 228", "no-room", False),
        (f"echo '{FULL}' >&2; exit 1", "no-room", False),
        (
            "echo 'Error writing trailer: Input/output error' >&2; exit 1",
            "no-room",
            False,
        ),
        ("exit 244", "out-of-memory", False),
        ("echo 'Error: Cannot allocate memory' >&2; exit 1", "out-of-memory", False),
        ("kill -s XFSZ $$", "too-large", True),
        ("kill -s XCPU $$", "too-slow", True),
        ("kill -s SEGV $$", "crashed", False),
    ],
)
def test_ffmpeg_fails_for_reasons_that_are_not_the_videos(
    script: str, kind: str, permanent: bool, scripted_ffmpeg: ScriptedFfmpeg
) -> None:
    """A full disk heals; a limit does not."""
    with pytest.raises(EngineError) as caught:
        scripted_ffmpeg(script).run("-i", "x")

    assert (caught.value.kind, caught.value.permanent) == (kind, permanent)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "exit status 3"),
        ("echo 'Invalid data' >&2; exit 183", "Invalid data"),
        # What many readers say of a broken file.
        ("echo 'file.mp4: Input/output error' >&2; exit 251", "Input/output error"),
    ],
)
def test_all_else_is_the_files_fault(
    script: str, told: str, scripted_ffmpeg: ScriptedFfmpeg
) -> None:
    """The end of what ffmpeg wrote says what it is."""
    with pytest.raises(FfmpegError, match=told):
        scripted_ffmpeg(script).run("-i", "x")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Error opening input file file:/srv/a b/in.mp4.", "input file in.mp4."),
        ("[in#0 @ 0x5584fc4ca040] moov atom not found", "[in#0] moov atom not found"),
        ("'/some/where/.cache/model.bin': no", "'model.bin': no"),
        ("(/usr/lib/x.so: bad)", "(x.so: bad)"),
        ("h264 (avc1 / 0x31), 1/2/3, and/or", "h264 (avc1 / 0x31), 1/2/3, and/or"),
    ],
)
def test_strangers_read_no_paths_and_no_addresses(line: str, told: str) -> None:
    """A file's name is enough, and it is ours."""
    assert told in fit_for_strangers(line, ["-i", "file:/srv/a b/in.mp4"])
    assert "srv" not in fit_for_strangers(line, ["-i", "file:/srv/a b/in.mp4"])


def test_a_full_disk_is_not_the_videos_fault(
    ffmpeg: Ffmpeg, short_clip: Path, tmp_path: Path
) -> None:
    """Neither when the sound is read from it nor when the result is written."""
    parts = write_parts(ffmpeg, short_clip, tmp_path)

    for write in (
        lambda: ffmpeg.extract(short_clip, 1, Path("/dev/full")),
        lambda: mux(ffmpeg, parts, Path("/dev/full")),
    ):
        with pytest.raises(EngineError) as caught:
            write()
        assert (caught.value.kind, caught.value.permanent) == ("no-room", False)


def write_parts(ffmpeg: Ffmpeg, clip: Path, folder: Path) -> Parts:
    """Write what goes into a result beside the clip: a second of sound, two texts."""
    ffmpeg.run("-f", "lavfi", "-i", "sine=d=1", local(folder / "dub.wav"))
    for name in ("target.srt", "source.srt"):
        (folder / name).write_text("1\n00:00:00,000 --> 00:00:01,000\nSim.\n\n")
    return Parts(
        video=clip,
        picture=stream(0, "video", "h264", "yuv420p"),
        sound=stream(1, "audio", "aac", None),
        dub=folder / "dub.wav",
        target_srt=folder / "target.srt",
        source_srt=folder / "source.srt",
        seconds=1.0,
        original_volume=0.1,
    )


def stream(index: int, kind: str, codec: str, pixels: str | None) -> Stream:
    """Make a stream as ffmpeg describes one."""
    return Stream(
        index=index,
        kind=kind,
        codec=codec,
        pixels=pixels,
        language=None,
        is_default=True,
        is_cover=False,
    )


# Keeps a count of its calls beside itself; the first one fails.
FAILS_ONCE = """
echo call >> "$0.calls"
test "$(wc -l < "$0.calls")" -gt 1 || { echo "%s" >&2; exit 1; }
"""


@pytest.mark.parametrize(
    ("complaint", "calls"),
    [("Can't write packet with unknown timestamp", 2), (FULL, 1)],
)
def test_a_picture_is_encoded_anew_only_if_that_can_help(
    complaint: str,
    calls: int,
    ffmpeg: Ffmpeg,
    scripted_ffmpeg: ScriptedFfmpeg,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """On a full disk the second try would take long and end like the first."""
    parts = write_parts(ffmpeg, short_clip, tmp_path)
    failing = scripted_ffmpeg(FAILS_ONCE % complaint)

    try:
        notes = mux(failing, parts, tmp_path / "out.mp4")
    except EngineError as error:
        assert error.kind == "no-room"  # one of two ways to end
    else:
        assert notes == (f"the picture was encoded anew: {complaint}",)
    assert len((tmp_path / "ffmpeg.calls").read_text().splitlines()) == calls


def test_a_picture_that_cannot_be_decoded_either_is_refused(
    ffmpeg: Ffmpeg, scripted_ffmpeg: ScriptedFfmpeg, short_clip: Path, tmp_path: Path
) -> None:
    """The error quotes ffmpeg."""
    parts = write_parts(ffmpeg, short_clip, tmp_path)
    failing = scripted_ffmpeg("echo 'no such thing' >&2; exit 1")

    with pytest.raises(EngineError, match="no such thing") as caught:
        mux(failing, parts, tmp_path / "out.mp4")
    assert (caught.value.kind, caught.value.permanent) == ("not-a-video", True)
    with pytest.raises(EngineError, match="picture cannot be read: no such thing"):
        failing.measure(short_clip, 0, tmp_path / "frames")
    with pytest.raises(EngineError, match="sound cannot be read: no such thing"):
        failing.extract(short_clip, 1, tmp_path / "sound")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("kill -s SEGV $$", "crashed"),
        (
            "echo 'Error opening input: Cannot allocate memory' >&2; exit 1",
            "out-of-memory",
        ),
        ("echo 'Error opening input file /srv/a/in.mkv.' >&2; exit 1", "not-a-video"),
        ("exit 1", "not-a-video"),
    ],
)
def test_what_cannot_be_described_is_not_always_the_files_fault(
    script: str, kind: str, scripted_ffmpeg: ScriptedFfmpeg, tmp_path: Path
) -> None:
    """Who looks into it may have died of it."""
    (tmp_path / "in.mkv").write_bytes(b"\x1a\x45\xdf\xa3")

    with pytest.raises(EngineError) as caught:
        scripted_ffmpeg(script).describe(tmp_path / "in.mkv")

    assert caught.value.kind == kind
    assert "/" not in str(caught.value)


def test_of_a_line_that_is_too_long_the_beginning_is_kept(
    scripted_ffmpeg: ScriptedFfmpeg,
) -> None:
    """Its rest is no line of its own, and the next line is."""
    long = "printf '%0700d  Stream #0:9: Audio: aac\nnext\nlast' 0 >&2"

    first, *others = scripted_ffmpeg(long).run()
    assert set(first) == {"0"}
    assert others == ["next", "last"]


def test_ffmpeg_that_cannot_be_started_for_want_of_memory_is_not_missing(
    ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt may find some."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(subprocess, "Popen", refuse)

    with pytest.raises(OSError, match="Cannot allocate memory"):
        ffmpeg.run()


def test_no_ffmpeg_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the setting that helps."""
    import imageio_ffmpeg  # type: ignore[import-untyped]  # no stubs exist

    def find_none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", find_none)

    with pytest.raises(EngineError, match="set VTRIO_FFMPEG") as caught:
        Ffmpeg(LocalSettings())
    assert (caught.value.kind, caught.value.permanent) == ("no-ffmpeg", True)


@pytest.mark.parametrize(
    ("error", "is_folder", "kind", "permanent"),
    [
        (RuntimeError("File model.bin is incomplete"), True, "bad-model", True),
        (ValueError("Invalid model size 'bas'"), False, "bad-model", True),
        (OSError("Temporary failure in name resolution"), False, "no-model", False),
    ],
)
def test_a_model_that_cannot_be_loaded_may_be_one_to_fetch(
    error: Exception, is_folder: bool, kind: str, permanent: bool, tmp_path: Path
) -> None:
    """A network comes back; a folder or a wrong name stays what it is."""
    folder = str(tmp_path) if is_folder else "bas"

    told = _not_loaded(error, LocalSettings(), folder)

    assert isinstance(told, EngineError)
    assert (told.kind, told.permanent) == (kind, permanent)


def test_a_model_that_finds_no_memory_is_not_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models' libraries say it each in their own way."""
    error = RuntimeError("mkl_malloc: failed to allocate memory")
    assert isinstance(_not_loaded(error, LocalSettings(), "base"), MemoryError)

    module = tmp_path / "vtrio_test_no_memory.py"
    module.write_text("raise ImportError('x.so: failed to map segment')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MemoryError):
        build_translator(LocalSettings(translator="vtrio_test_no_memory:factory"))
