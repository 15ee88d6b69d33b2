"""Reading what servers send about jobs. Members that are not known are ignored."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .._checks import shorten
from .._errors import BadAnswer
from .._job import Job, JobProblem, JobResult, JobStatus

_MOST_MEMBERS = 10_000
_LONGEST_WORD = 64
_STATUSES = {status.value: status for status in JobStatus}


def parse_object(body: bytes, *, most_members: int = _MOST_MEMBERS) -> dict[str, Any]:
    """Read a JSON object of `most_members` members at most, those within it too.

    Raises:
        BadAnswer: it is none; the message quotes its beginning.
    """
    # A megabyte of brackets becomes thirty of objects; no answer has so many members.
    if sum(map(body.count, (b"{", b"[", b","))) > most_members:
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
    return read_word(word)


def read_word(word: str) -> tuple[JobStatus, str | None]:
    """Say what a status word means; see `parse_status`."""
    status = _STATUSES.get(word)
    if status is not None:
        return status, None
    return JobStatus.RUNNING, sys.intern(word[:_LONGEST_WORD])


def parse_job(document: Mapping[str, Any], *, job_id: str = "") -> Job:
    """Read a job document.

    Only the status must be there, and the id where none was asked for: a progress
    that cannot be read is no reason to lose a job.

    Raises:
        BadAnswer: naming the member that is missing.
    """
    status, unknown_word = parse_status(document, "status")
    # Whoever asked by an id goes on asking by it, whatever the server calls it.
    told_id = job_id or read_text(document.get("id"))
    if not told_id:
        raise BadAnswer(f"the answer has no word as 'id': {shorten(document)}")
    told = document.get
    return Job(
        id=told_id,
        status=status,
        unknown_word=unknown_word,
        progress=read_progress(told("progress")),
        stage=_shared(told("stage")),
        target_language=_shared(told("target_language")),
        source_language=_shared(told("source_language")),
        media_seconds=_number(told("media_seconds")),
        created_at=read_instant(told("created_at")),
        started_at=read_instant(told("started_at")),
        finished_at=read_instant(told("finished_at")),
        error=_problem(told("error")),
        result=_result(told("result")),
    )


def read_text(value: object) -> str | None:
    """Return what is a text."""
    return value if isinstance(value, str) else None


def read_progress(value: object) -> float | None:
    """Return what is a share from 0 to 1; more than all is all."""
    number = _number(value)
    return number if number is None or number <= 1.0 else 1.0


def read_instant(value: object) -> datetime | None:
    """Return what is an instant of a known time zone."""
    # Most jobs have not ended yet, and a refusal by the parser costs more than its work.
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def _shared(value: object) -> str | None:
    """Return what is a text, once for all jobs that have the same."""
    if not isinstance(value, str):
        return None
    return sys.intern(value) if len(value) <= _LONGEST_WORD else value


def _number(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    # An integer may be too large for a float.
    return float(value) if 0 <= value < 1e15 and math.isfinite(value) else None


def _problem(value: object) -> JobProblem | None:
    if not isinstance(value, dict):
        return None
    return JobProblem(
        type=_shared(value.get("type")) or "about:blank",
        title=_shared(value.get("title")) or "The job failed",
        detail=read_text(value.get("detail")),
    )


def _result(value: object) -> JobResult | None:
    if not isinstance(value, dict):
        return None
    return JobResult(
        video_url=read_text(value.get("video_url")),
        subtitles_url=read_text(value.get("subtitles_url")),
    )
