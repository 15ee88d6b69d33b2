"""The numbers of one wait, at the very instants and counts where the rules turn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from vtrio import (
    Answer,
    Delay,
    DelayReason,
    Fixed,
    Job,
    JobStatus,
    NoAnswer,
    Receipt,
    RemoteError,
    Schedule,
    Unreachable,
    WaitTimeout,
)
from vtrio._job import Sighting
from vtrio._limits import Limits
from vtrio._session import Ask, Instruction, Session
from vtrio.schedules import Observation, PollState

RUNNING = Answer(job=Job(id="j1", status=JobStatus.RUNNING), size=10)
COMPLETED = Answer(job=Job(id="j1", status=JobStatus.COMPLETED), size=12)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def a_session(
    schedule: Schedule | None = None, *, started_at: float = 100.0, **limits: float
) -> Session:
    """Make a session for a job of which nothing is known, and begin it."""
    session = Session(
        job_id="j1",
        schedule=schedule or Fixed(10),
        limits=Limits(**limits),  # type: ignore[arg-type]
        started_at=started_at,
    )
    session.begin(now=started_at, roll=0.5)
    return session


def a_fresh_session(*, took: float = 0.0, **limits: float) -> Session:
    """Make a session for a job that was submitted at 100 s, and begin it."""
    seen = Sighting(at=100.0, age=0.0, took=took)
    session = Session(
        job_id="j1",
        schedule=Fixed(10),
        limits=Limits(**limits),  # type: ignore[arg-type]
        started_at=100.0,
        last=Job(id="j1", status=JobStatus.PENDING, seen=seen),
    )
    session.begin(now=100.0, roll=0.5)
    return session


def answered(
    session: Session, answer: Answer, at: float, *, took: float = 0.0
) -> Instruction:
    """Let an answer come at an instant."""
    session.asking(now=at - took)
    return session.answered(answer, asked_at=at - took, now=at, roll=0.5)


def failed(
    session: Session, at: float, error: RemoteError | None = None
) -> Instruction:
    """Let a poll fail at an instant, by a connection that broke unless told."""
    session.asking(now=at)
    error = error or Unreachable("reset")
    return session.failed(error, asked_at=at, now=at, roll=0.5)


@dataclass
class Noting:
    """A schedule that keeps what it was asked."""

    asked: list[PollState] = field(default_factory=list)

    def delay(self, state: PollState) -> float:
        """Note the state, and ask for five seconds."""
        self.asked.append(state)
        return 5.0


def test_the_schedule_is_told_the_failures_in_a_row() -> None:
    """They add up one by one; a good answer ends the row, and a new one begins."""
    schedule = Noting()
    session = a_session(schedule)
    for at in (100.0, 105.0):
        failed(session, at)
    answered(session, RUNNING, 110.0)
    failed(session, 115.0)
    assert [state.failures for state in schedule.asked] == [1, 2, 0, 1]
    assert [state.answers for state in schedule.asked] == [1, 2, 3, 4]


def test_a_wait_for_an_unknown_job_is_one_for_a_new_job() -> None:
    """Until the server tells an age, the job is taken to be as old as the wait."""
    schedule = Noting()
    session = a_session(schedule)
    answered(session, RUNNING, 100.0)
    answered(session, RUNNING, 105.0)
    assert schedule.asked == [
        PollState(age=0.0, start_age=0.0, answers=1, roll=0.5, phase=0.0),
        PollState(age=5.0, start_age=0.0, answers=2, roll=0.5, phase=0.0),
    ]


def test_a_wait_may_be_shorter_than_a_second() -> None:
    """All limits are any time above nothing."""
    limits = Limits(max_wait_time=0.5, max_silence=0.5, request_timeout=0.5)
    assert limits.max_wait_time == limits.max_silence == limits.request_timeout


@pytest.mark.parametrize("name", ["max_wait_time", "max_silence", "request_timeout"])
def test_no_limit_is_nothing(name: str) -> None:
    """A limit of no time at all would end what it limits before it began."""
    with pytest.raises(ValueError, match=f"{name}=0 .* above 0"):
        Limits(**{name: 0})


def test_a_receipt_before_the_end_knows_no_lag() -> None:
    """It tells what the wait has cost so far."""
    session = a_session()
    failed(session, 100.0, Unreachable("reset"))
    answered(session, RUNNING, 110.0)
    assert session.receipt(now=112.5) == Receipt(
        job_id="j1",
        waited=12.5,
        polls=2,
        failures=1,
        errors=("reset",),
        bytes_received=10,
        delays=(
            Delay(10.0, DelayReason.SCHEDULE),
            Delay(10.0, DelayReason.SCHEDULE),
        ),
    )


def test_twenty_unknown_words_are_remembered() -> None:
    """A server that makes up a word for every answer does not fill the memory."""
    session = a_session()
    for number in range(25):
        job = Job(id="j1", status=JobStatus.RUNNING, unknown_word=f"w{number}")
        answered(session, Answer(job=job), 100.0 + number)
    assert session.unknown_words == tuple(f"w{number}" for number in range(20))


@pytest.mark.parametrize(("quick", "margin"), [(7, 8.0), (8, 0.25)])
def test_an_answer_is_recent_until_eight_more_have_come(
    quick: int, margin: float
) -> None:
    """Then one that took 4 s no longer decides how early the last poll is made."""
    session = a_session(Fixed(100), max_wait_time=200)
    answered(session, RUNNING, 104.0, took=4.0)
    for number in range(quick):
        instruction = answered(session, RUNNING, 205.0 + number, took=0.125)
    assert instruction == Ask(300.0 - margin)


def test_a_broken_connection_makes_no_margin() -> None:
    """Where nothing has been measured, the last poll comes 20 ms before the end."""
    session = a_session(Fixed(100), max_wait_time=6)
    assert failed(session, 100.0) == Ask(105.96)


@pytest.mark.parametrize(
    ("interval", "due", "reason"),
    [
        (8.75, 109.5, DelayReason.SCHEDULE),
        (9.0, 109.75, DelayReason.SCHEDULE),
        (9.25, 109.75, DelayReason.LAST_POLL),
    ],
    ids=["before", "at", "after"],
)
def test_a_pause_that_ends_where_the_last_poll_fits_is_not_cut(
    interval: float, due: float, reason: DelayReason
) -> None:
    """The schedule's own poll is the last one then."""
    session = a_session(Fixed(interval), max_wait_time=10)
    assert answered(session, RUNNING, 100.75, took=0.125) == Ask(due)
    assert session.receipt(now=due).delays[-1].reason is reason


