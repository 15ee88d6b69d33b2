"""Attempts with stand-ins for the models: what they make, and that they can be ended.

These start real processes on the real clock.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from vtrio.server.engines import EngineError, Progress, Translation
from vtrio.server.engines.local import LocalSettings, _engine
from vtrio.server.engines.local._ffmpeg import Ffmpeg, local
from vtrio.server.engines.local._pipeline import translate_video
from vtrio.server.engines.local._wire import (
    Made,
    Request,
    decode_message,
    encode_request,
)

Attempt = Callable[..., Awaitable[Translation]]
TranslateHere = Callable[..., Made]
Members = Callable[[int], list[int]]
Children = Callable[[int], set[int]]
AssertPromised = Callable[[Path, Path], None]

WORKER = [sys.executable, "-P", "-m", "vtrio.server.engines.local"]


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("nothing_left")
async def test_cancelling_kills_a_worker_that_computes(
    attempt: Attempt,
    stuck: LocalSettings,
    members: Members,
    children: Children,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """A worker that listens to nobody, and its child, end with the cancel."""
    before = children(os.getpid())
    groups: set[int] = set()
    scope = trio.CancelScope()

    async def cancel_when_stuck() -> None:
        while not any(len(members(group)) == 2 for group in groups):
            await trio.sleep(0.05)
            groups.update(children(os.getpid()) - before)
        scope.cancel("the test has seen enough")

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_stuck)
            with scope:
                await attempt(short_clip, tmp_path / "out", stuck)

    assert scope.cancelled_caught
    assert [members(group) for group in groups] == [[]]
    assert names(tmp_path / "out") == []


def test_the_group_dies_with_the_server(
    stuck: LocalSettings,
    members: Members,
    children: Children,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """A server that is killed outright leaves no worker behind."""
    script = f"""
import pathlib, trio
from vtrio.server.engines import Task
from vtrio.server.engines.local import LocalEngine, LocalSettings
settings = LocalSettings(recognizer={stuck.recognizer!r})
task = Task(job_id="j", attempt=1, source=pathlib.Path({str(short_clip)!r}),
            folder=pathlib.Path({str(tmp_path)!r}), target_language="pt")
trio.run(LocalEngine(settings).translate, task, lambda progress: None)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as server:
        deadline = time.monotonic() + 20
        groups: set[int] = set()
        while not any(len(members(group)) == 2 for group in groups):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            groups = children(server.pid)
        server.kill()

    (group,) = groups
    while members(group):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
async def test_too_much_processor_time_ends_an_attempt(
    attempt: Attempt, stuck: LocalSettings, short_clip: Path, tmp_path: Path
) -> None:
    """The limit that the worker sets itself is in force."""
    with pytest.raises(EngineError) as caught:
        await attempt(short_clip, tmp_path / "out", replace(stuck, cpu_time=1))

    assert (caught.value.kind, caught.value.permanent) == ("too-slow", True)


@pytest.mark.usefixtures("nothing_left")
async def test_an_attempt_with_fakes_makes_what_a_real_one_makes(
    attempt: Attempt, assert_promised: AssertPromised, short_clip: Path, tmp_path: Path
) -> None:
    """The files, the facts and the notes are there, and nothing else is left."""
    strange = tmp_path / "-i file.mp4"
    os.link(short_clip, strange)

    made = await attempt(strange, tmp_path / "out")

    assert names(tmp_path / "out") == ["subtitles.vtt", "video.mp4"]
    assert made.media_seconds == pytest.approx(2, abs=0.1)
    assert made.source_language == "en"
    assert "sihT si a .tset" in made.subtitles.read_text()
    assert_promised(made.video, short_clip)


