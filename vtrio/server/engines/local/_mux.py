"""The finished video: picture, both sounds and both subtitles in the promised order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._base import EngineError
from ._complaints import FfmpegError
from ._ffmpeg import Ffmpeg, local, source
from ._languages import SOURCE_TAG, TARGET_TAG
from ._probe import Stream

# The pictures in an mp4 that browsers play, each in these forms of pixels: two bits
# more in each colour are common in all but the oldest. Others are encoded anew.
_EIGHT_BITS = frozenset({"yuv420p", "yuvj420p"})
_TEN_BITS = _EIGHT_BITS | {"yuv420p10le"}
_PLAYED = {"h264": _EIGHT_BITS, "hevc": _TEN_BITS, "av1": _TEN_BITS, "vp9": _TEN_BITS}
_SOUNDS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What goes into the video beside the upload itself."""

    video: Path
    picture: Stream
    sound: Stream
    dub: Path
    target_srt: Path
    source_srt: Path
    seconds: float
    original_volume: float


def mux(ffmpeg: Ffmpeg, parts: Parts, output: Path) -> tuple[str, ...]:
    """Write the video; return what had to be done to the picture.

    Raises:
        EngineError: `not-a-video`, the picture can neither be copied nor decoded; or
            the machine is at fault, which no other way of writing would mend.
    """
    codec, pixels = parts.picture.codec, parts.picture.pixels
    complaint = f"browsers do not play {codec} in {pixels or 'unknown pixels'}"
    if pixels in _PLAYED.get(codec, ()):
        try:
            ffmpeg.run(*_arguments(parts, output, copy=True))
        except FfmpegError as error:
            # An old container without times for its frames, for example.
            complaint = str(error)
        else:
            return ()
    try:
        ffmpeg.run(*_arguments(parts, output, copy=False))
    except FfmpegError as error:
        raise EngineError(
            "not-a-video",
            "The picture cannot be read",
            str(error),
            permanent=True,
        ) from error
    return (f"the picture was encoded anew: {complaint}",)


def _arguments(parts: Parts, output: Path, *, copy: bool) -> list[str]:
    return [
        *source(parts.video),
        *["-f", "wav", "-i", local(parts.dub)],
        *["-f", "srt", "-i", local(parts.target_srt)],
        *["-f", "srt", "-i", local(parts.source_srt)],
        *["-filter_complex", _mix(parts)],
        *["-map", f"0:{parts.picture.index}", "-map", "[dubbed]"],
        *["-map", f"0:{parts.sound.index}", "-map", "2:s:0", "-map", "3:s:0"],
        *(_copied(parts.picture) if copy else _encoded()),
        *["-c:a:0", "aac", "-b:a:0", "128k"],
        *["-c:a:1", "copy" if copy and parts.sound.codec in _SOUNDS else "aac"],
        *["-c:s", "mov_text"],
        *_labels(),
        # Chapters and time codes would become tracks that were not promised.
        *["-map_chapters", "-1", "-write_tmcd", "0", "-dn"],
        *["-t", f"{parts.seconds:.3f}", "-movflags", "+faststart"],
        *["-f", "mp4", local(output)],
    ]


def _mix(parts: Parts) -> str:
    """Lay the voice over the original, which keeps its place in time."""
    form = "aformat=sample_rates=48000:channel_layouts=stereo"
    original = f"aresample=async=1:first_pts=0,{form}"
    return (
        f"[0:{parts.sound.index}]{original},volume={parts.original_volume:g}[quiet];"
        f"[1:a]{form}[voice];"
        # Without normalize=0 each would be halved.
        "[voice][quiet]amix=inputs=2:duration=longest:normalize=0[dubbed]"
    )


def _copied(picture: Stream) -> list[str]:
    # The tag that Apple's players look for.
    tag = ["-tag:v", "hvc1"] if picture.codec == "hevc" else []
    return ["-c:v", "copy", *tag]


def _encoded() -> list[str]:
    # Half of all players know no other form of pixels; odd sizes have none in it.
    even = "scale=trunc(iw/2)*2:trunc(ih/2)*2"
    form = ["-pix_fmt", "yuv420p", "-vf", even]
    return ["-c:v", "libx264", "-preset", "veryfast", *form]


def _labels() -> list[str]:
    labels: list[str] = []
    for kind in ("a", "s"):
        for number, (tag, title) in enumerate(
            ((TARGET_TAG, "Português (Brasil)"), (SOURCE_TAG, "English"))
        ):
            stream = f"{kind}:{number}"
            labels += [f"-metadata:s:{stream}", f"language={tag}"]
            labels += [f"-metadata:s:{stream}", f"handler_name={title}"]
            labels += [f"-disposition:{stream}", "0" if number else "default"]
    return labels
