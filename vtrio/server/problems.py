"""From errors to problem documents (RFC 9457): one table."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from werkzeug.exceptions import HTTPException

from .documents import PROBLEM_TYPES
from .errors import (
    BadField,
    BadKey,
    BadRange,
    BadUpload,
    KeyReused,
    NoRoom,
    NotCompleted,
    RequestRefused,
    Stopping,
    TooLarge,
    TooSlow,
    UnknownJob,
    WrongMediaType,
)

CONTENT_TYPE = "application/problem+json"

# Seconds after which a server that stops has either come back or gone.
_COMING_BACK = "5"

_TABLE: Mapping[type[RequestRefused], tuple[int, str, str]] = MappingProxyType(
    {
        BadKey: (400, "bad-idempotency-key", "The Idempotency-Key cannot be read"),
        BadUpload: (400, "bad-upload", "The form cannot be read"),
        UnknownJob: (404, "unknown-job", "There is no such job"),
        TooSlow: (408, "upload-too-slow", "The upload stopped coming in"),
        NotCompleted: (409, "not-completed", "The job has no result"),
        TooLarge: (413, "too-large", "The upload is too large"),
        WrongMediaType: (415, "wrong-media-type", "The body is of another type"),
        BadRange: (416, "bad-range", "The range cannot be served"),
        BadField: (422, "bad-field", "A field is missing or not allowed"),
        KeyReused: (422, "key-reused", "The Idempotency-Key was used before"),
        Stopping: (503, "stopping", "The server is stopping"),
        NoRoom: (507, "no-room", "The server has no room"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem document; without a kind its type is `about:blank`."""

    status: int
    title: str
    kind: str | None = None
    detail: str | None = None
    instance: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, *, instance: str | None = None) -> bytes:
        """Return the JSON; `instance` is where it happened, unless it has its own."""
        document = {
            "type": PROBLEM_TYPES + self.kind if self.kind else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance or instance,
            **self.members,
        }
        return json.dumps(
            {name: value for name, value in document.items() if value is not None}
        ).encode()

    def all_headers(self) -> dict[str, str]:
        """Return the headers of the answer, the type of its content included."""
        return {
            "Content-Type": CONTENT_TYPE,
            "Cache-Control": "no-store",
            **self.headers,
        }


def problem_for(error: Exception, log: logging.Logger, what: str) -> Problem:
    """Return the problem that an error is; one that nobody foresaw is logged."""
    match error:
        case RequestRefused():
            return _refusal(error)
        case HTTPException(code=int(code)):
            return Problem(
                status=code,
                title=error.name,
                detail=error.description,
                headers=_headers_of(error),
            )
        case _:
            return internal_problem(log, what, error)


def internal_problem(
    log: logging.Logger, what: str, error: Exception | None = None
) -> Problem:
    """Log an error that nobody foresaw, and return a problem that tells nothing of it.

    Both name the same random id. Without `error` it is the one being handled.
    """
    incident = secrets.token_hex(8)
    log.error(
        "request-failed incident=%s request=%r", incident, what, exc_info=error or True
    )
    return Problem(
        status=500,
        kind="internal-error",
        title="The server failed",
        detail=f"the log of the server says more, under {incident}",
        instance=f"urn:vtrio:incident:{incident}",
    )


def _refusal(error: RequestRefused) -> Problem:
    status, kind, title = _TABLE[type(error)]
    members: dict[str, str] = {}
    headers: dict[str, str] = {}
    match error:
        case BadField(field=name):
            members["field"] = name
        case BadRange(size=size):
            headers["Content-Range"] = f"bytes */{size}"
        case Stopping():
            headers["Retry-After"] = _COMING_BACK
    return Problem(
        status=status,
        kind=kind,
        title=title,
        detail=str(error),
        members=members,
        headers=headers,
    )


def _headers_of(error: HTTPException) -> dict[str, str]:
    """Return what an error of the framework puts beside its page, such as `Allow`."""
    return {
        name: value
        for name, value in error.get_headers()
        if name.lower() != "content-type"
    }
