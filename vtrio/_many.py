"""The client's ways to wait for many jobs: blocks that own all that runs in them."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Self

import trio

from ._arguments import check_key, id_of
from ._callbacks import OnJob, OnStall
from ._cancelling import cancel_all
from ._checks import check_number, shorten
from ._connections import Connections
from ._errors import GaveUp
from ._fleet import SPREAD, Fleet
from ._governor import Governor
from ._job import Job, JobStatus, Sighting
from ._ladder import Ladder, Rung, rungs_of
from ._learning import Learning
from ._limits import Limits
from ._lines import place_of
from ._names import publish
from ._outcomes import FleetStatistics, JobUpdate, Outcome
from ._runs import of_this_run, require_trio, this_run
from ._scopes import beside
from ._session import Session
from ._stalls import JobPhase, PhaseTimes
from ._token import LeftJob, WaitToken, make_token, read_token
from ._watch import Manner, Watch
from .schedules import Learned, Schedule

Transport = Literal["auto", "feed", "batch", "single"]
OnExit = Literal["leave", "cancel"]
Jobs = Iterable[Job | str] | Mapping[str, Any]

_BEST_RUNG = {
    "auto": Rung.FEED,
    "feed": Rung.FEED,
    "batch": Rung.HELD,
    "single": Rung.SINGLE,
}
# Between so many jobs that are taken in, others have a turn.
_TURN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What the caller asks of a wait for many jobs; the arguments, checked."""

    max_wait_time: float | None
    max_total_time: float | None
    max_silence: float | None
    budgets: Mapping[JobPhase, float]
    on_exit: OnExit
    transport: Transport
    key: str
    work: float | None


class _Block:
    """What the two blocks for many jobs share: adding, looking, and what is left."""

    def __init__(
        self,
        watch: Watch,
        channel: trio.MemoryReceiveChannel[JobUpdate],
        base_url: str,
    ) -> None:
        self._watch = watch
        self._channel = channel
        self._base_url = base_url
        self._cancelled: set[str] = set()
        self._given_up: dict[str, None] = {}
        self._ended: tuple[float, datetime] | None = None

    def __repr__(self) -> str:
        held = self.statistics()
        state = "closed" if self._watch.is_closed else f"by {held.rung}"
        return (
            f"<{type(self).__name__} {state}: {held.waiting} waiting,"
            f" {held.completed} completed, {held.failed} failed>"
        )

    @property
    def waiting(self) -> int:
        """How many jobs are waited for."""
        return len(self._watch.fleet.entries)

    def add(self, job: Job | str) -> None:
        """Wait for one more job. One that is waited for already stays as it is.

        Raises:
            trio.ClosedResourceError: the block has ended, or its iteration has.
        """
        job_id = id_of(job)
        if self._watch.is_closed:
            raise trio.ClosedResourceError("this wait for many jobs is over")
        seen = None if isinstance(job, str) else job.seen
        if seen is not None and seen.cursor is not None and seen.run is this_run():
            self._watch.listener.take_up(seen.cursor, seen.at - seen.took)
        self._watch.fleet.add(job)
        self._given_up.pop(job_id, None)
        self._watch.told()
        self._watch.listener.bell.ring()

    def statistics(self) -> FleetStatistics:
        """Return how the waits stand at this moment."""
        return self._watch.statistics()

    def token(self) -> WaitToken:
        """Return what is still waited for, as plain JSON; also after the block.

        `client.watch(token)` and `client.as_completed(token)` take the waits up again,
        in another process too, and so does `vtrio wait --resume FILE`. Jobs whose end
        nobody has been told of are among them, and those whose waits were given up;
        what is secret is not in it.
        """
        fleet = self._watch.fleet
        # After the block it says how things stood at its end: trio may have ended too.
        now, saved_at = self._ended or (trio.current_time(), datetime.now(UTC))
        jobs = [
            LeftJob(
                id=job_id,
                age=entry.session.age(now=now),
                # Where the feed cannot tell what has happened since, it must be asked.
                status=entry.word if entry.epoch == fleet.epoch else None,
            )
            for job_id, entry in fleet.entries.items()
            if job_id not in self._cancelled
        ]
        untold = [u.job_id for u in self._watch.untold() if u.outcome is not None]
        jobs += [
            LeftJob(id=job_id)
            for job_id in dict.fromkeys([*untold, *self._given_up])
            if job_id not in fleet.entries and job_id not in self._cancelled
        ]
        return make_token(
            jobs,
            base_url=self._base_url,
            saved_at=saved_at,
            cursor=self._watch.listener.cursor,
        )

    async def _next(self) -> JobUpdate:
        update = await self._watch.receive(self._channel)
        if update is None:
            raise StopAsyncIteration
        if _is_given_up(update):
            self._given_up[update.job_id] = None
        return update

    def _end(self) -> list[str]:
        """Take in that the block ends; return the ids of the jobs that may run on."""
        self._ended = trio.current_time(), datetime.now(UTC)
        fleet = self._watch.fleet
        untold = [update.job_id for update in fleet.news if _is_given_up(update)]
        return list(dict.fromkeys([*fleet.entries, *untold, *self._given_up]))


