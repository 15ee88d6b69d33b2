"""The worker's own watch and limits, which in its process end it.

Here the system calls that would end the tests are replaced by ones that tell of it.
"""

from __future__ import annotations

import os
import resource
import signal

import pytest

from vtrio.server.engines.local import LocalSettings
from vtrio.server.engines.local._worker import _die_with_parent, _limit


@pytest.mark.parametrize("leads", [True, False])
def test_a_worker_dies_with_the_engine_and_takes_only_its_own_group(
    leads: bool,  # pytest passes by name
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run by hand it is a member of the shell's group, which lives on."""
    done: list[tuple[str, int]] = []
    chunks = [b"more", b""]
    monkeypatch.setattr(os, "read", lambda *_: chunks.pop(0))
    monkeypatch.setattr(os, "getpgrp", lambda: os.getpid() if leads else 1)
    monkeypatch.setattr(os, "killpg", lambda _, number: done.append(("kill", number)))
    monkeypatch.setattr(os, "_exit", lambda status: done.append(("exit", status)))

    _die_with_parent()

    group = [("kill", signal.SIGKILL)] if leads else []
    assert done == [*group, ("exit", 1)]


@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, 2**30])
def test_limits_are_lowered_and_never_raised(
    hard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system allows at most stays the most."""
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)

    _limit(LocalSettings(cpu_time=10, memory=2**31, file_size=2**20))

    most = 2**31 if hard == resource.RLIM_INFINITY else hard
    assert limits == {
        resource.RLIMIT_CPU: (11, 16),
        resource.RLIMIT_AS: (most, most),
        resource.RLIMIT_FSIZE: (2**20, 2**20),
        resource.RLIMIT_CORE: (0, 0),
    }
