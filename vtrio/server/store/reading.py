"""What is read of the store; each function is one look, which holds nobody up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from ..._job import JobStatus
from .records import ApiKeyRecord, EventPage, JobRecord
from .tables import API_KEYS, EVENTS, FACTS, JOBS, Times

# SQLite takes a limited number of parameters.
_AT_ONCE = 500
# Made once, because making a statement takes longer than running it.
_JOB = select(JOBS).where(JOBS.c.id == bindparam("job_id"))
_JOBS = select(JOBS).where(JOBS.c.id.in_(bindparam("job_ids", expanding=True)))


def job(connection: Connection, times: Times, job_id: str) -> JobRecord | None:
    """Return one job, if there is one of this id."""
    row = connection.execute(_JOB, {"job_id": job_id}).one_or_none()
    return None if row is None else times.record(row)


def jobs(
    connection: Connection, times: Times, job_ids: Sequence[str]
) -> dict[str, JobRecord]:
    """Return those of these jobs that there are, by their ids."""
    found: dict[str, JobRecord] = {}
    if len(job_ids) == 1:  # as most often, and at half the cost
        alone = job(connection, times, job_ids[0])
        return {} if alone is None else {alone.id: alone}
    for start in range(0, len(job_ids), _AT_ONCE):
        some = {"job_ids": job_ids[start : start + _AT_ONCE]}
        rows = connection.execute(_JOBS, some)
        found |= {row.id: times.record(row) for row in rows}
    return found


def page(
    connection: Connection,
    times: Times,
    owner: str,
    status: JobStatus | None,
    before: int | None,
    size: int,
) -> tuple[JobRecord, ...]:
    """Return an owner's jobs, newest first, from before a number on."""
    query = select(JOBS).where(JOBS.c.owner == owner)
    if status is not None:
        query = query.where(JOBS.c.status == status.value)
    if before is not None:
        query = query.where(JOBS.c.number < before)
    rows = connection.execute(query.order_by(JOBS.c.number.desc()).limit(size))
    return tuple(times.record(row) for row in rows)


def unfinished(connection: Connection, times: Times) -> tuple[JobRecord, ...]:
    """Return the jobs that have not ended, in the order in which they came."""
    waiting = [JobStatus.PENDING.value, JobStatus.RUNNING.value]
    rows = connection.execute(
        select(JOBS).where(JOBS.c.status.in_(waiting)).order_by(JOBS.c.number)
    )
    return tuple(times.record(row) for row in rows)


def counts(connection: Connection) -> dict[JobStatus, int]:
    """Return how many jobs there are in each status."""
    rows = connection.execute(
        select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
    )
    found = {JobStatus(status): count for status, count in rows}
    return {status: found.get(status, 0) for status in JobStatus}


def events(
    connection: Connection, times: Times, owner: str, after: int, limit: int
) -> EventPage:
    """Return an owner's events after a cursor, in order, at most `limit` of them."""
    # Taken first: what is committed in between may come again, and is not passed by.
    end = last_cursor(connection)
    rows = connection.execute(
        select(EVENTS)
        .where(EVENTS.c.owner == owner, EVENTS.c.cursor > after)
        .order_by(EVENTS.c.cursor)
        .limit(limit)
    )
    found = tuple(times.event(row) for row in rows)
    return EventPage(events=found, next=end_of(found, limit, max(end, after)))


def end_of(found: Sequence[object], limit: int, end: int) -> int:
    """Return the cursor behind what was found, when it was looked for up to `end`."""
    last = getattr(found[-1], "cursor", end) if found else end
    return last if len(found) == limit else max(last, end)


def last_cursor(connection: Connection) -> int:
    """Return the cursor of the last event that is kept; 0 if there is none."""
    return connection.execute(select(func.max(EVENTS.c.cursor))).scalar_one() or 0


def fact(connection: Connection, name: str) -> str | None:
    """Return one fact about the store."""
    return connection.execute(
        select(FACTS.c.value).where(FACTS.c.name == name)
    ).scalar_one_or_none()


def api_keys(connection: Connection, times: Times) -> tuple[ApiKeyRecord, ...]:
    """Return all API keys, the revoked ones too, in the order in which they came."""
    rows = connection.execute(select(API_KEYS).order_by(API_KEYS.c.created_at))
    return tuple(times.api_key(row) for row in rows)
