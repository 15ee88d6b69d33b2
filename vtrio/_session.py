"""The rules of one wait: observations in, an instruction out.

A session is told what happened (an answer, a failure, "now", a roll in [0, 1)) and
says what to do next. It does no I/O, reads no clock, draws no random number and
writes no log, so that every rule of waiting can be tested as arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ._checks import shorten
from ._endings import ending_of, told_duration
from ._errors import (
    JobNotFound,
    NoAnswer,
    Refused,
    RemoteError,
    VtrioError,
    WaitTimeout,
)
from ._job import Job, JobStatus, Sighting
from ._limits import Limits
from ._receipt import Delay, DelayReason, Receipt
from ._source import Answer, sighted
from .schedules import Observation, PollState, Schedule

# A server's hint lengthens a delay to this at most: a slip of the pen must not park
# a wait for a week.
LONGEST_HINT = 300.0
# Right after submission a job may not have reached every replica that is asked.
NOT_FOUND_GRACE = 5.0
# The last poll starts this long before the deadline (a busy machine may wake a task
# some 30 ms late, and all would be lost for that), or twice the slowest of the
# recent answers if that is longer.
LEAST_MARGIN = 0.040
RECENT_ANSWERS = 8
# What an answer is taken to last before one of this wait has been measured.
UNMEASURED_ANSWER = 0.1
# A wait without limits may go on for weeks; its receipt must not grow for as long.
MOST_REMEMBERED = 1000
MOST_UNKNOWN_WORDS = 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the source at this instant; at infinity: never, let the deadline come.

    A poll is hurried if it comes earlier than it would have without a failure.
    """

    at: float
    reason: DelayReason = field(default=DelayReason.SCHEDULE, compare=False)
    """Why not sooner."""
    is_hurried: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Deliver:
    """The wait is over: this is the completed job."""

    job: Job


@dataclass(frozen=True, slots=True)
class Stop:
    """The wait is over: raise this."""

    error: VtrioError


Instruction = Ask | Deliver | Stop


