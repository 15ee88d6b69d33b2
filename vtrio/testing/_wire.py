"""The wire of a translation server: documents, headers, problems, forms, ranges."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from typing import Any

from .._job import FINAL, JobStatus
from ._instants import wall
from ._replies import Coming, Reply, in_pieces, respond

COLLECTION = "/v1/translations"
_PROBLEMS = "urn:vtrio:problem:"
_PRIVATE = {"cache-control": "private, no-cache"}
_ABOUT_JOBS = {
    "content-type": "application/json",
    "vary": "Prefer, Authorization",
    **_PRIVATE,
}
_WORD = re.compile(r"[A-Za-z0-9_]+")
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
# What the form without ids can say; the rest of our words mean one of these there.
_RESULT_WORDS = {"running": "pending", "cancelled": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A form as it was read: its fields, the file, and what tells it from others."""

    fields: Mapping[str, str]
    video: bytes
    digest: str


class BadSubmission(Exception):
    """A form that the server would not take; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.told)
        self.reply = reply


def is_final(word: str) -> bool:
    """Tell whether a status word is one that never changes again."""
    return word in FINAL


def result_word(word: str) -> Reply:
    """Answer in the form without ids: `{"result": WORD}`."""
    told = _RESULT_WORDS.get(word, word)
    reply = respond(json={"result": told}, headers={"cache-control": "no-store"})
    return replace(reply, told=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How an answer about jobs is given.

    Attributes:
        now: the instant of which it tells.
        hint: whole seconds to ask to wait, where a job still runs.
        cursor: that of the feed, read before the jobs are.
        wait: for how many seconds at most it was held; None where it was not.
        whole: whether the feed tells the documents of jobs that have ended.
    """

    now: float
    hint: int | None = None
    cursor: str | None = None
    wait: int | None = None
    whole: bool = False

    def headers(self, *, runs: bool) -> dict[str, str]:
        """Return its headers; `runs` tells whether a job still does."""
        headers = {}
        if self.cursor is not None:
            headers["events-cursor"] = self.cursor
        applied = [] if self.wait is None else [f"wait={self.wait}"]
        if self.whole:
            applied.append("return=representation")
        if applied:
            headers["preference-applied"] = ", ".join(applied)
        if self.wait is None and runs and self.hint is not None:
            headers["retry-after"] = str(self.hint)
        return headers


@dataclass(slots=True)
class Written:
    """A job's document as it goes over the wire."""

    word: str
    body: bytes
    _etag: str = field(default="", init=False)

    @property
    def etag(self) -> str:
        """Its strong `ETag`, which names the status where that is a plain word."""
        if not self._etag:  # in a list it has none
            word = self.word if _WORD.fullmatch(self.word) else "other"
            self._etag = f'"{word}-{strong_etag(self.body)[1:]}'
        return self._etag


def dump(document: Any) -> bytes:
    """Write JSON."""
    return json.dumps(document).encode()


def about_jobs(
    body: bytes, *, headers: Mapping[str, str], told: str, status: int = 200
) -> Reply:
    """Answer about jobs; what changes with every look is in the headers."""
    length = {"content-length": str(len(body))}
    return Reply(
        status=status,
        headers={**_ABOUT_JOBS, **length, **headers},
        body=(body,),
        told=told,
    )


def stream_about_jobs(body: Coming, *, headers: Mapping[str, str]) -> Reply:
    """Answer about jobs for as long as there is something to tell."""
    return Reply(headers={**_ABOUT_JOBS, **headers}, body=body, told="stream")


def not_modified(reply: Reply) -> Reply:
    """Answer that a document is the one which the client has."""
    about_content = {"content-type", "content-length"}
    headers = {k: v for k, v in reply.headers.items() if k not in about_content}
    return replace(reply, status=304, headers=headers, body=())


def problem(status: int, kind: str, title: str, detail: str = "") -> Reply:
    """Answer with a problem document (RFC 9457)."""
    members = {
        "type": _PROBLEMS + kind,
        "title": title,
        "status": status,
        "detail": detail or title,
    }
    headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
    return replace(respond(status, json=members, headers=headers), told=title.lower())


def unknown_job(job_id: str) -> Reply:
    """Answer about a job that nobody knows."""
    return problem(404, "unknown-job", "There is no such job", f"none is {job_id!r}")


def result(data: bytes, *, name: str, kind: str, asked: Mapping[str, str]) -> Reply:
    """Answer with a file, the part of it that was asked for, or that it is the same."""
    etag = strong_etag(name.encode() + data)
    headers = {"accept-ranges": "bytes", "etag": etag, "vary": "Authorization"}
    headers |= _PRIVATE
    if etag in re.findall(r'"[^"]*"', asked.get("if-none-match", "")):
        return replace(respond(304, headers=headers), told="not modified")
    size = len(data)
    part = None
    if asked.get("if-range", etag) == etag:
        part = _read_range(asked.get("range", ""), size)
    if part is not None and part[0] >= part[1]:
        bad = problem(416, "bad-range", "The range cannot be served")
        return replace(bad, headers={**bad.headers, "content-range": f"bytes */{size}"})
    start, stop = part or (0, size)
    headers |= {"content-type": kind, "content-length": str(stop - start)}
    if part is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Reply(
        status=200 if part is None else 206,
        headers=headers,
        body=in_pieces(data[start:stop]),
        told=f"{stop - start} bytes",
    )


def _read_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte asked for and the one after the last; None for all."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size if int(match[2]) else 0
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    return first, min(int(match[2]) + 1, size) if match[2] else size


def read_submission(headers: Mapping[str, str], body: bytes) -> Submission:
    """Read the form of a submission.

    Raises:
        BadSubmission: with the answer that says why.
    """
    kind = headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise BadSubmission(
            problem(
                415,
                "wrong-media-type",
                "The body is of another type",
                f"it must be multipart/form-data, not {kind!r}",
            )
        )
    form = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    parts: dict[str, bytes] = {}
    for part in form.walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            content = part.get_payload(decode=True)
            parts[name] = content if isinstance(content, bytes) else b""
    video = parts.pop("video", None)
    fields = {name: value.decode(errors="replace") for name, value in parts.items()}
    if not fields.get("target_language"):
        raise BadSubmission(_missing("target_language"))
    if not video:
        raise BadSubmission(_missing("video"))
    told = json.dumps(sorted(fields.items())).encode()
    digest = hashlib.sha256(told + hashlib.sha256(video).digest()).hexdigest()
    return Submission(fields=fields, video=video, digest=digest)


def _missing(name: str) -> Reply:
    return problem(
        422, "bad-field", "A field is missing or not allowed", f"{name} is missing"
    )


def strong_etag(content: bytes) -> str:
    """Return a strong `ETag` for exactly these bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def instant_at(at: float | None) -> str | None:
    """Write an instant as RFC 3339 has it: UTC, with milliseconds."""
    if at is None:
        return None
    return f"{wall(at).isoformat(timespec='milliseconds')[:-6]}Z"  # +00:00 is left out


def default_error() -> dict[str, Any]:
    """Say why a scripted job failed, where the script does not."""
    return {
        "type": f"{_PROBLEMS}scripted-failure",
        "title": "The job failed, as its script says",
        "detail": None,
    }


def status_word(what: object) -> str:
    """Return a status as it goes over the wire."""
    return what.value if isinstance(what, JobStatus) else str(what)
