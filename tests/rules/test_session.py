"""The rules of one wait, as arithmetic: no loop, no clock, no source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio import (
    Answer,
    BadAnswer,
    DelayReason,
    Exponential,
    Fixed,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobProblem,
    JobStatus,
    NoAnswer,
    Schedule,
    ServerBusy,
    Unauthorized,
    Unreachable,
    WaitTimeout,
)
from vtrio._job import Sighting
from vtrio._limits import Limits
from vtrio._session import LEAST_MARGIN, Ask, Deliver, Instruction, Session, Stop
from vtrio.schedules import Observation, PollState

RUNNING = Answer(job=Job(id="j1", status=JobStatus.RUNNING), size=10)
COMPLETED = Answer(job=Job(id="j1", status=JobStatus.COMPLETED), size=12)


def a_session(
    *,
    schedule: Schedule | None = None,
    last: Job | None = None,
    max_wait_time: float | None = None,
    max_attempts: int | None = None,
    max_silence: float | None = None,
    started_at: float = 100.0,
) -> Session:
    """Make a session that begins at 100 s, with limits as given."""
    return Session(
        job_id="j1",
        schedule=schedule or Fixed(10),
        limits=Limits(
            max_wait_time=max_wait_time,
            max_attempts=max_attempts,
            max_silence=max_silence,
        ),
        started_at=started_at,
        last=last,
    )


def answered(
    session: Session, answer: Answer, at: float, *, took: float = 0.0
) -> Instruction:
    """Let an answer come at an instant."""
    session.asking(now=at - took)
    return session.answered(answer, asked_at=at - took, now=at, roll=0.5)


def failed(session: Session, error: Exception, at: float) -> Instruction:
    """Let a poll fail at an instant."""
    session.asking(now=at)
    return session.failed(error, asked_at=at, now=at, roll=0.5)  # type: ignore[arg-type]


def seen(
    status: JobStatus = JobStatus.PENDING, *, at: float = 100.0, **known: Any
) -> Job:
    """Make a job that was seen at an instant."""
    return Job(id="j1", status=status, seen=Sighting(at=at, **known))


def test_a_wait_that_knows_nothing_asks_at_once() -> None:
    """Given an id alone, the first poll is now."""
    assert a_session().begin(now=100.0, roll=0.5) == Ask(100.0)


def test_a_submission_is_the_observation_at_age_nothing() -> None:
    """After submitting, the first poll comes after the first delay."""
    session = a_session(last=seen(age=0.0), schedule=Exponential(1, 1.5))
    assert session.begin(now=100.0, roll=0.5) == Ask(101.0)
    assert answered(session, RUNNING, 101.0) == Ask(102.5)


def test_an_old_sighting_is_polled_where_its_schedule_stands() -> None:
    """What was seen long ago is asked about at once, then at the delay for its age."""
    session = a_session(
        last=seen(at=40.0, age=3600.0), schedule=Exponential(1, 1.5, cap=20)
    )
    assert session.begin(now=100.0, roll=0.5) == Ask(100.0)
    assert answered(session, RUNNING, 100.0) == Ask(120.0)


def test_the_age_that_the_server_tells_is_taken_over() -> None:
    """A wait by id learns the job's age from the first answer."""
    session = a_session(schedule=Exponential(1, 1.5, cap=20))
    session.begin(now=100.0, roll=0.5)
    old = Answer(job=RUNNING.job, age=3600.0)
    assert answered(session, old, 100.0) == Ask(120.0)
    last = session.last
    assert last is not None
    assert last.seen is not None
    assert last.seen.age == 3600.0


def test_a_final_job_needs_no_poll() -> None:
    """Waiting for what is over is over at once."""
    done = seen(JobStatus.COMPLETED)
    assert a_session(last=done).begin(now=100.0, roll=0.5) == Deliver(done)


