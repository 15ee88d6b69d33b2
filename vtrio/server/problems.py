"""From errors to problem documents (RFC 9457): one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
from werkzeug.exceptions import HTTPException

from .documents import PROBLEM_TYPES
from .errors import (
    BadCursor,
    BadField,
    BadJson,
    BadKey,
    BadQuery,
    BadRange,
    BadUpload,
    ExpiredCursor,
    KeyReused,
    NoRoom,
    NotCompleted,
    NotReady,
    RequestRefused,
    Stopping,
    TooLarge,
    TooManyHeld,
    TooManyIds,
    TooManyWaiting,
    TooSlow,
    Unauthorized,
    UnknownJob,
    WrongMediaType,
)

CONTENT_TYPE = "application/problem+json"

# Seconds after which to come again: a server that stops has come back or gone by then,
# and a place for a job or a held request may have become free.
_COMING_BACK: Mapping[type[RequestRefused], str] = MappingProxyType(
    {NotReady: "5", Stopping: "5", TooManyHeld: "5", TooManyWaiting: "30"}
)

_TABLE: Mapping[type[RequestRefused], tuple[int, str, str]] = MappingProxyType(
    {
        BadKey: (400, "bad-idempotency-key", "The Idempotency-Key cannot be read"),
        BadCursor: (400, "bad-cursor", "The cursor cannot be read"),
        BadJson: (400, "bad-json", "The JSON cannot be read"),
        BadUpload: (400, "bad-upload", "The form cannot be read"),
        Unauthorized: (401, "unauthorized", "An API key is needed"),
        UnknownJob: (404, "unknown-job", "There is no such job"),
        TooSlow: (408, "upload-too-slow", "The upload stopped coming in"),
        NotCompleted: (409, "not-completed", "The job has no result"),
        ExpiredCursor: (410, "expired-cursor", "The cursor has expired"),
        TooLarge: (413, "too-large", "The body is too large"),
        WrongMediaType: (415, "wrong-media-type", "The body is of another type"),
        BadRange: (416, "bad-range", "The range cannot be served"),
        BadField: (422, "bad-field", "A field is missing or not allowed"),
        BadQuery: (422, "bad-query", "A parameter is missing or not allowed"),
        KeyReused: (422, "key-reused", "The Idempotency-Key was used before"),
        TooManyIds: (422, "too-many-ids", "The request names too many jobs"),
        TooManyHeld: (429, "too-many-held", "The client holds too many requests"),
        NotReady: (503, "not-ready", "The server cannot work"),
        Stopping: (503, "stopping", "The server is stopping"),
        TooManyWaiting: (503, "too-many-waiting", "Too many jobs are waiting"),
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

    def body(self, *, request_id: str, instance: str | None = None) -> bytes:
        """Return the JSON; `instance` is where it happened, unless it has its own."""
        document = {
            "type": PROBLEM_TYPES + self.kind if self.kind else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance or instance,
            "request_id": request_id,
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


def problem_for(
    error: Exception, log: structlog.stdlib.BoundLogger, request_id: str
) -> Problem:
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
            return internal_problem(log, request_id, error)


def internal_problem(
    log: structlog.stdlib.BoundLogger, request_id: str, error: Exception | None = None
) -> Problem:
    """Log an error that nobody foresaw, and return a problem that tells nothing of it.

    Both name the request. Without `error` it is the one being handled.
    """
    log.error("request-failed", exc_info=error or True)
    return Problem(
        status=500,
        kind="internal-error",
        title="The server failed",
        detail=f"the log of the server says more, under {request_id}",
    )


def _refusal(error: RequestRefused) -> Problem:
    status, kind, title = _TABLE[type(error)]
    members: dict[str, str] = {}
    headers: dict[str, str] = {}
    match error:
        case BadField(field=name) | BadQuery(field=name):
            members["field"] = name
        case BadRange(size=size):
            headers["Content-Range"] = f"bytes */{size}"
        case Unauthorized():
            headers["WWW-Authenticate"] = "Bearer"
    if (seconds := _COMING_BACK.get(type(error))) is not None:
        headers["Retry-After"] = seconds
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
