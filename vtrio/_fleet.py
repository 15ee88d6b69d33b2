"""Many waits at once, as data: their sessions on one heap, and what has come of them.

Nothing here waits, or asks. Whoever drives it (`_watch`) takes out what is due, tells
what was answered, and hands on the news.

A job that is *told of* (a feed follows it, or a held request) need not be asked about when
its schedule says so: a slow sweep is enough, which finds what was not told. Who is told is
known by the *epoch*: the stretch of a feed without a gap. A job belongs to it once it was
looked at after its beginning.
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import trio

from ._deadlines import Deadlines
from ._entry import Entry, Lesson
from ._errors import RemoteError, VtrioError
from ._job import Job, JobStatus
from ._lines import Lines
from ._outcomes import JobUpdate, Outcome
from ._phases import Phases
from ._poller import warn_of_unknown_words
from ._receipt import DelayReason
from ._session import LONGEST_HINT, Ask, Deliver, Instruction, Session, Stop
from ._source import Answer, Change
from ._stalls import JobPhase, PhaseTimes, Stall
from ._watching import wait_began, wait_ended

# Seconds after which a job that is told of is looked at all the same.
SWEEP = 60.0
# A request for many takes along who would be due within this part of their delay.
EARLY = 0.25
# Each delay is shifted at random within this part of it: jobs that were submitted together
# would be asked about together. A schedule that learns does so by itself, as well.
SPREAD = 0.25
# Seconds after which a job that is known to have ended is asked about again, if a poll
# has failed.
_AGAIN = 1.0
# Changes of jobs that nobody waits for yet are remembered, for those who come later.
_MOST_STRANGERS = 5000

_EXACT = frozenset({DelayReason.LAST_POLL, DelayReason.DEADLINE})


class Fleet:
    """The waits, by what is due when; `news` is what nobody has been told yet.

    Args:
        open_session: makes the session of a job.
        open_lesson: makes what learns from it.
        lines: where what one wait hears is told to others for the same job.
        place: what the jobs' ids belong to.
        times: how long jobs take in the queue and at work.
        budgets: what the caller allows for each; what is learned counts otherwise.
        rng: draws what is random.
        learns: whether the schedule learns from the ends that are seen.
        spread: the part of each delay within which it is shifted at random.
        tells_changes: whether news are changes too, not outcomes alone.
        tells_stalls: whether news are stalls too; they are counted in any case.
    """

    def __init__(
        self,
        *,
        open_session: Callable[[Job | str], Session],
        open_lesson: Callable[[Session], Lesson],
        lines: Lines,
        place: Hashable,
        times: PhaseTimes,
        budgets: Mapping[JobPhase, float],
        rng: random.Random,
        learns: bool = False,
        spread: float,
        tells_changes: bool,
        tells_stalls: bool = True,
    ) -> None:
        self._open_session = open_session
        self._open_lesson = open_lesson
        self._lines = lines
        self._place = place
        self._times = times
        # What drives the fleet is told when another wait was answered for a job of it:
        # where a feed goes on after that, and says whether it covers the job; and that
        # there may be news.
        self.on_cursor: Callable[[str | None, float, float], bool] = _ignore
        self.on_news: Callable[[], object] = int
        """Called when another wait has brought something new."""
        self._rng = rng
        self.learns = learns
        self._spread = spread
        self._tells_changes = tells_changes
        self._tells_stalls = tells_stalls
        self.entries: dict[str, Entry] = {}
        self.news: deque[JobUpdate] = deque()
        self.epoch = 0
        self.is_told = False
        """Whether changes of the jobs of this epoch are being told."""
        self._heap: list[tuple[float, int, Entry]] = []
        self.deadlines = Deadlines()
        self._urgent: deque[Entry] = deque()
        self._alone: deque[Entry] = deque()
        self._numbers = 0
        self._phases: Phases[Entry] = Phases(times, budgets)
        # What the feed told of others; and since when what it told is known.
        self._strangers: OrderedDict[str, Change] = OrderedDict()
        self._known_since = float("inf")
        self.completed_jobs = 0
        self.failed_jobs = 0
        self.stalled_jobs = 0

    # --- jobs come and go --------------------------------------------------------

    def add(self, job: Job | str) -> bool:
        """Wait for one more job; tell whether it is a new one."""
        job_id = job if isinstance(job, str) else job.id
        if job_id in self.entries:
            return False
        now = trio.current_time()
        session = self._open_session(job)
        entry = Entry(self, session, self._open_lesson(session))
        entry.line = self._lines.follow((self._place, job_id), entry)
        self.entries[job_id] = entry
        wait_began(session)
        if session.deadline < float("inf"):
            self.deadlines.add(entry)
        last = session.last
        if last is not None:
            entry.word = last.word
            if last.seen is not None:
                entry.looked_at = last.seen.at - last.seen.took
                if entry.looked_at >= self._known_since:
                    entry.epoch = self.epoch
            if not last.is_final:
                age = session.age(now=now) or 0.0
                self._enter_phase(
                    entry, now - age if last.status is JobStatus.PENDING else now
                )
        if self._needs_plan(entry) or last is None or last.is_final:
            roll = self._rng.random()
            self._obey(entry, session.begin(now=now, roll=roll), now)
        else:
            session.park()
            self._park(entry, now)
        missed = self._strangers.pop(job_id, None)
        if missed is not None and job_id in self.entries:
            self.changed(missed, is_old=True)
        return True

    def expire(self, now: float) -> float:
        """End the waits whose deadlines have come, and return the next deadline."""
        while (entry := self.deadlines.pop_due(now)) is not None:
            self._finish(entry, entry.session.expired(now=now))
        return self.deadlines.next_at()

    def end_all(self, *, silence: float, error: str | None, now: float) -> None:
        """End all waits, because nobody has answered anything for so many seconds."""
        for entry in list(self.entries.values()):
            verdict = entry.session.silent(silence, error=error, now=now)
            self._finish(entry, verdict)

    def abandon(self) -> None:
        """Take in that nobody waits any more."""
        for entry in self.entries.values():
            entry.number = 0
            entry.lesson.over()
            entry.line.leave(entry)
            wait_ended(entry.session)
            entry.is_over = True

    def _finish(self, entry: Entry, verdict: Deliver | Stop) -> None:
        session = entry.session
        del self.entries[session.job_id]
        entry.number = 0
        entry.is_over = True
        if session.deadline < float("inf"):
            self.deadlines.leave(session.deadline)
        self._phases.leave(entry)
        entry.line.leave(entry)
        entry.lesson.over()
        wait_ended(session)
        # The heap may hold it for a while, and what it has seen need not be held too.
        del entry.session, entry.lesson, entry.line
        error: VtrioError | None = None
        match verdict:
            case Deliver(job):
                last: Job | None = job
                receipt = job.receipt
                self.completed_jobs += 1
            case Stop(error):
                last = error.job
                receipt = error.receipt
                self.failed_jobs += 1
        if last is not None and last.is_final:
            self._times.note(last)
        assert receipt is not None  # noqa: S101 - every verdict has one
        outcome = Outcome(
            job_id=session.job_id, job=last, receipt=receipt, exception=error
        )
        self.news.append(JobUpdate(job_id=session.job_id, job=last, outcome=outcome))

    # --- what is due ---------------------------------------------------------------

    def next_due(self) -> float:
        """Return the instant at which something is due; now or before for at once."""
        if self._urgent or self._alone:
            return -1.0
        heap = self._heap
        while heap and heap[0][2].number != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else float("inf")

    def take_due(self, now: float, most: int) -> list[Entry]:
        """Take out who is to be asked about now, whoever is longest overdue first.

        Those whose end was told come first, and alone: what they are asked for is there.
        With others come those who would be due soon, if more than one may be asked about
        at once. Who cannot be asked about with others comes alone.
        """
        taken: list[Entry] = []
        for waiting, some in ((self._alone, 1), (self._urgent, most)):
            while waiting and len(taken) < some:
                entry = waiting.popleft()
                if entry.is_over or entry.in_flight:
                    continue
                if entry.is_alone and some > 1:
                    self._alone.append(entry)
                else:
                    entry.in_flight = True  # because its end may have been told twice
                    taken.append(entry)
            if taken:
                break
        if not taken and not self._alone:
            self._take_from_heap(taken, now, most)
        for entry in taken:
            entry.in_flight = True
            entry.number = 0
        return taken

    def _take_from_heap(self, taken: list[Entry], now: float, most: int) -> None:
        heap = self._heap
        while heap and len(taken) < most:
            due_at, number, entry = heap[0]
            if entry.number != number:
                heapq.heappop(heap)
                continue
            if due_at > now and not (taken and most > 1 and entry.early_at <= now):
                break
            heapq.heappop(heap)
            entry.number = 0
            if self._may_be_put_off(entry, now):
                self._push_in_time(entry, entry.looked_at + SWEEP, now)
            elif entry.line.is_asked and not entry.in_flight:
                self._push(entry, now + _AGAIN, now)  # another wait asks just now
            elif entry.in_flight:
                pass  # its answer will say when to ask again
            elif entry.is_alone and most > 1:
                self._alone.append(entry)
            else:
                taken.append(entry)

    def still_to_ask(self, entries: Sequence[Entry], now: float) -> list[Entry]:
        """Return those whom nobody else asks about just now; the others have time."""
        left = []
        for entry in entries:
            if entry.is_over:
                continue
            if entry.line.is_asked:
                entry.in_flight = False
                self._push(entry, now + _AGAIN, now)
            else:
                left.append(entry)
        return left

    def put_back(self, entry: Entry, now: float, *, after: float = 0.0) -> None:
        """Have a job asked about again: what was asked brought nothing about it."""
        entry.in_flight = False
        if not entry.is_over:
            self._push(entry, now + after, now)

    def put_all_back(
        self, entries: Sequence[Entry], error: RemoteError, now: float
    ) -> None:
        """Do the same for the jobs of a list that failed."""
        for entry in entries:
            if not entry.is_over:
                entry.session.missed(error)
            self.put_back(entry, now, after=min(error.hint or 0.0, LONGEST_HINT))

    def is_told_of(self, entry: Entry) -> bool:
        """Tell whether a job's changes are being told."""
        return self.is_told and entry.epoch == self.epoch

    def shortest_interval(self, now: float) -> float:
        """Return how long the schedule would wait, of the oldest job and the newest."""
        ends = (iter(self.entries.values()), reversed(self.entries.values()))
        some = [next(end).session for end in ends if self.entries]
        return min(
            (session.interval(now=now, roll=0.5) for session in some),
            default=float("inf"),
        )

    def spread(self, now: float, *, spent: float) -> Iterator[None]:
        """Have those asked about again who were put off or had to wait, one at a time.

        Each at a random instant of its schedule's interval, `spent` seconds of which are
        over: together they would be a herd, and none is later than the schedule allows.
        """
        for entry in list(self.entries.values()):
            yield
            if entry.is_over or entry.in_flight:
                continue
            # Of who was put off up to its deadline the schedule wanted to know sooner.
            if entry.is_exact and entry.planned_at >= entry.due_at:
                continue
            at = entry.planned_at
            if at <= now:
                roll = self._rng.random()
                interval = entry.session.interval(now=now, roll=0.5)
                at = now + roll * max(0.0, interval - spent)
            self._push_in_time(entry, at, now)

    def plan_anew(self, now: float) -> Iterator[None]:
        """Have those asked about sooner of whom the schedule has learned better.

        Jobs that began together were all planned while nothing was known.
        """
        for entry in list(self.entries.values()):
            yield
            if entry.is_over or entry.in_flight or entry.is_exact:
                continue
            if self.is_told_of(entry) or entry.looked_at < 0:
                continue
            session, roll = entry.session, self._rng.random()
            at = entry.looked_at + session.interval(now=entry.looked_at, roll=roll)
            if at <= now:
                at = now + roll * session.interval(now=now, roll=0.5)
            if at < entry.due_at:
                self._push(entry, at, now)

    def _may_be_put_off(self, entry: Entry, now: float) -> bool:
        return (
            self.is_told_of(entry)
            and not entry.is_exact
            and entry.looked_at + SWEEP > now
        )

    def _needs_plan(self, entry: Entry) -> bool:
        """Tell whether a job has to be asked about at an instant of its own."""
        return not self.is_told_of(entry) or entry.session.deadline < float("inf")

    def _park(self, entry: Entry, now: float) -> None:
        """Leave a job to what is told, and to the sweep."""
        entry.planned_at = -float("inf")
        entry.is_exact = False
        self._push(entry, now + SWEEP * (0.5 + self._rng.random()), now)

    def _push_in_time(self, entry: Entry, due_at: float, now: float) -> None:
        """Have a job asked about at an instant, or before its deadline if that is sooner.

        Who is told of it may not have been told of its end.
        """
        if entry.session.deadline < float("inf"):
            due_at, entry.is_exact = entry.session.before_deadline(due_at, now=now)
        if entry.is_exact:
            due_at = self.deadlines.in_turn(entry, due_at, now)
        self._push(entry, due_at, now)

    def _push(self, entry: Entry, due_at: float, now: float) -> None:
        self._numbers += 1
        entry.number = self._numbers
        entry.due_at = entry.early_at = due_at
        if not entry.is_exact:
            entry.early_at -= EARLY * max(0.0, due_at - now)
        heapq.heappush(self._heap, (due_at, self._numbers, entry))
        if len(self._heap) > 2 * len(self.entries) + 1000:
            self._heap = [place for place in self._heap if place[2].number == place[1]]
            heapq.heapify(self._heap)

    def _obey(self, entry: Entry, instruction: Instruction, now: float) -> None:
        if not isinstance(instruction, Ask):
            self._finish(entry, instruction)
            return
        if instruction.at == float("inf") and entry.session.deadline == instruction.at:
            self._park(entry, now)
            return
        at = entry.planned_at = instruction.at
        entry.is_exact = instruction.reason in _EXACT
        if not entry.is_exact:
            if instruction.reason is DelayReason.SCHEDULE and at > now:
                at += self._spread * (self._rng.random() - 0.5) * (at - now)
            if self.is_told_of(entry):
                at = max(at, now + SWEEP)
            elif entry.is_ended:
                at = min(at, now + _AGAIN)
            self._push_in_time(entry, at, now)
            return
        if instruction.reason is DelayReason.LAST_POLL:
            at = self.deadlines.in_turn(entry, at, now)
        self._push(entry, at, now)

    # --- what is heard ----------------------------------------------------------------

    def answered(
        self,
        entry: Entry,
        answer: Answer,
        *,
        asked_at: float,
        now: float,
        told_by: str,
        covers: bool,
    ) -> None:
        """Take in an answer about a job.

        Args:
            entry: the wait for it.
            answer: what was answered.
            asked_at: when it was asked.
            now: when it came.
            told_by: how the end was learned of, if this tells of it.
            covers: whether what happens to the job from here on will be told.
        """
        is_held = told_by == "held"
        if not is_held:  # beside that one, a poll may be under way
            entry.in_flight = False
        if entry.is_over:
            return
        session, before = entry.session, entry.session.last
        # What was asked before something was told may know less.
        is_stale = asked_at < entry.told_at and not answer.job.is_final
        entry.looked_at = max(entry.looked_at, asked_at)
        if is_held:
            entry.told_at = now
        if entry.is_ended:
            told_by = "feed"
            if is_stale:
                self._urgent.append(entry)
            else:
                # If this answer does not say so, it knows less than the feed, which will
                # not tell it again.
                entry.is_ended = False
        elif covers:
            entry.epoch = self.epoch
        session.told_by = told_by
        known = len(session.unknown_words)
        plans = self._needs_plan(entry)
        instruction = session.answered(
            answer,
            asked_at=asked_at,
            now=now,
            roll=self._rng.random(),
            plans=plans,
            held=is_held,
        )
        warn_of_unknown_words(session, known)
        job = session.last
        if job is not None and not job.is_final:
            entry.lesson.hear(job)
            if is_stale and before is not None:
                session.told(before)
            else:
                self._note(entry, job)
        self._obey(entry, instruction, now)

    def overheard(
        self, entry: Entry, answer: Answer, asked_at: float, now: float
    ) -> None:
        """Take in what another wait for a job was answered."""
        if entry.is_over or (entry.in_flight and not answer.job.is_final):
            return  # what it is answered itself is newer
        covers = self.on_cursor(answer.cursor, asked_at, now)
        self.answered(
            entry, answer, asked_at=asked_at, now=now, told_by="single", covers=covers
        )
        self.on_news()

    def failed(self, entry: Entry, instruction: Instruction, now: float) -> None:
        """Take in what a session says to a poll that failed."""
        entry.in_flight = False
        if not entry.is_over:
            self._obey(entry, instruction, now)

    def changed(self, change: Change, *, is_old: bool = False) -> bool:
        """Take in a change that the feed tells; say whether it is about a job of ours.

        An end is looked at, if the feed does not tell what came of the job. Of a
        stretch that the feed has to catch up with (`is_old`), jobs may have been looked
        at meanwhile: ends are news all the same, and steps out of the queue.
        """
        entry = self.entries.get(change.job_id)
        if entry is None:
            self._remember_stranger(change)
            return False
        session = entry.session
        if change.job is not None and change.job.is_final:
            now = trio.current_time()
            entry.is_ended = True
            self.answered(
                entry,
                Answer(job=change.job),
                asked_at=now,
                now=now,
                told_by="feed",
                covers=False,
            )
        elif change.status.is_final:
            entry.told_at = trio.current_time()
            # From now on nothing is told of it, so it is asked about until it says so.
            entry.epoch = -1
            entry.is_ended = True
            self._urgent.append(entry)
        elif not is_old or entry.word in {None, JobStatus.PENDING}:
            entry.told_at = trio.current_time()
            last = session.last
            known = (
                Job(id=change.job_id, status=change.status) if last is None else last
            )
            job = replace(
                known,
                status=change.status,
                unknown_word=change.unknown_word,
                progress=change.progress,
            )
            session.told(job)
            self._note(entry, job)
        return True

    def begin_epoch(self, since: float) -> None:
        """Take in that the feed tells what happens from an instant on, and no more."""
        self.epoch += 1
        self._strangers.clear()
        self._known_since = since

    def _remember_stranger(self, change: Change) -> None:
        # The job itself would be four times as much to remember.
        if change.job is not None:
            change = replace(change, job=None)
        self._strangers[change.job_id] = change
        self._strangers.move_to_end(change.job_id)
        if len(self._strangers) > _MOST_STRANGERS:
            self._strangers.popitem(last=False)
            self._known_since = trio.current_time()

    def _note(self, entry: Entry, job: Job) -> None:
        """Take in where a job stands that has not ended."""
        if job.word == entry.word:
            return
        is_first, entry.word = entry.word is None, job.word
        since = trio.current_time()
        if is_first and job.status is JobStatus.PENDING:
            since -= entry.session.age(now=since) or 0.0
        self._enter_phase(entry, since)
        if self._tells_changes:
            self.news.append(JobUpdate(job_id=entry.session.job_id, job=job))

    # --- stalls ---------------------------------------------------------------------

    def report_stalls(self, now: float) -> float:
        """Report who has stalled, and return the instant of the next look."""
        for entry, phase, budget in self._phases.overdue(now):
            self._report(entry, phase, now - entry.since, budget)
        return self._phases.look_at()

    def _report(
        self, entry: Entry, phase: JobPhase, seconds: float, budget: float
    ) -> None:
        session = entry.session
        self.stalled_jobs += 1
        if not self._tells_stalls:
            return
        stall = Stall(
            job_id=session.job_id,
            job=session.last,
            phase=phase,
            seconds=seconds,
            budget=budget,
        )
        self.news.append(
            JobUpdate(job_id=session.job_id, job=session.last, stall=stall)
        )

    def _enter_phase(self, entry: Entry, since: float) -> None:
        phase = JobPhase.QUEUE if entry.word == JobStatus.PENDING else JobPhase.RUN
        self._phases.enter(entry, phase, since)


def _ignore(cursor: str | None, asked_at: float, now: float) -> bool:
    return False