def test_a_completed_job_is_delivered_with_a_receipt() -> None:
    """The receipt tells polls, bytes, errors, delays with reasons, and the lag."""
    session = a_session(last=seen(age=0.0))
    session.begin(now=100.0, roll=0.5)
    failed(session, Unreachable("reset"), 110.0)
    answered(session, RUNNING, 120.0)
    done = Answer(job=COMPLETED.job, size=12, ended_ago=4.0)
    delivered = answered(session, done, 130.0)
    assert isinstance(delivered, Deliver)
    receipt = session.receipt(now=130.0)
    assert delivered.job.receipt == receipt
    assert (receipt.polls, receipt.errors) == (3, ("reset",))
    assert (receipt.bytes_received, receipt.waited) == (22, 30.0)
    assert [delay.seconds for delay in receipt.delays] == [10.0, 10.0, 10.0]
    assert {delay.reason for delay in receipt.delays} == {DelayReason.SCHEDULE}
    assert (receipt.lag, receipt.lag_bounds) == (4.0, (0.0, 10.0))


def test_the_lag_is_bounded_by_when_the_last_running_answer_was_asked_for() -> None:
    """The server may have said "running" as early as it was asked."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 103.0, took=3.0)
    answered(session, COMPLETED, 115.0, took=2.0)
    assert session.receipt(now=115.0).lag_bounds == (0.0, 15.0)


def test_an_end_at_the_first_poll_of_an_unknown_job_bounds_nothing() -> None:
    """Without an age or an earlier answer, it may have ended at any time."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, COMPLETED, 100.0)
    assert session.receipt(now=100.0).lag_bounds is None


@pytest.mark.parametrize(
    ("job", "error", "told"),
    [
        (
            Job(id="j1", status=JobStatus.ERROR),
            JobFailed,
            "job 'j1' ended in error; the server does not say why",
        ),
        (
            Job(id="j1", status=JobStatus.ERROR, error=JobProblem(title="No speech")),
            JobFailed,
            "job 'j1' ended in error: No speech",
        ),
        (
            Job(
                id="j1",
                status=JobStatus.ERROR,
                error=JobProblem(title="No speech", detail="in 21 s"),
            ),
            JobFailed,
            "job 'j1' ended in error: No speech: in 21 s",
        ),
        (
            Job(id="j1", status=JobStatus.CANCELLED),
            JobCancelled,
            "job 'j1' was cancelled on the server",
        ),
    ],
)
def test_a_bad_end_carries_what_is_known(
    job: Job, error: type[JobFailed], told: str
) -> None:
    """The error names the job and holds the last answer and the receipt."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    stop = answered(session, Answer(job=job), 100.0)
    assert isinstance(stop, Stop)
    assert isinstance(stop.error, error)
    assert str(stop.error) == told
    assert (stop.error.job_id, stop.error.job) == ("j1", job)
    assert stop.error.receipt is not None
    assert stop.error.receipt.polls == 1


def test_after_the_last_attempt_the_wait_is_over() -> None:
    """Failed polls count, and the last answer ends it at once."""
    session = a_session(max_attempts=2, max_wait_time=60)
    session.begin(now=100.0, roll=0.5)
    assert isinstance(failed(session, ServerBusy("503", status_code=503), 100.0), Ask)
    stop = answered(session, RUNNING, 110.0)
    assert isinstance(stop, Stop)
    assert isinstance(stop.error, WaitTimeout)
    assert "after max_attempts=2 polls in 10 s" in str(stop.error)


@pytest.mark.parametrize(
    ("hint", "due"),
    [(5, 110), (10, 110), (25, 125), (3600, 400), (0, 110)],
    ids=["shorter", "as long", "longer", "clamped", "none"],
)
def test_a_hint_lengthens_and_never_shortens(hint: float, due: float) -> None:
    """At most five minutes, on good answers and failures alike."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    good = Answer(job=RUNNING.job, hint=hint)
    assert answered(session, good, 100.0) == Ask(due)
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    busy = ServerBusy("429", status_code=429, hint=hint)
    assert failed(session, busy, 100.0) == Ask(due)
    reason = session.receipt(now=100.0).delays[0].reason
    assert reason == (DelayReason.HINT if due > 110 else DelayReason.SCHEDULE)


