"""How a job lives: a script of steps, by the job's age or by the questions asked.

`job("pending", after(5, "running"), after(60, "completed"))` is pending when it is
submitted, running at the age of 5 s, and completed at that of 60 s. A step without an
age takes the place of the one before once that has been told: `job("pending",
"completed")` is pending for the first question, whenever that comes, and completed for
the second. The answer to a submission counts as the first one. Steps follow each other
in the order in which they are written, and each without an age is told once at least.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .._checks import check_count, check_number, shorten
from .._distributions import Durations
from .._job import JobStatus
from .._names import publish
from ._faults import Fault

MEMBERS = frozenset(
    {
        *("progress", "stage", "target_language", "source_language"),
        *("media_seconds", "error", "result"),
    }
)
"""What a step can say beside the status: members of the job document."""

What = JobStatus | str | Fault
_What = TypeVar("_What")


@dataclass(frozen=True, slots=True)
class Step(Generic[_What]):
    """What holds from an age on, or from the next question on; see `after`."""

    what: _What
    age: float | None = None
    members: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = str(self.what) if isinstance(self.what, str) else repr(self.what)
        what = repr(told) if isinstance(self.what, str) else told
        return what if self.age is None else f"after({self.age:g}, {what})"


def after(age: float, what: _What, **members: Any) -> Step[_What]:
    """Say what holds from an age of the job on: a status, or a fault.

    Args:
        age: seconds since the submission.
        what: a status word, of ours or not, or a fault such as `refused()`.
        members: of the job document: `progress=0.5, stage="speaking"`.
    """
    check_number("age", age, least=0)
    _check_members(members)
    return Step(what, float(age), members)


class Script(Generic[_What]):
    """The steps of a job's life, in order."""

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[_What | Step[_What], ...]) -> None:
        if not steps:
            raise ValueError("steps=() is not allowed: must be at least one")
        self.steps: tuple[Step[_What], ...] = tuple(
            [step if isinstance(step, Step) else Step(step) for step in steps]
        )
        ages = [step.age for step in self.steps if step.age is not None]
        if ages != sorted(ages):
            raise ValueError(
                f"steps={shorten(ages)} is not allowed: must be in the order of their"
                " ages"
            )
        if self.steps[0].age not in {None, 0.0}:
            raise ValueError(
                f"steps: the first is {self.steps[0]} and is not allowed: must hold"
                " from the submission on"
            )

    def __str__(self) -> str:
        return f"job({', '.join(map(str, self.steps))})"

    __repr__ = __str__


JobScript = Script[What]


def job(first: What, *steps: What | Step[What], **members: Any) -> JobScript:
    """Script the life of a job; see the examples of `vtrio.testing`.

    Args:
        first: what holds from the submission on.
        steps: what follows: `after(seconds, what)` by the job's age, or a bare status
            or fault, which takes over with the question after the one that was told
            the step before. A last step that is not final is a job that never ends.
        members: of the job document: `media_seconds=21.5`.
    """
    _check_members(members)
    if isinstance(first, Step):
        raise ValueError(
            f"first={first} is not allowed: must be a status word or a fault, which"
            " holds from the submission on"
        )
    script: JobScript = Script((Step(first, None, members), *steps))
    for step in script.steps:
        if not isinstance(step.what, (str, Fault)):
            name = getattr(step.what, "__name__", None)
            step_to_take = "" if name is None else f"; call it: {name}()"
            raise ValueError(
                f"step {shorten(step.what)} is not allowed: must be a status word or a"
                f" fault{step_to_take}"
            )
        if isinstance(step.what, Fault) and step.what.of_results_only:
            raise ValueError(
                f"step {step.what!r} is not allowed: must be a status word, or a fault"
                " of questions for the status; give this one to ScriptedServer.fault"
            )
    return script


