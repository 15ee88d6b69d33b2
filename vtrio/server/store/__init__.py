"""Where the jobs are kept: on disk, by SQLAlchemy, one writer and many readers."""

from __future__ import annotations

from .failures import StoreFailed
from .opening import FILE, url_of_file
from .records import (
    NOBODY,
    ApiKeyRecord,
    Changes,
    EventPage,
    IdempotencyKey,
    Instant,
    JobEvent,
    JobRecord,
    Overtaken,
    Submission,
)
from .store import Store, open_store

__all__ = [
    "FILE",
    "NOBODY",
    "ApiKeyRecord",
    "Changes",
    "EventPage",
    "IdempotencyKey",
    "Instant",
    "JobEvent",
    "JobRecord",
    "Overtaken",
    "Store",
    "StoreFailed",
    "Submission",
    "open_store",
    "url_of_file",
]
