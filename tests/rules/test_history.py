"""What a history remembers, forgets, and believes."""

from __future__ import annotations

import heapq
import math
import random
from itertools import pairwise

import pytest

from vtrio._distributions import Durations
from vtrio.schedules import DurationHistory, Followed, Learned, Observation, PollState
from vtrio.schedules._history import MOST_CLASSES, WINDOW

LOGNORMAL = Durations.parse("lognormal:60,0.5")


def waits_for(
    history: DurationHistory, duration: float, *, work: float | None = None
) -> int:
    """Wait for one job as the history says, teach it, and return the polls."""
    schedule = Learned(history=history, spread=0)
    age, polls = 0.0, 0
    while True:
        state = PollState(age=age, answers=polls + 1, work=work)
        look, polls = age + schedule.delay(state), polls + 1
        if look >= duration:
            history.observe(Observation(after=age, until=look, work=work))
            return polls
        age = look


def learn(
    history: DurationHistory, durations: Durations, count: int, seed: int = 1
) -> None:
    """Wait for some jobs, one after the other."""
    rng = random.Random(seed)
    for _ in range(count):
        waits_for(history, durations.at(rng.random()))


def median_of(history: DurationHistory) -> float:
    """Return the median duration that is believed in."""
    belief = history.belief()
    assert belief is not None
    ages = belief.model.ages
    return next(age for age in ages if belief.model.ended_by(age) >= 0.5)


def test_nothing_is_believed_before_the_first_end() -> None:
    """Lower bounds give no scale."""
    history = DurationHistory()
    assert history.belief() is None
    history.observe(Observation(after=5, until=None))
    assert history.belief() is None
    history.observe(Observation(after=5, until=7.5))
    belief = history.belief()
    assert belief is not None
    assert (belief.work, belief.mean_end) == (1.0, 6.25)


def test_the_first_end_is_learned_at_once() -> None:
    """However many waits were given up before it."""
    history = DurationHistory()
    for _ in range(100):
        history.observe(Observation(after=5, until=None))
        assert history.belief() is None
    history.observe(Observation(after=5, until=7.5))
    assert history.belief() is not None


def test_a_model_is_made_anew_when_there_is_a_tenth_more() -> None:
    """Not at every job; and only when somebody asks."""
    history = DurationHistory()
    made = []
    for _ in range(60):
        history.observe(Observation(after=5, until=7.5))
        belief = history.belief()
        assert belief is not None
        made.append(belief.model)
    ends = list(dict.fromkeys(model.ends for model in made))
    assert ends[:10] == list(range(1, 11))
    assert all(1.1 * a <= b < 1.1 * a + 1 for a, b in pairwise(ends[9:]))


def test_each_class_has_a_history_of_its_own() -> None:
    """One key knows nothing of another."""
    history = DurationHistory()
    history.observe(Observation(after=5, until=7, key="a"))
    assert history.belief("a") is not None
    assert history.belief("b") is None
    assert history.statistics().classes == 1


def test_memory_is_bounded() -> None:
    """In jobs a class, in jobs that are followed, and in classes: used last, kept."""
    history = DurationHistory()
    for k in range(2 * WINDOW):
        history.observe(Observation(after=k + 1, until=None, job=f"j{k}"))
    assert history.statistics().remembered == WINDOW
    followed = [history.follow() for _ in range(WINDOW + 10)]
    assert followed[WINDOW:] == [None] * 10
    assert history.statistics().running == WINDOW
    for k in range(MOST_CLASSES + 5):
        history.observe(Observation(after=1, until=2, key=str(k)))
        history.observe(Observation(after=1, until=2, key=""))
    assert history.statistics().classes == MOST_CLASSES
    assert history.belief("") is not None
    assert history.belief("0") is None


def test_a_wait_that_saw_nothing_teaches_nothing() -> None:
    """It was given up before the first poll."""
    history = DurationHistory()
    history.observe(Observation(after=0, until=None))
    assert history.statistics().remembered == 0
    followed = history.follow()
    assert followed is not None
    followed.over(None)
    assert history.statistics().running == 0


