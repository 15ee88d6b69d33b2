"""What is left of a wait for many jobs, as plain JSON: another process takes it up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ._checks import shorten

VERSION = 1

WaitToken = dict[str, Any]
"""Plain JSON; `version`, `base_url`, `saved_at`, `cursor`, and `jobs` with their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftJob:
    """A job that was still waited for.

    Attributes:
        id: of the job.
        age: seconds since its submission when the token was made, where known.
        status: the status word that was known then; None if it has to be looked at.
    """

    id: str
    age: float | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a token says.

    Attributes:
        base_url: the server.
        saved_at: when the token was made, by the clock on the wall.
        cursor: where the feed goes on.
        jobs: which were waited for.
    """

    base_url: str
    saved_at: datetime
    cursor: str | None
    jobs: Sequence[LeftJob]


def make_token(
    jobs: Iterable[LeftJob], *, base_url: str, saved_at: datetime, cursor: str | None
) -> WaitToken:
    """Write a token."""
    return {
        "version": VERSION,
        "base_url": base_url,
        "saved_at": saved_at.isoformat(timespec="seconds"),
        "cursor": cursor,
        "jobs": [{"id": job.id, "age": job.age, "status": job.status} for job in jobs],
    }


def read_token(token: Mapping[str, Any]) -> Left:
    """Read a token. Members that are not known are ignored.

    Raises:
        ValueError: naming what is wrong with it.
    """
    version = token.get("version")
    if version != VERSION:
        raise _refusal(
            "version", version, f"must be {VERSION}; is it a token of waits?"
        )
    base_url, cursor = token.get("base_url"), token.get("cursor")
    if not isinstance(base_url, str):
        raise _refusal("base_url", base_url, "must be an address")
    if not isinstance(cursor, (str, type(None))):
        raise _refusal("cursor", cursor, "must be text or null")
    jobs = token.get("jobs")
    if not isinstance(jobs, list):
        raise _refusal("jobs", jobs, "must be a list")
    return Left(
        base_url=base_url,
        saved_at=_instant(token.get("saved_at")),
        cursor=cursor,
        jobs=tuple(map(_job, jobs)),
    )


def _instant(value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise _refusal("saved_at", value, "must be an instant with its offset from UTC")
    return instant


def _job(value: object) -> LeftJob:
    members = value if isinstance(value, dict) else {}
    job_id, age, status = (members.get(name) for name in ("id", "age", "status"))
    if not isinstance(job_id, str) or not job_id:
        raise _refusal("jobs", value, "must be objects that have an id")
    if age is not None and (
        not isinstance(age, (int, float))
        or isinstance(age, bool)
        or not 0 <= age < math.inf
    ):
        raise _refusal("age", age, "must be seconds or null")
    if not isinstance(status, (str, type(None))):
        raise _refusal("status", status, "must be a word or null")
    return LeftJob(id=job_id, age=age, status=status)


def _refusal(member: str, value: object, allowed: str) -> ValueError:
    return ValueError(
        f"the token's {member}={shorten(value)} is not allowed: {allowed}"
    )