@pytest.mark.parametrize(
    ("interval", "due"), [(0.46, 0.96), (0.47, math.inf)], ids=["at", "after"]
)
def test_a_poll_may_come_forty_milliseconds_before_the_end(
    interval: float, due: float
) -> None:
    """Where a slow answer leaves no time for a margin, that is the latest."""
    session = a_session(Fixed(interval), started_at=0.0, max_wait_time=1)
    assert answered(session, RUNNING, 0.5, took=0.5) == Ask(due)


def test_after_a_last_poll_that_said_running_comes_nothing() -> None:
    """Even where a quick schedule would still fit one into its margin."""
    session = a_session(Fixed(0.0625), max_wait_time=1)
    assert answered(session, RUNNING, 100.703125, took=0.125) == Ask(100.75)
    assert session.receipt(now=101.0).delays[-1].reason is DelayReason.LAST_POLL
    assert answered(session, RUNNING, 100.875, took=0.125) == Ask(math.inf)


def test_after_a_last_poll_that_failed_the_schedule_has_its_way() -> None:
    """It has told nothing of the job, so that another may still find its end."""
    session = a_session(Fixed(0.125), max_wait_time=1)
    assert answered(session, RUNNING, 100.6875, took=0.125) == Ask(100.75)
    assert session.receipt(now=101.0).delays[-1].reason is DelayReason.LAST_POLL
    assert failed(session, 100.75) == Ask(100.875)


@pytest.mark.parametrize(
    ("job_id", "told", "known"),
    [("j1", "job 'j1' was", "j1"), ("", "the job was", None)],
)
def test_a_timeout_names_the_job_if_it_has_a_name(
    job_id: str, told: str, known: str | None
) -> None:
    """A server may have just one job, and no id for it."""
    session = Session(
        job_id=job_id,
        schedule=Fixed(10),
        limits=Limits(max_wait_time=5),
        started_at=100.0,
    )
    session.begin(now=100.0, roll=0.5)
    error = session.expired(now=105.0).error
    assert str(error).startswith(told)
    assert error.job_id == known