def test_a_hint_is_read_afresh() -> None:
    """The next answer without one is paused after as the schedule says."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, Answer(job=RUNNING.job, hint=25), 100.0)
    assert answered(session, RUNNING, 125.0) == Ask(135.0)


def test_the_hint_of_the_submission_counts() -> None:
    """`Retry-After` on any reply, the 202 too."""
    session = a_session(last=seen(age=0.0, retry_after=30.0))
    assert session.begin(now=100.0, roll=0.5) == Ask(130.0)


def test_one_last_poll_fits_before_the_deadline() -> None:
    """A sleep that would pass the deadline is cut; after "running" comes nothing."""
    session = a_session(max_wait_time=25)
    session.begin(now=100.0, roll=0.5)
    assert answered(session, RUNNING, 100.0) == Ask(110.0)
    assert answered(session, RUNNING, 110.0) == Ask(120.0)
    assert answered(session, RUNNING, 120.0) == Ask(125.0 - LEAST_MARGIN)
    assert answered(session, RUNNING, 124.97) == Ask(math.inf)
    reasons = [delay.reason for delay in session.receipt(now=125.0).delays]
    assert reasons[-2:] == [DelayReason.LAST_POLL, DelayReason.DEADLINE]
    assert session.receipt(now=125.0).delays[-1].seconds == pytest.approx(0.03)


def test_the_last_poll_leaves_time_for_twice_the_slowest_answer() -> None:
    """Of the recent ones; a poll that the schedule wants later than that is cut."""
    session = a_session(schedule=Fixed(4.9), max_wait_time=10)
    session.begin(now=100.0, roll=0.5)
    assert answered(session, RUNNING, 100.1, took=0.1) == Ask(105.0)
    assert answered(session, RUNNING, 105.05, took=0.05) == Ask(
        110.0 - 2 * (100.1 - 100.0)
    )


def test_the_last_poll_is_made_even_under_a_hint() -> None:
    """A server that says "in an hour" may be wrong."""
    session = a_session(max_wait_time=6)
    session.begin(now=100.0, roll=0.5)
    busy = ServerBusy("503", status_code=503, hint=3600)
    assert failed(session, busy, 100.0) == Ask(105.96)
    assert failed(session, busy, 105.96) == Ask(math.inf)


def test_a_slow_answer_does_not_end_the_polling() -> None:
    """Where its margin has begun already, polls that fit are made all the same."""
    session = a_session(schedule=Fixed(1), max_wait_time=10)
    session.begin(now=100.0, roll=0.5)
    assert answered(session, RUNNING, 104.0, took=4.0) == Ask(105.0)
    assert answered(session, RUNNING, 109.0, took=4.0) == Ask(
        math.inf
    )  # 110 is too late


def test_a_first_poll_that_is_the_last_has_time_to_spare() -> None:
    """How long the submission's answer took says little of a poll's."""
    session = a_session(
        last=seen(age=0.0, took=0.001), schedule=Fixed(100), max_wait_time=6
    )
    assert session.begin(now=100.0, roll=0.5) == Ask(105.8)
    session = a_session(
        last=seen(age=0.0, took=0.5), schedule=Fixed(100), max_wait_time=6
    )
    assert session.begin(now=100.0, roll=0.5) == Ask(105.0)


def test_after_one_slow_answer_the_latest_has_a_say() -> None:
    """A connection that took long to open is no measure of the polls on it."""
    session = a_session(schedule=Exponential(1, 2), max_wait_time=15)
    session.begin(now=100.0, roll=0.5)
    assert answered(session, RUNNING, 108.0, took=8.0) == Ask(109.0)
    assert answered(session, RUNNING, 109.125, took=0.125) == Ask(111.125)
    assert answered(session, RUNNING, 111.25, took=0.125) == Ask(114.75)
    assert answered(session, RUNNING, 114.875, took=0.125) == Ask(math.inf)


def test_a_last_poll_that_came_early_is_not_the_last() -> None:
    """If an old answer made the margin wide, another fits when it is narrow again."""
    session = a_session(schedule=Fixed(40), max_wait_time=60)
    session.begin(now=100.0, roll=0.5)
    assert answered(session, RUNNING, 108.0, took=8.0) == Ask(144.0)
    assert answered(session, RUNNING, 144.125, took=0.125) == Ask(159.75)


def test_a_failure_near_the_deadline_is_polled_after_where_it_fits() -> None:
    """A refused connection takes no time; the schedule has its way until 40 ms."""
    session = a_session(schedule=Fixed(0.005), max_wait_time=6)
    session.begin(now=100.0, roll=0.5)
    assert failed(session, Unreachable("refused"), 105.95) == Ask(105.95 + 0.005)
    assert failed(session, Unreachable("refused"), 105.96) == Ask(math.inf)


def test_a_receipt_does_not_grow_for_ever() -> None:
    """A wait of weeks keeps the latest thousand delays and errors, and all counts."""
    session = a_session(schedule=Fixed(1))
    session.begin(now=100.0, roll=0.5)
    for second in range(1500):
        failed(session, Unreachable(f"at {second}"), 100.0 + second)
    receipt = session.receipt(now=2000.0)
    assert (receipt.polls, receipt.failures) == (1500, 1500)
    assert (len(receipt.delays), len(receipt.errors)) == (1000, 1000)
    assert receipt.errors[-1] == "at 1499"


def test_a_poll_that_the_deadline_cuts_is_counted() -> None:
    """It was asked, whatever came of it."""
    session = a_session(max_wait_time=5)
    session.begin(now=100.0, roll=0.5)
    session.asking(now=100.0)
    error = session.expired(now=105.0).error
    assert error.receipt is not None
    assert error.receipt.polls == 1
    assert "and 1 polls (it never answered)" in str(error)


def test_a_sighting_was_true_when_it_was_asked_for() -> None:
    """An answer that took 5 s may be 5 s old."""
    session = a_session(last=seen(at=100.0, age=10.0, took=5.0))
    session.begin(now=100.0, roll=0.5)
    answered(session, COMPLETED, 110.0)
    assert session.receipt(now=110.0).lag_bounds == (0.0, 15.0)
    assert session.observation() == Observation(after=5.0, until=20.0, job="j1")


def test_a_deadline_that_passes_is_a_timeout() -> None:
    """It says how long, how many polls, and where the job stood."""
    session = a_session(max_wait_time=25)
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 100.0)
    error = session.expired(now=125.0).error
    assert isinstance(error, WaitTimeout)
    assert "max_wait_time=25 s and 1 polls (it was last seen running)" in str(error)
    assert error.receipt is not None
    assert error.receipt.waited == 25.0


def test_silence_ends_a_wait_that_was_told_so() -> None:
    """Any HTTP answer breaks the silence; a failed connection does not.

    It counts from asking on, so that a pause of our own is not taken for one.
    """
    session = a_session(max_silence=30)
    session.begin(now=100.0, roll=0.5)
    assert session.deadline == math.inf
    session.asking(now=100.0)
    assert session.deadline == 130.0
    failed(session, ServerBusy("502", status_code=502, hint=100), 110.0)
    assert session.deadline == math.inf
    failed(session, Unreachable("refused"), 210.0)
    assert session.deadline == 240.0
    error = session.expired(now=240.0).error
    assert isinstance(error, NoAnswer)
    assert "not answered for 30 s (refused)" in str(error)


def test_a_refusal_ends_the_wait_at_once() -> None:
    """Asking again would not help; the error goes out with job and receipt."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 100.0)
    refusal = Unauthorized("401", status_code=401)
    stop = failed(session, refusal, 110.0)
    assert isinstance(stop, Stop)
    assert stop.error is refusal
    assert refusal.job is not None
    assert refusal.receipt is not None


