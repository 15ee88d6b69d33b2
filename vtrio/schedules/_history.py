"""What the durations of jobs were: one history a class of jobs, and what it teaches.

Jobs that still run count too, as lasting at least as long as they have. Otherwise, of
jobs that were submitted together, only the short ones would be known for a long time.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from ._base import Observation
from ._durations import LONGEST, SHORTEST, DurationModel, Interval
from ._regime import RegimeWatch, has_said_enough

WINDOW = 500
"""How many jobs of a class are remembered; and how many that run are followed."""
MOST_CLASSES = 1000
"""How many classes are remembered: those that were used last."""

# A model is made anew when there is so much more to learn from.
_MORE = 0.1
# Over how many jobs two models are compared, and how surely one must be better.
_COMPARED = 50


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one job's duration.

    Attributes:
        model: of durations, or of durations for each unit of work.
        work: what its ages are multiplied with: the amount of work, or 1.
        mean_end: the mean of the ends seen, in seconds.
    """

    model: DurationModel
    work: float
    mean_end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStatistics:
    """What a history holds: classes, jobs remembered, jobs that run, forgettings."""

    classes: int
    remembered: int
    running: int
    changes: int


class DurationHistory:
    """Remembers durations, and makes models of them.

    One history a key: the class of a job, such as its provider or its language. Each
    keeps the latest 500 jobs, and forgets them when several ends in a row are too
    improbable under what was learned. A model is made anew when it is asked for and
    there is a tenth more to learn from: a few milliseconds.

    Where the amount of work is known, such as seconds of media, durations are learned
    for each unit of it as well, and used where that has predicted better.
    """

    def __init__(self) -> None:
        self._classes: OrderedDict[str, _JobClass] = OrderedDict()

    def __repr__(self) -> str:
        held = self.statistics()
        return (
            f"<DurationHistory classes={held.classes} remembered={held.remembered}"
            f" running={held.running} changes={held.changes}>"
        )

    def statistics(self) -> HistoryStatistics:
        """Return what the history holds at this moment."""
        plain = [job_class.plain for job_class in self._classes.values()]
        return HistoryStatistics(
            classes=len(plain),
            remembered=sum(len(lessons.closed) for lessons in plain),
            running=sum(len(lessons.running) for lessons in plain),
            changes=sum(lessons.changes for lessons in plain),
        )

    def observe(self, observation: Observation) -> None:
        """Take in all that was seen of one job."""
        self._class_of(observation.key).conclude(None, observation)

    def follow(
        self, key: str = "", *, job: str = "", age: float = 0.0
    ) -> Followed | None:
        """Follow a job that runs, of this age, in seconds; None if enough are followed.

        Those that are not followed must teach nothing: of many jobs that run side by
        side the followed ones are a fair sample, the first ones to end are not.
        """
        return self._class_of(key).follow(job, age)

    def belief(self, key: str = "", work: float | None = None) -> Belief | None:
        """Return what is believed of a job's duration; None before the first end."""
        job_class = self._classes.get(key)
        return None if job_class is None else job_class.belief(_usable(work))

    def remembered(self) -> Iterator[Observation]:
        """Yield what is remembered, to be kept and observed again with `restore`."""
        for job_class in self._classes.values():
            for seen in job_class.plain.closed:
                yield seen.observation

    def restore(self, observation: Observation) -> None:
        """Take in what was remembered, without asking whether it is a change."""
        self._class_of(observation.key).restore(observation)

    def _class_of(self, key: str) -> _JobClass:
        job_class = self._classes.get(key)
        if job_class is None:
            job_class = self._classes[key] = _JobClass()
        self._classes.move_to_end(key)
        if len(self._classes) > MOST_CLASSES:
            self._classes.popitem(last=False)
        return job_class


