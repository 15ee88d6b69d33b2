"""The loop of one wait: ask, observe, sleep until.

It has no policy: what to do next is the session's word, when a request may go is the
governor's, and all that this module adds is time, cancellation and the telling.
"""

from __future__ import annotations

import logging
import random

import trio

from ._callbacks import OnJob, tell
from ._errors import RemoteError, RequestTimedOut
from ._governor import Governor
from ._hearing import Ear, Heard
from ._job import Job
from ._lines import place_of
from ._session import Ask, Deliver, Instruction, Session, Stop
from ._source import Answer, StatusSource
from ._watching import a_poll

_log = logging.getLogger("vtrio.poller")


async def poll(
    source: StatusSource,
    session: Session,
    *,
    rng: random.Random,
    governor: Governor | None = None,
    on_job: OnJob | None = None,
) -> Deliver | Stop:
    """Wait as the session says, and return its verdict.

    `on_job` is called with the job of every good answer and awaited if it can be; what
    it raises ends the wait. The deadline of the session is a cancel scope around the
    queue of the governor, connecting, the request in flight, the callback and the
    sleep. Answers to others of the governor's waits for this job count as answers to
    this one. Opens no nursery; if cancelled, nothing is left behind.
    """
    with trio.CancelScope(deadline=session.deadline) as patience:
        wait = _Wait(source, session, rng, governor or Governor(), patience)
        await wait.run(on_job)
    # Only our own deadline ends here without a verdict; the caller's scope ends further
    # out. A verdict that came before the deadline stands: a final answer is not thrown
    # away because the callback that was told of it ran out of time.
    if session.verdict is None:
        return session.expired(now=trio.current_time())
    return session.verdict


class _Wait:
    """The parts of one wait, which last as long as `run`."""

    def __init__(
        self,
        source: StatusSource,
        session: Session,
        rng: random.Random,
        governor: Governor,
        patience: trio.CancelScope,
    ) -> None:
        self._source = source
        self._session = session
        self._rng = rng
        self._governor = governor
        self._patience = patience
        self._ear = Ear()
        self._key = (place_of(source), session.job_id)

    async def run(self, on_job: OnJob | None) -> None:
        """Go on until there is a verdict."""
        session = self._session
        now, roll = trio.current_time(), self._rng.random()
        instruction = session.begin(now=now, roll=roll)
        line = self._governor.lines.follow(self._key, self._ear)
        try:
            while isinstance(instruction, Ask):
                heard = await self._ear.listen(line, until=instruction.at)
                heard = heard or await self._ask(instruction.at)
                if heard is None:
                    continue  # somebody else was answered before its turn came
                job, instruction = self._take_in(heard)
                self._patience.deadline = session.deadline
                if job is not None and on_job is not None:
                    await tell(on_job, job)
        finally:
            line.leave(self._ear)

    async def _ask(self, due_at: float) -> Heard | None:
        """Ask once, and let the other waits for the job know what came of it."""
        lines, ear = self._governor.lines, self._ear
        own: Heard | None = None
        with lines.asking(self._key):
            with trio.CancelScope() as ear.scope:
                own = await self._ask_in_turn(due_at)
            ear.scope = None
            if own is None:
                return None
            asked_at, now = own.asked_at, own.now
            if isinstance(own.outcome, Answer):
                answer = own.outcome
                lines.tell(self._key, answer, asked_at=asked_at, now=now, by=ear)
            else:
                lines.miss(self._key, own.outcome, asked_at=asked_at, now=now)
        if ear.news is not None and ear.news.is_final:
            own = ear.news
        ear.news = None
        return own

    async def _ask_in_turn(self, due_at: float) -> Heard:
        """Ask when it is its turn, within the time that one request may take."""
        limit = self._session.limits.request_timeout
        outcome: Answer | RemoteError
        asked_at = due_at
        try:
            async with self._governor.turn(due_at, lone=self._governor.lines.are_lone):
                # News that came together with the turn makes it needless.
                await trio.lowlevel.checkpoint_if_cancelled()
                asked_at = trio.current_time()
                self._ear.is_asking = True
                self._session.asking(now=asked_at)
                self._patience.deadline = self._session.deadline
                answer: Answer | None = None
                with (
                    a_poll(self._session, self._source),
                    trio.CancelScope(deadline=asked_at + limit),
                ):
                    answer = await self._source.status(self._session.job_id)
                if answer is None:
                    raise RequestTimedOut(
                        f"no answer within request_timeout={limit:g} s"
                    )
                outcome = answer
        except RemoteError as error:
            outcome = error
        finally:
            self._ear.is_asking = False
        return Heard(outcome, asked_at, trio.current_time())

    def _take_in(self, heard: Heard) -> tuple[Job | None, Instruction]:
        """Have the session take in what came of a question."""
        session, outcome = self._session, heard.outcome
        asked_at, now, roll = heard.asked_at, heard.now, self._rng.random()
        if isinstance(outcome, RemoteError):
            return None, self._take_in_failure(outcome, asked_at, now, roll)
        known = len(session.unknown_words)
        instruction = session.answered(outcome, asked_at=asked_at, now=now, roll=roll)
        warn_of_unknown_words(session, known)
        return session.last, instruction

    def _take_in_failure(
        self, error: RemoteError, asked_at: float, now: float, roll: float
    ) -> Instruction:
        governor = self._governor
        has_credit = None if governor.lines.are_lone else governor.has_credit
        instruction = self._session.failed(
            error, asked_at=asked_at, now=now, roll=roll, has_credit=has_credit
        )
        if isinstance(instruction, Ask) and instruction.is_hurried:
            governor.pay()
        return instruction


def warn_of_unknown_words(session: Session, known: int) -> None:
    """Report the status words beyond those that were known, once a wait."""
    for word in session.unknown_words[known:]:
        _log.warning(
            'unknown-status job=%r status=%r: taken for "still running"',
            session.job_id,
            word,
        )