def test_not_found_is_tolerated_right_after_submission() -> None:
    """For five seconds of the job's age, and only for 404."""
    lost = JobNotFound("404", status_code=404)
    session = a_session(last=seen(age=0.0), schedule=Fixed(2))
    session.begin(now=100.0, roll=0.5)
    assert failed(session, lost, 102.0) == Ask(104.0)
    assert failed(session, lost, 105.0) == Ask(107.0)
    assert isinstance(failed(session, lost, 105.1), Stop)
    session = a_session(last=seen(age=0.0))
    assert isinstance(failed(session, JobNotFound("", status_code=410), 100.1), Stop)


def test_not_found_ends_a_wait_for_a_job_of_unknown_age() -> None:
    """An id that nobody knows is a mistake, not a delay."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    assert isinstance(failed(session, JobNotFound("", status_code=404), 100.0), Stop)


def test_each_unknown_word_is_remembered_once() -> None:
    """The wait goes on; the receipt tells the words."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    for at, word in enumerate(["queued", "preparing", "queued"]):
        job = Job(id="j1", status=JobStatus.RUNNING, unknown_word=word)
        assert isinstance(answered(session, Answer(job=job), 100.0 + at), Ask)
    assert session.receipt(now=103.0).unknown_words == ("queued", "preparing")


