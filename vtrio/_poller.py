"""The loop of one wait: ask, observe, sleep until.

It has no policy: what to do next is the session's word, and all that this module
adds is time, cancellation and the telling.
"""

from __future__ import annotations

import logging
import random

import trio

from ._callbacks import OnJob, tell
from ._errors import RemoteError, RequestTimedOut
from ._job import Job
from ._session import Ask, Deliver, Instruction, Session, Stop
from ._source import Answer, StatusSource
from ._watching import a_poll

_log = logging.getLogger("vtrio.poller")


async def poll(
    source: StatusSource,
    session: Session,
    *,
    rng: random.Random,
    on_job: OnJob | None = None,
) -> Deliver | Stop:
    """Wait as the session says, and return its verdict.

    `on_job` is called with the job of every good answer and awaited if it can be; what
    it raises ends the wait. The deadline of the session is a cancel scope around
    connecting, the request in flight, the callback and the sleep. Opens no nursery;
    if cancelled, nothing is left behind.
    """
    with trio.CancelScope(deadline=session.deadline) as patience:
        instruction = session.begin(now=trio.current_time(), roll=rng.random())
        while isinstance(instruction, Ask):
            if instruction.at > trio.current_time():
                await trio.sleep_until(instruction.at)
            else:
                # Because the source may not wait at all, and others must have a turn.
                await trio.lowlevel.checkpoint()
            session.asking(now=trio.current_time())
            patience.deadline = session.deadline
            job, instruction = await _ask(source, session, rng)
            patience.deadline = session.deadline
            if job is not None and on_job is not None:
                await tell(on_job, job)
    # Only our own deadline ends here without a verdict; the caller's scope ends further
    # out. A verdict that came before the deadline stands: a final answer is not thrown
    # away because the callback that was told of it ran out of time.
    if session.verdict is None:
        return session.expired(now=trio.current_time())
    return session.verdict


async def _ask(
    source: StatusSource, session: Session, rng: random.Random
) -> tuple[Job | None, Instruction]:
    """Ask once, within the time that one request may take."""
    asked_at = trio.current_time()
    limit = session.limits.request_timeout
    outcome: Answer | RemoteError | None = None
    with a_poll(session, source), trio.CancelScope(deadline=asked_at + limit):
        try:
            outcome = await source.status(session.job_id)
        except RemoteError as error:
            outcome = error
    if outcome is None:
        outcome = RequestTimedOut(f"no answer within request_timeout={limit:g} s")
    now, roll = trio.current_time(), rng.random()
    if isinstance(outcome, RemoteError):
        return None, session.failed(outcome, asked_at=asked_at, now=now, roll=roll)
    known = len(session.unknown_words)
    instruction = session.answered(outcome, asked_at=asked_at, now=now, roll=roll)
    warn_of_unknown_words(session, known)
    return session.last, instruction


def warn_of_unknown_words(session: Session, known: int) -> None:
    """Report the status words beyond those that were known, once a wait."""
    for word in session.unknown_words[known:]:
        _log.warning(
            'unknown-status job=%r status=%r: taken for "still running"',
            session.job_id,
            word,
        )
