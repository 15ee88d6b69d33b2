"""The shapes on the wire, apart from what they are made of."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from .._job import JobProblem, JobStatus
from .store import Instant, JobEvent, JobRecord

PROBLEM_TYPES = "urn:vtrio:problem:"
"""What the type of each problem begins with."""


ABOUT_JOBS = {"Cache-Control": "private, no-cache", "Vary": "Prefer, Authorization"}
"""Headers of every answer about jobs."""


class ProblemMember(TypedDict):
    """Why a job ended in error."""

    type: str
    title: str
    detail: str | None


class ResultMember(TypedDict):
    """Where the result of a job lies.

    Paths, not whole URLs: a server behind a proxy does not know what it is called.
    """

    video_url: str
    subtitles_url: str


class JobDocument(TypedDict):
    """A job as clients see it."""

    id: str
    status: JobStatus
    progress: float | None
    stage: str | None
    target_language: str
    source_language: str | None
    media_seconds: float | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: ProblemMember | None
    result: ResultMember | None


class EventDocument(TypedDict):
    """One change of a job's status as clients see it; on demand with what it led to."""

    cursor: str
    id: str
    status: JobStatus
    progress: float | None
    at: str
    translation: NotRequired[JobDocument]


def job_path(job_id: str) -> str:
    """Return the path of a job."""
    return f"/v1/translations/{job_id}"


def job_document(record: JobRecord) -> JobDocument:
    """Describe a job for the wire."""
    return JobDocument(
        id=record.id,
        status=record.status,
        progress=record.progress,
        stage=record.stage,
        target_language=record.target_language,
        source_language=record.source_language,
        media_seconds=record.media_seconds,
        created_at=format_instant(record.created.wall),
        started_at=_instant_or_none(record.started),
        finished_at=_instant_or_none(record.finished),
        error=_problem_or_none(record.error),
        result=_result_or_none(record),
    )


def job_headers(
    record: JobRecord, *, now: float, ask_again_after: int | None
) -> dict[str, str]:
    """Return the headers of an answer about a job, its `ETag` apart.

    Durations travel here and not in the document, because clocks differ and because
    a document that changed with every look could not have an `ETag`.
    """
    headers = {
        "Job-Age": _seconds(now - record.created.clock),
        **ABOUT_JOBS,
    }
    if ask_again_after is not None:
        headers["Retry-After"] = str(ask_again_after)
    if record.finished is not None:
        began = record.started or record.finished
        headers["Job-Run-Time"] = _seconds(record.finished.clock - began.clock)
        headers["Job-Ended-Ago"] = _seconds(now - record.finished.clock)
    return headers


def event_document(event: JobEvent, *, store_id: str) -> EventDocument:
    """Describe a change for the wire."""
    return EventDocument(
        cursor=format_cursor(store_id, event.cursor),
        id=event.job_id,
        status=event.status,
        progress=event.progress,
        at=format_instant(event.at.wall),
    )


def format_cursor(store_id: str, cursor: int) -> str:
    """Write a cursor such that another store's can be told from it."""
    return f"{store_id}.{cursor}"


def encode(document: object) -> bytes:
    """Return a document as JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def job_etag(record: JobRecord, content: bytes) -> str:
    """Return a strong `ETag` of a job's document, which names the job's status.

    So it can be told later whether the status is still that of this document.
    """
    return f'"{record.status}-{strong_etag(content)[1:]}'


def strong_etag(content: bytes) -> str:
    """Return a strong `ETag` for exactly these bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def format_instant(instant: datetime) -> str:
    """Write an instant as RFC 3339 has it: UTC, with milliseconds."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _seconds(duration: float) -> str:
    # A clock that was set back must not make it negative.
    return f"{max(duration, 0.0):.3f}"


def _instant_or_none(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant.wall)


def _problem_or_none(problem: JobProblem | None) -> ProblemMember | None:
    if problem is None:
        return None
    return ProblemMember(type=problem.type, title=problem.title, detail=problem.detail)


def _result_or_none(record: JobRecord) -> ResultMember | None:
    if record.status is not JobStatus.COMPLETED:
        return None
    path = job_path(record.id)
    return ResultMember(video_url=f"{path}/video", subtitles_url=f"{path}/subtitles")
