"""A contender's process, as it is spoken to: orders in, what it found out, in time."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from ._servers import starting


class ContenderProcess:
    """A contender's process. Its lines are read by a thread, so that waiting can end."""

    def __init__(self, slug: str, told: Mapping[str, Any], log: Path) -> None:
        self._slug = slug
        self._ready = False
        self._log = log
        self._stack = ExitStack()
        module = f"{__package__}._contender"
        self._process = self._stack.enter_context(
            starting(module, json.dumps(told), log=log)
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        reading = threading.Thread(
            target=self._read_all, args=[self._process.stdout], daemon=True
        )
        reading.start()

    @property
    def runs(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        self._stack.close()

    def tell(self, order: Mapping[str, Any]) -> None:
        """Write it a line."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def await_readiness(self, by: float) -> None:
        """Wait until it can take orders, if that was not waited for before.

        Raises:
            RuntimeError: it cannot by that instant.
        """
        if not self._ready:
            line = self._read_line(by)
            if line != "ready":
                raise RuntimeError(f"{self._slug} said {line!r} instead of 'ready'")
            self._ready = True

    def read(self, by: float) -> dict[str, Any]:
        """Return what it found in a round.

        Raises:
            RuntimeError: it has not told by that instant, or has ended.
        """
        found: dict[str, Any] = json.loads(self._read_line(by))
        return found

    def _read_line(self, by: float) -> str:
        """Return its next line.

        Raises:
            RuntimeError: there was none by that instant, with what it said instead.
        """
        line: str | None = None
        why = "ended"
        try:
            line = self._lines.get(timeout=max(0.0, by - time.monotonic()))
        except queue.Empty:
            why = "said nothing in time"
        if line is None:
            told = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{self._slug} {why}:\n{told}")
        return line

    def _read_all(self, output: IO[str]) -> None:
        try:
            for line in output:
                self._lines.put(line.strip())
        except ValueError:  # closed meanwhile
            pass
        self._lines.put(None)
