"""A server that is put to the test, and what each of its answers has to have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

COLLECTION = "/v1/translations"
_MEMBERS = {
    *("id", "status", "progress", "stage", "target_language", "source_language"),
    *("media_seconds", "created_at", "started_at", "finished_at", "error", "result"),
}
SECONDS = re.compile(r"\d+(\.\d+)?")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STRONG = re.compile(r'"[^"]+"')
_SAFE = re.compile(r"[A-Za-z0-9._~-]+")
VIDEO = bytes(range(256)) * 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUnderTest:
    """A server, how to reach it, and what is true of its jobs.

    Attributes:
        url: where it is.
        http: an `AsyncClient` of httpx or httpx2 that reaches it.
        jobs: ids of jobs by their status: at least a `running`, a `completed` and an
            `error`. Each stays as it is while a test runs, unless the test changes it.
        form: what else to send with a video; the job that it makes completes soon.
    """

    url: str
    http: Any
    jobs: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=lambda: {"target_language": "pt"})

    def __post_init__(self) -> None:
        missing = {"running", "completed", "error"} - self.jobs.keys()
        if missing:
            raise ValueError(
                f"jobs={dict(self.jobs)!r} is not allowed: must have"
                f" {', '.join(sorted(missing))}"
            )

    async def get(self, path: str, **headers: str) -> Any:
        """Ask for something."""
        return await self.http.get(f"{self.url}{path}", headers=_headers(headers))

    async def post(self, path: str, **headers: str) -> Any:
        """Post nothing."""
        return await self.http.post(f"{self.url}{path}", headers=_headers(headers))

    async def send(self, method: str, path: str, **request: Any) -> Any:
        """Send a request as the library has it: `json=...`, `content=...`."""
        return await self.http.request(method, f"{self.url}{path}", **request)

    async def submit(
        self, *, video: bytes | None = VIDEO, key: str | None = None, **form: str
    ) -> Any:
        """Post a video, or a form without one."""
        fields = {**self.form, **form}
        files = {name: (None, value.encode()) for name, value in fields.items()}
        if video is not None:
            files["video"] = ("clip.mp4", video)  # type: ignore[assignment]
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(
            f"{self.url}{COLLECTION}", files=files, headers=headers
        )


def _headers(named: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}


def read_json(answer: Any) -> Any:
    """Return what an answer says in JSON."""
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    return answer.json()


def read_job(answer: Any) -> Any:
    """Check what holds for every answer about a job, and return its document."""
    document = read_json(answer)
    assert document.keys() >= _MEMBERS, f"missing: {_MEMBERS - document.keys()}"
    assert _SAFE.fullmatch(document["id"])
    assert document["progress"] is None or 0 <= document["progress"] <= 1
    for name in ("created_at", "started_at", "finished_at"):
        text = document[name]
        if text is not None or name == "created_at":
            assert INSTANT.fullmatch(text), f"{name}: {text}"
            assert datetime.fromisoformat(text).tzinfo == UTC
    assert STRONG.fullmatch(answer.headers["ETag"])
    check_about_jobs(answer)
    return document


def check_about_jobs(answer: Any) -> None:
    """Check the headers of every answer about jobs, be it one or many."""
    assert answer.headers["Cache-Control"] == "private, no-cache"
    varies = {name.strip() for name in answer.headers["Vary"].split(",")}
    assert varies >= {"Prefer", "Authorization"}
    assert answer.headers["Events-Cursor"]


def check_hint(answer: Any) -> None:
    """Check that an answer asks to wait for whole seconds."""
    assert re.fullmatch(r"[1-9]\d*", answer.headers["Retry-After"])


def check_problem(answer: Any, status: int, kind: str = "") -> None:
    """Check that an answer is a problem document; `kind` is how its type ends."""
    assert answer.status_code == status, answer.text
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["type"].endswith(kind)
    assert document["type"]
    assert document["title"]
