"""Running ffmpeg on files that strangers send."""

from __future__ import annotations

import errno
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from .._base import EngineError
from ._complaints import FfmpegError, failure, fit_for_strangers
from ._container import cut_off, is_cut_off, not_a_video, read_demuxer
from ._probe import Upload, last_end, matters, parse_media
from ._settings import LocalSettings
from ._stages import HEARING_RATE

_LAST_LINES = 12
_LONGEST_LINE = 500

# What is kept of ffmpeg's description: it takes a line a stream.
_DESCRIPTION = 2000

# No fault of the program: no memory or no process to start it in.
_NOT_THE_PROGRAM = frozenset({errno.ENOMEM, errno.EAGAIN})


class Ffmpeg:
    """An ffmpeg program, and how it is called."""

    def __init__(self, settings: LocalSettings) -> None:
        self._program = settings.ffmpeg or _bundled()
        self._longest = settings.longest_media

    def run(self, *arguments: str) -> list[str]:
        """Run it; return the end of its complaints.

        Raises:
            FfmpegError: its exit status was not 0.
            EngineError: it was killed, by a limit or by a fault of its own; or the
                machine has no room or memory for it.
        """
        status, lines = self._call("-v", "error", "-y", *arguments, keep=_LAST_LINES)
        complaints = [fit_for_strangers(line, arguments) for line in lines]
        if status != 0:
            raise failure(status, complaints)
        return complaints

    def describe(self, video: Path) -> Upload:
        """Tell what matters about a video, or that it is none.

        Raises:
            EngineError: `not-a-video`, `cut-off`, `no-audio` or `too-long`; or ffmpeg
                was killed, or found no memory.
        """
        opening = source(video)
        # Without an output it always fails in the end: the description counts.
        status, lines = self._call(*opening, keep=_DESCRIPTION, only=matters)
        media = parse_media(lines)
        fault = failure(status, lines)
        if not media.streams and isinstance(fault, EngineError):
            raise fault
        picture, sound = media.main("video"), media.main("audio")
        # Of half an index ffmpeg may tell half the streams.
        if (
            (picture is None or sound is None)
            and "mov" in opening
            and is_cut_off(video)
        ):
            raise cut_off()
        if not media.streams:
            last = lines[-1] if lines else "ffmpeg finds nothing in it"
            raise not_a_video(fit_for_strangers(last, opening))
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

    def measure(self, video: Path, stream: int, table: Path) -> float:
        """Return how long a stream lasts, from a table of its frames, undecoded.

        Raises:
            EngineError: `not-a-video`, it cannot be read.
        """
        try:
            self.run(
                *source(video),
                *["-map", f"0:{stream}", "-c", "copy", "-t", str(self._longest + 1)],
                *["-f", "framecrc", local(table)],
            )
        except FfmpegError as error:
            raise not_a_video(f"its picture cannot be read: {error}") from error
        with table.open(encoding="ascii", errors="replace") as lines:
            return last_end(lines)

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
            raise cut_off()

    def _call(
        self,
        *arguments: str,
        keep: int,
        only: Callable[[str], bool] | None = None,
    ) -> tuple[int, deque[str]]:
        command = [self._program, "-hide_banner", "-nostdin", *arguments]
        lines: deque[str] = deque(maxlen=keep)
        try:
            process = subprocess.Popen(  # noqa: S603  # no shell, no name of theirs
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            if error.errno in _NOT_THE_PROGRAM:
                raise
            raise _no_ffmpeg(str(error.strerror)) from error
        with process:
            # A broken file can make it complain without end: read all, keep the last.
            lines.extend(filter(only, _lines(cast("IO[bytes]", process.stderr))))
        return process.returncode, lines


def _lines(stderr: IO[bytes]) -> Iterator[str]:
    """Yield lines; what is too long of one is dropped, not taken for the next line."""
    while line := stderr.readline(_LONGEST_LINE):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stderr.readline(_LONGEST_LINE)
        yield line.decode(errors="replace").rstrip()


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


def _bundled() -> str:
    # The wheel's, or the one named by its own variable, IMAGEIO_FFMPEG_EXE.
    import imageio_ffmpeg  # type: ignore[import-untyped]  # no stubs exist

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise _no_ffmpeg("there is none") from error


def _no_ffmpeg(why: str) -> EngineError:
    return EngineError(
        "no-ffmpeg",
        "ffmpeg cannot be run",
        f"{why}; set VTRIO_FFMPEG to a program",
        permanent=True,
    )