@pytest.mark.parametrize("delay", [-1.0, math.nan, math.inf])
def test_a_schedule_that_cannot_be_slept_is_named(delay: float) -> None:
    """A schedule of a user's own may be wrong."""

    @dataclass
    class Broken:
        def delay(self, state: PollState) -> float:
            return delay

    session = a_session(schedule=Broken())
    session.begin(now=100.0, roll=0.5)
    with pytest.raises(ValueError, match=r"Broken\(\) asked for a delay of"):
        answered(session, RUNNING, 100.0)


def test_a_schedule_is_told_all_that_is_known() -> None:
    """Age, answers, hint, work, roll, phase and key."""
    asked = []

    class Curious:
        def delay(self, state: PollState) -> float:
            asked.append(state)
            return 5.0

    session = Session(
        job_id="j1",
        schedule=Curious(),
        limits=Limits(),
        started_at=100.0,
        last=seen(at=100.0, age=50.0),
        key="pt",
        phase=0.25,
    )
    session.begin(now=100.0, roll=0.1)
    running = Job(id="j1", status=JobStatus.RUNNING, media_seconds=66.0)
    session.answered(
        Answer(job=running, hint=2.0), asked_at=105.0, now=105.0, roll=0.75
    )
    assert asked[-1] == PollState(
        age=55.0,
        start_age=50.0,
        answers=2,
        hint=2.0,
        work=66.0,
        key="pt",
        roll=0.75,
        phase=0.25,
    )


def test_what_was_seen_of_the_duration_is_an_interval() -> None:
    """Between the last poll that said running and the first that said finished."""
    session = a_session(last=seen(age=0.0))
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 110.0)
    answered(session, COMPLETED, 120.0)
    assert session.observation() == Observation(after=10.0, until=20.0, job="j1")


def test_a_wait_that_gave_up_has_seen_a_lower_bound() -> None:
    """It is censored, not dropped."""
    session = a_session(last=seen(age=0.0), max_attempts=1)
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 110.0)
    assert session.observation() == Observation(after=10.0, until=None, job="j1")


def test_the_servers_own_times_are_exact() -> None:
    """Where the server says when the job ended, the interval is a point."""
    session = a_session(last=seen(age=0.0))
    session.begin(now=100.0, roll=0.5)
    answered(session, Answer(job=COMPLETED.job, ended_ago=3.0), 110.0)
    assert session.observation() == Observation(after=7.0, until=7.0, job="j1")


def dated(status: JobStatus, seconds: float) -> Job:
    """Make a job whose document tells how long it took."""
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    return Job(
        id="j1",
        status=status,
        created_at=noon,
        finished_at=noon + timedelta(seconds=seconds),
    )


def test_the_times_in_the_document_are_exact_too() -> None:
    """Even where nobody has told the job's age; what cannot be is not believed."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, Answer(job=dated(JobStatus.ERROR, 42.5)), 110.0)
    assert session.observation() == Observation(after=42.5, until=42.5, job="j1")
    session = a_session(last=seen(age=0.0))
    session.begin(now=100.0, roll=0.5)
    answered(session, Answer(job=dated(JobStatus.COMPLETED, 3600)), 110.0)
    assert session.observation() == Observation(after=0.0, until=10.0, job="j1")


def test_a_job_that_was_over_when_the_wait_began_teaches_nothing() -> None:
    """It may have been over for days; a server that tells how long it took does."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, Answer(job=COMPLETED.job, age=86_400.0), 100.0)
    assert session.observation() == Observation(after=0.0, until=None, job="j1")
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    over = Answer(job=COMPLETED.job, age=86_400.0, ended_ago=86_340.0)
    answered(session, over, 100.0)
    assert session.observation() == Observation(after=60.0, until=60.0, job="j1")


@pytest.mark.parametrize(("run_time", "after"), [(6.0, 6.0), (0.5, 2.0), (99.0, 10.0)])
def test_the_run_time_is_a_lower_bound(run_time: float, after: float) -> None:
    """A job may have waited before it was worked on, so it says no more."""
    session = a_session(last=seen(age=0.0))
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 102.0)
    answered(session, Answer(job=COMPLETED.job, run_time=run_time), 110.0)
    assert session.observation() == Observation(after=after, until=10.0, job="j1")