def test_the_stages_work_together(
    fakes: LocalSettings,
    assert_promised: AssertPromised,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """In one process: what is too long is spoken faster, and the rest is cut."""
    told: list[Progress] = []
    request = Request(
        source=short_clip,
        work=tmp_path,
        source_language="en",
        settings=replace(fakes, max_stretch=1.6),
    )

    made = translate_video(request, told.append)

    first, second = made.notes
    assert re.fullmatch(r"sentence 1 at 0.0 s: spoken 1.\d\d times .* fast", first)
    assert re.search("spoken 1.60 times as fast, cut short by 0.[1-9] s", second)
    told_to_all = (tmp_path / "subtitles.vtt").read_text("utf-8")
    assert told_to_all.startswith(f"WEBVTT\n\nNOTE {first}\n\nNOTE {second}\n\n")
    with wave.open(str(tmp_path / "dub.wav")) as dub:
        assert dub.getnframes() / dub.getframerate() == pytest.approx(2, abs=0.1)
    assert told[-1].fraction == 1.0
    assert_promised(tmp_path / "video.mp4", short_clip)


@pytest.mark.parametrize(
    ("name", "encoding", "note"),
    [
        ("clip.mkv", ["libx264", "-pix_fmt", "yuv420p"], ()),
        ("clip.mov", ["libx264", "-pix_fmt", "yuv444p"], ("h264 in yuv444p",)),
        ("clip.webm", ["libvpx", "-c:a", "libvorbis"], ("vp8 in yuv420p",)),
        ("clip.avi", ["mpeg4", "-c:a", "mp3"], ("mpeg4 in yuv420p",)),
        ("clip.ts", ["mpeg2video", "-c:a", "mp2"], ("mpeg2video in yuv420p",)),
    ],
)
def test_what_comes_out_is_played_by_browsers(
    name: str,
    encoding: list[str],
    note: tuple[str, ...],
    translate_here: TranslateHere,
    assert_promised: AssertPromised,
    ffmpeg: Ffmpeg,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """Any other picture is encoded anew, with a note; one that is fine is copied."""
    clip = tmp_path / name
    ffmpeg.run("-i", local(short_clip), "-c:v", *encoding, local(clip))

    made = translate_here(clip, tmp_path / "out")

    video = tmp_path / "out" / "video.mp4"
    assert_promised(video, clip)
    anew = "the picture was encoded anew: browsers do not play "
    told = tuple(text for text in made.notes if "anew" in text)
    assert told == tuple(anew + what for what in note)
    picture = ffmpeg.describe(video).picture
    assert (picture.codec, picture.pixels) == ("h264", "yuv420p")


def test_a_picture_longer_than_its_sound_is_kept_whole(
    translate_here: TranslateHere, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """A live recording tells no length; it lasts as long as its longest track."""
    clip = tmp_path / "live.webm"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x36:rate=10:duration=4"]
    hum = ["-f", "lavfi", "-i", "sine=frequency=300:duration=1"]
    live = ["-pix_fmt", "yuv420p", "-live", "1", "-f", "webm"]
    ffmpeg.run(*picture, *hum, "-c:v", "libvpx", *live, local(clip))
    assert ffmpeg.describe(clip).seconds is None

    made = translate_here(clip, tmp_path / "out")

    video = tmp_path / "out" / "video.mp4"
    assert made.media_seconds == pytest.approx(4, abs=0.1)
    assert ffmpeg.describe(video).seconds == pytest.approx(4, abs=0.1)
    for track in (0, 1):
        seconds = ffmpeg.measure(video, track, tmp_path / "frames")
        assert seconds == pytest.approx(4, abs=0.1)


FAULTS = """
import errno
def no_room(settings): raise OSError(errno.ENOSPC, "No space left on device", "/a/b")
def no_memory(settings): raise RuntimeError("mkl_malloc: failed to allocate memory")
def too_large(settings): raise OSError(errno.EFBIG, "File too large")
def broken(settings): raise LookupError("/srv/secret is not there")
"""


@pytest.mark.parametrize(
    ("fault", "kind", "permanent"),
    [
        ("no_room", "no-room", False),
        ("no_memory", "out-of-memory", False),
        ("too_large", "too-large", True),
    ],
)
@pytest.mark.usefixtures("nothing_left")
async def test_the_machines_faults_are_not_told_as_the_videos(
    fault: str,
    kind: str,
    permanent: bool,  # pytest passes by name
    attempt: Attempt,
    fakes: LocalSettings,
    short_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever library meets them first, they come out under their own kinds."""
    (tmp_path / "vtrio_test_faults.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    settings = replace(fakes, translator=f"vtrio_test_faults:{fault}")

    with pytest.raises(EngineError) as caught:
        await attempt(short_clip, tmp_path / "out", settings)

    assert (caught.value.kind, caught.value.permanent) == (kind, permanent)
    assert "/" not in str(caught.value)


async def test_a_crash_is_told_by_number_and_logged_in_full(
    attempt: Attempt,
    fakes: LocalSettings,
    short_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The sender reads no traceback; whoever runs the server finds it, in one line."""
    (tmp_path / "vtrio_test_faults.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    settings = replace(fakes, translator="vtrio_test_faults:broken")

    with pytest.raises(EngineError) as caught:
        await attempt(short_clip, tmp_path / "out", settings)

    told = re.fullmatch(
        r"exit status 1; incident ([0-9a-f]{8})", f"{caught.value.detail}"
    )
    assert told is not None
    (record,) = caplog.records
    assert record.name == "vtrio.server.engines.local"
    assert f"incident={told[1]} " in record.message
    assert "LookupError: /srv/secret is not there" in record.message
    assert "\n" not in record.message


@pytest.mark.usefixtures("nothing_left")
async def test_a_slow_disk_holds_up_nobody_for_long(
    attempt: Attempt, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scratch files are removed in a thread, and waited for only so long."""
    answers = threading.Event()
    removed = threading.Event()

    def remove(work: Path) -> None:
        answers.wait(10)
        shutil.rmtree(work)
        removed.set()

    monkeypatch.setattr(_engine, "_remove", remove)
    monkeypatch.setattr(_engine, "_TIDYING", 0.05)

    await attempt(short_clip, tmp_path / "out")
    assert not removed.is_set()
    answers.set()
    await trio.to_thread.run_sync(removed.wait, 10)
    assert names(tmp_path / "out") == ["subtitles.vtt", "video.mp4"]


def test_a_worker_that_leaves_no_files_has_crashed(tmp_path: Path) -> None:
    """Its word alone is not enough."""
    made = Made(media_seconds=1, source_language="en", notes=())

    with pytest.raises(EngineError, match=r"video\.mp4 is missing") as caught:
        _engine._take_out(made, tmp_path, tmp_path)

    assert (caught.value.kind, caught.value.permanent) == ("crashed", False)


def test_the_worker_says_one_thing_a_line(
    fakes: LocalSettings, short_clip: Path, tmp_path: Path
) -> None:
    """Progress comes first, then the result, and nothing else on stdout."""
    request = Request(
        source=short_clip, work=tmp_path, source_language=None, settings=fakes
    )
    with subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(encode_request(request))
        worker.stdin.flush()
        *progress, last = [decode_message(line) for line in worker.stdout]

    assert worker.returncode == 0
    assert {type(message) for message in progress} == {Progress}
    assert isinstance(last, Made)


def test_the_worker_explains_itself_when_run_by_hand() -> None:
    """Without an engine at its other end it says so and ends."""
    ended = subprocess.run(
        WORKER,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )

    assert ended.returncode == 1
    assert b"for the engine only" in ended.stderr
