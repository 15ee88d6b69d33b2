"""The parameters of a request's query, each checked where it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from .._checks import shorten
from .._job import JobStatus
from .errors import BadCursor, BadQuery, ExpiredCursor
from .json_body import check_number_of_ids, is_id
from .limits import Limits

PAGE_SIZE = 50
"""Jobs on a page unless told otherwise."""
MOST_EVENTS = 1000
"""Events in one answer at most, and unless told otherwise."""

# Fits into what databases call a big integer.
_NUMBER = re.compile(r"[0-9]{1,18}")
_CURSOR = re.compile(r"([0-9a-f]{8})\.([0-9]{1,18})")


class Query(Protocol):
    """The parameters by name, each of which may have been given several times."""

    def getlist(self, key: str) -> list[str]:
        """Return all values of a parameter."""
        ...


def read_one(query: Query, name: str) -> str | None:
    """Return a parameter's value; None where it is missing.

    Raises:
        BadQuery: it was given several times.
    """
    values = query.getlist(name)
    if len(values) > 1:
        raise BadQuery(name, f"{name} was given {len(values)} times: give it once")
    return values[0] if values else None


def read_ids(query: Query, limits: Limits) -> list[str] | None:
    """Return the ids that are asked for, each once; None where a page is.

    Raises:
        BadQuery: what is there are no ids, or a page is asked for as well.
        TooManyIds: they are more than one request may name.
    """
    text = read_one(query, "ids")
    if text is None:
        return None
    for name in ("page_size", "page_token", "status"):
        if query.getlist(name):
            raise BadQuery(name, f"{name} is for pages: leave it out beside ids")
    ids = text.split(",")
    check_number_of_ids(ids, limits)
    for job_id in ids:
        if not is_id(job_id):
            raise BadQuery("ids", f"ids has {shorten(job_id)}, which is no id of a job")
    return list(dict.fromkeys(ids))


def read_count(query: Query, name: str, *, default: int, most: int) -> int:
    """Return a parameter that says how many.

    Raises:
        BadQuery: it is no whole number from 1 to `most`.
    """
    text = read_one(query, name)
    if text is None:
        return min(default, most)
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise BadQuery(
            name, f"{name}={shorten(text)} is not allowed: must be from 1 to {most}"
        )
    return int(text)


def read_page_token(query: Query) -> int | None:
    """Return the number before which the next page begins; None for the first one.

    Raises:
        BadQuery: it is no token that a page gave out.
    """
    text = read_one(query, "page_token")
    if text is None or text == "":
        return None
    if not _NUMBER.fullmatch(text):
        raise BadQuery(
            "page_token", f"page_token={shorten(text)} is none that a page gave out"
        )
    return int(text)


def read_status(query: Query) -> JobStatus | None:
    """Return the status that is asked for; None for any.

    Raises:
        BadQuery: there is no such status.
    """
    text = read_one(query, "status")
    if text is None or text == "":
        return None
    if text not in _STATUSES:
        raise BadQuery(
            "status",
            f"status={shorten(text)} is not allowed: must be one of"
            f" {', '.join(JobStatus)}",
        )
    return JobStatus(text)


def read_cursor(text: str | None, *, store_id: str) -> int | None:
    """Return the number in a cursor; None without one.

    Raises:
        BadCursor: it is no cursor.
        ExpiredCursor: it is of another store, whose events this one has not.
    """
    if text is None or text == "":
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise BadCursor(f"{shorten(text)} is no cursor that a feed gave out")
    if match[1] != store_id:
        raise ExpiredCursor(
            "the cursor is of another store than this one: list the jobs, and go on"
            " from the Events-Cursor of that answer"
        )
    return int(match[2])


_STATUSES: Mapping[str, JobStatus] = {status.value: status for status in JobStatus}
