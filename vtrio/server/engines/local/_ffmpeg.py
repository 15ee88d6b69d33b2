"""Running ffmpeg on files that strangers send."""

from __future__ import annotations

import signal
import subprocess
from collections import deque
from pathlib import Path
from typing import IO, cast

from .._base import EngineError
from ._container import not_a_video, read_demuxer
from ._probe import Upload, parse_media
from ._settings import LocalSettings
from ._stages import HEARING_RATE

_LAST_LINES = 12
_LONGEST_LINE = 500

# What may be asked of ffmpeg's description: enough for a hundred streams.
_DESCRIPTION = 2000


class FfmpegError(Exception):
    """ffmpeg ended badly; the message is the end of what it wrote."""


class Ffmpeg:
    """An ffmpeg program, and how it is called."""

    def __init__(self, settings: LocalSettings) -> None:
        self._program = settings.ffmpeg or _bundled()
        self._longest = settings.longest_media

    def run(self, *arguments: str) -> list[str]:
        """Run it; return the end of its complaints.

        Raises:
            FfmpegError: its exit status was not 0.
            EngineError: it was killed, by a limit or by a fault of its own.
        """
        status, lines = self._call("-v", "error", "-y", *arguments, keep=_LAST_LINES)
        if status < 0:
            raise _killed(-status)
        if status > 0:
            raise FfmpegError("; ".join(lines) or f"exit status {status}")
        return list(lines)

    def describe(self, video: Path) -> Upload:
        """Tell what matters about a video, or that it is none.

        Raises:
            EngineError: `not-a-video`, `no-audio` or `too-long`.
        """
        # Without an output its exit status is always 1: the description counts.
        _, lines = self._call(*source(video), keep=_DESCRIPTION)
        media = parse_media("\n".join(lines))
        if not media.streams:
            raise not_a_video(lines[-1] if lines else "ffmpeg finds nothing in it")
        picture, sound = media.main("video"), media.main("audio")
        if picture is None:
            raise not_a_video("it has sound but no picture")
        if sound is None:
            raise EngineError(
                "no-audio",
                "The video has no audio track",
                "there is no speech to translate",
                permanent=True,
            )
        self.check_length(media.seconds or 0.0)
        return Upload(picture=picture, sound=sound, seconds=media.seconds)

    def check_length(self, seconds: float) -> None:
        """Refuse what is longer than the settings allow.

        Raises:
            EngineError: `too-long`.
        """
        if seconds > self._longest:
            raise EngineError(
                "too-long",
                "The video is too long",
                f"it lasts {seconds:.0f} s, the limit is {self._longest:g} s",
                permanent=True,
            )

    def extract(self, video: Path, stream: int, sound: Path) -> None:
        """Write one audio stream as bare 16-bit samples for a recognizer.

        Raises:
            EngineError: `not-a-video`, the sound cannot be decoded; or `cut-off`.
        """
        # Silence goes in front of a stream that begins late, so that time zero is
        # the picture's. One second more than allowed tells too long from just right.
        fill = "aresample=async=1:first_pts=0"
        form = ["-ac", "1", "-ar", str(HEARING_RATE), "-f", "s16le", local(sound)]
        try:
            complaints = self.run(
                *source(video),
                *["-map", f"0:{stream}", "-af", fill],
                *["-t", str(self._longest + 1), *form],
            )
        except FfmpegError as error:
            raise not_a_video(f"its sound cannot be read: {error}") from error
        # An upload that broke off: better refused than translated in part.
        if any("partial file" in line for line in complaints):
            raise EngineError(
                "cut-off",
                "The video is cut off",
                "its end is missing; send the whole file",
                permanent=True,
            )

    def _call(self, *arguments: str, keep: int) -> tuple[int, deque[str]]:
        command = [self._program, "-hide_banner", "-nostdin", *arguments]
        lines: deque[str] = deque(maxlen=keep)
        try:
            process = subprocess.Popen(  # noqa: S603  # no shell, no name of theirs
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise EngineError(
                "no-ffmpeg",
                "ffmpeg cannot be run",
                f"{self._program}: {error.strerror}; set VTRIO_FFMPEG to a program",
                permanent=False,
            ) from error
        with process:
            stderr = cast("IO[str]", process.stderr)  # piped above
            # A broken file can make it complain without end: read all, keep the last.
            while line := stderr.readline(_LONGEST_LINE):
                lines.append(line.rstrip())
        return process.returncode, lines


def source(video: Path) -> list[str]:
    """Return the arguments that open an upload, as what it is, and nothing else.

    Raises:
        EngineError: `not-a-video`, by its first bytes.
    """
    demuxer = read_demuxer(video)
    return [
        *["-protocol_whitelist", "file,pipe", "-format_whitelist", demuxer],
        *["-f", demuxer, "-i", local(video)],
    ]


def local(path: Path) -> str:
    """Name a file so that it is neither an option nor a protocol."""
    return f"file:{path.absolute()}"


def _killed(number: int) -> EngineError:
    name = signal.Signals(number).name
    match number:
        case signal.SIGXFSZ:
            kind, title = "too-large", "The result is larger than allowed"
        case signal.SIGXCPU:
            kind, title = "too-slow", "The translation took too much processor time"
        case _:
            kind, title = "crashed", "ffmpeg ended unexpectedly"
    permanent = kind != "crashed"
    return EngineError(kind, title, f"killed by {name}", permanent=permanent)


def _bundled() -> str:
    # The wheel's, or the one named by its own variable, IMAGEIO_FFMPEG_EXE.
    import imageio_ffmpeg  # type: ignore[import-untyped]  # no stubs exist

    return str(imageio_ffmpeg.get_ffmpeg_exe())