@pytest.mark.parametrize(("ended_ago", "after"), [(None, 2.0), (3.0, 7.0)])
def test_a_job_that_was_cancelled_would_have_lasted_longer(
    ended_ago: float | None, after: float
) -> None:
    """Its cancellation is a lower bound; a failure is an end like any other."""
    session = a_session(last=seen(age=0.0))
    session.begin(now=100.0, roll=0.5)
    answered(session, RUNNING, 102.0)
    cancelled = Job(id="j1", status=JobStatus.CANCELLED)
    answered(session, Answer(job=cancelled, ended_ago=ended_ago), 110.0)
    assert session.observation() == Observation(after=after, until=None, job="j1")


def test_the_callers_word_on_the_work_counts_first() -> None:
    """The server may not tell how long the video is, or tell it late."""
    session = Session(
        job_id="j1", schedule=Fixed(1), limits=Limits(), started_at=100.0, work=30.0
    )
    session.begin(now=100.0, roll=0.5)
    told = Job(id="j1", status=JobStatus.RUNNING, media_seconds=31.0)
    answered(session, Answer(job=told), 100.0)
    assert session.work == 30.0


def test_a_job_of_unknown_age_teaches_nothing() -> None:
    """A duration counts from the submission."""
    session = a_session()
    session.begin(now=100.0, roll=0.5)
    answered(session, COMPLETED, 110.0)
    assert session.observation() is None


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_wait_time": 0}, "max_wait_time=0 .* above 0"),
        ({"max_attempts": 0}, "max_attempts=0 .* whole number of at least 1"),
        ({"max_attempts": 2.5}, "max_attempts=2.5"),
        ({"max_silence": -1}, "max_silence=-1"),
        ({"request_timeout": math.inf}, "request_timeout=inf"),
    ],
)
def test_bad_limits_are_named(limits: dict[str, float], told: str) -> None:
    """The message names the parameter, the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        Limits(**limits)  # type: ignore[arg-type]


events = st.lists(
    st.tuples(
        st.sampled_from(["running", "bad", "reset", "busy"]),
        st.floats(min_value=0, max_value=3),  # how long the answer takes
        st.floats(min_value=0, max_value=1, exclude_max=True),
    ),
    min_size=1,
    max_size=40,
)


@given(
    events,
    st.floats(min_value=0.5, max_value=100),
    st.one_of(st.none(), st.integers(min_value=1, max_value=20)),
    st.floats(min_value=0, max_value=50),
    st.floats(min_value=1, max_value=3),
)
def test_a_wait_never_asks_late_nor_twice_near_the_deadline(
    script: list[tuple[str, float, float]],
    limit: float,
    attempts: int | None,
    initial: float,
    factor: float,
) -> None:
    """Whatever happens: polls are in order, in time, and within the attempts.

    The last one before the deadline is not missed while attempts are left.
    """
    session = a_session(
        schedule=Exponential(initial, factor, jitter=0.5),
        max_wait_time=limit,
        max_attempts=attempts,
        started_at=0.0,
    )
    now, asked = 0.0, []
    instruction = session.begin(now=now, roll=0.0)
    for kind, took, roll in script:
        if not isinstance(instruction, Ask) or instruction.at >= limit:
            break
        assert instruction.at >= now
        asked_at = instruction.at
        asked.append(asked_at)
        session.asking(now=asked_at)
        now = asked_at + took
        if now >= limit:  # the deadline's scope would have cut it off
            break
        match kind:
            case "running":
                instruction = session.answered(
                    RUNNING, asked_at=asked_at, now=now, roll=roll
                )
            case "busy":
                error = ServerBusy("503", status_code=503, hint=40 * roll)
                instruction = session.failed(
                    error, asked_at=asked_at, now=now, roll=roll
                )
            case "bad":
                instruction = session.failed(
                    BadAnswer("x", status_code=200),
                    asked_at=asked_at,
                    now=now,
                    roll=roll,
                )
            case _:
                instruction = session.failed(
                    Unreachable("x"), asked_at=asked_at, now=now, roll=roll
                )
    assert attempts is None or len(asked) <= attempts
    if (
        instruction == Ask(math.inf)
        and now < limit
        and script[len(asked) - 1][0] != "reset"
    ):
        latest = script[len(asked) - 1][1]
        assert now >= limit - max(LEAST_MARGIN, 2 * latest) - 1e-9
