"""What errors of HTTP, and of the libraries that speak it, mean in our terms."""

from __future__ import annotations

import re
from types import ModuleType

from .._checks import shorten
from .._errors import (
    BadAnswer,
    CursorExpired,
    JobNotFound,
    Redirected,
    Refused,
    RemoteError,
    RequestTimedOut,
    ServerBusy,
    Unauthorized,
    Unreachable,
)
from ._documents import parse_object
from ._reading import Reply, told_by


def foreign_errors(library: ModuleType) -> tuple[type[Exception], ...]:
    """List what a library raises that `translate_error` translates."""
    # A host that cannot be written in ASCII is an error of Unicode's.
    return (library.HTTPError, library.InvalidURL, UnicodeError)


def translate_error(
    library: ModuleType, error: Exception, where: str, *, has_key: bool
) -> RemoteError:
    """Say in our terms what went wrong. The table of the library's exceptions."""
    text = str(error) or type(error).__name__
    # The library looks at where a redirect leads, even if it is not to follow.
    is_address = isinstance(error, (library.InvalidURL, UnicodeError))
    if is_address or "location header" in text:
        return Redirected(
            f"{where} answered with a redirect that cannot be read ({text}); give"
            " the address of the server itself as base_url"
        )
    if isinstance(error, library.HTTPStatusError):  # a hook of the caller's
        told = error.response
        reply = Reply(told.status_code, told_by(told), b"")
        return refusal(reply, where, has_key=has_key)
    if isinstance(error, library.TimeoutException):
        return RequestTimedOut(f"{where} was silent for too long: {text}")
    if isinstance(error, library.TransportError):
        return Unreachable(f"{where} cannot be reached or hung up: {text}")
    return BadAnswer(f"{where} answered what cannot be read: {text}")


def shown(url: str) -> str:
    """Write an address for a message: what follows a `?` may be a signature."""
    return url.partition("?")[0]


def unusable_address(url: str, error: Exception) -> Refused:
    """Say that an address which a server gave leads nowhere."""
    return Refused(
        f"the address {shorten(shown(url))} cannot be used: {error}; it is the"
        " server's own, so look there"
    )


def refusal(reply: Reply, url: str, *, has_key: bool) -> RemoteError:
    """Say what an answer that is not a good one means, with all that it told."""
    return _with_all(_meaning(reply, url, has_key=has_key), reply)


def feed_refusal(reply: Reply, url: str, *, has_key: bool, cursor: str) -> RemoteError:
    """Say what such an answer means where the changes after a cursor were asked for."""
    if reply.status == 410:
        why = "the changes after it are no longer kept"
    elif reply.status == 400 and _problem_kind(reply) == "bad-cursor":
        why = "it is none of this server's"
    else:
        return refusal(reply, url, has_key=has_key)
    said = f"{url} answered {reply.status}{_problem_text(reply)}"
    error = CursorExpired(
        f"{said} to the cursor {shorten(cursor)}: {why}; look at the jobs, and go on"
        " from the cursor of that answer"
    )
    return _with_all(error, reply)


def _with_all(error: RemoteError, reply: Reply) -> RemoteError:
    error.status_code = reply.status
    error.hint = reply.hint
    error.size = len(reply.body)
    return error


def _meaning(reply: Reply, url: str, *, has_key: bool) -> RemoteError:
    """Say what an answer that is not a good one means. The table of HTTP statuses."""
    status = reply.status
    said = f"{url} answered {status}{_problem_text(reply)}"
    if status in {408, 425, 429} or status >= 500:
        return ServerBusy(said)
    if status == 304 or status < 300:
        return BadAnswer(said)
    if status < 400:
        target = reply.headers.get("location", "nowhere")
        return Redirected(
            f"{said} with a redirect to {shorten(target)}, which is not followed; if"
            " that is where the server is, give its address as base_url"
        )
    if status == 401:
        step = "check the api_key" if has_key else "give the client an api_key"
        return Unauthorized(f"{said}; {step}")
    if status == 403:
        return Unauthorized(f"{said}; ask for an api_key that may do this")
    if status in {404, 410}:
        return JobNotFound(f"{said}; check the address, and the job's id")
    return Refused(f"{said}; the request must change before it is sent again")


def _problem_kind(reply: Reply) -> str:
    """Return the last word of a problem's type: `urn:vtrio:problem:bad-cursor`."""
    try:
        kind = parse_object(reply.body).get("type")
    except BadAnswer:
        return ""
    return re.split("[:/#]", kind)[-1] if isinstance(kind, str) else ""


def _problem_text(reply: Reply) -> str:
    """Quote a problem document (RFC 9457), where the answer is one."""
    try:
        document = parse_object(reply.body)
    except BadAnswer:
        return ""
    texts = [document.get("title"), document.get("detail")]
    told = ": ".join(text for text in texts if isinstance(text, str) and text)
    return f" ({shorten(told, 300)})" if told else ""
