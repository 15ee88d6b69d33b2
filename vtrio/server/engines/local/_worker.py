"""The process of one attempt: limits itself, works, says its last word, ends."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import traceback
from typing import NoReturn

from .._base import EngineError, Progress
from ._faults import explain
from ._settings import LocalSettings
from ._wire import LONGEST_LINE, Made, Request, decode_request, encode_message


def main() -> NoReturn:
    """Do the attempt that stdin names, and tell of it on stdout."""
    out = _take_stdout()
    request = decode_request(_read_line())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _limit(request.settings)
    # Libraries put their temporary files here; the folder goes with the attempt.
    os.environ["TMPDIR"] = str(request.work)

    status = 0
    try:
        last: Made | EngineError = _work(request, out)
    except EngineError as error:
        last = error
    except Exception as error:  # noqa: BLE001  # told on stderr: the engine logs it
        if (fault := explain(error, request.settings)) is None:
            traceback.print_exc()
            status = 1
        else:
            last = fault
    if status == 0:
        _tell(out, last)
    sys.stderr.flush()
    # Straight out: the native engines' clean-up at exit is slow and may crash, and
    # nothing is left to be saved.
    os._exit(status)


def _work(request: Request, out: int) -> Made:
    # Imported here because it brings numpy, which must come after the limits.
    from ._pipeline import translate_video

    def tell(progress: Progress) -> None:
        _tell(out, progress)

    return translate_video(request, tell)


def _take_stdout() -> int:
    """Keep stdout for messages: whatever libraries print goes to stderr."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def _tell(out: int, message: Progress | Made | EngineError) -> None:
    line = encode_message(message)
    while line:
        line = line[os.write(out, line) :]


def _read_line() -> bytes:
    # Unbuffered, so that the watch below sees the same end of the pipe.
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65536)
        if not chunk or len(line) > LONGEST_LINE:
            raise SystemExit("no request on stdin: this program is for the engine only")
        line += chunk
    return line


def _die_with_parent() -> None:
    """Kill the whole group once the engine's end of stdin is closed.

    A parent-death signal would not do: it is sent when the *thread* that started us
    ends, and trio's worker threads end after ten idle seconds.
    """
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)  # run by hand in a shell's group: leave the shell alone


def _limit(settings: LocalSettings) -> None:
    seconds = int(settings.cpu_time) + 1
    _lower(resource.RLIMIT_CPU, seconds, spare=5)  # the signal first, then the axe
    _lower(resource.RLIMIT_AS, settings.memory)
    _lower(resource.RLIMIT_FSIZE, settings.file_size)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int, *, spare: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    ceiling = limit + spare
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    resource.setrlimit(kind, (min(limit, ceiling), ceiling))
