"""Reading what servers send about many jobs at once.

One entry that cannot be read must not spoil the others: it is left out, and so asked
about again. These are the hot paths of a program with tens of thousands of jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from .._checks import shorten
from .._errors import BadAnswer
from .._source import Answer, Change
from ._documents import (
    parse_job,
    parse_object,
    read_instant,
    read_progress,
    read_word,
)
from ._reading import read_cursor

# Two hundred documents of twenty members have 4,000, a thousand events of five 5,000,
# and commas within texts count as well; servers add members. In memory so many are ten
# megabytes at the worst.
_MOST_MEMBERS = 40_000


def parse_answers(
    body: bytes,
    asked: Iterable[str],
    *,
    cursor: str | None,
    hint: float | None = None,
) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """Read job documents: answers about those asked for, and the ids that are unknown.

    Raises:
        BadAnswer: there is no list of documents.
    """
    document = parse_object(body, most_members=_MOST_MEMBERS)
    listed = _list(document, "translations")
    # The caller's own strings are kept, and not second ones that say the same.
    left = {job_id: job_id for job_id in asked}
    answers = []
    for told in listed:
        job_id = _id_in(told)
        if job_id not in left:
            continue
        try:
            job = parse_job(told, job_id=left[job_id])
        except BadAnswer:
            continue
        del left[job_id]
        # The pause that the server asks for is for the list: nobody is asked sooner.
        pause = None if job.is_final else hint
        answers.append(Answer(job=job, cursor=cursor, hint=pause))
    unknown = document.get("missing")
    missing = [
        left.pop(job_id)
        for job_id in (unknown if isinstance(unknown, list) else ())
        if isinstance(job_id, str) and job_id in left
    ]
    return tuple(answers), tuple(missing)


def parse_changes(body: bytes) -> tuple[tuple[Change, ...], str]:
    """Read the events of a feed: the changes, and the cursor to go on from.

    Raises:
        BadAnswer: there is no list of events, or no cursor.
    """
    document = parse_object(body, most_members=_MOST_MEMBERS)
    events = _list(document, "events")
    following = read_cursor(document.get("next"))
    if following is None:
        raise BadAnswer(f"the answer has no cursor as 'next': {shorten(document)}")
    changes = [change for event in events if (change := read_change(event))]
    return tuple(changes), following


def read_change(event: Mapping[str, object]) -> Change | None:
    """Read one event of a feed; None if it tells of no change."""
    job_id = _id_in(event)
    if not job_id or not isinstance(word := event.get("status"), str):
        return None
    status, unknown_word = read_word(word)
    job = None
    if isinstance(whole := event.get("translation"), dict):
        with suppress(BadAnswer):
            job = parse_job(whole, job_id=job_id)
    return Change(
        job_id=job_id,
        status=status,
        unknown_word=unknown_word,
        progress=read_progress(event.get("progress")),
        at=read_instant(event.get("at")),
        job=job,
    )


def _list(document: dict[str, object], member: str) -> list[dict[str, object]]:
    """Return a list of what should be objects."""
    value = document.get(member)
    if not isinstance(value, list):
        raise BadAnswer(f"the answer has no list as {member!r}: {shorten(document)}")
    return value


def _id_in(told: object) -> str:
    """Return the id in an object; an empty one if there is none, or no object."""
    value = told.get("id") if isinstance(told, dict) else None
    return value if isinstance(value, str) else ""
