"""The tables, and how a row becomes a record.

Instants are kept as whole microseconds since 1970, UTC: both SQLite and PostgreSQL
compare and index those alike, and neither has an opinion on time zones then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
)

from ..._job import JobProblem, JobStatus
from .records import ApiKeyRecord, Instant, JobEvent, JobRecord

METADATA = MetaData()

# SQLite counts by itself in a column that is called INTEGER and nothing else.
_Number = BigInteger().with_variant(Integer, "sqlite")

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", _Number, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("target_language", Text, nullable=False),
    Column("source_language", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("progress", Float),
    Column("stage", Text),
    Column("media_seconds", Float),
    Column("error_type", Text),
    Column("error_title", Text),
    Column("error_detail", Text),
    Column("video", Text),
    Column("subtitles", Text),
    Index("jobs_by_status", "status", "number"),
    Index("jobs_by_owner", "owner", "number"),
    Index("jobs_by_end", "finished_at"),
    # A number is never given again, so a page token stays true.
    sqlite_autoincrement=True,
)

EVENTS = Table(
    "events",
    METADATA,
    Column("cursor", _Number, primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("progress", Float),
    Column("at", BigInteger, nullable=False),
    Index("events_by_owner", "owner", "cursor"),
    Index("events_by_time", "at"),
    # Nor is a cursor: those that were told before would otherwise miss events.
    sqlite_autoincrement=True,
)

IDEMPOTENCY_KEYS = Table(
    "idempotency_keys",
    METADATA,
    Column("owner", String(64), primary_key=True),
    Column("value", String(255), primary_key=True),
    Column("payload", String(64), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("target_language", Text, nullable=False),
    Column("source_language", Text),
    Column("created_at", BigInteger, nullable=False),
    Index("idempotency_keys_by_time", "created_at"),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

FACTS = Table(
    "facts",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

STORE_ID = "store_id"
"""The fact that tells this store's cursors from another's."""

EVENTS_FLOOR = "events_floor"
"""The fact that tells up to which cursor events have been dropped."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Times:
    """Turns the store's instants into ours, and back.

    What was written before this process began has no place on its clock but by the
    difference to now, on the wall's.
    """

    def __init__(self, now: Instant) -> None:
        self._clock = now.clock
        self._wall = to_number(now)

    def instant(self, number: int) -> Instant:
        """Return the instant of a number in the store."""
        return Instant(
            self._clock + (number - self._wall) / 1e6,
            _EPOCH + timedelta(microseconds=number),
        )

    def as_kept(self, instant: Instant) -> Instant:
        """Return an instant as it will be when it comes back out of the store."""
        return self.instant(to_number(instant))

    def record(self, row: Row[Any]) -> JobRecord:
        """Return the job that a row holds."""
        error = None
        if row.error_type is not None:
            error = JobProblem(
                type=row.error_type, title=row.error_title, detail=row.error_detail
            )
        return JobRecord(
            id=row.id,
            number=row.number,
            owner=row.owner,
            status=JobStatus(row.status),
            source=PurePath(row.source),
            target_language=row.target_language,
            source_language=row.source_language,
            created=self.instant(row.created_at),
            started=self._instant_or_none(row.started_at),
            finished=self._instant_or_none(row.finished_at),
            attempt=row.attempt,
            failures=row.failures,
            deaths=row.deaths,
            progress=_float_or_none(row.progress),
            stage=row.stage,
            media_seconds=_float_or_none(row.media_seconds),
            error=error,
            video=_path_or_none(row.video),
            subtitles=_path_or_none(row.subtitles),
        )

    def event(self, row: Row[Any]) -> JobEvent:
        """Return the event that a row holds."""
        return JobEvent(
            cursor=row.cursor,
            owner=row.owner,
            job_id=row.job_id,
            status=JobStatus(row.status),
            progress=_float_or_none(row.progress),
            at=self.instant(row.at),
        )

    def api_key(self, row: Row[Any]) -> ApiKeyRecord:
        """Return the API key that a row holds."""
        return ApiKeyRecord(
            id=row.id,
            name=row.name,
            digest=row.digest,
            created=self.instant(row.created_at),
            revoked=self._instant_or_none(row.revoked_at),
        )

    def _instant_or_none(self, number: int | None) -> Instant | None:
        return None if number is None else self.instant(number)


def to_number(instant: Instant) -> int:
    """Return what the store keeps of an instant."""
    return (instant.wall - _EPOCH) // _MICROSECOND


def row_of(record: JobRecord) -> dict[str, Any]:
    """Return the columns of a job, its number aside."""
    error = record.error
    return {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "source": record.source.as_posix(),
        "target_language": record.target_language,
        "source_language": record.source_language,
        "created_at": to_number(record.created),
        "started_at": _number_or_none(record.started),
        "finished_at": _number_or_none(record.finished),
        "attempt": record.attempt,
        "failures": record.failures,
        "deaths": record.deaths,
        "progress": record.progress,
        "stage": record.stage,
        "media_seconds": record.media_seconds,
        "error_type": error.type if error else None,
        "error_title": error.title if error else None,
        "error_detail": error.detail if error else None,
        "video": _text_or_none(record.video),
        "subtitles": _text_or_none(record.subtitles),
    }


WHAT_CHANGES = frozenset(JOBS.c.keys()) - {
    "number",
    "id",
    "owner",
    "source",
    "target_language",
    "created_at",
}
"""The columns that are written anew when the status of a job changes."""


def _number_or_none(instant: Instant | None) -> int | None:
    return None if instant is None else to_number(instant)


def _text_or_none(path: PurePath | None) -> str | None:
    return None if path is None else path.as_posix()


def _path_or_none(text: str | None) -> PurePath | None:
    return None if text is None else PurePath(text)


def _float_or_none(number: float | None) -> float | None:
    # SQLite's RETURNING gives 1.0 back as 1, and a SELECT gives 1.0.
    return None if number is None else float(number)
