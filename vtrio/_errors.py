"""Everything that vtrio raises, cut by who has to act.

    VtrioError
    ├── JobEnded            the job ended without a result: look at the video
    │   ├── JobFailed
    │   └── JobCancelled
    ├── GaveUp              the wait ended before the job did: wait again, or longer
    │   ├── WaitTimeout     (a TimeoutError) a limit of the wait was reached
    │   └── NoAnswer        nothing answered for `max_silence` seconds
    ├── DamagedHistory      a file of durations is not what was written
    └── RemoteError         the remote misbehaved
        ├── TransientError  asking again can help; a wait survives these
        │   ├── Unreachable     no connection, or it broke
        │   ├── RequestTimedOut no whole answer within the time of one request
        │   ├── ServerBusy      408, 425, 429 or 5xx
        │   └── BadAnswer       not the JSON, length or encoding expected
        └── Refused         asking again will not help (other 4xx)
            ├── Unauthorized    401, 403
            ├── JobNotFound     404, 410
            ├── CursorExpired   410 of a feed: the changes after it are gone
            └── Redirected      3xx, not followed

Misuse stays `ValueError`, `TypeError` or `RuntimeError`. Each error can be pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._names import publish

if TYPE_CHECKING:
    from ._job import Job
    from ._receipt import Receipt


class VtrioError(Exception):
    """The root of the tree.

    Attributes:
        job_id: the job it is about, where one is known: `client.wait(error.job_id)`
            takes the wait up again.
        job: the last that was heard of the job, if anything was.
        receipt: what the wait had cost so far, if there was one.
    """

    job_id: str | None = None
    job: Job | None = None
    receipt: Receipt | None = None

    def __init__(
        self,
        message: str = "",
        *,
        job_id: str | None = None,
        job: Job | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.job = job
        self.receipt = receipt


class JobEnded(VtrioError):
    """The job ended without a result; waiting again cannot help."""


class JobFailed(JobEnded):
    """The server ended the job with an error: `error.job.error` says which."""


class JobCancelled(JobEnded):
    """Somebody cancelled the job on the server."""


class GaveUp(VtrioError):
    """The wait ended before the job did; the job may well be running still."""


class WaitTimeout(GaveUp, TimeoutError):
    """`max_wait_time` or `max_attempts` was reached; a new wait goes on where it was."""


class NoAnswer(GaveUp):
    """Nothing has answered for `max_silence` seconds; is the server there?"""


class DamagedHistory(VtrioError):
    """A history file cannot be used: it is broken, or of another version."""


class RemoteError(VtrioError):
    """The remote did not answer as it should.

    Attributes:
        status_code: of the HTTP answer, where there was one.
        hint: the pause in seconds that the server asked for, where it did.
        size: bytes of the answer's body that were read.
        idempotency_key: of a submission: submitting again with it cannot make a
            second job.
    """

    status_code: int | None = None
    hint: float | None = None
    size: int = 0
    idempotency_key: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        hint: float | None = None,
        size: int = 0,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, job_id=job_id)
        self.status_code = status_code
        self.hint = hint
        self.size = size


class TransientError(RemoteError):
    """Asking again can help. A wait counts it, remembers it and goes on."""


class Unreachable(TransientError):
    """There was no connection to the server, or it broke."""


class RequestTimedOut(TransientError):
    """One request took longer than `request_timeout`; the connection may be dead."""


class ServerBusy(TransientError):
    """The server answered 408, 425, 429 or 5xx."""


class BadAnswer(TransientError):
    """The answer was not what was expected: broken, too long, or not JSON."""


class Refused(RemoteError):
    """The server will not do it, and asking again will not change that."""


class Unauthorized(Refused):
    """The server answered 401 or 403: the API key is missing, wrong or not allowed."""


class JobNotFound(Refused):
    """The server knows no such job (404), or no longer (410)."""


class CursorExpired(Refused):
    """The changes that follow a cursor are no longer kept: look at the jobs instead."""


class Redirected(Refused):
    """The server sent us elsewhere; set `base_url` to the address that it names."""


publish(
    BadAnswer,
    CursorExpired,
    DamagedHistory,
    GaveUp,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNotFound,
    NoAnswer,
    Redirected,
    Refused,
    RemoteError,
    RequestTimedOut,
    ServerBusy,
    TransientError,
    Unauthorized,
    Unreachable,
    VtrioError,
    WaitTimeout,
)
