"""Cancelling many jobs on the server, as a block ends: in few requests, and in time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from ._errors import JobNotFound, RemoteError
from ._job import JobStatus
from ._ladder import is_absent
from ._source import Answer, Answers

_log = logging.getLogger("vtrio.client")

# Seconds that it may take, whatever the server does.
CANCEL_TIME = 5.0
_IDS_AT_ONCE = 200


class CancelSource(Protocol):
    """A server that can be told to cancel jobs."""

    async def cancel(self, job_id: str) -> Answer:
        """Cancel one."""
        ...

    async def cancel_many(self, job_ids: Sequence[str]) -> Answers:
        """Cancel several in one request."""
        ...


async def cancel_all(
    lend: Callable[[], AbstractAsyncContextManager[CancelSource]],
    job_ids: Sequence[str],
    *,
    at_once: int,
    done: set[str],
) -> None:
    """Cancel jobs on the server, within 5 s, even if the caller is cancelled.

    As many in a request as one may name; a server that knows no such requests is told
    of each job, `at_once` of them at a time. Those that are cancelled, or will be, are
    added to `done`; those that turn out to have ended in another way are not.
    """
    limiter = trio.CapacityLimiter(at_once)
    with trio.move_on_after(CANCEL_TIME, shield=True) as patience:
        async with lend() as source, trio.open_nursery() as nursery:
            for at in range(0, len(job_ids), _IDS_AT_ONCE):
                some = job_ids[at : at + _IDS_AT_ONCE]
                nursery.start_soon(_cancel_some, source, some, limiter, done)
    if patience.cancelled_caught:
        left = len(set(job_ids) - done)
        _log.warning("cancel-timed-out jobs=%d seconds=%g", left, CANCEL_TIME)


async def _cancel_some(
    source: CancelSource,
    job_ids: Sequence[str],
    limiter: trio.CapacityLimiter,
    done: set[str],
) -> None:
    try:
        async with limiter:
            answers = await source.cancel_many(job_ids)
    except RemoteError as error:
        if not is_absent(error):
            _log.warning("cancel-failed jobs=%d error=%s", len(job_ids), error)
            return
    else:
        done.update(filter(None, map(_cancelled_in, answers.answers)))
        done.update(answers.missing)
        return
    async with trio.open_nursery() as nursery:
        for job_id in job_ids:
            nursery.start_soon(_cancel_one, source, job_id, limiter, done)


async def _cancel_one(
    source: CancelSource, job_id: str, limiter: trio.CapacityLimiter, done: set[str]
) -> None:
    try:
        async with limiter:
            answer = await source.cancel(job_id)
    except JobNotFound:
        done.add(job_id)
    except RemoteError as error:
        _log.warning("cancel-failed job=%r error=%s", job_id, error)
    else:
        done.update(filter(None, [_cancelled_in(answer)]))


def _cancelled_in(answer: Answer) -> str | None:
    """Return which job is cancelled, or will be; None if it had ended otherwise."""
    has_ended = answer.job.status in {JobStatus.COMPLETED, JobStatus.ERROR}
    return None if has_ended else answer.job.id