class Outcomes(_Block):
    """Outcomes of many jobs, in the order of their completion; see `as_completed`."""

    def __init__(
        self,
        watch: Watch,
        channel: trio.MemoryReceiveChannel[JobUpdate],
        base_url: str,
        *,
        stop_on_failure: bool,
    ) -> None:
        super().__init__(watch, channel, base_url)
        self._stop_on_failure = stop_on_failure

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        while True:
            outcome = (await self._next()).outcome
            if outcome is not None:
                break
        if self._stop_on_failure:
            outcome.result()
        return outcome


class Updates(_Block):
    """What happens to many jobs, as it happens; see `watch`."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobUpdate:
        return await self._next()

    def close(self) -> None:
        """Let the iteration end when all jobs are over: nobody will be added."""
        self._watch.finish()


class WaitsForMany:
    """The part of a client that waits for many jobs."""

    _base_url: str
    _connections: Connections
    _governor: Governor
    _learned: Schedule
    _learning: Learning
    _limits: Limits
    _rng: random.Random
    _schedule: Schedule | None
    _times: dict[str, PhaseTimes]

    def as_completed(
        self,
        jobs: Jobs,
        *,
        max_wait_time: float | None = None,
        max_total_time: float | None = None,
        max_silence: float | None = None,
        max_queue_time: float | None = None,
        max_run_time: float | None = None,
        on_job: OnJob | None = None,
        on_stall: OnStall | None = None,
        stop_on_failure: bool = False,
        on_exit: OnExit = "leave",
        transport: Transport = "auto",
        key: str = "",
        work: float | None = None,
    ) -> AbstractAsyncContextManager[Outcomes]:
        """Wait for many jobs, and give each one's outcome as it is over.

            async with client.as_completed(jobs) as outcomes:
                async for outcome in outcomes:
                    ...

        One job's failure is that job's outcome, and no other's. The iteration ends when
        all are over; until then jobs can be added. While nobody takes the outcomes,
        little more is asked. Leaving the block ends all that runs in it, whatever the
        reason; if it is cancelled, the body is first, and what the block runs after it.

        Args:
            jobs: jobs or their ids, each once; or the token of an earlier wait.
            max_wait_time: seconds for each job, from when it is added. A job that is not
                over by then has `WaitTimeout` as its outcome.
            max_total_time: seconds for all, from the beginning of the block; likewise.
            max_silence: seconds without any answer, after which all have `NoAnswer`.
            max_queue_time: seconds that a job may wait in the queue before it is
                reported as stalled; learned from the jobs that were seen, unless given.
            max_run_time: likewise, of the work on it.
            on_job: called with the job at each change of its status, and awaited if it
                can be. What it raises ends the block.
            on_stall: called with a `Stall`, once a phase; the wait goes on.
            stop_on_failure: whether the first outcome that is none of a completed job
                is raised from the iteration, as the exception that it is.
            on_exit: what becomes of jobs that still run when the block ends: `"leave"`,
                or `"cancel"` them on the server, which takes 5 s at most, even if the
                block is cancelled.
            transport: the best way to learn of changes that may be used: `"feed"`, which
                is what `"auto"` begins with, `"batch"` or `"single"`. What the server
                does not do is not used.
            key: the class of the jobs; see `wait`.
            work: the amount of work in each; see `wait`.

        Raises:
            ValueError: naming the parameter, the value and what is allowed.
        """
        terms = _check_terms(
            max_wait_time=max_wait_time,
            max_total_time=max_total_time,
            max_silence=max_silence,
            max_queue_time=max_queue_time,
            max_run_time=max_run_time,
            on_exit=on_exit,
            transport=transport,
            key=key,
            work=work,
        )
        manner = Manner(
            request_timeout=self._limits.request_timeout,
            max_silence=max_silence,
            on_job=on_job,
            on_stall=on_stall,
            outcomes_only=True,
        )
        make = partial(Outcomes, stop_on_failure=stop_on_failure)
        return self._open(jobs, terms, manner, make)

    def watch(
        self,
        jobs: Jobs = (),
        *,
        max_wait_time: float | None = None,
        max_total_time: float | None = None,
        max_silence: float | None = None,
        max_queue_time: float | None = None,
        max_run_time: float | None = None,
        stay_open: bool = False,
        on_exit: OnExit = "leave",
        transport: Transport = "auto",
        key: str = "",
        work: float | None = None,
    ) -> AbstractAsyncContextManager[Updates]:
        """Watch many jobs, and give each change of their statuses, once.

            async with client.watch(jobs) as updates:
                async for update in updates:
                    ...

        Updates of all jobs come merged, those of each job in their order; the last one
        of a job has its outcome. A job that does not change for too long has an update
        that says so. Otherwise as `as_completed`.

        Args:
            jobs: jobs or their ids, each once; or the token of an earlier wait.
            max_wait_time: see `as_completed`.
            max_total_time: likewise.
            max_silence: likewise.
            max_queue_time: likewise.
            max_run_time: likewise.
            stay_open: whether the iteration goes on when all are over, because jobs may
                be added, until `close` is called.
            on_exit: see `as_completed`.
            transport: likewise.
            key: likewise.
            work: likewise.

        Raises:
            ValueError: naming the parameter, the value and what is allowed.
        """
        terms = _check_terms(
            max_wait_time=max_wait_time,
            max_total_time=max_total_time,
            max_silence=max_silence,
            max_queue_time=max_queue_time,
            max_run_time=max_run_time,
            on_exit=on_exit,
            transport=transport,
            key=key,
            work=work,
        )
        manner = Manner(
            request_timeout=self._limits.request_timeout,
            max_silence=max_silence,
            stay_open=stay_open,
        )
        return self._open(jobs, terms, manner, Updates)

    @asynccontextmanager
    async def _open(
        self,
        jobs: Jobs,
        terms: _Terms,
        manner: Manner,
        make: Any,
    ) -> AsyncIterator[Any]:
        require_trio()
        await trio.lowlevel.checkpoint()
        started_at = trio.current_time()
        await self._learning.load()
        known, cursor, since = _taken_up(jobs)
        async with self._connections.asking() as source:
            fleet = self._fleet(terms, started_at, manner, place=place_of(source))
            send, channel = trio.open_memory_channel[JobUpdate](0)
            watch = Watch(
                fleet,
                source,
                governor=self._governor,
                ladder=Ladder(
                    rungs_of(source.capabilities, _BEST_RUNG[terms.transport])
                ),
                send=send,
                manner=manner,
                cursor=cursor,
                rng=self._rng,
            )
            if cursor is not None:
                fleet.begin_epoch(since)
                watch.listener.trust(started_at)
            block = make(watch, channel, self._base_url)
            try:
                for number, job in enumerate(known, 1):
                    fleet.add(job)
                    if number % _TURN == 0:
                        await trio.lowlevel.checkpoint()
                # The channel is closed last: whoever hands something over at the moment in
                # which the body leaves is cancelled, and finds no broken channel.
                with channel:
                    async with beside(watch.run, name="vtrio: wait for many jobs"):
                        yield block
            finally:
                watch.close()
                send.close()
                running = block._end()  # noqa: SLF001
                fleet.abandon()
                if terms.on_exit == "cancel" and running:
                    await cancel_all(  # noqa: ASYNC102 - shielded, bounded in there
                        self._connections.translations,
                        running,
                        at_once=self._governor.max_in_flight,
                        done=block._cancelled,  # noqa: SLF001
                    )
            # Not where it was cancelled: it must not end any later.
            await self._learning.save(
                before=math.inf, everything=not self._connections.are_kept
            )

    def _fleet(
        self, terms: _Terms, started_at: float, manner: Manner, *, place: Hashable
    ) -> Fleet:
        schedule = self._schedule if self._schedule is not None else self._learned
        give_up_at = math.inf
        if terms.max_total_time is not None:
            give_up_at = started_at + terms.max_total_time
        each = math.inf if terms.max_wait_time is None else terms.max_wait_time
        limits = replace(self._limits, max_wait_time=None, max_attempts=None)
        run = this_run()

        def open_session(job: Job | str) -> Session:
            now = trio.current_time()
            left = give_up_at - now
            limit = min(each, left)
            return Session(
                job_id=id_of(job),
                schedule=schedule,
                limits=(
                    limits
                    if limit == math.inf
                    else replace(
                        limits,
                        max_wait_time=max(limit, 1e-9),
                        max_total_time=terms.max_total_time if left < each else None,
                    )
                ),
                started_at=now,
                last=of_this_run(job),
                key=terms.key,
                work=terms.work,
                phase=self._rng.random(),
                run=run,
            )

        return Fleet(
            open_session=open_session,
            open_lesson=self._learning.begin,
            lines=self._governor.lines,
            place=place,
            times=self._times.setdefault(terms.key, PhaseTimes()),
            budgets=terms.budgets,
            rng=self._rng,
            learns=isinstance(schedule, Learned),
            spread=0.0 if isinstance(schedule, Learned) else SPREAD,
            tells_changes=manner.tells_changes,
            tells_stalls=manner.tells_stalls,
        )


def _is_given_up(update: JobUpdate) -> bool:
    outcome = update.outcome
    return outcome is not None and isinstance(outcome.exception, GaveUp)


def _check_terms(
    *,
    max_wait_time: float | None,
    max_total_time: float | None,
    max_silence: float | None,
    max_queue_time: float | None,
    max_run_time: float | None,
    on_exit: OnExit,
    transport: Transport,
    key: str,
    work: float | None,
) -> _Terms:
    for name, seconds in {
        "max_wait_time": max_wait_time,
        "max_total_time": max_total_time,
        "max_silence": max_silence,
        "max_queue_time": max_queue_time,
        "max_run_time": max_run_time,
    }.items():
        if seconds is not None:
            check_number(name, seconds, above=0)
    if work is not None:
        check_number("work", work, above=0)
    for name, value, allowed in (
        ("on_exit", on_exit, ("leave", "cancel")),
        ("transport", transport, tuple(_BEST_RUNG)),
    ):
        if value not in allowed:
            raise ValueError(
                f"{name}={shorten(value)} is not allowed: must be one of"
                f" {', '.join(map(repr, allowed))}"
            )
    budgets = {JobPhase.QUEUE: max_queue_time, JobPhase.RUN: max_run_time}
    return _Terms(
        max_wait_time=max_wait_time,
        max_total_time=max_total_time,
        max_silence=max_silence,
        budgets={phase: told for phase, told in budgets.items() if told is not None},
        on_exit=on_exit,
        transport=transport,
        key=check_key(key),
        work=work,
    )


def _taken_up(jobs: Jobs) -> tuple[list[Job | str], str | None, float]:
    """Return which jobs are meant, where the feed goes on, and from when it tells."""
    if isinstance(jobs, Mapping):
        return _left_over(jobs)
    if isinstance(jobs, (str, Job)):
        raise ValueError(
            f"jobs={shorten(jobs)} is not allowed: must be many jobs or ids, such as a"
            " list of them, or a token"
        )
    known: dict[str, Job | str] = {}
    first: Sighting | None = None
    for job in jobs:
        if known.setdefault(id_of(job), job) is not job:
            continue
        seen = None if isinstance(job, str) else job.seen
        if seen is None or seen.cursor is None or seen.run is not this_run():
            continue
        if first is None or seen.at - seen.took < first.at - first.took:
            first = seen
    if first is None:
        return list(known.values()), None, math.inf
    return list(known.values()), first.cursor, first.at - first.took


def _left_over(token: Mapping[str, Any]) -> tuple[list[Job | str], str | None, float]:
    """Return what a token says. How long it lay there is taken from the time of day."""
    left = read_token(token)
    now = trio.current_time()
    lay = max(0, math.floor((datetime.now(UTC) - left.saved_at).total_seconds()))
    known: list[Job | str] = []
    for job in left.jobs:
        if job.status is None:
            known.append(job.id)
            continue
        try:
            status = JobStatus(job.status)
        except ValueError:
            status = JobStatus.RUNNING
        if status.is_final:
            known.append(job.id)
            continue
        seen = Sighting(at=now - lay, run=this_run(), age=job.age)
        known.append(Job(id=job.id, status=status, seen=seen))
    return known, left.cursor, -math.inf


publish(Outcomes, Updates)