class Life(Generic[_What]):
    """Where one job stands in its script. Instants are the caller's clock."""

    __slots__ = ("_come_to", "_missed", "_place", "_told", "entered", "script")

    def __init__(self, script: Script[_What]) -> None:
        self.script = script
        self._place = 0
        self._told = False
        self._missed: tuple[int, ...] = ()
        self._come_to = -1
        self.entered: list[float] = []
        """When each step that has begun took hold."""

    def unreached_when(self, *, asked: bool) -> tuple[Step[_What], ...]:
        """Return the steps that nobody's question has come to.

        A status that was passed by between two questions has been reached, for the job
        went on from there; a fault that met no question has not struck.
        """
        come_to = max(self._come_to, 0) if asked else self._come_to
        missed = [place for place in self._missed if place <= come_to]
        steps = self.script.steps
        return (*(steps[place] for place in missed), *steps[come_to + 1 :])

    @property
    def is_at_its_end(self) -> bool:
        """Whether the script has no more steps."""
        return self._place + 1 == len(self.script.steps)

    @property
    def step(self) -> Step[_What]:
        """The step that holds."""
        return self.script.steps[self._place]

    def due_at(self, submitted_at: float) -> float | None:
        """Return the instant at which the next step begins; None where none does."""
        steps = self.script.steps
        if self._place + 1 == len(steps):
            return None
        age = steps[self._place + 1].age
        if age is None or self._waits_to_be_told():
            return None
        return max(self.entered[-1], submitted_at + age)

    def _waits_to_be_told(self) -> bool:
        # Each step without an age has one question at least, or it would be lost
        # where the next one's age has come already.
        is_told_once = self._place > 0 and self.step.age is None
        return is_told_once and not self._told

    def pass_to(self, submitted_at: float, now: float) -> None:
        """Let the job live on to an instant, of which nobody has asked."""
        steps = self.script.steps
        if not self.entered:
            self.entered.append(submitted_at)
        while self._place + 1 < len(steps):
            following = steps[self._place + 1]
            if self._waits_to_be_told() or (following.age is None and not self._told):
                break
            if following.age is None:
                self.entered.append(now)
            elif now < submitted_at + following.age:
                break
            else:
                self.entered.append(max(self.entered[-1], submitted_at + following.age))
            if not self._told and isinstance(self.step.what, Fault):
                self._missed = (*self._missed, self._place)
            self._place += 1
            self._told = False

    def look(self, submitted_at: float, now: float) -> Step[_What]:
        """Move to where the job stands now, because of a question; return that step."""
        self.pass_to(submitted_at, now)
        self._come_to = self._place
        return self.step

    def tell(self, submitted_at: float, now: float) -> Step[_What]:
        """Do the same, and count the step as told."""
        step = self.look(submitted_at, now)
        self._told = True
        return step

    def heard(self, place: int) -> None:
        """Take in that a client knows that the job has come to a step."""
        self._come_to = max(self._come_to, place)

    def since(self, *whats: object) -> float | None:
        """Return when a step with one of these first took hold."""
        for step, at in zip(self.script.steps, self.entered, strict=False):
            if step.what in whats:
                return at
        return None

    def turns(self) -> Iterator[tuple[float, str]]:
        """Yield when each step that was reached took hold, but the first."""
        for place in range(1, self._come_to + 1):
            yield self.entered[place], str(self.script.steps[place].what)

    def told_members(self) -> dict[str, Any]:
        """Return what the steps so far have said of the job."""
        members: dict[str, Any] = {}
        for step in self.script.steps[: self._place + 1]:
            if step.members:
                members.update(step.members)
        return members


class Drawn:
    """Scripts by chance, one a job; see `drawn`."""

    def __init__(
        self,
        durations: Durations,
        queued: Durations | None,
        failure_rate: float,
        seed: int,
    ) -> None:
        self._durations = durations
        self._queued = queued
        self._failure_rate = failure_rate
        self._rng = random.Random(seed)

    def draw(self) -> JobScript:
        """Script the next job."""
        queued = 0.0
        if self._queued is not None:
            queued = self._queued.at(self._rng.random())
        duration = self._durations.at(self._rng.random())
        fails = self._rng.random() < self._failure_rate
        share = self._rng.random()
        runs: tuple[Step[What], ...] = (
            after(queued, "running"),
            after(queued + duration * share, "error")
            if fails
            else after(queued + duration, "completed"),
        )
        return job("pending", *runs)


def drawn(
    durations: str,
    *,
    queued: str | None = None,
    failure_rate: float = 0.0,
    seed: int = 0,
) -> Drawn:
    """Draw the lives of jobs: the same seed gives the same jobs in the same order.

    Args:
        durations: how long jobs run: `"lognormal:60,0.5"`, `"uniform:5,15"`,
            `"genai"`; the families are those of `vtrio serve --durations`.
        queued: how long they are pending before that, likewise; None for not at all.
        failure_rate: the share that ends in error, somewhere on the way.
        seed: of the draws.
    """
    check_number("failure_rate", failure_rate, least=0, most=1)
    check_count("seed", seed, least=0)
    if not isinstance(durations, str):
        raise ValueError(
            f"durations={shorten(durations)} is not allowed: must be text such as"
            " 'fixed:60'"
        )
    waiting = None
    if queued is not None:
        try:
            waiting = Durations.parse(queued)
        except ValueError as error:
            raise ValueError(f"queued={queued!r} is not allowed: {error}") from None
    return Drawn(Durations.parse(durations), waiting, failure_rate, seed)


def _check_members(members: Mapping[str, Any]) -> None:
    unknown = sorted(members.keys() - MEMBERS)
    if unknown:
        raise ValueError(
            f"{unknown[0]}={shorten(members[unknown[0]])} is not allowed: must be a"
            f" member of the job document: {', '.join(sorted(MEMBERS))}"
        )


publish(Drawn, by="vtrio.testing")
