"""What the server raises: why it cannot serve, and why it refuses a request.

ServeError              the server cannot start: a port, an address, a folder
RequestRefused          one request cannot be served; `problems` has the answers
├── Unauthorized        no API key that the server knows
├── UnknownJob
├── NotCompleted        its result was asked for too early, or there is none
├── KeyReused           the same Idempotency-Key with another payload
├── BadKey              the Idempotency-Key cannot be read
├── BadField            a field of the form is missing or wrong
├── BadQuery            a parameter of the query is wrong
├── BadJson             the body is not the JSON expected
├── BadCursor           no cursor of any feed
├── ExpiredCursor       the events after it are not kept any more
├── TooManyIds          more than one request may name
├── BadUpload           the body is not the multipart form expected
├── WrongMediaType      the body is something else altogether
├── TooLarge
├── TooSlow
├── BadRange            the bytes asked for lie outside the file
├── NoRoom              the disk is full
├── TooManyHeld         one client holds as many requests as it may
├── TooManyWaiting      as many jobs wait for a worker as may
├── NotReady            the server cannot work at this moment
└── Stopping            the server takes no new work
"""

from __future__ import annotations

from collections.abc import Iterator


class ServeError(Exception):
    """The server cannot start or go on; the message says why."""


def leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    """Yield the errors in a group, and in those inside it."""
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from leaves(error)
        else:
            yield error


class RequestRefused(Exception):
    """The root of what a client is told; its text is the detail of the problem."""


class UnknownJob(RequestRefused):
    """There is no job of this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id[:80]!r} on this server")
        self.job_id = job_id


class NotCompleted(RequestRefused):
    """The job has no result: it has not ended, or not well."""


class KeyReused(RequestRefused):
    """An idempotency key came again with another payload."""


class BadKey(RequestRefused):
    """The `Idempotency-Key` header cannot be read."""


class BadField(RequestRefused):
    """A field of the form is missing, given twice or not allowed."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class BadUpload(RequestRefused):
    """The body is not a well-formed multipart form."""


class WrongMediaType(RequestRefused):
    """The body is of a type that this server does not take."""


class TooLarge(RequestRefused):
    """The body, or one of its parts, is larger than this server takes."""


class TooSlow(RequestRefused):
    """The body stopped coming in."""


class BadRange(RequestRefused):
    """No byte of the range asked for lies inside the file."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside the {size} bytes of the file")
        self.size = size


class NoRoom(RequestRefused):
    """The server has no room for what is sent."""


class Stopping(RequestRefused):
    """The server is stopping and takes no new work."""


class Unauthorized(RequestRefused):
    """The request has no API key, or none that the server knows."""


class BadQuery(RequestRefused):
    """A parameter of the query is missing, given twice or not allowed."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class BadJson(RequestRefused):
    """The body is not JSON, or not the JSON that this route takes."""


class BadCursor(RequestRefused):
    """The cursor is none that a feed gave out."""


class ExpiredCursor(RequestRefused):
    """Events after the cursor have been dropped, or it is another store's."""


class TooManyIds(RequestRefused):
    """The request names more jobs than one request may."""


class TooManyHeld(RequestRefused):
    """The client holds as many requests as one client may."""


class TooManyWaiting(RequestRefused):
    """As many jobs wait for a worker as may."""


class NotReady(RequestRefused):
    """The server cannot work at this moment."""
