"""The routes. A leaf: it is given the service, and owns nothing that runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import trio
from quart import Response, request
from quart_trio import QuartTrio

from .._job import JobStatus
from . import documents
from .asgi import CLOSING, GATE, App, Boundary, Scope
from .demonstration import Demonstration
from .downloads import answer_with_file
from .errors import NotCompleted
from .gate import GatedBody
from .idempotency import read_key
from .problems import problem_for
from .service import JobService, Order
from .store import IdempotencyKey, JobRecord
from .uploads import LARGEST_UPLOAD, receive_form

_log = logging.getLogger("vtrio.server.http")

_VIDEO_TYPES = {
    ".avi": "video/x-msvideo",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".ogv": "video/ogg",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
}


def create_app(
    service: JobService,
    demonstration: Demonstration,
    *,
    largest_upload: int = LARGEST_UPLOAD,
) -> QuartTrio:
    """Build the app around a service that runs elsewhere."""
    app = QuartTrio("vtrio.server", static_folder=None)
    app.config.update(
        # Uploads count their own bytes: Quart's limit is on what it has buffered.
        MAX_CONTENT_LENGTH=None,
        # An upload may take hours; it is given up when it stops coming in.
        BODY_TIMEOUT=None,
        # A download may take hours; a client that stops reading is the socket's
        # business (TCP_USER_TIMEOUT).
        RESPONSE_TIMEOUT=None,
        # Unforeseen errors become problems in tests too.
        PROPAGATE_EXCEPTIONS=False,
    )
    # Quart's own way of wrapping; hypercorn's types and ours differ in name alone.
    app.asgi_app = Boundary(cast("App", app.asgi_app))  # type: ignore[method-assign,assignment]
    # Otherwise `//status` would be redirected.
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, _answer_error)

    @app.get("/status")
    async def show_demonstration() -> Response:
        await trio.lowlevel.checkpoint()
        status = demonstration.status(trio.current_time())
        return _json({"result": status}, headers={"Cache-Control": "no-store"})

    @app.get("/healthz")
    async def show_health() -> Response:
        await trio.lowlevel.checkpoint()
        return _json({"status": "ok"}, headers={"Cache-Control": "no-store"})

    @app.post("/v1/translations")
    async def submit() -> Response:
        key = read_key(request.headers.getlist("Idempotency-Key"))
        service.check_open()
        async with receive_form(
            _body(),
            content_type=request.headers.get("Content-Type"),
            content_length=request.content_length,
            folder=service.uploads,
            largest=largest_upload,
            check_languages=service.check_languages,
            patience=service.patience,
        ) as form:
            order = Order(
                video=form.video,
                suffix=form.suffix,
                target_language=form.target_language,
                source_language=form.source_language,
            )
            submission = await service.submit(
                order, IdempotencyKey(key, form.digest) if key else None
            )
        location = documents.job_path(submission.record.id)
        return _job(submission.record, service, 202, {"Location": location})

    @app.get("/v1/translations/<job_id>")
    async def show_job(job_id: str) -> Response:
        return _job(await service.get(job_id), service)

    @app.post("/v1/translations/<job_id>/cancel")
    async def cancel(job_id: str) -> Response:
        record, changed = await service.cancel(job_id)
        return _job(record, service, 202 if changed else 200)

    @app.get("/v1/translations/<job_id>/video")
    async def send_video(job_id: str) -> Response:
        record = await service.get(job_id)
        path = _result(record, record.video)
        kind = _VIDEO_TYPES.get(path.suffix.lower(), "application/octet-stream")
        return await _file(record, path, kind)

    @app.get("/v1/translations/<job_id>/subtitles")
    async def send_subtitles(job_id: str) -> Response:
        record = await service.get(job_id)
        path = _result(record, record.subtitles)
        return await _file(record, path, "text/vtt; charset=utf-8")

    return app


async def _answer_error(error: Exception) -> Response:
    await trio.lowlevel.checkpoint()
    problem = problem_for(error, _log, f"{request.method} {request.path}")
    return Response(
        problem.body(instance=request.path),
        status=problem.status,
        headers=problem.all_headers(),
    )


def _body() -> GatedBody:
    scope = cast("Scope", request.scope)
    return GatedBody(request.body, scope[GATE])


def _json(
    document: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(
        documents.encode(document),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _job(
    record: JobRecord,
    service: JobService,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    document = documents.job_document(record)
    response = _json(document, status, headers)
    response.headers.update(
        documents.job_headers(
            record,
            now=trio.current_time(),
            ask_again_after=service.ask_again_after(record),
        )
    )
    response.headers["ETag"] = documents.strong_etag(documents.encode(document))
    return response


def _result(record: JobRecord, path: Path | None) -> Path:
    if record.status is not JobStatus.COMPLETED or path is None:
        raise NotCompleted(
            f"job {record.id!r} is {record.status}: only a completed job has a result"
        )
    return path


async def _file(record: JobRecord, path: Path, content_type: str) -> Response:
    # The files of an attempt never change once its job is completed.
    etag = documents.strong_etag(f"{record.id}/{record.attempt}/{path.name}".encode())
    scope = cast("Scope", request.scope)
    return await answer_with_file(
        request, path, etag=etag, content_type=content_type, closing=scope[CLOSING]
    )
