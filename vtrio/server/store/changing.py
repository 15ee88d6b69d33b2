"""What changes the store: each function is part of one transaction, whole or not at all.

They check before they write, so one that refuses has written nothing and the other
changes in its transaction stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ..._job import IllegalMove, JobProblem, JobStatus, check_move
from ..errors import KeyReused, TooManyWaiting, UnknownJob
from . import reading
from .records import (
    ApiKeyRecord,
    Changes,
    IdempotencyKey,
    Instant,
    JobEvent,
    JobRecord,
    Overtaken,
    Submission,
)
from .tables import (
    API_KEYS,
    EVENTS,
    EVENTS_FLOOR,
    FACTS,
    IDEMPOTENCY_KEYS,
    JOBS,
    WHAT_CHANGES,
    Times,
    row_of,
    to_number,
)

KEY_LIFETIME = 86_400.0
"""Seconds for which an idempotency key is remembered."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Changed(Generic[_T]):
    """What a change gives back, and what it did to jobs, once it is committed."""

    value: _T
    records: tuple[JobRecord, ...] = ()
    events: tuple[JobEvent, ...] = ()
    deleted: tuple[tuple[str, JobStatus], ...] = ()
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a job's status, in the name of an attempt or of its owner (None)."""

    job_id: str
    status: JobStatus
    at: Instant
    attempt: int | None
    changes: Changes


_WRITE_MOVES = (
    update(JOBS)
    .where(JOBS.c.number == bindparam("at_number"))
    .values({name: bindparam(name) for name in WHAT_CHANGES})
)
_WRITE_EVENTS = insert(EVENTS).returning(EVENTS.c.cursor, sort_by_parameter_order=True)


def submit(
    connection: Connection,
    times: Times,
    record: JobRecord,
    key: IdempotencyKey | None,
    most_waiting: int,
) -> Changed[Submission]:
    """Keep a new pending job, or find the one that its key made before.

    Raises:
        KeyReused: the key came with another payload before.
        TooManyWaiting: there are as many pending jobs as there may be.
    """
    if key is not None:
        first = _first_answer(connection, times, record, key)
        if first is not None:
            return Changed(first)
    _check_room(connection, most_waiting)
    number = connection.execute(
        insert(JOBS).returning(JOBS.c.number), row_of(record)
    ).scalar_one()
    if key is not None:
        connection.execute(
            insert(IDEMPOTENCY_KEYS),
            {
                "owner": record.owner,
                "value": key.value,
                "payload": key.payload,
                "job_id": record.id,
                "target_language": record.target_language,
                "source_language": record.source_language,
                "created_at": to_number(record.created),
            },
        )
    kept = replace(record, number=number)
    events = _write_events(connection, [(kept, record.created)])
    submission = Submission(kept, created=True, cursor=events[0].cursor - 1)
    return Changed(submission, (kept,), events)


def claim(
    connection: Connection, times: Times, at: Instant, most: int
) -> Changed[tuple[JobRecord, ...]]:
    """Set the pending jobs that came first running, `most` of them at most."""
    rows = connection.execute(
        select(JOBS)
        .where(JOBS.c.status == JobStatus.PENDING.value)
        .order_by(JOBS.c.number)
        .limit(most)
        # Says nothing to SQLite, where one transaction writes at a time.
        .with_for_update(skip_locked=True)
    )
    started = times.as_kept(at)
    claimed = tuple(
        replace(
            record,
            status=JobStatus.RUNNING,
            started=started,
            attempt=record.attempt + 1,
            progress=None,
            stage=None,
        )
        for record in map(times.record, rows)
    )
    events = _write_moved(connection, [(record, at) for record in claimed])
    return Changed(claimed, claimed, events)


def move_together(
    connection: Connection, times: Times, moves: Sequence[Move]
) -> list[Changed[JobRecord] | Exception]:
    """Make moves in their order; each is whole, or refused as if it came alone.

    Many cost three statements, as one does: the status that a move starts from is read
    and not asked for in the update, which is as good because one transaction writes at
    a time.

    Returns:
        What became of each: `UnknownJob` where there is none of this id, `IllegalMove`
        where the table of moves does not lead there, `Overtaken` where it is not this
        attempt that runs.
    """
    known = reading.jobs(connection, times, [move.job_id for move in moves])
    outcomes: list[JobRecord | Exception] = []
    for move in moves:
        try:
            record = _moved(known.get(move.job_id), move, times)
        except (UnknownJob, IllegalMove, Overtaken) as refusal:
            outcomes.append(refusal)
        else:
            known[record.id] = record
            outcomes.append(record)
    events = iter(
        _write_moved(
            connection,
            [
                (outcome, move.at)
                for outcome, move in zip(outcomes, moves, strict=True)
                if isinstance(outcome, JobRecord)
            ],
        )
    )
    return [
        Changed(outcome, (outcome,), (next(events),))
        if isinstance(outcome, JobRecord)
        else outcome
        for outcome in outcomes
    ]


