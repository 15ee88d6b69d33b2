"""What was last told of each job, so that "no change" is an answer about it too.

A server that gives documents an `ETag` is told which one is here already, and need not
send it again (RFC 9110, section 13.1.2).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from .._job import Job

# At a kilobyte each. Who waits for more jobs at once asks in lists.
_MOST_JOBS = 1024
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,250}"')


@dataclass(frozen=True, slots=True)
class KeptJob:
    """A job as it was told under a tag."""

    etag: str
    job: Job

    def is_of(self, etag: str | None) -> bool:
        """Tell whether a tag is of this document.

        A cache may have made it weak, which does not matter here, or have left it out.
        """
        return etag is None or etag.removeprefix("W/") == self.etag.removeprefix("W/")


class KeptJobs:
    """The jobs that were asked about last; those that are over are not among them."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, KeptJob] = OrderedDict()

    def of(self, job_id: str) -> KeptJob | None:
        """Return what is kept of a job."""
        kept = self._by_id.get(job_id)
        if kept is not None:
            self._by_id.move_to_end(job_id)
        return kept

    def keep(self, job_id: str, job: Job, etag: str | None) -> None:
        """Keep what was told, if it has a tag and will be asked for again."""
        if etag is None or job.is_final or not _ETAG.fullmatch(etag):
            self.forget(job_id)
            return
        self._by_id[job_id] = KeptJob(etag, job)
        self._by_id.move_to_end(job_id)
        if len(self._by_id) > _MOST_JOBS:
            self._by_id.popitem(last=False)

    def forget(self, job_id: str) -> None:
        """Keep nothing of a job."""
        self._by_id.pop(job_id, None)

    def clear(self) -> None:
        """Keep nothing at all."""
        self._by_id.clear()
