"""Many waits at once, driven: one task asks when somebody is due, one listens, one tells.

A parked wait costs no task: all of them lie on one heap (`_fleet`), before which one task
sleeps. What is told of without being asked for, the listener takes in (`_listening`). What
has come of it all a third task hands over, and while nobody takes it, nobody asks for more.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import trio

from ._bell import Bell
from ._callbacks import OnJob, OnStall, tell
from ._entry import Entry
from ._errors import (
    JobNotFound,
    Refused,
    RemoteError,
    RequestTimedOut,
    TransientError,
    Unauthorized,
)
from ._fleet import Fleet
from ._governor import Governor
from ._ladder import Ladder, Rung, is_absent
from ._lines import Line
from ._listening import Listener
from ._outcomes import FleetStatistics, JobUpdate
from ._source import Answers, FeedSource, ManySource, StatusSource, StreamSource
from ._watching import polls

# Requests for many at once that may be under way: they are long, and the server's.
_BATCHES_AT_ONCE = 4
# Seconds that a list may take: one that hangs must not hold so many up for longer.
LIST_PATIENCE = 5.0
# What may lie there undelivered before nobody asks for more.
_MOST_NEWS = 1000
# After so many single polls that failed it is no rung that fails but the server.
OUTAGE = 3
_LONGEST_PROBE = 5.0
# What a list is answered with that is too long, or holds what is no id; how few it is cut
# down to before these are asked about one by one; and how often that is done before it is
# taken that there are no lists.
_TOO_LONG = frozenset({400, 413, 414, 422})
_FEWEST_IDS = 10
_MOST_REFUSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How many jobs are waited for together; seconds."""

    request_timeout: float
    max_silence: float | None = None
    on_job: OnJob | None = None
    on_stall: OnStall | None = None
    outcomes_only: bool = False
    stay_open: bool = False

    @property
    def tells_changes(self) -> bool:
        """Whether anybody wants to know of more than outcomes."""
        return not self.outcomes_only or self.on_job is not None

    @property
    def tells_stalls(self) -> bool:
        """Whether anybody wants to know of these."""
        return not self.outcomes_only or self.on_stall is not None


