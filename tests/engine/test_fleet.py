"""Many waits as data: who is due when, and what each thing that is heard makes of it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    BadAnswer,
    Fixed,
    Job,
    JobFailed,
    JobStatus,
    NoAnswer,
    WaitTimeout,
)
from vtrio._entry import Entry
from vtrio._fleet import SWEEP, Fleet
from vtrio._job import Sighting
from vtrio._limits import Limits
from vtrio._lines import Lines
from vtrio._session import LEAST_MARGIN, Session
from vtrio._stalls import JobPhase, PhaseTimes
from vtrio.sources import Change
from vtrio.testing import Steady

INTERVAL = 10.0


class NoLesson:
    """Learns nothing."""

    def __init__(self, session: Session) -> None:
        """Look at nothing."""

    def hear(self, job: Job) -> None:
        """Take nothing in."""

    def over(self) -> None:
        """Take nothing in."""


def make_fleet(
    *,
    limit: float | None = None,
    budgets: dict[JobPhase, float] | None = None,
    tells_changes: bool = True,
) -> Fleet:
    """Make a fleet whose schedule asks every ten seconds."""

    def open_session(job: Job | str) -> Session:
        return Session(
            job_id=job if isinstance(job, str) else job.id,
            schedule=Fixed(INTERVAL),
            limits=Limits(max_wait_time=limit),
            started_at=trio.current_time(),
            last=None if isinstance(job, str) else job,
        )

    return Fleet(
        open_session=open_session,
        open_lesson=NoLesson,
        lines=Lines(),
        place="here",
        times=PhaseTimes(),
        budgets=budgets or {},
        rng=Steady(),
        spread=0.0,
        tells_changes=tells_changes,
    )


def seen(job_id: str, at: float, status: JobStatus = JobStatus.PENDING) -> Job:
    """Make a job that was seen at an instant."""
    return Job(id=job_id, status=status, seen=Sighting(at=at))


def answer(job_id: str, word: str) -> Answer:
    """Make an answer about a job."""
    return Answer(job=Job(id=job_id, status=JobStatus(word)))


def answered(
    fleet: Fleet, entry: Entry, word: str, *, asked_at: float | None = None
) -> None:
    """Let a job be answered about now, by a list that a feed goes on from."""
    now = trio.current_time()
    fleet.answered(
        entry,
        answer(entry.session.job_id, word),
        asked_at=now if asked_at is None else asked_at,
        now=now,
        told_by="batch",
        covers=True,
    )


def take(fleet: Fleet, most: int = 200) -> list[str]:
    """Take out who is due, and return their ids."""
    taken = fleet.take_due(trio.current_time(), most)
    return [entry.session.job_id for entry in taken]


def change(job_id: str, word: str) -> Change:
    """Make a change."""
    return Change(job_id=job_id, status=JobStatus(word))


def words(fleet: Fleet) -> list[tuple[str, str]]:
    """Return what is new, as ids and words."""
    return [(u.job_id, u.job.word if u.job else "") for u in fleet.news]


async def test_what_is_new_is_due_at_once_and_in_its_order(
    autojump_clock: MockClock,
) -> None:
    """As many as one request may name."""
    fleet = make_fleet()
    for number in range(5):
        assert fleet.add(f"j{number}")
    assert not fleet.add("j0")
    assert fleet.next_due() == 0
    assert take(fleet, 3) == ["j0", "j1", "j2"]
    assert take(fleet, 3) == ["j3", "j4"]
    assert take(fleet, 3) == []
    assert fleet.next_due() == float("inf")
    fleet.abandon()


async def test_with_who_is_due_come_those_who_soon_will_be(
    autojump_clock: MockClock,
) -> None:
    """Within a quarter of their delay; not where one alone is asked about."""
    fleet = make_fleet()
    for at, name in ((0.0, "a"), (2.0, "b"), (9.0, "c")):
        await trio.sleep(at - trio.current_time())
        fleet.add(seen(name, at))
    await trio.sleep(1)
    assert take(fleet, 1) == ["a"]
    assert take(fleet, 1) == []
    answered(fleet, fleet.entries["a"], "pending")
    await trio.sleep_until(12)
    assert take(fleet) == ["b"], "c would be due at 19, and a at 20"
    await trio.sleep_until(19)
    assert take(fleet) == ["c", "a"]
    fleet.abandon()


async def test_who_is_told_of_is_put_off_to_the_sweep(
    autojump_clock: MockClock,
) -> None:
    """But not who was looked at before the feed began, or when it has ended."""
    fleet = make_fleet()
    fleet.add("before")
    (before,) = fleet.take_due(0, 1)
    fleet.answered(
        before,
        answer("before", "pending"),
        asked_at=0,
        now=0,
        told_by="single",
        covers=False,
    )
    fleet.begin_epoch(0)
    fleet.is_told = True
    fleet.add("told")
    (told,) = fleet.take_due(0, 1)
    answered(fleet, told, "pending")
    assert fleet.is_told_of(told)
    assert not fleet.is_told_of(before)
    await trio.sleep_until(INTERVAL)
    assert take(fleet) == ["before"]
    assert fleet.next_due() == SWEEP
    await trio.sleep_until(SWEEP)
    assert take(fleet) == ["told"]
    fleet.abandon()


async def test_an_end_that_is_told_is_due_at_once_and_alone(
    autojump_clock: MockClock,
) -> None:
    """Before others who are due, once, and in one request with other ends."""
    fleet = make_fleet()
    fleet.begin_epoch(0)
    fleet.is_told = True
    for name in ("a", "b", "c"):
        fleet.add(name)
    for entry in fleet.take_due(0, 3):
        answered(fleet, entry, "running")
    fleet.add("new")
    for name in ("c", "a", "c"):
        assert fleet.changed(change(name, "completed"))
    assert fleet.next_due() < 0
    assert take(fleet) == ["c", "a"]
    assert take(fleet) == ["new"]
    answered(fleet, fleet.entries["c"], "completed")
    assert "c" not in fleet.entries
    assert fleet.completed_jobs == 1
    outcome = fleet.news[-1].outcome
    assert outcome is not None
    assert outcome.receipt.told_by == "feed"
    fleet.abandon()


async def test_an_end_that_is_told_while_it_is_asked_about_is_asked_about_again(
    autojump_clock: MockClock,
) -> None:
    """The answer that comes was asked too early."""
    fleet = make_fleet()
    fleet.add("a")
    (entry,) = fleet.take_due(0, 1)
    await trio.sleep(1)
    fleet.changed(change("a", "completed"))
    assert take(fleet) == []
    answered(fleet, entry, "running", asked_at=0)
    assert take(fleet) == ["a"]
    answered(fleet, entry, "running")  # knows less than the feed
    await trio.sleep_until(1 + INTERVAL)
    assert take(fleet) == ["a"], "by its schedule"
    fleet.abandon()


async def test_an_end_whose_look_failed_is_looked_at_again_within_a_second(
    autojump_clock: MockClock,
) -> None:
    """However long the schedule would wait."""
    fleet = make_fleet()
    fleet.add("a")
    (entry,) = fleet.take_due(0, 1)
    answered(fleet, entry, "running")
    fleet.changed(change("a", "completed"))
    assert take(fleet) == ["a"]
    instruction = entry.session.failed(BadAnswer("odd"), asked_at=0, now=0, roll=0.5)
    fleet.failed(entry, instruction, 0)
    assert fleet.next_due() == 1
    fleet.abandon()


async def test_what_was_asked_before_a_change_does_not_take_it_back(
    autojump_clock: MockClock,
) -> None:
    """And the change that is told first is the first news."""
    fleet = make_fleet()
    fleet.add(seen("a", 0))
    fleet.begin_epoch(0)
    await trio.sleep(INTERVAL)
    (entry,) = fleet.take_due(INTERVAL, 1)
    await trio.sleep(1)
    fleet.changed(change("a", "running"))
    answered(fleet, entry, "pending", asked_at=INTERVAL)
    assert words(fleet) == [("a", "running")]
    assert entry.session.last is not None
    assert entry.session.last.status is JobStatus.RUNNING
    fleet.abandon()


async def test_of_an_old_stretch_only_steps_forward_are_news(
    autojump_clock: MockClock,
) -> None:
    """What was looked at meanwhile is newer; an end is one in any case."""
    fleet = make_fleet()
    for name in ("queued", "works"):
        fleet.add(name)
    queued, works = fleet.take_due(0, 2)
    answered(fleet, queued, "pending")
    answered(fleet, works, "running")
    fleet.news.clear()
    for name in ("queued", "works"):
        fleet.changed(change(name, "pending"), is_old=True)
        fleet.changed(change(name, "running"), is_old=True)
    assert words(fleet) == [("queued", "running")]
    fleet.changed(change("works", "error"), is_old=True)
    assert take(fleet) == ["works"]
    fleet.abandon()


async def test_what_is_told_of_strangers_waits_for_them(
    autojump_clock: MockClock,
) -> None:
    """An end makes them due at once; a later beginning of the feed forgets it."""
    fleet = make_fleet()
    fleet.begin_epoch(0)
    assert not fleet.changed(change("ended", "running"))
    assert not fleet.changed(change("ended", "completed"))
    assert not fleet.changed(change("works", "running"))
    fleet.add(seen("works", 0))
    assert words(fleet) == [("works", "running")]
    fleet.add(seen("ended", 0))
    assert take(fleet) == ["ended"]
    fleet.changed(change("other", "completed"))
    fleet.begin_epoch(0)
    fleet.add(seen("other", 0))
    assert take(fleet) == []
    fleet.abandon()


async def test_waits_end_at_their_deadlines(autojump_clock: MockClock) -> None:
    """The earliest first, with what was last seen; the next deadline is told."""
    fleet = make_fleet(limit=25)
    fleet.add("a")
    await trio.sleep(5)
    fleet.add("b")
    assert fleet.expire(5) == 25
    await trio.sleep_until(25)
    assert fleet.expire(25) == 30
    (update,) = fleet.news
    assert update.outcome is not None
    assert isinstance(update.outcome.exception, WaitTimeout)
    assert list(fleet.entries) == ["b"]
    await trio.sleep_until(30)
    assert fleet.expire(30) == float("inf")
    assert fleet.failed_jobs == 2
    assert fleet.next_due() == float("inf")


async def test_the_last_look_comes_before_the_deadline_though_it_is_told_of(
    autojump_clock: MockClock,
) -> None:
    """Where the sweep would come after it."""
    fleet = make_fleet(limit=40)
    fleet.begin_epoch(0)
    fleet.is_told = True
    fleet.add("a")
    (entry,) = fleet.take_due(0, 1)
    entry.session.asking(now=0)
    answered(fleet, entry, "running")
    assert fleet.next_due() == pytest.approx(40 - LEAST_MARGIN)
    fleet.abandon()


async def test_silence_is_the_end_of_all(autojump_clock: MockClock) -> None:
    """With what was wrong last."""
    fleet = make_fleet()
    fleet.add("a")
    fleet.add("b")
    fleet.end_all(silence=7, error="it was odd", now=7)
    assert not fleet.entries
    for update in fleet.news:
        assert update.outcome is not None
        assert isinstance(update.outcome.exception, NoAnswer)
        assert "for 7 s (it was odd)" in str(update.outcome.exception)


async def test_a_job_that_had_ended_is_news_at_once(autojump_clock: MockClock) -> None:
    """And may be added again."""
    fleet = make_fleet(tells_changes=False)
    failed = Job(id="a", status=JobStatus.ERROR)
    assert fleet.add(failed)
    assert fleet.add(failed)
    assert not fleet.entries
    outcomes = [update.outcome for update in fleet.news]
    assert [type(o.exception) for o in outcomes if o is not None] == [JobFailed] * 2


async def test_who_was_put_off_is_spread_over_its_interval(
    autojump_clock: MockClock,
) -> None:
    """What is left of it, when what told of them is left."""
    fleet = make_fleet()
    fleet.add("a")
    (entry,) = fleet.take_due(0, 1)
    answered(fleet, entry, "running")
    await trio.sleep_until(30)
    for _ in fleet.spread(30, spent=4):
        pass
    assert fleet.next_due() == 30 + (INTERVAL - 4) / 2
    fleet.abandon()


async def test_a_heap_does_not_grow_with_what_is_over(
    autojump_clock: MockClock,
) -> None:
    """Thousands of plans for one job are one place, or about a thousand."""
    fleet = make_fleet()
    fleet.add("a")
    (entry,) = fleet.take_due(0, 1)
    for _ in range(5000):
        answered(fleet, entry, "running")
    assert len(fleet._heap) < 1100
    assert "running" in repr(entry)
    fleet.abandon()
    assert repr(entry)


async def test_who_was_planned_before_more_was_known_is_planned_anew(
    autojump_clock: MockClock,
) -> None:
    """From when each was looked at; never later than it was planned."""
    fleet = make_fleet()
    for job_id in ("a", "b"):
        fleet.add(job_id)
    for entry in fleet.take_due(0.0, 2):
        answered(fleet, entry, "running")
    assert fleet.next_due() == INTERVAL
    await trio.sleep(2)
    for entry in fleet.entries.values():
        entry.session._schedule = Fixed(6)
    for _ in fleet.plan_anew(trio.current_time()):
        pass
    assert fleet.next_due() == 6
    for entry in fleet.entries.values():
        entry.session._schedule = Fixed(60)
    for _ in fleet.plan_anew(trio.current_time()):
        pass
    assert fleet.next_due() == 6
    for entry in fleet.entries.values():
        entry.session._schedule = Fixed(1)
    for _ in fleet.plan_anew(trio.current_time()):
        pass
    assert fleet.next_due() == 2.5
    await trio.sleep(0.5)
    assert take(fleet) == ["a", "b"]
