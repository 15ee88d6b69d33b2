"""The exit statuses; of several jobs the worst counts, which is the highest."""

from __future__ import annotations

from enum import IntEnum

from .._errors import GaveUp, JobEnded, NoAnswer, VtrioError


class Exit(IntEnum):
    """What the shell is told."""

    COMPLETED = 0
    ENDED_BADLY = 1
    USAGE = 2
    NO_ANSWER = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


def exit_of(error: Exception) -> Exit:
    """Say what an error means to the shell."""
    match error:
        case JobEnded():
            return Exit.ENDED_BADLY
        case NoAnswer():
            return Exit.NO_ANSWER
        case GaveUp():
            return Exit.TIMED_OUT
        case VtrioError():
            return Exit.NO_ANSWER
        case _:  # a file that cannot be read or written
            return Exit.USAGE


def told(error: Exception, name: str) -> VtrioError:
    """Tell of an error in a sentence: of a file that cannot be used, which one and why."""
    if isinstance(error, VtrioError):
        return error
    if isinstance(error, OSError):
        return VtrioError(f"{error.filename or name}: {error.strerror}")
    return VtrioError(f"{name}: {error}")
