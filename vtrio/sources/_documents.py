"""Reading what servers send about jobs. Members that are not known are ignored."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .._checks import shorten
from .._errors import BadAnswer
from .._job import Job, JobProblem, JobResult, JobStatus

_MOST_MEMBERS = 10_000
_LONGEST_WORD = 64
_STATUSES = {status.value: status for status in JobStatus}


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadAnswer: it is none; the message quotes its beginning.
    """
    # A megabyte of brackets becomes thirty of objects; no answer has so many members.
    if sum(map(body.count, (b"{", b"[", b","))) > _MOST_MEMBERS:
        raise BadAnswer(f"the answer has too many members: {shorten(body[:80])}")
    try:
        value = json.loads(body)
    # Nesting that is deep enough is a RecursionError, and no more JSON than HTML is.
    except (ValueError, RecursionError):
        raise BadAnswer(
            f"the answer is not JSON: {shorten(bytes(body[:80]))}"
        ) from None
    if not isinstance(value, dict):
        raise BadAnswer(f"the answer is not a JSON object: {shorten(value)}")
    return value


def parse_status(
    document: Mapping[str, Any], member: str
) -> tuple[JobStatus, str | None]:
    """Read a status word: the status, and the word itself where it is none of ours.

    A word that we do not know means that the job still runs: servers add words
    (`queued`, `preparing`), and none of them is worth losing a job for.

    Raises:
        BadAnswer: there is no word at all.
    """
    word = document.get(member)
    if not isinstance(word, str):
        raise BadAnswer(f"the answer has no word as {member!r}: {shorten(document)}")
    status = _STATUSES.get(word)
    if status is not None:
        return status, None
    return JobStatus.RUNNING, word[:_LONGEST_WORD]


def parse_job(document: Mapping[str, Any], *, job_id: str = "") -> Job:
    """Read a job document.

    Only the status must be there, and the id where none was asked for: a progress
    that cannot be read is no reason to lose a job.

    Raises:
        BadAnswer: naming the member that is missing.
    """
    status, unknown_word = parse_status(document, "status")
    # Whoever asked by an id goes on asking by it, whatever the server calls it.
    told_id = job_id or _text(document, "id")
    if not told_id:
        raise BadAnswer(f"the answer has no word as 'id': {shorten(document)}")
    progress = _number(document, "progress")
    return Job(
        id=told_id,
        status=status,
        unknown_word=unknown_word,
        progress=None if progress is None else min(progress, 1.0),
        stage=_text(document, "stage"),
        target_language=_text(document, "target_language"),
        source_language=_text(document, "source_language"),
        media_seconds=_number(document, "media_seconds"),
        created_at=_instant(document, "created_at"),
        started_at=_instant(document, "started_at"),
        finished_at=_instant(document, "finished_at"),
        error=_problem(document.get("error")),
        result=_result(document.get("result")),
    )


def _text(document: Mapping[str, Any], member: str) -> str | None:
    value = document.get(member)
    return value if isinstance(value, str) else None


def _number(document: Mapping[str, Any], member: str) -> float | None:
    value = document.get(member)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    # An integer may be too large for a float.
    return float(value) if 0 <= value < 1e15 and math.isfinite(value) else None


def _instant(document: Mapping[str, Any], member: str) -> datetime | None:
    try:
        value = datetime.fromisoformat(_text(document, member) or "")
    except ValueError:
        return None
    return value if value.tzinfo is not None else None


def _problem(value: object) -> JobProblem | None:
    if not isinstance(value, dict):
        return None
    return JobProblem(
        type=_text(value, "type") or "about:blank",
        title=_text(value, "title") or "The job failed",
        detail=_text(value, "detail"),
    )


def _result(value: object) -> JobResult | None:
    if not isinstance(value, dict):
        return None
    return JobResult(
        video_url=_text(value, "video_url"),
        subtitles_url=_text(value, "subtitles_url"),
    )
