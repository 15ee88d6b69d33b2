"""What is the machine's fault and not the video's: no room, no memory.

Told apart because of who has to act. Of a full disk the sender of a video knows
nothing, and another attempt may find room.
"""

from __future__ import annotations

import errno
import os

from .._base import EngineError
from ._settings import LocalSettings

# What libraries of C++ say instead of raising MemoryError: oneMKL under CTranslate2,
# ONNX Runtime, the loader of shared objects below a limit of address space.
_NO_MEMORY = (
    "bad_alloc",
    "failed to allocate memory",
    "Cannot allocate memory",
    "failed to map segment",
)

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def explain(error: Exception, settings: LocalSettings) -> EngineError | None:
    """Return what the client is told if the machine is at fault, else None."""
    if says_no_memory(error):
        return out_of_memory(settings)
    match error:
        case OSError(errno=errno.EFBIG):
            return too_large(os.strerror(errno.EFBIG))
        case OSError(errno=int(number)) if number in NO_ROOM:
            return no_room(number)
    return None


def says_no_memory(error: Exception | str) -> bool:
    """Tell whether memory was what lacked, in whichever way that is said."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in _NO_MEMORY
    )


def no_room(number: int) -> EngineError:
    """Return the error for a disk that takes nothing more: `number` is its errno."""
    return EngineError(
        "no-room",
        "The server has no room for the translation",
        os.strerror(number),
        permanent=False,
    )


def out_of_memory(settings: LocalSettings | None = None) -> EngineError:
    """Return the error for too little memory; the settings tell the limit."""
    return EngineError(
        "out-of-memory",
        "The translation took too much memory",
        f"the limit is {settings.memory // 2**20} MiB" if settings else None,
        permanent=False,
    )


def too_large(detail: str) -> EngineError:
    """Return the error for a file beyond the limit that the settings give."""
    return EngineError(
        "too-large", "The result is larger than allowed", detail, permanent=True
    )


def too_slow(detail: str) -> EngineError:
    """Return the error for a limit of time: the next attempt would take as long."""
    return EngineError(
        "too-slow", "The translation took too much time", detail, permanent=True
    )