def test_what_was_given_up_is_replaced_when_it_is_taken_up_again() -> None:
    """One job is one observation, however many waits it took."""
    history = DurationHistory()
    history.observe(Observation(after=60, until=None, job="j1"))
    followed = history.follow(job="j1", age=60)
    assert followed is not None
    assert (history.statistics().remembered, history.statistics().running) == (0, 1)
    followed.over(Observation(after=120, until=None, job="j1"))
    history.observe(Observation(after=180, until=200, job="j1"))
    assert list(history.remembered()) == [
        Observation(after=180, until=200, job="j1"),
    ]


def test_a_later_wait_that_sees_nothing_leaves_what_was_seen() -> None:
    """It was given up before its first poll; and a resumed wait proves no change."""
    history = DurationHistory()
    history.observe(Observation(after=60, until=None, job="j1"))
    followed = history.follow(job="j1", age=60)
    assert followed is not None
    followed.over(None)
    assert list(history.remembered()) == [Observation(after=60, until=None, job="j1")]


@pytest.mark.parametrize("age", [40.0, 90.0, 120.0])
def test_jobs_after_one_that_was_taken_up_late_are_judged_from_their_start(
    age: float,
) -> None:
    """Not from the age at which that one was."""
    history = DurationHistory()
    learn(history, LOGNORMAL, 100)
    followed = history.follow(age=age)
    assert followed is not None
    followed.runs(age + 10)
    followed.over(Observation(after=age + 10, until=age + 20))
    learn(history, LOGNORMAL, 20, seed=7)
    assert history.statistics().changes == 0


def test_what_is_remembered_can_be_restored() -> None:
    """The same observations make the same belief."""
    history = DurationHistory()
    learn(history, LOGNORMAL, 40)
    history.observe(Observation(after=3, until=4, key="b", work=2.0))
    copy = DurationHistory()
    for observation in history.remembered():
        copy.restore(observation)
    assert list(copy.remembered()) == list(history.remembered())
    assert copy.belief("b", 2.0) is not None
    assert median_of(copy) == pytest.approx(median_of(history), rel=0.1)


def test_a_history_tells_what_it_holds() -> None:
    """In numbers, and in words."""
    history = DurationHistory()
    history.observe(Observation(after=3, until=4))
    history.follow()
    assert repr(history) == (
        "<DurationHistory classes=1 remembered=1 running=1 changes=0>"
    )


# --- changes -----------------------------------------------------------------------


@pytest.mark.parametrize("factor", [5.0, 0.2])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_change_of_regime_is_noticed(factor: float, seed: int) -> None:
    """Within a dozen jobs; and after forty the new regime is what is believed."""
    history = DurationHistory()
    learn(history, LOGNORMAL, 120, seed)
    changed = Durations("lognormal", (60 * factor, 0.5))
    rng = random.Random(seed + 100)
    for _ in range(12):
        waits_for(history, changed.at(rng.random()))
    assert history.statistics().changes == 1
    for _ in range(28):
        waits_for(history, changed.at(rng.random()))
    assert median_of(history) == pytest.approx(60 * factor, rel=0.3)


def test_ends_at_the_first_poll_are_not_learned_from_alone() -> None:
    """They have no lower bound: the history goes cold, and polls early again."""
    history = DurationHistory()
    learn(history, Durations.parse("lognormal:300,0.3"), 60)
    polls = [waits_for(history, 30.0) for _ in range(15)]
    assert polls[0] == 1  # the first poll comes long after the end
    assert max(polls) == 7  # at 1, 2.5, 4.75 ... 32.2
    first = Learned(history=history, spread=0).delay(PollState(age=0.0))
    assert first < 32


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_no_change_is_seen_where_there_is_none(seed: int) -> None:
    """Three hundred jobs of one distribution."""
    history = DurationHistory()
    learn(history, LOGNORMAL, 300, seed)
    assert history.statistics().changes == 0