def test_the_time_limit_counts_before_the_silence() -> None:
    """Where silence would end it at the same instant, that is a timeout."""
    session = a_session(max_wait_time=10, max_silence=10)
    session.asking(now=100.0)
    assert session.deadline == 110.0
    assert isinstance(session.expired(now=110.0).error, WaitTimeout)


@pytest.mark.parametrize(
    ("failures", "told"), [(0, "no error either"), (1, "e0"), (3, "e2")]
)
def test_a_silence_tells_its_latest_error(failures: int, told: str) -> None:
    """A server that just takes its time has made none."""
    session = a_session(max_silence=30)
    for number in range(failures):
        failed(session, 100.0 + number, Unreachable(f"e{number}"))
    session.asking(now=100.0)
    error = session.expired(now=130.0).error
    assert isinstance(error, NoAnswer)
    assert f"not answered for 30 s ({told});" in str(error)


def test_the_lag_of_a_job_never_seen_running_is_bounded_by_its_age() -> None:
    """It cannot have ended before it was submitted, whoever told when that was."""
    session = Session(
        job_id="j1",
        schedule=Fixed(10),
        limits=Limits(),
        started_at=100.0,
        submitted_at=90.0,
    )
    session.begin(now=100.0, roll=0.5)
    answered(session, COMPLETED, 105.0)
    assert session.receipt(now=105.0).lag_bounds == (0.0, 15.0)
    session = a_session()
    answered(session, Answer(job=COMPLETED.job, age=60.0), 100.0)
    assert session.receipt(now=100.0).lag_bounds == (0.0, 60.0)


def test_a_lag_may_be_bounded_below_a_second() -> None:
    """Two polls that lie close together enclose the end closely."""
    session = a_session()
    answered(session, RUNNING, 100.0)
    answered(session, COMPLETED, 100.25)
    assert session.receipt(now=101.0).lag_bounds == (0.0, 0.25)


def test_an_observation_names_the_class_and_the_work() -> None:
    """By these a history tells one kind of job from another."""
    session = Session(
        job_id="j1", schedule=Fixed(10), limits=Limits(), started_at=100.0, key="pt"
    )
    session.begin(now=100.0, roll=0.5)
    done = Job(id="j1", status=JobStatus.COMPLETED, media_seconds=66.0)
    answered(session, Answer(job=done, age=60.0, ended_ago=10.0), 100.0)
    assert session.observation() == Observation(
        after=50.0, until=50.0, key="pt", work=66.0, job="j1"
    )


@pytest.mark.parametrize(
    ("age", "ended_ago", "lasted"), [(60.0, 0.0, 60.0), (0.75, 0.25, 0.5)]
)
def test_a_job_that_just_ended_is_as_old_as_it_lasted(
    age: float, ended_ago: float, lasted: float
) -> None:
    """The server's word is taken up to the age of the job, and below a second."""
    session = a_session()
    over = Answer(job=COMPLETED.job, age=age, ended_ago=ended_ago)
    answered(session, over, 100.0)
    assert session.observation() == Observation(after=lasted, until=lasted, job="j1")


@pytest.mark.parametrize(
    ("created", "finished", "seen"),
    [
        (0.0, 0.0, (0.0, 0.0)),
        (0.0, 1.0, (1.0, 1.0)),
        (1.0, 0.0, (4.0, 10.0)),
        (0.0, None, (4.0, 10.0)),
        (None, 1.0, (4.0, 10.0)),
    ],
    ids=["at once", "later", "backwards", "no end", "no beginning"],
)
def test_half_a_document_is_not_believed(
    created: float | None, finished: float | None, seen: tuple[float, float]
) -> None:
    """Without both of its times, in order, what the polls saw stands."""
    instants = [
        None if second is None else NOON + timedelta(seconds=second)
        for second in (created, finished)
    ]
    job = Job(
        id="j1",
        status=JobStatus.COMPLETED,
        created_at=instants[0],
        finished_at=instants[1],
    )
    session = a_fresh_session()
    answered(session, RUNNING, 104.0)
    answered(session, Answer(job=job), 110.0)
    after, until = seen
    assert session.observation() == Observation(after=after, until=until, job="j1")
