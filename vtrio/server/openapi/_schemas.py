"""The shapes of bodies, and the patterns that other parts use too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from ..._job import FINAL, JobStatus
from ..documents import PROBLEM_TYPES
from ..limits import Limits

Node: TypeAlias = dict[str, Any]
"""A part of the document."""

_JOB_ID = "[A-Za-z0-9][A-Za-z0-9_-]{23}"
JOB_ID = f"^{_JOB_ID}$"
JOB_PATH = f"^/v1/translations/{_JOB_ID}$"
CURSOR = r"^[0-9a-f]{8}\.[0-9]{1,18}$"
ANY_ID: Node = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
"""What may be the id of a job, so that there is no harm in asking for it."""
REQUEST_ID = "^[A-Za-z0-9._-]{1,64}$"
STATUSES = [str(status) for status in JobStatus]
MOST_EVENTS = 1000

_INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
# The shape of RFC 5646; which languages there are is for the engine to say.
_LANGUAGE = "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"
# Parts that a form may have, the three that we know among them.
_MOST_PARTS = 16


def ref(kind: str, name: str) -> Node:
    """Point to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schemas(limits: Limits) -> Node:
    """Describe every body."""
    return {
        "Job": _job(),
        "JobProblem": _record(
            {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "detail": {"type": ["string", "null"]},
            }
        ),
        "JobResult": _record(
            {
                "video_url": _result("video"),
                "subtitles_url": _result("subtitles"),
            }
        ),
        "JobsById": _record(
            {
                "translations": _list_of(ref("schemas", "Job"), most=limits.ids),
                "missing": _list_of(ANY_ID, most=limits.ids),
            }
        ),
        "JobPage": _record(
            {
                "translations": _list_of(ref("schemas", "Job"), most=limits.page),
                "next_page_token": {"type": ["string", "null"]},
            }
        ),
        "JobEvent": _record(
            {
                "cursor": {"type": "string", "pattern": CURSOR},
                "id": {"type": "string", "pattern": JOB_ID},
                "status": {"enum": STATUSES},
                "progress": _fraction(),
                "at": _instant(),
                "translation": ref("schemas", "Job"),
            },
            optional=["translation"],
        ),
        # What a stream is made of; the document of OpenAPI 3.1 cannot tell that it has
        # many of them.
        "StreamedEvent": _record(
            {
                "id": {"type": "string", "pattern": CURSOR},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": ref("schemas", "JobEvent"),
                },
            }
        ),
        "JobEvents": _record(
            {
                "events": _list_of(ref("schemas", "JobEvent"), most=MOST_EVENTS),
                "next": {"type": "string", "pattern": CURSOR},
            }
        ),
        "Ids": _record({"ids": _list_of(ANY_ID, least=1, most=limits.ids)}),
        "Submission": _submission(limits),
        "Health": _record({"status": {"const": "ok"}}),
        "Demonstration": _record(
            {"result": {"enum": ["pending", "completed", "error"]}}
        ),
        "Problem": _problem(),
    }


def _job() -> Node:
    job = _record(
        {
            "id": {"type": "string", "pattern": JOB_ID},
            "status": {"enum": STATUSES},
            "progress": _fraction(),
            "stage": {"type": ["string", "null"]},
            "target_language": {"type": "string"},
            "source_language": {"type": ["string", "null"]},
            "media_seconds": {"type": ["number", "null"], "minimum": 0},
            "created_at": _instant(),
            "started_at": {**_instant(), "type": ["string", "null"]},
            "finished_at": {**_instant(), "type": ["string", "null"]},
            "error": {"oneOf": [ref("schemas", "JobProblem"), {"type": "null"}]},
            "result": {"oneOf": [ref("schemas", "JobResult"), {"type": "null"}]},
        }
    )
    job["allOf"] = [
        _there_exactly_where("finished_at", sorted(str(status) for status in FINAL)),
        _there_exactly_where("error", ["error"]),
        _there_exactly_where("result", ["completed"]),
    ]
    return job


def _there_exactly_where(member: str, statuses: list[str]) -> Node:
    return {
        "if": {"properties": {"status": {"enum": statuses}}},
        "then": {"properties": {member: {"not": {"type": "null"}}}},
        "else": {"properties": {member: {"type": "null"}}},
    }


def _submission(limits: Limits) -> Node:
    form = _record(
        {
            "video": {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "minLength": 1,
                "description": f"The file, of at most {limits.upload} bytes",
            },
            "target_language": {
                "type": "string",
                "pattern": f"^{_LANGUAGE}$",
                "examples": ["pt"],
                "description": "The language that the video is to speak",
            },
            "source_language": {
                "type": "string",
                "pattern": f"^({_LANGUAGE})?$",
                "examples": ["en"],
                "description": "The language that it speaks, if that is known",
            },
        },
        optional=["source_language"],
    )
    # Clients may be ahead of us: fields that we do not know are passed over.
    form["additionalProperties"] = True
    form["maxProperties"] = _MOST_PARTS
    return form


def _problem() -> Node:
    problem = _record(
        {
            "type": {"type": "string", "description": "A stable word for its kind"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "request_id": {
                "type": "string",
                "pattern": REQUEST_ID,
                "description": "That of the header `X-Request-Id`, and of the log",
            },
            "field": {
                "type": "string",
                "description": "Which field or query parameter is at fault",
            },
        },
        optional=["detail", "instance", "field"],
    )
    told = [PROBLEM_TYPES + kind for kind in ("bad-field", "bad-query")]
    problem["if"] = {"properties": {"type": {"enum": told}}}
    problem["then"] = {"required": ["field"]}
    return problem


def _record(properties: Node, *, optional: Iterable[str] = ()) -> Node:
    """Describe an object that has all of these members but the optional ones."""
    missable = set(optional)
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in missable],
    }


def _list_of(items: Node, *, most: int, least: int | None = None) -> Node:
    schema: Node = {"type": "array", "items": items, "maxItems": most}
    return schema if least is None else {**schema, "minItems": least}


def _fraction() -> Node:
    return {"type": ["number", "null"], "minimum": 0, "maximum": 1}


def _instant() -> Node:
    return {"type": "string", "format": "date-time", "pattern": _INSTANT}


def _result(name: str) -> Node:
    return {
        "type": "string",
        "format": "uri-reference",
        "pattern": f"^/v1/translations/{_JOB_ID}/{name}$",
    }
