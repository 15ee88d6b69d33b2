"""What the suite of sources is given, and how it cancels what it asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import trio

from ..._source import StatusSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUnderTest:
    """A source, and what is true of the remote behind it.

    Attributes:
        source: which is tested.
        jobs: ids of jobs by their status: `{"running": "a1", "completed": "b2"}`. Each
            stays as it is while a test runs.
        unknown: an id that the remote does not know; None if it knows just one job.
        unreachable: the same kind of source, of a remote that is not there.
        change: makes the status of a job change that is none of these, or a new one
            appear, and returns its id; of a source with a feed.
        requests: tells how many requests the remote has heard so far; of a source
            that asks about many jobs in one.
    """

    source: StatusSource
    jobs: Mapping[str, str] = field(default_factory=dict)
    unknown: str | None = None
    unreachable: StatusSource | None = None
    change: Callable[[], Awaitable[str]] | None = None
    requests: Callable[[], int] | None = None

    def __post_init__(self) -> None:
        if not self.jobs:
            raise ValueError("jobs={} is not allowed: must have at least one job")


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope when its task has been run so many times in a block."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self._left = steps
        self._scope = scope
        self._task = trio.lowlevel.current_task()

    def __enter__(self) -> None:
        trio.lowlevel.add_instrument(self)
        if not self._left:
            self._scope.cancel("before the first step")

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the steps of the task."""
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel("in the middle of a question")
