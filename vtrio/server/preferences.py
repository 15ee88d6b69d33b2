"""What a client prefers (RFC 7240), and what it has seen already (RFC 9110, 13.1.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._job import JobStatus

LONGEST_HOLD = 60
"""Seconds for which an answer is held at most."""

REPRESENTATION = "return=representation"

_WAIT = re.compile(r'wait\s*=\s*(?:"([0-9]{1,19})"|([0-9]{1,19}))', re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_STATUSES = frozenset(JobStatus)


def read_wait(lines: Sequence[str]) -> int | None:
    """Return for how many seconds a client wants its answer held; None if not at all.

    A preference is a wish: one that cannot be read is as good as none, and of several
    the first counts (RFC 7240, section 2).
    """
    for line in lines:
        for preference in line.split(","):
            # Parameters of a preference, which ours has none of, come after a semicolon.
            match = _WAIT.fullmatch(preference.partition(";")[0].strip())
            if match is not None:
                return min(int(match[1] or match[2]), LONGEST_HOLD)
    return None


def wants_representation(lines: Sequence[str]) -> bool:
    """Tell whether a client wants what has changed itself (RFC 7240, section 4.2)."""
    preferences = [
        preference.partition(";")[0].strip().lower()
        for line in lines
        for preference in line.split(",")
    ]
    told = [each for each in preferences if each.replace(" ", "").startswith("return=")]
    return bool(told) and told[0].replace(" ", "").replace('"', "") == REPRESENTATION


@dataclass(frozen=True, slots=True)
class Seen:
    """The documents that a client has: their tags, or whichever there is (`*`)."""

    tags: frozenset[str]
    anything: bool = False

    def has(self, etag: str) -> bool:
        """Tell whether the client has the document of this tag, quotes included."""
        return self.anything or etag.strip('"') in self.tags

    def knows(self, status: JobStatus) -> bool:
        """Tell whether the client has seen a document with this status."""
        return self.anything or any(_status_of(tag) == status for tag in self.tags)


def read_seen(lines: Sequence[str]) -> Seen | None:
    """Return what `If-None-Match` says; None without one."""
    if not lines:
        return None
    text = ",".join(lines)
    if text.strip() == "*":
        return Seen(frozenset(), anything=True)
    # A cache may have made a tag weak; which document it is the tag still says.
    return Seen(frozenset(_ETAG.findall(text)))


def _status_of(tag: str) -> JobStatus | None:
    word = tag.partition("-")[0]
    return JobStatus(word) if word in _STATUSES else None
