"""A worker that ended badly: what the client is told, and what the log keeps of it.

What a dying process writes is full of paths and of other people's code. It goes to the
log under a number, and the number goes to the client.
"""

from __future__ import annotations

import logging
import secrets
import signal

from .._base import EngineError
from ._faults import out_of_memory, says_no_memory, too_slow
from ._settings import LocalSettings

_log = logging.getLogger("vtrio.server.engines.local")


def crash(title: str, how: str, evidence: str) -> EngineError:
    """Log the evidence; return an error that names the place in the log."""
    incident = secrets.token_hex(4)
    _log.error("worker-crashed incident=%s how=%r last=%r", incident, how, evidence)
    return EngineError("crashed", title, f"{how}; incident {incident}", permanent=False)


def ended(returncode: int | None, stderr: str, settings: LocalSettings) -> EngineError:
    """Return why a worker ended without a last word."""
    if returncode == -signal.SIGXCPU:
        return too_slow("it was ended at its limit of processor time")
    if says_no_memory(stderr):
        # C++ code that lacks memory in a thread of its own ends the process.
        return out_of_memory(settings)
    if returncode is not None and returncode < 0:
        how = f"killed by {signal.Signals(-returncode).name}"
    else:
        how = f"exit status {returncode}"
    return crash("The translation ended unexpectedly", how, stderr)