class Session:
    """One wait for one job. Instants are the caller's clock, durations seconds.

    Args:
        job_id: the job, or an empty string where the server has just one.
        schedule: says how long to pause.
        limits: say when to give up.
        started_at: the instant at which the wait begins.
        last: the job as it was last seen, if it was: the wait goes on from there.
        submitted_at: the instant of the job's submission, where it is known otherwise.
        key: the class of the job, for schedules and histories that learn.
        work: the amount of work, where the caller knows it better than the server.
        phase: drawn once, in [0, 1).
        run: what the clock belongs to; sightings of this wait carry it.
    """

    # There may be a hundred thousand of these: slots, and no list before it is needed.
    __slots__ = (
        "_answer_times",
        "_answered",
        "_answers",
        "_bytes",
        "_delays",
        "_errors",
        "_failures",
        "_failures_in_a_row",
        "_give_up_at",
        "_lag",
        "_lag_bounds",
        "_last",
        "_phase",
        "_polls",
        "_run",
        "_running_at",
        "_schedule",
        "_seen",
        "_started_at",
        "_submitted_at",
        "_unanswered_at",
        "_unknown_words",
        "_work",
        "job_id",
        "key",
        "limits",
        "told_by",
        "verdict",
    )

    def __init__(
        self,
        *,
        job_id: str,
        schedule: Schedule,
        limits: Limits,
        started_at: float,
        last: Job | None = None,
        submitted_at: float | None = None,
        key: str = "",
        work: float | None = None,
        phase: float = 0.0,
        run: object = None,
    ) -> None:
        self.job_id = job_id
        self.limits = limits
        self._schedule = schedule
        self._started_at = started_at
        self._last = last
        self.key = key
        self._work = work
        self._phase = phase
        self._run = run
        self._answer_times: tuple[float, ...] = ()
        self._answers = 0
        self._polls = 0
        self._failures = 0
        self._failures_in_a_row = 0
        self._errors: list[str] | None = None
        self._bytes = 0
        self._delays: list[Delay] | None = None
        self._unknown_words: tuple[str, ...] = ()
        self._submitted_at = submitted_at
        self._running_at: float | None = None
        # When the question was asked that nobody has answered yet.
        self._unanswered_at: float | None = None
        self._seen: tuple[float, float | None] | None = None
        self._answered = False  # whether the latest poll brought a good answer
        self._lag: float | None = None
        self._lag_bounds: tuple[float, float] | None = None
        limit = limits.max_wait_time
        self._give_up_at = math.inf if limit is None else started_at + limit
        if last is not None and last.seen is not None and not last.is_final:
            self._start_from(last.seen)
        self.told_by = "single"
        """By what the latest answer came; see `Receipt`."""
        self.verdict: Deliver | Stop | None = None
        """How the wait ended, once it has."""

    @property
    def deadline(self) -> float:
        """The instant at which the wait ends whatever happens, as things stand."""
        return min(self._give_up_at, self._silent_at)

    @property
    def last(self) -> Job | None:
        """The job as it was last seen."""
        return self._last

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """The status words heard so far that are none of ours, each once."""
        return self._unknown_words

    def begin(self, *, now: float, roll: float) -> Instruction:
        """Say how the wait starts: at once, unless there is an answer to start from."""
        last = self._last
        if last is not None and last.is_final:
            return self._conclude(last, now)
        if last is None or last.seen is None:
            return Ask(now)
        # What was seen earlier counts as the first answer, given when it was seen.
        seen = last.seen
        self._answers = 1
        self._answer_times = (seen.took,)
        return self._pause(roll=roll, now=now, since=seen.at, hint=seen.retry_after)

    def park(self) -> None:
        """Begin without a plan: somebody tells what happens to the job."""
        if self._last is not None and self._last.seen is not None:
            self._answers = 1
            self._answer_times = (self._last.seen.took,)

    def asking(self, *, now: float) -> None:
        """Take in that a poll is about to be made; it counts, whatever comes of it."""
        self._polls += 1
        if self._unanswered_at is None:
            self._unanswered_at = now

    def answered(
        self,
        answer: Answer,
        *,
        asked_at: float,
        now: float,
        roll: float,
        plans: bool = True,
        held: bool = False,
    ) -> Instruction:
        """Take in a good answer.

        Without plans nobody will ask of themselves. What was held says nothing of how
        long an answer takes.
        """
        took = None if held else now - asked_at
        self._count_answer(took, size=answer.size, answered=True)
        self._answered = True
        self._failures_in_a_row = 0
        if self._submitted_at is None and answer.age is not None:
            self._submitted_at = now - answer.age
        job = self._last = sighted(
            answer,
            asked_at=asked_at,
            now=now,
            run=self._run,
            age=self.age(now=now),
        )
        word = job.unknown_word
        room = len(self._unknown_words) < MOST_UNKNOWN_WORDS
        if word is not None and room and word not in self._unknown_words:
            self._unknown_words = (*self._unknown_words, word)
        if job.is_final:
            self._note_end(answer, now)
            return self._conclude(job, now)
        self._running_at = asked_at
        if not plans:
            return Ask(math.inf)
        return self._pause(roll=roll, now=now, since=now, hint=answer.hint)

    def failed(
        self,
        error: RemoteError,
        *,
        asked_at: float,
        now: float,
        roll: float,
        has_credit: bool | None = None,
    ) -> Instruction:
        """Take in a poll that brought no good answer.

        The next one may come earlier than after a good answer, as the schedule says,
        if there is credit for that; None where nobody counts.
        """
        replied = error.status_code is not None
        self._count_answer(now - asked_at, size=error.size, answered=replied)
        if isinstance(error, Refused) and not self._may_not_be_there_yet(error, now):
            return self._stop(error, now)
        self._answered = False
        self._failures_in_a_row += 1
        self.missed(error)
        return self._pause(
            roll=roll, now=now, since=now, hint=error.hint, has_credit=has_credit
        )

    def missed(self, error: RemoteError) -> None:
        """Take in a poll of many that failed, for which another way is tried at once."""
        self._failures += 1
        self._errors = _remember(self._errors, str(error))

    def told(self, job: Job) -> None:
        """Take in what somebody else has heard of the job: it has not ended."""
        self._last = job

    def before_deadline(self, due_at: float, *, now: float) -> tuple[float, bool]:
        """Return when to poll instead, and whether that must not be put off."""
        at, reason = self._fit_before_the_deadline(
            due_at, DelayReason.SCHEDULE, now=now
        )
        return at, reason is not DelayReason.SCHEDULE

    @property
    def quickest_answer(self) -> float:
        """What the quickest of the recent answers took; 0 before there was one."""
        return min(self._answer_times, default=0.0)

    def interval(self, *, now: float, roll: float) -> float:
        """Return how long the schedule would wait from now on; nothing is noted."""
        return self._delay(self._state(roll=roll, now=now, hint=None))

    def expired(self, *, now: float) -> Stop:
        """Say how the wait ends, now that its deadline has passed."""
        seen = (
            f"it was last seen {self._last.status}"
            if self._last
            else "it never answered"
        )
        if self.limits.max_silence is not None and self._silent_at < self._give_up_at:
            return self.silent(self.limits.max_silence, now=now)
        limit = f"max_wait_time={self.limits.max_wait_time:g} s"
        if self.limits.max_total_time is not None:
            limit = f"max_total_time={self.limits.max_total_time:g} s"
        return self._stop(
            WaitTimeout(
                f"{self._what} was not finished after {limit} and {self._polls} polls"
                f" ({seen}); wait again to go on"
            ),
            now,
        )

    def silent(self, seconds: float, *, now: float, error: str | None = None) -> Stop:
        """Say how the wait ends, now that nothing has answered for so many seconds."""
        told = error or (self._errors[-1] if self._errors else "no error either")
        return self._stop(
            NoAnswer(
                f"{self._what} has not answered for {seconds:g} s ({told}); check that"
                " the server is there, then wait again"
            ),
            now,
        )

    def receipt(self, *, now: float) -> Receipt:
        """Say what the wait has cost so far."""
        return Receipt(
            job_id=self.job_id,
            waited=now - self._started_at,
            polls=self._polls,
            failures=self._failures,
            errors=tuple(self._errors or ()),
            bytes_received=self._bytes,
            delays=tuple(self._delays or ()),
            lag=self._lag,
            lag_bounds=self._lag_bounds,
            unknown_words=self._unknown_words,
            told_by=self.told_by,
        )

    @property
    def work(self) -> float | None:
        """The amount of work, in seconds of media, where it is known."""
        if self._work is not None or self._last is None:
            return self._work
        return self._last.media_seconds

    def age(self, *, now: float) -> float | None:
        """Return how old the job is, in seconds, where that is known."""
        return None if self._submitted_at is None else now - self._submitted_at

    @property
    def running_age(self) -> float | None:
        """The age at which the job was last seen running, where its age is known."""
        if self._submitted_at is None:
            return None
        if self._running_at is None:
            return 0.0
        return max(0.0, self._running_at - self._submitted_at)

    def observation(self) -> Observation | None:
        """Say what this wait saw of the job's duration; None where its age is unknown.

        A wait that ended before the job did has seen a lower bound, and so has one for
        a job that somebody cancelled. Where the server tells the duration, it is exact.
        """
        after, until = self._seen or (self.running_age, None)
        if after is None:
            return None
        return Observation(
            after=after, until=until, key=self.key, work=self.work, job=self.job_id
        )

    def _start_from(self, seen: Sighting) -> None:
        # It was running when the answer was made: as early as when it was asked for.
        self._running_at = seen.at - seen.took
        if seen.age is not None:
            self._submitted_at = seen.at - seen.age

    @property
    def _what(self) -> str:
        return f"job {self.job_id!r}" if self.job_id else "the job"

    @property
    def _silent_at(self) -> float:
        # Only from asking on: a pause that we were told to make is not the server's.
        if self.limits.max_silence is None or self._unanswered_at is None:
            return math.inf
        return self._unanswered_at + self.limits.max_silence

    def _count_answer(self, took: float | None, *, size: int, answered: bool) -> None:
        self._answers += 1
        self._bytes += size
        if answered:
            self._unanswered_at = None
            if took is not None:
                latest = self._answer_times[1 - RECENT_ANSWERS :]
                self._answer_times = (*latest, took)

    def _may_not_be_there_yet(self, error: Refused, now: float) -> bool:
        return (
            isinstance(error, JobNotFound)
            and error.status_code == 404
            and self._submitted_at is not None
            and now - self._submitted_at <= NOT_FOUND_GRACE
        )

    def _note_end(self, answer: Answer, now: float) -> None:
        running_at = self._running_at
        if running_at is None:
            running_at = self._submitted_at
        if running_at is not None:
            self._lag_bounds = (0.0, max(0.0, now - running_at))
        self._lag = answer.ended_ago
        self._seen = self._bounds_of_the_duration(answer, now)

    def _bounds_of_the_duration(
        self, answer: Answer, now: float
    ) -> tuple[float, float | None] | None:
        """Say after and until which age the job ended, as well as can be known."""
        cancelled = answer.job.status is JobStatus.CANCELLED
        until = None if self._submitted_at is None else now - self._submitted_at
        told = told_duration(answer, until if answer.age is None else answer.age)
        if told is not None and (until is None or told <= until):
            # A job that was cancelled would have lasted longer.
            return told, None if cancelled else told
        after = self.running_age
        if after is None or until is None or self._running_at is None:
            # It may have been over for days when this wait began.
            return None
        # It lasted at least as long as it was worked on; the rest was waiting.
        until = max(after, until)
        after = min(max(after, answer.run_time or 0.0), until)
        return after, None if cancelled else until

    def _pause(
        self,
        *,
        roll: float,
        now: float,
        since: float,
        hint: float | None,
        has_credit: bool | None = None,
    ) -> Instruction:
        """Say when to ask next, `since` the instant from which a delay counts."""
        attempts = self.limits.max_attempts
        if attempts is not None and self._polls >= attempts:
            return self._out_of_attempts(now)
        state = self._state(roll=roll, now=since, hint=hint)
        delay = unhurried = self._delay(state)
        if state.failures and has_credit is not None:
            unhurried = self._delay(replace(state, failures=0))
            delay = delay if has_credit else max(delay, unhurried)
        reason = DelayReason.SCHEDULE
        if hint is not None and min(hint, LONGEST_HINT) > delay:
            delay, reason = min(hint, LONGEST_HINT), DelayReason.HINT
        due_at = max(now, since + delay)
        due_at, reason = self._fit_before_the_deadline(due_at, reason, now=now)
        until = min(due_at, self.deadline)
        self._delays = _remember(self._delays, Delay(until - now, reason))
        # The last poll before the deadline is made in any case.
        is_hurried = delay < unhurried and reason is not DelayReason.LAST_POLL
        return Ask(due_at, reason, is_hurried)

    def _delay(self, state: PollState) -> float:
        delay = self._schedule.delay(state)
        if not 0 <= delay < math.inf:
            raise ValueError(
                f"{shorten(self._schedule)} asked for a delay of {delay!r} s: must be"
                " a finite number of at least 0"
            )
        return delay

    def _fit_before_the_deadline(
        self, due_at: float, reason: DelayReason, *, now: float
    ) -> tuple[float, DelayReason]:
        """Cut a pause so that one last poll fits, and make none that cannot.

        The margin follows the slowest of the recent answers. Where one slow answer
        has made it so wide that it began already, the latest answer has a say.
        """
        latest = self._answer_times[-1] if self._answer_times else 0.0
        slowest = max(self._answer_times, default=0.0)
        if self._polls == 0:
            # The first poll would be the last. A submission's answer says little of it.
            latest = slowest = max(latest, UNMEASURED_ANSWER)
        for took in (slowest, latest):
            last_poll_at = self._give_up_at - max(LEAST_MARGIN, 2 * took)
            if last_poll_at > now:
                cut = due_at > last_poll_at
                return (
                    (last_poll_at, DelayReason.LAST_POLL) if cut else (due_at, reason)
                )
        # A last poll that said "running" is the last; anything else may be followed by
        # what the schedule still wants in time.
        paused = self._delays[-1].reason if self._delays else None
        said_running = self._answered and paused is DelayReason.LAST_POLL
        if due_at <= self._give_up_at - LEAST_MARGIN and not said_running:
            return due_at, reason
        return math.inf, DelayReason.DEADLINE

    def _state(self, *, roll: float, now: float, hint: float | None) -> PollState:
        began = self._started_at
        if self._submitted_at is not None:
            began = min(self._submitted_at, began)
        return PollState(
            age=max(0.0, now - began),
            start_age=self._started_at - began,
            answers=self._answers,
            failures=self._failures_in_a_row,
            hint=hint,
            work=self.work,
            key=self.key,
            roll=roll,
            phase=self._phase,
        )

    def _out_of_attempts(self, now: float) -> Stop:
        return self._stop(
            WaitTimeout(
                f"{self._what} was not finished after max_attempts={self._polls} polls"
                f" in {now - self._started_at:g} s; wait again to go on"
            ),
            now,
        )

    def _conclude(self, job: Job, now: float) -> Deliver | Stop:
        if job.status is JobStatus.COMPLETED:
            receipt = self.receipt(now=now)
            self.verdict = Deliver(job._with(job.seen, receipt))  # noqa: SLF001 - likewise
            return self.verdict
        return self._stop(ending_of(job, self._what), now)

    def _stop(self, error: VtrioError, now: float) -> Stop:
        error.job_id = self.job_id or None
        error.job = self._last
        error.receipt = self.receipt(now=now)
        self.verdict = Stop(error)
        return self.verdict


def _remember(what: list[_T] | None, latest: _T) -> list[_T]:
    """Keep what is new, and of the old as much as may be remembered."""
    if what is None:
        return [latest]
    what.append(latest)
    if len(what) > MOST_REMEMBERED:
        del what[0]
    return what