def take_up(
    connection: Connection,
    times: Times,
    at: Instant,
    most_deaths: int,
    too_deadly: JobProblem,
) -> Changed[tuple[JobRecord, ...]]:
    """Put the jobs back that ran when the server died; give up what keeps dying.

    Only a server that has just started may call it: none of its attempts runs.
    """
    cut_off = connection.execute(
        select(JOBS).where(JOBS.c.status == JobStatus.RUNNING.value)
    ).all()
    taken: list[JobRecord] = []
    for row in cut_off:
        record = times.record(row)
        record = replace(record, deaths=record.deaths + 1, stage=None)
        if record.deaths < most_deaths:
            record = replace(
                record, status=JobStatus.PENDING, started=None, progress=None
            )
        else:
            record = replace(
                record,
                status=JobStatus.ERROR,
                finished=times.as_kept(at),
                error=too_deadly,
            )
        taken.append(record)
    events = _write_moved(connection, [(record, at) for record in taken])
    return Changed(tuple(taken), tuple(taken), events)


def remove(
    connection: Connection, times: Times, job_id: str, at: Instant
) -> Changed[JobRecord]:
    """Forget a job; one that has not ended is cancelled first, with its event.

    Raises:
        UnknownJob: there is none of this id.
    """
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None:
        raise UnknownJob(job_id)
    ended = Changed(times.record(row))
    if not ended.value.is_final:
        cancelled = Move(job_id, JobStatus.CANCELLED, at, None, Changes(stage=None))
        (outcome,) = move_together(connection, times, [cancelled])
        if isinstance(outcome, Exception):  # pragma: no cover - all may be cancelled
            raise outcome
        ended = outcome
    connection.execute(delete(JOBS).where(JOBS.c.id == job_id))
    return replace(ended, deleted=((job_id, ended.value.status),))


def forget(
    connection: Connection, times: Times, ended_before: Instant, keys_before: Instant
) -> Changed[list[str]]:
    """Forget jobs that ended before an instant, the events of then, and old keys."""
    ended = to_number(ended_before)
    rows = connection.execute(
        delete(JOBS)
        .where(JOBS.c.finished_at < ended)
        .returning(JOBS.c.id, JOBS.c.status)
    )
    deleted = tuple((row.id, JobStatus(row.status)) for row in rows)
    dropped = connection.execute(
        select(EVENTS.c.cursor)
        .where(EVENTS.c.at < ended)
        .order_by(EVENTS.c.cursor.desc())
        .limit(1)
    ).scalar_one_or_none()
    if dropped is not None:
        connection.execute(delete(EVENTS).where(EVENTS.c.cursor <= dropped))
        connection.execute(
            update(FACTS).where(FACTS.c.name == EVENTS_FLOOR).values(value=str(dropped))
        )
    connection.execute(
        delete(IDEMPOTENCY_KEYS).where(
            IDEMPOTENCY_KEYS.c.created_at < to_number(keys_before)
        )
    )
    return Changed(
        [job_id for job_id, _ in deleted], deleted=deleted, floor=dropped or 0
    )


def add_api_key(
    connection: Connection, times: Times, record: ApiKeyRecord
) -> Changed[None]:
    """Keep a new API key."""
    connection.execute(
        insert(API_KEYS),
        {
            "id": record.id,
            "name": record.name,
            "digest": record.digest,
            "created_at": to_number(record.created),
        },
    )
    return Changed(None)