class Watch:
    """Waits for the jobs of a fleet until it is closed; what comes of it goes to `send`.

    Args:
        fleet: the waits.
        source: what is asked.
        governor: limits the requests.
        ladder: which ways there are to learn of a change.
        send: takes what is new; closed at the end.
        manner: see there.
        cursor: where the feed goes on, if that is known.
        rng: draws what is random.
    """

    def __init__(
        self,
        fleet: Fleet,
        source: StatusSource,
        *,
        governor: Governor,
        ladder: Ladder,
        send: trio.MemorySendChannel[JobUpdate],
        manner: Manner,
        cursor: str | None,
        rng: random.Random,
    ) -> None:
        self.fleet = fleet
        self.source = source
        self.governor = governor
        self.ladder = ladder
        self.rng = rng
        self.requests = 0
        self.failing = 0
        """How many single polls have failed since anything was answered."""
        self.listener = Listener(self, cursor)
        self._send = send
        self._manner = manner
        self.most_ids = source.capabilities.most_ids
        """How many jobs one request may name."""
        self._is_open = manner.stay_open
        self._is_closed = False
        self._asking = 0
        self._refused_lists = 0
        self._probe_at = 0.0
        # After so many ends those that were planned before are planned anew.
        self._plan_anew_at = 1
        self._unanswered_since: float | None = None
        self._latest_error: str | None = None
        # How many wait for something, to whom nothing has been handed over.
        self._wanted = 0
        self._taken: JobUpdate | None = None
        fleet.on_news = self.told
        fleet.on_cursor = self.listener.note_cursor
        self.due = Bell()
        self._news = Bell()

    # --- for the block ------------------------------------------------------------

    @property
    def is_out(self) -> bool:
        """Tell whether the server seems to be out."""
        return self.failing >= OUTAGE

    @property
    def is_done(self) -> bool:
        """Tell whether all jobs are over, and nobody has said that others follow."""
        return not self._is_open and not self.fleet.entries

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing more comes of it."""
        return self._is_closed

    def statistics(self) -> FleetStatistics:
        """Return how it stands, or stood at its end: trio may have ended since."""
        fleet = self.fleet
        now = float("inf") if self._is_closed else trio.current_time()
        return FleetStatistics(
            waiting=len(fleet.entries),
            completed=fleet.completed_jobs,
            failed=fleet.failed_jobs,
            stalled=fleet.stalled_jobs,
            requests=self.requests,
            rung=self.rung(now).value,
        )

    def rung(self, now: float) -> Rung:
        """Return what tells of the jobs at an instant."""
        for rung in self.ladder.rungs:
            if self.ladder.is_proven(rung):
                return rung
        return self._asking_rung(now)

    def finish(self) -> None:
        """Let it end when all are over: nobody will be added."""
        self._is_open = False
        self._news.ring()

    def close(self) -> None:
        """End it."""
        self._is_closed = True
        self.due.ring()
        self._news.ring()

    async def receive(
        self, channel: trio.MemoryReceiveChannel[JobUpdate]
    ) -> JobUpdate | None:
        """Take what is new; None when all are over and have been told."""
        self._wanted += 1
        try:
            if not self.fleet.entries and not self.fleet.news:
                self._news.ring()
            self._taken = await channel.receive()
        except trio.EndOfChannel:
            return None
        except BaseException:
            self._wanted -= 1
            raise
        return self._taken

    def untold(self) -> list[JobUpdate]:
        """Return what nobody has taken yet."""
        # Whoever has just taken something may have its turn before it is crossed off.
        return [update for update in self.fleet.news if update is not self._taken]

    async def run(self) -> None:
        """Wait, ask, listen and tell until it is closed."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.listener.listen, name="vtrio: listen")
                nursery.start_soon(self._tell, name="vtrio: tell")
                await self._ask_when_due(nursery)
                nursery.cancel_scope.cancel("all jobs are over")
            # Not where it fails: then the body is cancelled, and must not take what it
            # has got for all there is.
            self._send.close()
        finally:
            self._is_closed = True

    # --- asking -----------------------------------------------------------------------

    async def _ask_when_due(self, nursery: trio.Nursery) -> None:
        fleet = self.fleet
        while not self._is_closed:
            now = trio.current_time()
            look_at = min(fleet.expire(now), fleet.report_stalls(now))
            look_at = min(look_at, self._give_up_silence(now))
            look_at = min(look_at, self._send_out(nursery, now))
            if fleet.news:
                self._news.ring()
            await self.due.heard(look_at)

    def _send_out(self, nursery: trio.Nursery, now: float) -> float:
        """Have all asked about who are due, and return the instant of the next look."""
        while (due_at := self.fleet.next_due()) <= now:
            if not self.has_room:
                return float("inf")  # whoever takes something rings
            rung = self._asking_rung(now)
            self.fleet.deadlines.asks_singly = rung is Rung.SINGLE
            if self._asking >= self._most_at_once(rung):
                return float("inf")  # whoever has been answered rings
            if self.failing and now < self._probe_at:
                return self._probe_at
            most = self.most_ids if rung is Rung.BATCH else 1
            entries = self.fleet.take_due(now, most)
            if entries:
                self._asking += 1
                if entries[0].is_alone:
                    rung, most = Rung.SINGLE, 1
                about = entries[0].session.job_id if most == 1 else len(entries)
                nursery.start_soon(
                    self._ask, entries, rung, due_at, name=f"vtrio: poll {about}"
                )
        return due_at

    def _asking_rung(self, now: float) -> Rung:
        # While nothing comes through, the smallest request finds out when it does.
        may_use = not self.failing and self.ladder.may_use(Rung.BATCH, now)
        return Rung.BATCH if may_use else Rung.SINGLE

    def _most_at_once(self, rung: Rung) -> int:
        if self.failing:
            return 1
        return _BATCHES_AT_ONCE if rung is Rung.BATCH else self.governor.max_in_flight

    async def _ask(self, entries: list[Entry], rung: Rung, due_at: float) -> None:
        """Ask about jobs, and take in what comes of it."""
        asked_at = trio.current_time()
        outcome: Answers | RemoteError | None = None
        lines: list[Line] = []
        try:
            try:
                lone = self.governor.lines.are_lone
                async with self.governor.turn(due_at, lone=lone) as turn:
                    asked_at = trio.current_time()
                    # Others may have begun to ask while these waited for their turn.
                    entries = self.fleet.still_to_ask(entries, asked_at)
                    lines = [entry.line for entry in entries]
                    for line in lines:
                        line.begin_asking()
                    if entries:
                        outcome = await self._request(entries, rung, asked_at)
                    else:
                        turn.asks_nothing()
            except RemoteError as error:
                outcome = error
            if isinstance(outcome, RemoteError):
                self._missed(entries, rung, outcome, asked_at)
            elif outcome is not None:
                await self.take_in(entries, outcome, rung, asked_at)
        finally:
            # After all that was answered has been told: who waits for it asks otherwise.
            for line in lines:
                line.end_asking()
            self._asking -= 1
            self.due.ring()

    async def _request(
        self, entries: Sequence[Entry], rung: Rung, asked_at: float
    ) -> Answers:
        if self._unanswered_since is None:
            self._unanswered_since = asked_at
            if self._manner.max_silence is not None:
                self.due.ring()  # because the end of a silence may be the next instant
        sessions = [entry.session for entry in entries]
        ids = [session.job_id for session in sessions]
        for session in sessions:
            session.asking(now=asked_at)
        self.requests += 1
        limit = self._manner.request_timeout
        if rung is Rung.BATCH:
            limit = min(limit, LIST_PATIENCE)
        with polls(sessions, self.source), trio.move_on_after(limit):
            if rung is Rung.SINGLE:
                answer = await self.source.status(ids[0])
                return Answers(answers=(answer,), cursor=answer.cursor)
            return await self.many.status_of_many(ids)
        raise RequestTimedOut(f"the {rung} brought no answer within {limit:g} s")

    @cached_property
    def many(self) -> ManySource:
        """The source, of which many can be asked."""
        if isinstance(self.source, ManySource):
            return self.source
        raise TypeError(
            f"{self.source!r} declares status_of_many, and has no such method"
        )

    @cached_property
    def feed(self) -> FeedSource:
        """The source, which tells of changes."""
        if isinstance(self.source, FeedSource):
            return self.source
        raise TypeError(
            f"{self.source!r} declares change_feed, and has no method `changes`"
        )

    @cached_property
    def stream(self) -> StreamSource:
        """The source, which goes on telling of changes."""
        if isinstance(self.source, StreamSource):
            return self.source
        raise TypeError(f"{self.source!r} declares event_stream, and has no `follow`")

    async def take_in(
        self,
        entries: Sequence[Entry],
        answers: Answers,
        rung: Rung,
        asked_at: float,
    ) -> None:
        """Take in a good answer."""
        now = trio.current_time()
        if rung is Rung.BATCH:
            self._refused_lists = 0
        await self.note_answer()
        covers = self.listener.note_cursor(answers.cursor, asked_at, now)
        covers = covers or rung is Rung.HELD
        told = {answer.job.id: answer for answer in answers.answers}
        missing = set(answers.missing)
        for entry in entries:
            if entry.is_over:
                continue
            job_id = entry.session.job_id
            answer = told.get(job_id)
            if answer is not None:
                entry.line.tell(answer, asked_at=asked_at, now=now, by=entry)
                self.fleet.answered(
                    entry,
                    answer,
                    asked_at=asked_at,
                    now=now,
                    told_by=rung.value,
                    covers=covers,
                )
            elif job_id in missing:
                self._fail(entry, _unknown(job_id), asked_at, now)
            else:
                # Its document cannot be read, or its id is none for a list.
                entry.is_alone = True
                self.fleet.put_back(entry, now)
        await self._plan_anew(now)
        self.told()

    async def _plan_anew(self, now: float) -> None:
        """Have the schedule plan again when it has seen so many more ends."""
        fleet = self.fleet
        ends = fleet.completed_jobs + fleet.failed_jobs
        if not fleet.learns or ends < self._plan_anew_at:
            return
        self._plan_anew_at = 4 * ends
        for number, _ in enumerate(fleet.plan_anew(now), 1):
            if number % 500 == 0:
                await trio.lowlevel.checkpoint()

    def told(self) -> None:
        """Take in that something new may lie there, or be due."""
        if self.fleet.news:
            self._news.ring()
        self.due.ring()

    def _missed(
        self,
        entries: Sequence[Entry],
        rung: Rung,
        error: RemoteError,
        asked_at: float,
    ) -> None:
        """Take in that a request brought nothing."""
        now = trio.current_time()
        if error.status_code is not None:
            self._unanswered_since = None
        is_transient = isinstance(error, TransientError) and error.status_code != 429
        if is_transient:
            self._latest_error = str(error)
        # A key that may ask about jobs may be one that may not list them.
        no_lists = is_absent(error) or error.status_code == 403
        if rung is Rung.BATCH and (is_transient or no_lists):
            # It is no job's fault: they are asked about at once, in another way.
            self._give_up_lists(error, entries, now)
            self.fleet.put_all_back(entries, error, now)
            return
        if is_transient:
            self._note_failure(error, now)
            for entry in entries:
                if not entry.is_over:
                    entry.line.miss(error, asked_at=asked_at, now=now)
        if isinstance(error, Unauthorized) and error.status_code == 401:
            entries = list(self.fleet.entries.values())
        for entry in entries:
            if not entry.is_over:
                self._fail(entry, error, asked_at, now)
        self.told()

    def _give_up_lists(
        self, error: RemoteError, entries: Sequence[Entry], now: float
    ) -> None:
        """Find out what a list that failed was wrong in, or do without lists."""
        if error.status_code in _TOO_LONG and self._refused_lists < _MOST_REFUSED:
            if len(entries) > _FEWEST_IDS:
                self.most_ids = len(entries) // 2
                return
            # One of these few ids must be what no list may hold.
            self._refused_lists += 1
            for entry in entries:
                entry.is_alone = True
            self.most_ids = self.source.capabilities.most_ids
            return
        self._refused_lists = 0
        absent = is_absent(error) or error.status_code == 403
        self.ladder.failed(Rung.BATCH, now=now, absent=absent)

    def _fail(
        self, entry: Entry, error: RemoteError, asked_at: float, now: float
    ) -> None:
        if isinstance(error, Refused):
            # Each wait puts its own job and receipt into the error that ends it.
            cause, error = error.__cause__, copy.copy(error)
            error.__cause__ = cause
        instruction = entry.session.failed(
            error, asked_at=asked_at, now=now, roll=self.rng.random()
        )
        self.fleet.failed(entry, instruction, now)

    # --- whether the server is there ------------------------------------------------------

    async def note_answer(self) -> None:
        """Take in that the server answers."""
        self._unanswered_since = None
        was_out, was_failing, self.failing = self.is_out, self.failing > 0, 0
        if was_failing:
            # What listens has failed with the polls, and can tell all at once again.
            self.ladder.recovered()
            self.listener.bell.ring()
        if was_out:
            # Whoever was due meanwhile must not come back as a herd.
            await self.spread()

    def _note_failure(self, error: RemoteError, now: float) -> None:
        """Take in that not even a single poll came through; put the next one off."""
        self.failing += 1
        pause = min(2.0 ** min(self.failing - 2, 10), _LONGEST_PROBE)
        if self.failing > 1:
            self._probe_at = now + pause * (0.75 + self.rng.random() / 2)

    async def spread(self, *, spent: float = 0.0) -> None:
        """Have those asked about who were put off, each within its interval."""
        now = trio.current_time()
        for number, _ in enumerate(self.fleet.spread(now, spent=spent), 1):
            if number % 500 == 0:
                await trio.lowlevel.checkpoint()
        self.due.ring()

    def _give_up_silence(self, now: float) -> float:
        """End all waits if nothing has answered for too long; return when that would be."""
        if not self.fleet.entries:
            self._unanswered_since = None  # who comes later starts afresh
        limit, since = self._manner.max_silence, self._unanswered_since
        if limit is None or since is None:
            return float("inf")
        if since + limit <= now:
            self.fleet.end_all(silence=limit, error=self._latest_error, now=now)
            self._unanswered_since = None
            return float("inf")
        return since + limit

    # --- telling --------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Tell whether what is new is being taken, so that more may be asked for."""
        return len(self.fleet.news) < _MOST_NEWS

    async def _tell(self) -> None:
        """Hand over what is new, and close when all are over and somebody wants more."""
        news = self.fleet.news
        while not self._is_closed:
            while news:
                await self._hand_over(news[0])
                # Looked at afterwards: more may have come while nobody took this.
                was_full = not self.has_room
                news.popleft()
                if was_full and self.has_room:
                    self.due.ring()
                    self.listener.bell.ring()
            if self.is_done and self._wanted:
                self.close()
            else:
                await self._news.heard()

    async def _hand_over(self, update: JobUpdate) -> None:
        manner, job = self._manner, update.job
        # That a wait was given up is no news of its job.
        is_change = job is not None and (update.outcome is None or job.is_final)
        if update.stall is not None:
            if manner.on_stall is not None:
                await tell(manner.on_stall, update.stall)
        elif manner.on_job is not None and job is not None and is_change:
            await tell(manner.on_job, job)
        if update.outcome is None and manner.outcomes_only:
            return
        try:
            self._send.send_nowait(update)
        except trio.WouldBlock:
            await self._send.send(update)
        self._wanted -= 1


def _unknown(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"the server knows no job {job_id!r}; check the address, and the job's id",
        status_code=404,
        job_id=job_id,
    )
