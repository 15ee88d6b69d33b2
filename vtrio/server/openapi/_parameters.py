"""What a request may carry beside its body."""

from __future__ import annotations

from ..limits import Limits
from ._schemas import ANY_ID, CURSOR, JOB_ID, MOST_EVENTS, STATUSES, Node

# A word of visible characters, or a string of RFC 8941.
_KEY = r'^([!#-~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$'
_PAGE = 50


def parameters(limits: Limits) -> Node:
    """Describe every parameter, by its name."""
    return {**_path(), **_query(limits), **_headers()}


def _path() -> Node:
    return {
        "job_id": {
            "name": "job_id",
            "in": "path",
            "required": True,
            "description": "The job's id",
            "schema": {"type": "string", "pattern": JOB_ID},
        }
    }


def _query(limits: Limits) -> Node:
    size = {"type": "integer", "minimum": 1, "maximum": limits.page}
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS}
    ids = {
        "type": "array",
        "items": ANY_ID,
        "minItems": 1,
        "maxItems": limits.ids,
    }
    entries = [
        _parameter("query", "ids", "The jobs to show, and no others", ids),
        _parameter(
            "query",
            "page_size",
            "How many jobs a page lists at most",
            {**size, "default": min(_PAGE, limits.page)},
        ),
        _parameter(
            "query",
            "page_token",
            "The `next_page_token` of the page before; without it, the first page",
            {"type": "string", "pattern": "^[0-9]{0,18}$"},
        ),
        _parameter(
            "query",
            "status",
            "Only jobs of this status; without it, of any",
            {"enum": [*STATUSES, ""]},
        ),
        _parameter(
            "query",
            "after",
            "The cursor of the last event known; without it, from the oldest one kept",
            {"type": "string", "pattern": f"^$|{CURSOR}"},
        ),
        _parameter(
            "query",
            "limit",
            "How many events to tell of at most",
            {**limit, "default": MOST_EVENTS},
        ),
    ]
    query = {entry["name"]: entry for entry in entries}
    # One parameter, with commas between the ids.
    query["ids"].update(style="form", explode=False)
    return query


def _headers() -> Node:
    entries = [
        _parameter(
            "header",
            "Idempotency-Key",
            "Makes the request safe to repeat for a day; quoted or bare",
            {"type": "string", "pattern": _KEY},
        ),
        _parameter(
            "header",
            "If-None-Match",
            "The `ETag` of what the client has: 304 if that is how it still is",
        ),
        _parameter(
            "header",
            "Prefer",
            "`wait=N` holds the answer until there is a change to tell, for at most N"
            " seconds and never more than 60",
            example="wait=30",
        ),
        _parameter(
            "header", "Range", "Which bytes to send: one range", example="bytes=0-1023"
        ),
        _parameter("header", "If-Range", "The `ETag` that the range is meant for"),
        _parameter(
            "header",
            "Last-Event-ID",
            "For a stream: the cursor of the last event known; it beats `after`",
        ),
        _parameter(
            "header",
            "X-Request-Id",
            "What to call this request, if it is 1 to 64 of letters, digits, `.`, `_`"
            " and `-`",
        ),
    ]
    return {entry["name"]: entry for entry in entries}


def _parameter(
    place: str,
    name: str,
    about: str,
    schema: Node | None = None,
    *,
    example: str | None = None,
) -> Node:
    parameter: Node = {
        "name": name,
        "in": place,
        "description": about,
        "schema": schema or {"type": "string"},
    }
    return parameter if example is None else {**parameter, "example": example}
