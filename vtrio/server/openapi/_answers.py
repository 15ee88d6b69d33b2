"""What an answer may be: its headers, and the problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType

from ..documents import PROBLEM_TYPES
from ._schemas import CURSOR, JOB_PATH, REQUEST_ID, Node, ref

JSON = "application/json"
PROBLEM = "application/problem+json"

PROBLEMS: Mapping[str, int] = MappingProxyType(
    {
        "bad-cursor": 400,
        "bad-idempotency-key": 400,
        "bad-json": 400,
        "bad-upload": 400,
        "unauthorized": 401,
        "unknown-job": 404,
        "upload-too-slow": 408,
        "not-completed": 409,
        "expired-cursor": 410,
        "too-large": 413,
        "wrong-media-type": 415,
        "bad-range": 416,
        "bad-field": 422,
        "bad-query": 422,
        "key-reused": 422,
        "too-many-ids": 422,
        "too-many-held": 429,
        "internal-error": 500,
        "not-ready": 503,
        "stopping": 503,
        "too-many-waiting": 503,
        "no-room": 507,
    }
)
"""The kinds of problems that the routes answer with, and the status of each."""

_BESIDE_A_PROBLEM: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        401: ("WWW-Authenticate",),
        405: ("Allow",),
        416: ("Unsatisfied-Range",),
        429: ("Retry-After",),
        503: ("Retry-After",),
    }
)
# Components whose name is not that of the header.
_NAMES = {"Unsatisfied-Range": "Content-Range", "Next-Cursor": "Events-Cursor"}

_ETAG = '^"[!#-~]+"$'
_DECIMAL = r"^[0-9]+(\.[0-9]+)?$"


def headers() -> Node:
    """Describe every header of an answer."""
    return {
        "X-Request-Id": _header(
            "The request's own where that is plain, else a fresh one", REQUEST_ID
        ),
        "ETag": _header("What this content is known by", _ETAG),
        "Location": _header("The path of the job", JOB_PATH),
        "Cache-Control": _header("Shared caches are to keep none of this"),
        "Vary": _header("Which headers of the request the answer depends on"),
        "Events-Cursor": _header(
            "A cursor of the change feed from before the jobs were read", CURSOR
        ),
        "Next-Cursor": _header(
            "The member `next`, which a stream has not", CURSOR, required=False
        ),
        "Job-Age": _header("Seconds since the job was submitted", _DECIMAL),
        "Job-Run-Time": _header(
            "Seconds that the job took, once it is final", _DECIMAL, required=False
        ),
        "Job-Ended-Ago": _header(
            "Seconds since the job's end, once it is final", _DECIMAL, required=False
        ),
        "Retry-After": _header(
            "Whole seconds after which to ask again", "^[1-9][0-9]*$", required=False
        ),
        "Preference-Applied": _header(
            "For how long the answer was held at most", "^wait=[0-9]+$", required=False
        ),
        "Accept-Ranges": _header("That ranges of bytes can be asked for", "^bytes$"),
        "Content-Range": _header(
            "Which bytes these are", "^bytes [0-9]+-[0-9]+/[0-9]+$"
        ),
        "Unsatisfied-Range": _header("How many bytes there are", r"^bytes \*/[0-9]+$"),
        "Allow": _header("The methods that there are"),
        "WWW-Authenticate": _header("How to say who asks", "^Bearer"),
    }


def answer(
    about: str, content: Mapping[str, Node] | None = None, *, also: Iterable[str] = ()
) -> Node:
    """Describe an answer by its contents, and its headers beside the request's id."""
    response: Node = {
        "description": about,
        "headers": {
            _NAMES.get(name, name): ref("headers", name)
            for name in ("X-Request-Id", *also)
        },
    }
    return response if content is None else {**response, "content": dict(content)}


def of(schema: str) -> Node:
    """Describe a JSON content by the name of its schema."""
    return {JSON: {"schema": ref("schemas", schema)}}


def problems(kinds: Iterable[str], *, unrouted: Iterable[int] = ()) -> Node:
    """Describe answers with problems: of these kinds, and of no route or method."""
    types: dict[int, list[str]] = {}
    for kind in kinds:
        types.setdefault(PROBLEMS[kind], []).append(PROBLEM_TYPES + kind)
    for status in unrouted:
        types.setdefault(status, []).append("about:blank")
    return {
        str(status): answer(
            HTTPStatus(status).phrase,
            {PROBLEM: {"schema": _problem_of(status, sorted(names))}},
            also=_BESIDE_A_PROBLEM.get(status, ()),
        )
        for status, names in sorted(types.items())
    }


def _problem_of(status: int, types: list[str]) -> Node:
    narrowed = {"type": {"enum": types}, "status": {"const": status}}
    return {"allOf": [ref("schemas", "Problem"), {"properties": narrowed}]}


def _header(about: str, pattern: str | None = None, *, required: bool = True) -> Node:
    schema: Node = {"type": "string"}
    if pattern is not None:
        schema["pattern"] = pattern
    return {"description": about, "required": required, "schema": schema}
