"""What changes the store: each function is part of one transaction, whole or not at all.

They check before they write, so one that refuses has written nothing and the other
changes in its transaction stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePath
from typing import Any, Generic, NoReturn, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from ..._job import ALLOWED_MOVES, JobProblem, JobStatus, check_move
from ..errors import KeyReused, TooManyWaiting, UnknownJob
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
    Times,
    columns_of,
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


_WRITE_EVENT = insert(EVENTS).returning(EVENTS.c.cursor)
# The statuses from which the table of moves leads to each.
_BEFORE = {
    status: [start for start, ends in ALLOWED_MOVES.items() if status in ends]
    for status in JobStatus
}


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
    row = {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "source": record.source.as_posix(),
        "target_language": record.target_language,
        "source_language": record.source_language,
        "created_at": to_number(record.created),
        "attempt": record.attempt,
        "failures": record.failures,
        "deaths": record.deaths,
    }
    number = connection.execute(insert(JOBS).returning(JOBS.c.number), row).scalar_one()
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
    event = _write_event(connection, kept, record.created)
    submission = Submission(kept, created=True, cursor=event.cursor - 1)
    return Changed(submission, (kept,), (event,))


def claim(
    connection: Connection, times: Times, at: Instant, most: int
) -> Changed[tuple[JobRecord, ...]]:
    """Set the pending jobs that came first running, `most` of them at most."""
    found = connection.execute(
        select(JOBS.c.id)
        .where(JOBS.c.status == JobStatus.PENDING.value)
        .order_by(JOBS.c.number)
        .limit(most)
        # Says nothing to SQLite, where one transaction writes at a time.
        .with_for_update(skip_locked=True)
    ).scalars()
    claimed = [
        _moved(
            connection,
            times,
            job_id,
            {
                "status": JobStatus.RUNNING.value,
                "started_at": to_number(at),
                "attempt": JOBS.c.attempt + 1,
                "progress": None,
                "stage": None,
            },
        )
        for job_id in list(found)
    ]
    events = tuple(_write_event(connection, record, at) for record in claimed)
    return Changed(tuple(claimed), tuple(claimed), events)


def move(
    connection: Connection,
    times: Times,
    job_id: str,
    status: JobStatus,
    at: Instant,
    attempt: int | None,
    changes: Changes,
) -> Changed[JobRecord]:
    """Change a job's status, in the name of an attempt or of its owner (None).

    Raises:
        UnknownJob: there is none of this id.
        IllegalMove: the table of moves does not lead there.
        Overtaken: it is not this attempt that runs.
    """
    values = {**columns_of(changes), "status": status.value}
    if status.is_final:
        values["finished_at"] = to_number(at)
    if status is JobStatus.PENDING:
        values["started_at"] = None
    statement = _move_statement(status, tuple(sorted(values)), attempt is not None)
    row = connection.execute(
        statement, {**values, "at_id": job_id, "at_attempt": attempt}
    ).one_or_none()
    if row is None:
        _explain(connection, times, job_id, status, attempt)
    record = times.record(row)
    event = _write_event(connection, record, at)
    return Changed(record, (record,), (event,))


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
        deaths = row.deaths + 1
        values: dict[str, Any] = {"deaths": deaths, "stage": None}
        if deaths < most_deaths:
            values |= {
                "status": JobStatus.PENDING.value,
                "started_at": None,
                "progress": None,
            }
        else:
            values |= {
                "status": JobStatus.ERROR.value,
                "finished_at": to_number(at),
                **columns_of(Changes(error=too_deadly)),
            }
        taken.append(_moved(connection, times, row.id, values))
    events = tuple(_write_event(connection, record, at) for record in taken)
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
        ended = move(
            connection,
            times,
            job_id,
            JobStatus.CANCELLED,
            at,
            None,
            Changes(stage=None),
        )
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


def _moved(
    connection: Connection, times: Times, job_id: str, values: dict[str, Any]
) -> JobRecord:
    return times.record(
        connection.execute(
            update(JOBS).where(JOBS.c.id == job_id).values(values).returning(JOBS)
        ).one()
    )


def _write_event(connection: Connection, record: JobRecord, at: Instant) -> JobEvent:
    cursor = connection.execute(
        _WRITE_EVENT,
        {
            "owner": record.owner,
            "job_id": record.id,
            "status": record.status.value,
            "progress": record.progress,
            "at": to_number(at),
        },
    ).scalar_one()
    return JobEvent(
        cursor=cursor,
        owner=record.owner,
        job_id=record.id,
        status=record.status,
        progress=record.progress,
        at=at,
    )


@cache
def _move_statement(
    status: JobStatus, columns: tuple[str, ...], by_attempt: bool
) -> ReturningUpdate[Any]:
    """Return the statement that moves a job; there are few, and making one is slow."""
    starts = {JobStatus.RUNNING} if by_attempt else set(JobStatus)
    allowed: ColumnElement[bool] = JOBS.c.status.in_(
        [start.value for start in _BEFORE[status] if start in starts]
    )
    if by_attempt:
        allowed &= JOBS.c.attempt == bindparam("at_attempt")
    return (
        update(JOBS)
        .where(JOBS.c.id == bindparam("at_id"), allowed)
        .values({name: bindparam(name) for name in columns})
        .returning(JOBS)
    )


def _explain(
    connection: Connection,
    times: Times,
    job_id: str,
    status: JobStatus,
    attempt: int | None,
) -> NoReturn:
    """Say why a job cannot be moved."""
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None:
        raise UnknownJob(job_id)
    check_move(job_id, JobStatus(row.status), status)
    raise Overtaken(
        f"attempt {attempt} at job {job_id!r} was overtaken: the job is {row.status}"
        f" at attempt {row.attempt}"
    )