def wait_for_all(
    history: DurationHistory, durations: list[float], *, follow: bool
) -> float:
    """Wait for jobs that were submitted together; return the requests a job."""
    schedule = Learned(history=history)
    rng = random.Random(5)
    followed: list[Followed | None] = [
        history.follow() if follow else None for _ in durations
    ]
    phases = [rng.random() for _ in durations]
    due = [(0.0, job, 0) for job in range(len(durations))]
    before = [0.0] * len(durations)
    requests = 0
    while due:
        age, job, polls = heapq.heappop(due)
        this = followed[job]
        if polls and age >= durations[job]:
            seen = Observation(after=before[job], until=age)
            if this is not None:
                this.over(seen)
            elif not follow:
                history.observe(seen)
            continue
        if this is not None:
            this.runs(age)
        before[job] = age
        state = PollState(
            age=age, answers=polls + 1, phase=phases[job], roll=rng.random()
        )
        heapq.heappush(due, (age + schedule.delay(state), job, polls + 1))
        requests += 1
    return requests / len(durations)


@pytest.mark.slow
def test_of_jobs_submitted_together_the_short_ones_do_not_mislead() -> None:
    """They end first; those that still run count as lasting longer."""
    history = DurationHistory()
    learn(history, LOGNORMAL, 100)
    rng = random.Random(9)
    batch = [LOGNORMAL.at(rng.random()) for _ in range(400)]
    assert wait_for_all(history, batch, follow=True) < 5.5
    held = history.statistics()
    assert (held.running, held.changes) == (0, 0)
    assert median_of(history) == pytest.approx(60, rel=0.1)
    # The measure can fail: in the order of their ends, jobs that do not say that they
    # run look like one change after the other.
    naive = DurationHistory()
    learn(naive, LOGNORMAL, 100)
    assert wait_for_all(naive, batch, follow=False) > 10
    assert naive.statistics().changes > 3


def test_a_first_batch_is_learned_while_it_runs() -> None:
    """With nothing known before, and nothing believed too soon."""
    history = DurationHistory()
    rng = random.Random(9)
    wait_for_all(history, [LOGNORMAL.at(rng.random()) for _ in range(400)], follow=True)
    assert history.statistics().changes == 0
    assert median_of(history) == pytest.approx(60, rel=0.1)


def test_a_job_that_hangs_does_not_stop_the_watch() -> None:
    """Once it has outlasted all others, the next one is watched."""
    history = DurationHistory()
    learn(history, LOGNORMAL, 120)
    stuck = history.follow()
    assert stuck is not None
    stuck.runs(5000.0)
    rng = random.Random(3)
    for _ in range(14):
        followed = history.follow()
        assert followed is not None
        duration = 300 * LOGNORMAL.at(rng.random()) / 60
        followed.runs(duration * 0.9)
        followed.over(Observation(after=duration * 0.9, until=duration))
    assert history.statistics().changes == 1


# --- the amount of work -------------------------------------------------------------


def belief_after(count: int, *, proportional: bool) -> float:
    """Return the work that is believed to count, after so many jobs."""
    history = DurationHistory()
    rng = random.Random(4)
    for _ in range(count):
        media = 60 * math.exp(rng.gauss(0, 1))
        duration = (1.5 * media if proportional else 90) * math.exp(rng.gauss(0, 0.15))
        waits_for(history, duration, work=media)
    belief = history.belief(work=120.0)
    assert belief is not None
    assert belief.mean_end > 10  # in seconds, whichever model it is
    return belief.work


def test_durations_are_learned_for_each_unit_of_work() -> None:
    """Where that predicts them better; elsewhere the work does not count."""
    assert belief_after(40, proportional=True) == 120.0
    assert belief_after(40, proportional=False) == 1.0


@pytest.mark.parametrize("work", [0.0, -1.0, math.nan, math.inf, 1e-30])
def test_work_that_cannot_be_divided_by_is_none(work: float) -> None:
    """A video of no length is a job like any other."""
    history = DurationHistory()
    history.observe(Observation(after=3, until=4, work=work))
    belief = history.belief(work=work)
    assert belief is not None
    assert belief.work == 1.0


def test_work_that_becomes_known_later_counts_from_then_on() -> None:
    """A server may tell it with the second answer only."""
    history = DurationHistory()
    for _ in range(3):
        followed = history.follow()
        assert followed is not None
        followed.runs(5.0)
        followed.runs(15.0, work=10.0)
        followed.over(Observation(after=15.0, until=20.0, work=10.0))
    belief = history.belief(work=20.0)
    assert belief is not None
    assert belief.work == 20.0
    assert history.statistics().running == 0
