"""Who has been in the queue, or at work, since when: the oldest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from ._stalls import JobPhase, PhaseTimes


class InPhase(Protocol):
    """A wait, as it stands: `since` when it is in its phase, as far as is known."""

    phase: JobPhase | None
    since: float


_T = TypeVar("_T", bound=InPhase)

# The share of the jobs that are known which may be late at once by a learned budget, and
# after which part of that budget it is looked again.
_FEW = 0.02
_FEW_TIMES = 0.1


class Phases(Generic[_T]):
    """Finds those that have not changed for longer than their budget, each once.

    Args:
        times: how long jobs take in the queue and at work.
        budgets: what the caller allows for each; what is learned counts otherwise.
    """

    def __init__(self, times: PhaseTimes, budgets: Mapping[JobPhase, float]) -> None:
        self._times = times
        self._budgets = budgets
        self._waiting = {phase: _Waiting[_T]() for phase in JobPhase}
        # When to look again, where too many were late.
        self._quiet_until: dict[JobPhase, float] = {}

    def enter(self, entry: _T, phase: JobPhase, since: float) -> None:
        """Take in where a job is; nothing changes if that was known."""
        if phase is not entry.phase:
            self.leave(entry)
            entry.phase, entry.since = phase, since
            self._waiting[phase].add(entry)

    def leave(self, entry: _T) -> None:
        """Take in that it is over, or elsewhere."""
        if entry.phase is not None:
            self._waiting[entry.phase].remove(entry)
        entry.phase = None

    def overdue(self, now: float) -> Iterator[tuple[_T, JobPhase, float]]:
        """Yield whoever has stalled, in which phase, and its budget.

        Of jobs that began together the short ones end first, and what they teach is no
        budget for the long ones: what more than a few do is no stall.
        """
        for phase, waiting in self._waiting.items():
            budget = self._budget(phase)
            if budget is None or self._quiet_until.get(phase, now) > now:
                continue
            most: float = float("inf")
            if phase not in self._budgets:
                most = max(1.0, _FEW * (self._times.known(phase) + len(waiting)))
            late = waiting.take_late(now, budget, most)
            if late is None:
                self._quiet_until[phase] = now + max(1.0, _FEW_TIMES * budget)
                continue
            for entry in late:
                yield entry, phase, budget

    def look_at(self) -> float:
        """Return the instant at which the next one will have stalled."""
        look_at = float("inf")
        for phase, waiting in self._waiting.items():
            budget, oldest = self._budget(phase), waiting.oldest()
            if budget is not None and oldest is not None:
                at = max(oldest.since + budget, self._quiet_until.get(phase, 0.0))
                look_at = min(look_at, at)
        return look_at

    def _budget(self, phase: JobPhase) -> float | None:
        budget = self._budgets.get(phase)
        return self._times.budget(phase) if budget is None else budget


class _Waiting(Generic[_T]):
    """Those in one phase. Nearly all of them come in the order in which they began."""

    def __init__(self) -> None:
        self._in_order: dict[_T, None] = {}
        self._newest = 0.0
        # Those that began before somebody who had come already, and their places.
        self._others: dict[_T, int] = {}
        self._heap: list[tuple[float, int, _T]] = []
        self._numbers = 0

    def add(self, entry: _T) -> None:
        if not self._in_order or entry.since >= self._newest:
            self._newest = entry.since
            self._in_order[entry] = None
            return
        self._put_back(entry)
        if len(self._heap) > 2 * len(self._others) + 100:
            self._heap = [p for p in self._heap if self._others.get(p[2]) == p[1]]
            heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._in_order) + len(self._others)

    def take_late(self, now: float, budget: float, most: float) -> list[_T] | None:
        """Take out whoever is over a budget; None if there are more than so many."""
        late: list[_T] = []
        # Compared as in `look_at`: rounded otherwise, it would be looked for ever.
        while (oldest := self.oldest()) is not None and oldest.since + budget <= now:
            self.remove(oldest)
            late.append(oldest)
            if len(late) > most:
                for entry in late:
                    self._put_back(entry)
                return None
        return late

    def _put_back(self, entry: _T) -> None:
        self._numbers += 1
        self._others[entry] = self._numbers
        heapq.heappush(self._heap, (entry.since, self._numbers, entry))

    def remove(self, entry: _T) -> None:
        self._in_order.pop(entry, None)
        self._others.pop(entry, None)

    def oldest(self) -> _T | None:
        first = next(iter(self._in_order), None)
        heap = self._heap
        while heap and self._others.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        if heap and (first is None or heap[0][0] < first.since):
            return heap[0][2]
        return first
