"""Who has stalled: the oldest first, each once a phase, by its budget."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from vtrio._phases import Phases
from vtrio._stalls import JobPhase, PhaseTimes

QUEUE, RUN = JobPhase.QUEUE, JobPhase.RUN


@dataclass(eq=False)
class Entry:
    """A wait, as far as it matters here."""

    name: str
    phase: JobPhase | None = None
    since: float = 0.0


def make(**budgets: float) -> Phases[Entry]:
    """Make phases with the budgets given."""
    return Phases(
        PhaseTimes(), {JobPhase(name): told for name, told in budgets.items()}
    )


def overdue(phases: Phases[Entry], now: float) -> list[tuple[str, str]]:
    """Return who has stalled by now, and in what."""
    return [(entry.name, phase) for entry, phase, _ in phases.overdue(now)]


def test_whoever_began_first_has_stalled_first() -> None:
    """Not whoever was added first; each once, and by the budget of its phase."""
    phases = make(queue=50, run=20)
    entries = {name: Entry(name) for name in ("young", "old", "middle", "works")}
    for name, since in {"young": 95, "old": 55, "middle": 75}.items():
        phases.enter(entries[name], QUEUE, since)
    phases.enter(entries["works"], RUN, 90)
    assert phases.look_at() == 105
    assert overdue(phases, 104.9) == []
    assert overdue(phases, 110) == [("old", "queue"), ("works", "run")]
    assert phases.look_at() == 125
    assert overdue(phases, 1000) == [("middle", "queue"), ("young", "queue")]
    assert overdue(phases, 2000) == []
    assert phases.look_at() == float("inf")


def test_a_phase_that_is_left_is_over() -> None:
    """And one that comes back begins anew; the same one again does not."""
    phases = make(queue=10, run=10)
    entry = Entry("a")
    phases.enter(entry, QUEUE, 0)
    phases.enter(entry, QUEUE, 5)
    assert phases.look_at() == 10
    phases.enter(entry, RUN, 8)
    assert overdue(phases, 18) == [("a", "run")]
    phases.enter(entry, QUEUE, 20)
    phases.leave(entry)
    phases.leave(entry)
    assert overdue(phases, 1000) == []


def test_without_a_budget_nobody_has_stalled() -> None:
    """Nor is anybody forgotten who waits when there is one."""
    phases = make(run=10)
    phases.enter(Entry("a"), QUEUE, 0)
    assert overdue(phases, 10_000) == []
    assert phases.look_at() == float("inf")


def test_in_whatever_order_they_come_the_oldest_is_first() -> None:
    """Also where many have left meanwhile, which leaves nothing behind."""
    rng = random.Random(6)
    phases = make(queue=0.5)
    entries = [Entry(f"{number}") for number in range(2000)]
    for entry in entries:
        phases.enter(entry, QUEUE, rng.random())
    for entry in entries[::2]:
        phases.leave(entry)
    told = [entry.since for entry, _, _ in phases.overdue(2)]
    assert told == sorted(entry.since for entry in entries[1::2])
    for _ in range(50):
        for entry in entries[:200]:
            phases.leave(entry)
            phases.enter(entry, QUEUE, rng.random())
    waiting = phases._waiting[QUEUE]
    assert len(waiting._heap) <= 2 * 200 + 100


def test_whoever_is_looked_at_in_time_is_found() -> None:
    """At the very instant, however its parts are rounded: or it is looked for ever."""
    rng = random.Random(7)
    for _ in range(2000):
        since, budget = rng.uniform(0, 1e4), rng.uniform(0.1, 1e4)
        phases = make(run=budget)
        wait = Entry("late")
        phases.enter(wait, RUN, since)
        now = phases.look_at()
        assert [found for found, _, _ in phases.overdue(now)] == [wait]
        assert phases.look_at() == math.inf