class Followed:
    """One job that runs, as a history sees it."""

    __slots__ = ("_job_class", "earlier", "job")

    def __init__(
        self, job_class: _JobClass, job: str, earlier: Observation | None
    ) -> None:
        self._job_class = job_class
        self.job = job
        self.earlier = earlier

    def runs(self, age: float, *, work: float | None = None) -> None:
        """Take in that the job still ran at this age, in seconds."""
        self._job_class.note_running(self, age, _usable(work))

    def over(self, observation: Observation | None) -> None:
        """Take in how the wait ended; None where nothing was seen."""
        self._job_class.conclude(self, observation)


class _JobClass:
    """Jobs of one key: their durations, and those for each unit of work."""

    def __init__(self) -> None:
        self.plain = _Lessons()
        self.scaled = _Lessons()
        # By how much the scaled model predicted each job better, in logarithms.
        self._gains: deque[float] = deque(maxlen=_COMPARED)

    def follow(self, job: str, age: float) -> Followed | None:
        if len(self.plain.running) >= WINDOW:
            return None
        followed = Followed(self, job, self._take_up(job))
        self.plain.begin(followed, age)
        return followed

    def note_running(self, followed: Followed, age: float, work: float | None) -> None:
        self.plain.note_running(followed, age)
        if work is not None:
            self.scaled.note_running(followed, age / work)

    def _take_up(self, job: str) -> Observation | None:
        """Drop what an earlier wait for a job gave up, since it goes on."""
        self.scaled.take_up(job)
        return self.plain.take_up(job)

    def conclude(self, followed: Followed | None, seen: Observation | None) -> None:
        if _tells_nothing(seen) and followed is not None:
            # What an earlier wait saw still holds.
            seen = followed.earlier
        if seen is not None and not _tells_nothing(seen):
            work = _usable(seen.work)
            if followed is None:
                self._take_up(seen.job)
            plain = _Seen(seen, 1.0)
            if work is not None:
                scaled = _Seen(seen, work)
                self._compare(plain.interval, scaled.interval)
                self.scaled.conclude(followed, scaled)
            self.plain.conclude(followed, plain)
        if followed is not None:
            self.plain.leave(followed)
            self.scaled.leave(followed)

    def restore(self, seen: Observation) -> None:
        if _tells_nothing(seen):
            return
        self._take_up(seen.job)
        self.plain.remember(_Seen(seen, 1.0))
        if (work := _usable(seen.work)) is not None:
            self.scaled.remember(_Seen(seen, work))

    def belief(self, work: float | None) -> Belief | None:
        # At first it is taken for granted that work explains durations.
        if work is not None and sum(self._gains) >= 0:
            scaled = self.scaled.model()
            if scaled is not None:
                return Belief(scaled, work, self.scaled.mean_end)
        plain = self.plain.model()
        return None if plain is None else Belief(plain, 1.0, self.plain.mean_end)

    def _compare(self, plain: Interval, scaled: Interval) -> None:
        # Models as they are: of many jobs that end without anybody asking when to poll,
        # refits would be most of the cost.
        before, after = self.plain.latest(), self.scaled.latest()
        if before is not None and after is not None:
            ratio = after.likelihood(scaled) / before.likelihood(plain)
            self._gains.append(math.log(ratio))


class _Seen:
    """What was seen of one job, on one scale."""

    __slots__ = ("interval", "observation")

    def __init__(self, observation: Observation, unit: float) -> None:
        self.observation = observation
        after, until = observation.after, observation.until
        self.interval = (after / unit, None if until is None else until / unit)


