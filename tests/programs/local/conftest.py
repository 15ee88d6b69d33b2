"""What the tests of the local engine share: stand-ins, clips, a watch on processes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from vtrio.server.engines import Task, Translation
from vtrio.server.engines.local import LocalEngine, LocalSettings, available
from vtrio.server.engines.local._ffmpeg import Ffmpeg, local
from vtrio.server.engines.local._pipeline import translate_video
from vtrio.server.engines.local._probe import Media, parse_media
from vtrio.server.engines.local._wire import Made, Request

FAKES = "vtrio.server.engines.local._fakes"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a slow test, instead of skipping it, where the `local` extra is missing."""
    if item.get_closest_marker("slow") and (missing := available()) is not None:
        pytest.fail(missing, pytrace=False)


@pytest.fixture(scope="session")
def fakes() -> LocalSettings:
    """Settings with stand-ins for all models."""
    return LocalSettings(
        recognizer=f"{FAKES}:FakeRecognizer",
        translator=f"{FAKES}:FakeTranslator",
        speaker=f"{FAKES}:FakeSpeaker",
    )


@pytest.fixture(scope="session")
def stuck(fakes: LocalSettings) -> LocalSettings:
    """Settings with a recognizer that never ends."""
    return replace(fakes, recognizer=f"{FAKES}:StuckRecognizer")


@pytest.fixture(scope="session")
def ffmpeg(fakes: LocalSettings) -> Ffmpeg:
    """The program that makes the clips and looks into the results."""
    return Ffmpeg(fakes)


@pytest.fixture(scope="session")
def short_clip(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a picture and a hum of two seconds."""
    clip = tmp_path_factory.mktemp("clips") / "short.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=10:duration=2"]
    hum = ["-f", "lavfi", "-i", "sine=frequency=300:duration=2"]
    codecs = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    ffmpeg.run(*picture, *hum, *codecs, local(clip))
    return clip


@pytest.fixture
def scripted_ffmpeg(fakes: LocalSettings, tmp_path: Path) -> Callable[[str], Ffmpeg]:
    """Put a few lines of shell in ffmpeg's place."""

    def make(script: str) -> Ffmpeg:
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return Ffmpeg(replace(fakes, ffmpeg=str(program)))

    return make


@pytest.fixture
def attempt(fakes: LocalSettings) -> Callable[..., Awaitable[Translation]]:
    """Translate one file into a folder, with the stand-ins unless told otherwise."""

    async def translate(
        source: Path, folder: Path, settings: LocalSettings = fakes
    ) -> Translation:
        await trio.Path(folder).mkdir(exist_ok=True)
        task = Task(
            job_id="job",
            attempt=1,
            source=source,
            folder=folder,
            target_language="pt",
        )
        return await LocalEngine(settings).translate(task, lambda _: None)

    return translate


@pytest.fixture
def translate_here(fakes: LocalSettings) -> Callable[..., Made]:
    """Do the same in this process, without the worker around it."""

    def translate(source: Path, work: Path, settings: LocalSettings = fakes) -> Made:
        work.mkdir(exist_ok=True)
        request = Request(
            source=source, work=work, source_language=None, settings=settings
        )
        return translate_video(request, lambda _: None)

    return translate


@pytest.fixture
def assert_promised(ffmpeg: Ffmpeg) -> Callable[[Path, Path], None]:
    """Check the streams of a result, in order, and that it plays to its end."""

    def streams(video: Path) -> Media:
        _, lines = ffmpeg._call("-i", local(video), keep=1000)
        return parse_media(lines)

    def check(video: Path, original: Path) -> None:
        made = streams(video)
        assert [
            (stream.kind, stream.language, stream.is_default) for stream in made.streams
        ] == [
            ("video", "und", True),
            ("audio", "por", True),
            ("audio", "eng", False),
            ("subtitle", "por", True),
            ("subtitle", "eng", False),
        ]
        assert made.streams[1].codec == "aac"
        assert {stream.codec for stream in made.streams[3:]} == {"mov_text"}
        assert made.seconds == pytest.approx(streams(original).seconds, abs=0.1)
        # The index in front, so that it plays while it loads.
        head = video.read_bytes()
        assert head.index(b"moov") < head.index(b"mdat")
        assert ffmpeg.run("-i", local(video), "-f", "null", "-") == []
        tracks = ["-map", "0:v", "-map", "0:a"]
        assert ffmpeg.run("-i", local(video), *tracks, "-f", "null", "-") == []

    return check


def running() -> Iterator[tuple[int, int, int]]:
    """Yield each running process with its parent and its group; zombies have ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            yield int(stat.parent.name), int(parent), int(group)


@pytest.fixture
def members() -> Callable[[int], list[int]]:
    """List the processes of a group that still run."""
    return lambda group: [pid for pid, _, its_group in running() if its_group == group]


@pytest.fixture
def children() -> Callable[[int], set[int]]:
    """Tell the running children of a process."""
    return lambda parent: {pid for pid, of, _ in running() if of == parent}


@pytest.fixture
def nothing_left(children: Callable[[int], set[int]]) -> Iterator[None]:
    """Fail a test that leaves a file open or a process running."""

    def left() -> tuple[int, set[int]]:
        return len(list(Path("/proc/self/fd").iterdir())), children(os.getpid())

    before = left()
    yield
    assert left() == before
