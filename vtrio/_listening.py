"""The rungs on which one is told: a feed of changes, and a held request about all jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._bell import Bell
from ._entry import Entry
from ._errors import (
    BadAnswer,
    CursorExpired,
    RemoteError,
    RequestTimedOut,
    Unauthorized,
    Unreachable,
)
from ._ladder import FIRST_HOLD, GRACE, Rung, is_absent
from ._source import Answers, Changes
from ._streams import Streams

if TYPE_CHECKING:
    from ._watch import Watch

# Changes that come one after another are gathered for so long before the next question;
# the more there are, the longer, so that requests do not grow with the number of jobs.
_GATHER = 0.03
_GATHER_EACH = 0.001
_LONGEST_GATHER = 0.1
# A server that says that it holds and does not must not be asked in a circle.
_MOST_IDLE = 3
# Seconds for which the schedule's interval is taken to be the same.
_JUDGED_FOR = 5.0
# A stream that has begun shows so at once. Beats farther apart than this are not worth
# another request, nor is one that is to be a little quicker.
_FIRST_PIECE = GRACE
_LONGEST_BEAT = 15.0
_SLACK = 0.8
# A page that is as long as this is probably followed by another one.
_LONG_PAGE = 500


class Listener:
    """Takes in what the server tells by itself, as long as it does.

    Attributes:
        cursor: where the feed goes on.
        bell: rings when there may be something to listen to.
    """

    def __init__(self, watch: Watch, cursor: str | None) -> None:
        self._watch = watch
        self.cursor = cursor
        self.bell = Bell()
        # From when on a look at a job is newer than the cursor.
        self._covers_from = 0.0 if cursor is not None else float("inf")
        self._catching_up = cursor is not None
        # Without a cursor it waits for the first answer, which has one nearly always.
        self._needs_cursor = True
        self._idle = 0
        self._broke_off = False
        self._streams = Streams()
        self._heard_at = trio.current_time()
        # What the schedule underneath would wait, and when that was asked.
        self._interval = 0.0
        self._judged_at = -float("inf")

    async def listen(self) -> None:
        """Listen on the best rung that works, for as long as nobody cancels it."""
        while True:
            rung, look_at = self._choose(trio.current_time())
            if rung is not Rung.HELD and self._watch.ladder.is_proven(Rung.HELD):
                # There may be more jobs now than a list can hold.
                self._watch.ladder.left(Rung.HELD)
                if rung is None:
                    await self._step_down()
            if rung is None:
                await self.bell.heard(look_at)
                continue
            told = await self._hear(rung)
            if told:
                gather = min(_GATHER + told * _GATHER_EACH, _LONGEST_GATHER)
                await self._pause(trio.current_time() + gather)

    def note_cursor(self, cursor: str | None, asked_at: float, now: float) -> bool:
        """Take in where an answer says that the feed goes on.

        Returns whether what happens to its jobs from here on will be told.
        """
        if self.cursor is None:
            self._needs_cursor = cursor is not None
            self.bell.ring()
        if self.cursor is None and cursor is not None:
            self._begin(cursor, now)
            return True
        return self.cursor is not None and asked_at >= self._covers_from

    def _begin(self, cursor: str, now: float) -> None:
        self.cursor = cursor
        self._covers_from = now
        self._watch.fleet.begin_epoch(now)
        self.trust(trio.current_time())

    def take_up(self, cursor: str, since: float) -> None:
        """Begin where a job was seen that is added, if it is not known where else."""
        if self.cursor is None:
            self._begin(cursor, since)
            self._catching_up = True

    def trust(self, now: float) -> None:
        """Rely on the feed before it has told anything: it soon will, or be left."""
        if self._watch.ladder.may_use(Rung.FEED, now):
            self._watch.fleet.is_told = True

    def _choose(self, now: float) -> tuple[Rung | None, float]:
        """Return the rung to listen on; or None, and when to look again."""
        watch, ladder = self._watch, self._watch.ladder
        look_at = float("inf")
        if watch.is_out or not watch.has_room or watch.is_done:
            return None, look_at  # it rings when that is over
        if Rung.FEED in ladder.rungs:
            if ladder.may_use(Rung.FEED, now):
                waits = self.cursor is None and self._needs_cursor
                return (None if waits else Rung.FEED), look_at
            look_at = ladder.rests_until(Rung.FEED)
        if Rung.HELD in ladder.rungs:
            if not ladder.may_use(Rung.HELD, now):
                look_at = min(look_at, ladder.rests_until(Rung.HELD))
            elif 0 < len(watch.fleet.entries) <= watch.most_ids:
                return Rung.HELD, look_at
        return None, look_at

    async def _hear(self, rung: Rung) -> int:
        """Ask once on a rung; return how many changes its whole answer has told."""
        watch = self._watch
        hold = self._hold(rung)
        asked_at, before = trio.current_time(), self.cursor
        entries: list[Entry] = []
        answer: Answers | Changes | None = None
        error: RemoteError | None = None
        try:
            # The feed is asked for all, whoever is overdue: nobody goes before it.
            due_at = -float("inf") if rung is Rung.FEED else asked_at
            async with watch.governor.turn(due_at, held=True) as turn:
                asked_at = trio.current_time()
                if rung is Rung.HELD:
                    # Jobs may have come and gone while it waited for its turn.
                    entries = list(watch.fleet.entries.values())
                    if not 0 < len(entries) <= watch.most_ids:
                        turn.asks_nothing()
                        return 0
                watch.requests += 1
                if self._may_stream(rung):
                    answer = await self._follow(hold)
                else:
                    answer = await self._ask(rung, hold)
        except RemoteError as failure:
            error = failure
        if error is not None:
            await self._failed(rung, error)
            return 0
        if answer is None:
            return 0
        waited = trio.current_time() - asked_at >= hold / 2
        await watch.note_answer()
        told = await self._take_in(answer, entries, asked_at)
        # Whoever tells the same page again has told nothing.
        is_news = told > 0 and (rung is Rung.HELD or self.cursor != before)
        self._idle = 0 if is_news or waited else self._idle + 1
        if not answer.held or self._idle >= _MOST_IDLE:
            self._idle = 0
            watch.ladder.failed(rung, now=trio.current_time(), absent=True)
            await self._step_down()
            return told
        self._worked(rung, waited=waited and not told)
        return told

    def _hold(self, rung: Rung) -> float:
        """Return for how long an answer is to be held, or silent."""
        watch, ladder, now = self._watch, self._watch.ladder, trio.current_time()
        # A rung that falls silent must not cost more than the schedule underneath.
        if now >= self._judged_at + _JUDGED_FOR:
            self._judged_at = now
            self._interval = watch.fleet.shortest_interval(now)
        hold = min(ladder.hold(rung), max(FIRST_HOLD, self._interval - GRACE))
        if rung is Rung.HELD and Rung.FEED in ladder.rungs:
            rest = ladder.rests_until(Rung.FEED) - now
            hold = min(hold, max(1.0, rest))
        return hold

    def _worked(self, rung: Rung, *, waited: bool, begins: bool = False) -> None:
        self._broke_off = self._broke_off and begins
        self._heard_at = trio.current_time()
        self._watch.ladder.worked(rung, waited=waited, begins=begins)
        self._watch.fleet.is_told = True

    async def _ask(self, rung: Rung, hold: float) -> Answers | Changes:
        with trio.move_on_after(hold + GRACE):
            return await self._request(rung, hold)
        raise _silent(rung, hold)

    # --- a stream -------------------------------------------------------------------

    def _may_stream(self, rung: Rung) -> bool:
        return (
            rung is Rung.FEED
            and self.cursor is not None
            and self._watch.source.capabilities.event_stream
            and self._streams.may_use(trio.current_time())
        )

    async def _follow(self, hold: float) -> Changes | None:
        """Hear the feed as a stream, until that ends or is not wanted any more.

        Returns:
            Its whole answer instead, where it is none.
        """
        assert self.cursor is not None  # noqa: S101 - see `_may_stream`
        hold = min(hold, _LONGEST_BEAT)
        streams = self._streams
        beat, pieces, lives = None, 0, False
        began = heard_at = trio.current_time()
        with trio.CancelScope(deadline=began + hold + GRACE) as patience:
            try:
                async with self._watch.stream.follow(self.cursor, wait=hold) as stream:
                    beat = stream.heartbeat
                    if beat is None or beat > hold + GRACE:
                        # None at all, or one whose silence would be noticed too late.
                        streams.failed(trio.current_time())
                        return await stream.receive() if beat is None else None
                    patience.deadline = trio.current_time() + _FIRST_PIECE
                    while True:
                        try:
                            changes = await stream.receive()
                        except trio.EndOfChannel:
                            break
                        # What is done with it must not be cut off.
                        patience.deadline = float("inf")
                        now = trio.current_time()
                        waited = now - heard_at >= beat / 2
                        catches_up = now - began <= _FIRST_PIECE
                        pieces, heard_at = pieces + 1, now
                        lives |= await self._take_in_piece(
                            changes, waited=waited, catches_up=catches_up, lives=lives
                        )
                        if not self._goes_on(hold, beat):
                            return None
                        patience.deadline = trio.current_time() + beat + GRACE
            except RemoteError as error:
                if isinstance(error, BadAnswer) or (beat is not None and not lives):
                    streams.failed(trio.current_time())
                raise
        is_silent = patience.cancelled_caught
        if not lives:
            self._idle += 1
            if is_silent or self._idle >= _MOST_IDLE:
                # Something on the way gathers it up, or ends it again and again.
                self._idle = 0
                streams.failed(trio.current_time())
        if is_silent and (beat is None or pieces):
            raise _silent(Rung.FEED, hold)
        return None

    async def _take_in_piece(
        self, changes: Changes, *, waited: bool, catches_up: bool, lives: bool
    ) -> bool:
        """Take in what a stream has brought; tell whether it shows that it lives."""
        before = self.cursor
        await self._watch.note_answer()
        was_catching_up = self._catching_up
        told = await self._take_in(changes, [], trio.current_time())
        # What a piece is, the network decides: a short one is no end of what is old.
        self._catching_up = was_catching_up and catches_up
        # Whoever tells the same again has told nothing.
        lives_now = waited or (told > 0 and self.cursor != before)
        if lives_now:
            self._idle = 0
            self._streams.lived()
        self._worked(
            Rung.FEED, waited=waited and not told, begins=not (lives or lives_now)
        )
        return lives_now

    def _goes_on(self, hold: float, beat: float) -> bool:
        """Tell whether a stream is still what is wanted."""
        rung, _ = self._choose(trio.current_time())
        if rung is not Rung.FEED:
            return False
        wanted = min(self._hold(rung), _LONGEST_BEAT)
        return _SLACK * min(hold, beat) <= wanted < 2 * hold

    async def _request(self, rung: Rung, hold: float) -> Answers | Changes:
        watch = self._watch
        if rung is Rung.HELD:
            ids = list(watch.fleet.entries)
            return await watch.many.status_of_many(ids, wait=hold)
        return await watch.feed.changes(self.cursor, wait=hold)

    async def _take_in(
        self, answer: Answers | Changes, entries: list[Entry], asked_at: float
    ) -> int:
        watch, fleet = self._watch, self._watch.fleet
        if isinstance(answer, Answers):
            entries = [entry for entry in entries if not entry.is_over]
            words = {entry.session.job_id: entry.word for entry in entries}
            for entry in entries:
                entry.session.asking(now=asked_at)
            await watch.take_in(entries, answer, Rung.HELD, asked_at)
            return sum(
                told.job.word != words.get(told.job.id) for told in answer.answers
            )
        for change in answer.changes:
            fleet.changed(change, is_old=self._catching_up)
        if self.cursor is None:
            # What was told is from any time: only from here on it is without a gap.
            self._begin(answer.next, trio.current_time())
        self.cursor = answer.next
        if len(answer.changes) < _LONG_PAGE:
            self._catching_up = False
        if answer.changes:
            watch.told()
        return len(answer.changes)

    async def _failed(self, rung: Rung, error: RemoteError) -> None:
        watch, now = self._watch, trio.current_time()
        is_expired = isinstance(error, CursorExpired)
        if isinstance(error, Unreachable) and not self._broke_off:
            # A connection that was idle for long may have been cut: nothing is lost.
            self._broke_off = True
            self._catching_up = True
            return
        # A key that may ask about jobs may be one that may not listen.
        absent = not is_expired and (
            is_absent(error) or isinstance(error, Unauthorized)
        )
        if is_expired:
            self.cursor = None
            self._needs_cursor = True
            self._covers_from = float("inf")
        watch.ladder.failed(rung, now=now, absent=absent)
        await self._step_down()

    async def _step_down(self) -> None:
        """Have those asked about who were told of."""
        self._catching_up = True
        self._watch.fleet.is_told = False
        spent = trio.current_time() - self._heard_at
        await self._watch.spread(spent=spent)

    async def _pause(self, until: float) -> None:
        with trio.move_on_at(until):
            await trio.sleep_forever()


def _silent(rung: Rung, hold: float) -> RequestTimedOut:
    return RequestTimedOut(
        f"the {rung} was silent for longer than the {hold:g} s for which it was asked to"
        " hold"
    )