class _Lessons:
    """Durations on one scale, the model of them, and whether it still holds."""

    def __init__(self) -> None:
        self.closed: deque[_Seen] = deque(maxlen=WINDOW)
        self.running: dict[Followed, float] = {}
        self.fitted: DurationModel | None = None
        self.mean_end = 0.0
        """Of the ends that were learned from, in seconds."""
        self.changes = 0
        # What was given up, by job: a later wait may take it up again.
        self._given_up: dict[str, _Seen] = {}
        self._learned = 0
        self._new = 0
        self._watch = RegimeWatch()
        self._probe: Followed | None = None
        self._probe_age = 0.0

    def model(self) -> DurationModel | None:
        """Return the model, made anew if there is enough to learn."""
        enough = 1 if self.fitted is None else _MORE * self._learned
        if self._new and self._new >= enough:
            self._fit()
        return self.fitted

    def latest(self) -> DurationModel | None:
        """Return the model as it was last made; the first one is made now."""
        return self.model() if self.fitted is None else self.fitted

    def begin(self, followed: Followed, age: float) -> None:
        self.running[followed] = age
        if self._probe is None and not self._has_said_enough(age):
            self._probe, self._probe_age = followed, age

    def note_running(self, followed: Followed, age: float) -> None:
        if followed not in self.running:
            # Its amount of work has just become known.
            self.begin(followed, age)
        self.running[followed] = max(self.running[followed], age)
        if followed is self._probe and self._has_said_enough(age):
            self._note_probe(age, None, since=self._probe_age)
            self._probe = None

    def conclude(self, followed: Followed | None, seen: _Seen) -> None:
        """Take in a job's interval; forget what is no longer so."""
        self.remember(seen)
        # Who follows nothing tells of one job after the other.
        if followed is self._probe:
            self._note_probe(
                *seen.interval, since=0.0 if followed is None else self._probe_age
            )
            if (latest := self._watch.change()) is not None:
                self._forget_all_but(latest)

    def leave(self, followed: Followed) -> None:
        self.running.pop(followed, None)
        if followed is self._probe:
            self._probe = None

    def _note_probe(self, after: float, until: float | None, *, since: float) -> None:
        """Judge what was seen of the probe by the model, since when it was followed."""
        if (model := self.fitted) is None:
            return
        running = max(1 - model.ended_by(since), 1e-9)
        ended = 1.0 if until is None else 1 - (1 - model.ended_by(until)) / running
        outlasted = (1 - model.ended_by(after)) / running
        self._watch.note(
            ended_by=max(ended, 0.0), outlasted=min(outlasted, 1.0), ends=model.ends
        )

    def _has_said_enough(self, age: float) -> bool:
        """Tell whether a job of this age has outlasted all but a few."""
        if (model := self.fitted) is None:
            return False
        return has_said_enough(1 - model.ended_by(age), model.ends)

    def remember(self, seen: _Seen) -> None:
        if len(self.closed) == WINDOW:
            self._given_up.pop(self.closed[0].observation.job, None)
        self.closed.append(seen)
        if seen.observation.until is None and seen.observation.job:
            self._given_up[seen.observation.job] = seen
        self._new += 1

    def take_up(self, job: str) -> Observation | None:
        """Drop what an earlier wait for the same job gave up, and return it."""
        if (seen := self._given_up.pop(job, None)) is None:
            return None
        self.closed.remove(seen)
        return seen.observation

    def _fit(self) -> None:
        self._learned, self._new = len(self.closed), 0
        ends = [
            min((seen.observation.after + until) / 2, LONGEST)
            for seen in self.closed
            if (until := seen.observation.until) is not None
        ]
        if not ends:
            return
        self.mean_end = math.fsum(ends) / len(ends)
        running = [(age, None) for age in self.running.values() if age > 0]
        self.fitted = DurationModel(
            [*(seen.interval for seen in self.closed), *running]
        )

    def _forget_all_but(self, latest: int) -> None:
        """Begin anew with the latest jobs, as far as they can teach.

        An end at the first poll has no lower bound. Learned from such ends alone, all
        mass would pile up below that poll, which would never come earlier.
        """
        self.changes += 1
        kept = list(self.closed)[len(self.closed) - latest :]
        self.closed.clear()
        self._given_up.clear()
        self.fitted = None
        self._learned = self._new = 0
        for seen in kept:
            if seen.interval[0] > 0:
                self.remember(seen)
        self._watch = RegimeWatch()


def _tells_nothing(seen: Observation | None) -> bool:
    return seen is None or (seen.until is None and seen.after == 0)


def _usable(work: float | None) -> float | None:
    """Return an amount of work that can be divided by, or None."""
    if work is None or not SHORTEST <= work <= LONGEST:
        return None
    return work