def revoke_api_key(
    connection: Connection, times: Times, key_id: str, at: Instant
) -> Changed[bool]:
    """Revoke an API key; tell whether there was one of this id to revoke."""
    done = connection.execute(
        update(API_KEYS)
        .where(API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
        .values(revoked_at=to_number(at))
    )
    return Changed(done.rowcount > 0)


def _first_answer(
    connection: Connection, times: Times, record: JobRecord, key: IdempotencyKey
) -> Submission | None:
    """Return the job as it was when this key made it, if it did within its lifetime."""
    found = (IDEMPOTENCY_KEYS.c.owner == record.owner) & (
        IDEMPOTENCY_KEYS.c.value == key.value
    )
    row = connection.execute(select(IDEMPOTENCY_KEYS).where(found)).one_or_none()
    if row is None:
        return None
    if row.created_at <= to_number(record.created) - KEY_LIFETIME * 1e6:
        connection.execute(delete(IDEMPOTENCY_KEYS).where(found))
        return None
    if row.payload != key.payload:
        raise KeyReused(
            f"the Idempotency-Key {key.value[:80]!r} came before with another payload:"
            " take a fresh key for another job"
        )
    first = JobRecord(
        id=row.job_id,
        owner=row.owner,
        status=JobStatus.PENDING,
        source=PurePath(),
        target_language=row.target_language,
        source_language=row.source_language,
        created=times.instant(row.created_at),
    )
    cursor = _cursor_before(connection, row.job_id, row.created_at)
    return Submission(first, created=False, cursor=cursor)


def _cursor_before(connection: Connection, job_id: str, created_at: int) -> int:
    """Return the cursor after which all is told that became of a job, and is kept."""
    first = connection.execute(
        select(EVENTS.c.cursor)
        # The instant is what an index finds it by.
        .where(EVENTS.c.at == created_at, EVENTS.c.job_id == job_id)
        .order_by(EVENTS.c.cursor)
        .limit(1)
    ).scalar_one_or_none()
    if first is not None:
        return int(first) - 1
    floor = select(FACTS.c.value).where(FACTS.c.name == EVENTS_FLOOR)
    return int(connection.execute(floor).scalar_one_or_none() or 0)


def _check_room(connection: Connection, most_waiting: int) -> None:
    # It counts no further than it has to.
    beyond = connection.execute(
        select(JOBS.c.number)
        .where(JOBS.c.status == JobStatus.PENDING.value)
        .order_by(JOBS.c.number)
        .offset(most_waiting - 1)
        .limit(1)
    ).one_or_none()
    if beyond is not None:
        raise TooManyWaiting(
            f"{most_waiting} jobs wait for a worker, and that is all that may: submit"
            " the job again later"
        )


def _moved(record: JobRecord | None, move: Move, times: Times) -> JobRecord:
    """Return a job after a move, if it may be made."""
    if record is None:
        raise UnknownJob(move.job_id)
    check_move(record.id, record.status, move.status)
    if move.attempt is not None and (
        record.status is not JobStatus.RUNNING or record.attempt != move.attempt
    ):
        raise Overtaken(
            f"attempt {move.attempt} at job {record.id!r} was overtaken: the job is"
            f" {record.status} at attempt {record.attempt}"
        )
    return replace(
        record,
        **move.changes,
        status=move.status,
        started=None if move.status is JobStatus.PENDING else record.started,
        finished=times.as_kept(move.at) if move.status.is_final else None,
    )


def _write_moved(
    connection: Connection, moved: Sequence[tuple[JobRecord, Instant]]
) -> tuple[JobEvent, ...]:
    """Write down jobs whose status has changed, and that it has."""
    if not moved:
        return ()
    connection.execute(
        _WRITE_MOVES,
        _rows([_change_of(job) for job, _ in moved]),
    )
    return _write_events(connection, moved)


def _change_of(job: JobRecord) -> dict[str, Any]:
    # Any other column that was named here would be written too.
    row = row_of(job)
    return {name: row[name] for name in WHAT_CHANGES} | {"at_number": job.number}


def _write_events(
    connection: Connection, moved: Sequence[tuple[JobRecord, Instant]]
) -> tuple[JobEvent, ...]:
    cursors = connection.execute(
        _WRITE_EVENTS,
        _rows(
            [
                {
                    "owner": job.owner,
                    "job_id": job.id,
                    "status": job.status.value,
                    "progress": job.progress,
                    "at": to_number(at),
                }
                for job, at in moved
            ]
        ),
    ).scalars()
    return tuple(
        JobEvent(
            cursor=cursor,
            owner=job.owner,
            job_id=job.id,
            status=job.status,
            progress=job.progress,
            at=at,
        )
        for cursor, (job, at) in zip(cursors, moved, strict=True)
    )


def _rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]] | dict[str, Any]:
    """Return a lone row as itself: SQLAlchemy has less to do for it."""
    return rows if len(rows) > 1 else rows[0]
