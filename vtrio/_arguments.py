"""Checks of what the client is given; each failure names value and what is allowed."""

from __future__ import annotations

import os
import re
from types import NoneType
from urllib.parse import SplitResult, urlsplit

from ._checks import shorten
from ._job import Job
from ._source import StatusSource
from .schedules import History, Schedule

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,255}")


def check_base_url(value: object) -> str:
    """Let through an address of a server, without a slash at its end."""
    parts = _split(value)
    if (
        not isinstance(value, str)
        or parts is None
        or parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or not _VISIBLE.fullmatch(value)
    ):
        raise ValueError(
            f"base_url={shorten(value)} is not allowed: must be an http:// or https://"
            " address with a host, without query or fragment"
        )
    if parts.username is not None:
        # Not quoted: what stands there is a secret.
        raise ValueError(
            "base_url with a user or a password in it is not allowed: must be the bare"
            " address; give the key as api_key"
        )
    return value.rstrip("/")


def check_api_key(value: object) -> str | None:
    """Let through what fits into a header; the value is never quoted."""
    if value is None:
        return None
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        raise ValueError(
            "api_key of that form is not allowed: must be visible ASCII characters"
            " without spaces"
        )
    return value


def check_schedule(schedule: object, backoff: dict[str, float]) -> None:
    """Refuse what is no schedule, and a schedule beside backoff parameters."""
    if isinstance(schedule, type) or not isinstance(schedule, Schedule):
        raise ValueError(
            f"schedule={shorten(schedule)} is not allowed: must have a method"
            " `delay(state)`, such as Fixed(5) or Learned(requests_per_job=5)"
        )
    if backoff:
        given = ", ".join(f"{name}={value!r}" for name, value in backoff.items())
        raise ValueError(
            f"schedule={shorten(schedule)} together with {given} is not allowed: must"
            " be one or the other, since both say how long to pause"
        )


def check_status_path(value: object) -> None:
    """Refuse a path that does not say where the job's id goes."""
    fits = (
        isinstance(value, str)
        and _VISIBLE.fullmatch(value)
        and value.startswith("/")
        and not value.startswith("//")
        and "{id}" in value
        and "#" not in value
    )
    if not fits:
        raise ValueError(
            f"status_path={shorten(value)} is not allowed: must begin with one '/' and"
            " have {id} in it, such as '/jobs/{id}/status'"
        )


def check_collaborators(*, source: object, history: object, rng: object) -> None:
    """Refuse what cannot do what the client will ask of it."""
    if source is not None and (
        isinstance(source, type) or not isinstance(source, StatusSource)
    ):
        raise ValueError(
            f"source={shorten(source)} is not allowed: must have `capabilities` and"
            " an async `status(job_id)`; see vtrio.StatusSource"
        )
    if not isinstance(history, (str, os.PathLike, NoneType)) and (
        isinstance(history, type) or not isinstance(history, History)
    ):
        raise ValueError(
            f"history={shorten(history)} is not allowed: must be the name of a file, or"
            " have a method `observe(observation)`; see vtrio.schedules.History"
        )
    if rng is not None and not callable(getattr(rng, "random", None)):
        raise ValueError(f"rng={shorten(rng)} is not allowed: must be a random.Random")


def check_key(value: object) -> str:
    """Let through the name of a class of jobs."""
    if not isinstance(value, str) or not _is_sendable(value):
        raise ValueError(
            f"key={shorten(value)} is not allowed: must be a text, the name of a class"
            " of jobs"
        )
    return value


def check_text(name: str, value: object) -> str:
    """Let through a short text that is not empty."""
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= 255
        or not value.isprintable()
    ):
        raise ValueError(
            f"{name}={shorten(value)} is not allowed: must be a text of 1 to 255"
            " printable characters"
        )
    return value


def check_idempotency_key(value: object) -> str:
    """Let through what fits between quotes in a header."""
    if not isinstance(value, str) or not _QUOTABLE.fullmatch(value):
        raise ValueError(
            f"idempotency_key={shorten(value)} is not allowed: must be 1 to 255 ASCII"
            " characters without quotes and backslashes"
        )
    return value


def id_of(job: object) -> str:
    """Return the id of a job, or the id that was given in its place."""
    if isinstance(job, Job):
        job = job.id
    if not isinstance(job, str) or not 0 < len(job) <= 1024 or not _is_sendable(job):
        raise ValueError(
            f"job={shorten(job)} is not allowed: must be a Job or its id, a text of 1"
            " to 1024 characters"
        )
    return job


def _is_sendable(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(value: object) -> SplitResult | None:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return None
    return parts
