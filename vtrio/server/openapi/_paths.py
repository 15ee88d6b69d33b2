"""Every route: what it takes, and all that it may answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..limits import Limits
from ._answers import JSON, answer, of, problems
from ._schemas import Node, ref

_CACHING = ("Cache-Control", "Vary")
_ABOUT_JOBS = ("Events-Cursor", *_CACHING)
_ABOUT_A_JOB = ("Job-Age", "Job-Run-Time", "Job-Ended-Ago", "ETag", *_ABOUT_JOBS)
_HELD = ("Preference-Applied", "Retry-After")
_STREAM: Node = {"text/event-stream": {"schema": ref("schemas", "StreamedEvent")}}
_ANY_TYPE: Node = {"application/octet-stream": {}, "video/*": {}}

# What may be wrong with any request for one job; of no route or of another method is
# the request where the id has a slash in it.
_UNROUTED = (404, 405)


def paths(limits: Limits, *, keys: bool) -> Node:
    """Describe every route."""
    routes = {**_translations(limits), **_results(), **_events(), **_server()}
    for path, operations in routes.items():
        for operation in operations.values():
            _complete(operation, keys=keys and path not in _OPEN)
    return routes


_OPEN = ("/status", "/healthz", "/readyz")
"""The paths that never ask for a key."""


def _translations(limits: Limits) -> Node:
    return {
        "/v1/translations": {
            "post": _submit(limits),
            "get": _list(limits),
        },
        "/v1/translations/cancel": {"post": _cancel_many(limits)},
        "/v1/translations/{job_id}": {"get": _show(), "delete": _delete()},
        "/v1/translations/{job_id}/cancel": {"post": _cancel()},
    }


def _submit(limits: Limits) -> Node:
    operation = _operation(
        "submit",
        "translations",
        "Submit a video; what is answered 202 is on disk",
        takes=["Idempotency-Key"],
        answers={
            "202": answer(
                "The job, or the one that the same key and form made before",
                of("Job"),
                also=["Location", "Retry-After", *_ABOUT_A_JOB],
            )
        },
        refused=[
            "bad-idempotency-key",
            "bad-upload",
            "upload-too-slow",
            "too-large",
            "wrong-media-type",
            "bad-field",
            "key-reused",
            "stopping",
            "too-many-waiting",
            "no-room",
        ],
    )
    operation["requestBody"] = {
        "required": True,
        "description": f"A form whose video has at most {limits.upload} bytes",
        "content": {
            "multipart/form-data": {
                "schema": ref("schemas", "Submission"),
            }
        },
    }
    operation["responses"]["202"]["links"] = {
        name: {
            "operationId": name,
            "parameters": {"job_id": "$response.body#/id"},
        }
        for name in ("show", "cancel", "delete", "download_video", "download_subtitles")
    }
    return operation


def _list(limits: Limits) -> Node:
    either = [ref("schemas", "JobsById"), ref("schemas", "JobPage")]
    operation = _operation(
        "list",
        "translations",
        "List jobs: those of some ids, or page by page with the newest first",
        takes=["ids", "page_size", "page_token", "status", "Prefer"],
        answers={
            "200": answer(
                "The jobs in the order asked for, and the ids of which there are"
                " none; or a page",
                {JSON: {"schema": {"oneOf": either}}},
                also=[*_ABOUT_JOBS, *_HELD],
            )
        },
        refused=["bad-query", "too-many-ids", "too-many-held"],
    )
    operation["description"] = (
        "`ids` stands alone: neither `page_size` nor `page_token` nor `status` goes"
        f" with it, and it names at most {limits.ids}. `Prefer: wait=N` holds the"
        " answer until the status of one of them changes or is final."
    )
    return operation


def _show() -> Node:
    return _operation(
        "show",
        "translations",
        "Show a job",
        takes=["job_id", "If-None-Match", "Prefer"],
        answers={
            "200": answer("The job", of("Job"), also=[*_ABOUT_A_JOB, *_HELD]),
            "304": answer(
                "The job is as the client has it", also=[*_ABOUT_A_JOB, *_HELD]
            ),
        },
        refused=["unknown-job", "too-many-held"],
        unrouted=_UNROUTED,
    )


def _cancel() -> Node:
    return _operation(
        "cancel",
        "translations",
        "Cancel a job",
        takes=["job_id"],
        answers={
            "202": answer("The job is cancelled", of("Job"), also=_ABOUT_A_JOB),
            "200": answer("The job had ended before", of("Job"), also=_ABOUT_A_JOB),
        },
        refused=["unknown-job", "no-room"],
        unrouted=_UNROUTED,
    )


def _cancel_many(limits: Limits) -> Node:
    operation = _operation(
        "cancel_many",
        "translations",
        "Cancel jobs",
        takes=[],
        answers={
            "202": answer("Some are cancelled now", of("JobsById"), also=_ABOUT_JOBS),
            "200": answer("None had to be", of("JobsById"), also=_ABOUT_JOBS),
        },
        refused=[
            "bad-json",
            "upload-too-slow",
            "too-large",
            "wrong-media-type",
            "too-many-ids",
            "no-room",
        ],
    )
    operation["requestBody"] = {
        "required": True,
        "description": (
            f"JSON of at most {limits.json} bytes, {limits.json_depth} levels deep"
        ),
        "content": {JSON: {"schema": ref("schemas", "Ids")}},
    }
    return operation


def _delete() -> Node:
    return _operation(
        "delete",
        "translations",
        "Delete a job with its upload and its result; one that runs is cancelled first",
        takes=["job_id"],
        answers={"204": answer("The job is gone", also=_CACHING)},
        refused=["unknown-job", "no-room"],
        unrouted=_UNROUTED,
    )


def _results() -> Node:
    return {
        "/v1/translations/{job_id}/video": {
            "get": _download("download_video", "Download the video", _ANY_TYPE)
        },
        "/v1/translations/{job_id}/subtitles": {
            "get": _download(
                "download_subtitles",
                "Download the subtitles",
                {"text/vtt": {"schema": {"type": "string"}}},
            )
        },
    }


def _download(name: str, summary: str, content: Node) -> Node:
    told = ["ETag", "Accept-Ranges", *_CACHING]
    return _operation(
        name,
        "results",
        summary,
        takes=["job_id", "Range", "If-Range", "If-None-Match"],
        answers={
            "200": answer("All of it", content, also=told),
            "206": answer(
                "The bytes asked for", content, also=["Content-Range", *told]
            ),
            "304": answer("It is what the client has", also=told),
        },
        refused=["unknown-job", "not-completed", "bad-range"],
        unrouted=_UNROUTED,
    )


def _events() -> Node:
    operation = _operation(
        "follow",
        "events",
        "Tell what has changed since a cursor",
        takes=["after", "limit", "Prefer", "Last-Event-ID"],
        answers={
            "200": answer(
                "The changes in order; as a stream if `Accept` asks for one",
                {**of("JobEvents"), **_STREAM},
                also=["Next-Cursor", "Preference-Applied", *_CACHING],
            )
        },
        refused=["bad-cursor", "expired-cursor", "bad-query", "too-many-held"],
    )
    operation["description"] = (
        "`Prefer: wait=N` holds an answer that would be empty; of a stream it is the"
        " longest silence, 1 to 15 s. With `Prefer:"
        " return=representation`, which can stand beside it, an event that tells of a"
        " job's end has the job's document as `translation`. Each event of a stream"
        " has its cursor as `id` and the same object as `data`; an `id` without `data`"
        " moves the cursor on past what is told to others."
    )
    return {"/v1/events": {"get": operation}}


def _server() -> Node:
    metrics = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/status": {
            "get": _plain(
                "status",
                "Show a demonstration job that starts with the server",
                of("Demonstration"),
            )
        },
        "/healthz": {
            "get": _plain("health", "Tell that the server runs", of("Health"))
        },
        "/readyz": {
            "get": _plain(
                "readiness",
                "Tell whether the server takes work",
                of("Health"),
                refused=["not-ready"],
            )
        },
        "/metrics": {"get": _plain("metrics", "Tell figures to Prometheus", metrics)},
        "/openapi.json": {
            "get": _plain("openapi", "Show this document", {JSON: {"schema": {}}})
        },
    }


def _plain(
    name: str, summary: str, content: Node, *, refused: Iterable[str] = ()
) -> Node:
    answers = {"200": answer("It is told", content)}
    return _operation(
        name, "server", summary, takes=[], answers=answers, refused=refused
    )


def _operation(
    name: str,
    tag: str,
    summary: str,
    *,
    takes: Iterable[str],
    answers: Mapping[str, Node],
    refused: Iterable[str],
    unrouted: Iterable[int] = (),
) -> Node:
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": [ref("parameters", each) for each in (*takes, "X-Request-Id")],
        "responses": {
            **answers,
            **problems([*refused, "internal-error"], unrouted=unrouted),
        },
    }


def _complete(operation: Node, *, keys: bool) -> None:
    """Say whether a key is needed, which all of a path's operations have in common."""
    if not keys:
        operation["security"] = []
        return
    operation["security"] = [{"key": []}]
    operation["responses"].update(problems(["unauthorized"]))
