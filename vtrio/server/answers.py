"""How routes answer: JSON, a job, several jobs; and who asked them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import trio
from quart import Response, request

from . import documents
from .access import Client
from .asgi import Scope
from .documents import format_cursor
from .gate import GatedBody
from .preferences import Seen
from .requests import FACTS, Facts
from .service import JobService
from .store import JobRecord


def facts() -> Facts:
    """Return what is known of the request that is being answered."""
    return cast("Facts", cast("Scope", request.scope)[FACTS])


def client() -> Client:
    """Return who asks."""
    who = facts().client
    assert who is not None  # noqa: S101 - every route is behind the check
    return who


def body() -> GatedBody:
    """Return the body of the request, to be read piece by piece."""
    return GatedBody(request.body, facts().gate)


def json_answer(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a document."""
    return Response(
        documents.encode(document),
        status=status,
        headers=dict(headers or {}),
        content_type="application/json",
    )


def without_content(status: int, headers: Mapping[str, str]) -> Response:
    """Answer with headers alone."""
    response = Response(b"", status=status, headers=dict(headers))
    del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def job_answer(
    record: JobRecord,
    service: JobService,
    cursor: int,
    *,
    status: int = 200,
    seen: Seen | None = None,
    held: int | None = None,
    location: str | None = None,
) -> Response:
    """Answer with a job's document, or that it is one which the client has seen.

    `held` is the wait that was applied: such an answer says so, and names no pause.
    """
    content = documents.encode(documents.job_document(record))
    etag = documents.job_etag(record, content)
    headers = headers_about(record, service, etag, cursor=cursor, held=held)
    if location is not None:
        headers["Location"] = location
    if seen is not None and seen.has(etag):
        return without_content(304, headers)
    return Response(
        content, status=status, headers=headers, content_type="application/json"
    )


def headers_about(
    record: JobRecord,
    service: JobService,
    etag: str,
    *,
    cursor: int | None = None,
    held: int | None = None,
) -> dict[str, str]:
    """Return the headers of an answer about a job, which is told by it.

    `cursor` is that of before the look at the job; without one, it was just now.
    """
    headers = documents.job_headers(
        record,
        now=trio.current_time(),
        ask_again_after=None if held is not None else service.ask_again_after(record),
    )
    headers["ETag"] = etag
    if cursor is None:
        cursor = service.store.cursor
    headers["Events-Cursor"] = format_cursor(service.store.id, cursor)
    if held is not None:
        headers["Preference-Applied"] = f"wait={held}"
    if record.is_final:
        service.metrics.told(record.id)
    return headers


def jobs_answer(
    records: Sequence[JobRecord],
    service: JobService,
    cursor: int,
    *,
    more: Mapping[str, object],
    status: int = 200,
    held: int | None = None,
) -> Response:
    """Answer with the documents of several jobs, and more members beside them."""
    headers = {
        **documents.ABOUT_JOBS,
        "Events-Cursor": format_cursor(service.store.id, cursor),
    }
    if held is not None:
        headers["Preference-Applied"] = f"wait={held}"
    else:
        # The one that is due first says when to ask for all of them.
        pauses = [service.ask_again_after(record) for record in records]
        soonest = min((pause for pause in pauses if pause is not None), default=None)
        if soonest is not None:
            headers["Retry-After"] = str(soonest)
    for record in records:
        if record.is_final:
            service.metrics.told(record.id)
    described = [documents.job_document(record) for record in records]
    return json_answer({"translations": described, **more}, status, headers)
