"""What ffmpeg says when it fails: made fit for strangers, and whose fault it was."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

from .._base import EngineError
from ._faults import no_room, out_of_memory, says_no_memory, too_large, too_slow

# Where an object lies in ffmpeg's memory is nobody's business.
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")

# A path of more than one part; "avc1 / 0x31" and "1/2" are none.
_PATH = re.compile(r"(?<![\w/.])(?:file:)?/(?:[^\s/'\"]+/)+(?P<name>[^\s/'\":;,]*)")

# Of a disk. These numbers mean nothing else in ffmpeg; "Input/output error" does: many
# readers say it of a broken file, so it counts only where something is written.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_WRITING = re.compile(r"\b(writ|mux|trailer|closing|output file)")


class FfmpegError(Exception):
    """ffmpeg ended badly; the message is the end of what it wrote."""


def fit_for_strangers(line: str, arguments: Sequence[str] = ()) -> str:
    """Leave of each path the file's name, and of addresses nothing."""
    for argument in arguments:
        if argument.startswith("file:"):
            for path in (argument, argument.removeprefix("file:")):
                line = line.replace(path, Path(path).name)
    return _ADDRESS.sub("", _PATH.sub(lambda match: match["name"], line))


def failure(status: int, lines: Sequence[str]) -> EngineError | FfmpegError:
    """Return what a failed run means: the machine's fault, a limit's, or the file's."""
    if status < 0:
        return _killed(-status)
    # The status is ffmpeg's own error number, as far as eight bits hold it.
    number = 256 - status
    for full in _FULL:
        if number == full or any(os.strerror(full) in line for line in lines):
            return no_room(full)
    if any(os.strerror(errno.EIO) in line and _WRITING.search(line) for line in lines):
        return no_room(errno.EIO)
    if number == errno.ENOMEM or any(map(says_no_memory, lines)):
        return out_of_memory()
    return FfmpegError("; ".join(lines) or f"exit status {status}")


def _killed(number: int) -> EngineError:
    how = f"killed by {signal.Signals(number).name}"
    match number:
        case signal.SIGXFSZ:
            return too_large(how)
        case signal.SIGXCPU:
            return too_slow(how)
    return EngineError("crashed", "ffmpeg ended unexpectedly", how, permanent=False)
