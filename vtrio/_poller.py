"""The loop of one wait: ask, observe, sleep until.

It has no policy: what to do next is the session's word, and all that this module
adds is time, cancellation and the telling.
"""

from __future__ import annotations

import inspect
import logging
import random
from collections.abc import Callable
from typing import assert_never

import trio

from ._errors import RemoteError, RequestTimedOut
from ._job import Job
from ._session import Ask, Deliver, Instruction, Session, Stop
from ._source import Answer, StatusSource

_log = logging.getLogger("vtrio.poller")

Callback = Callable[[Job], object]


async def poll(
    source: StatusSource,
    session: Session,
    *,
    rng: random.Random,
    on_answer: Callback | None = None,
) -> Job:
    """Wait as the session says, and return the completed job.

    `on_answer` is called for every good answer and awaited if it can be; what it
    raises ends the wait. The deadline of the session is a cancel scope around
    connecting, the request in flight, the callback and the sleep. Opens no nursery;
    if cancelled, nothing is left behind.

    Raises:
        VtrioError: as the session decides; carries the last job and the receipt.
    """
    with trio.CancelScope(deadline=session.deadline) as patience:
        instruction = session.begin(now=trio.current_time(), roll=rng.random())
        patience.deadline = session.deadline
        while isinstance(instruction, Ask):
            if instruction.at > trio.current_time():
                await trio.sleep_until(instruction.at)
            job, instruction = await _ask(source, session, rng)
            patience.deadline = session.deadline
            if job is not None and on_answer is not None:
                outcome = on_answer(job)
                if inspect.isawaitable(outcome):
                    await outcome
    # Only our own deadline ends in `cancelled_caught`, never the caller's scope. A
    # verdict that came before it stands: a final answer is not thrown away because
    # the callback that was told of it ran out of time.
    verdict = session.verdict
    if verdict is None:
        verdict = session.expired(now=trio.current_time())
    match verdict:
        case Deliver(job):
            return job
        case Stop(error):
            raise error
        case never:
            assert_never(never)


async def _ask(
    source: StatusSource, session: Session, rng: random.Random
) -> tuple[Job | None, Instruction]:
    """Ask once, within the time that one request may take."""
    asked_at = trio.current_time()
    limit = session.limits.request_timeout
    outcome: Answer | RemoteError | None = None
    with trio.CancelScope(deadline=asked_at + limit):
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
    for word in session.unknown_words[known:]:
        _log.warning(
            'unknown_status: job %r is %r, which is taken for "still running"',
            session.job_id,
            word,
        )
    return session.last, instruction
