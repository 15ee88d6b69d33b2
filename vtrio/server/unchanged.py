"""Polls that bring no news, answered in front of the framework.

Most of what a server of jobs hears is "has it changed?", and most of what it says is
"no". The framework's part of such an answer costs as much as all the rest together, so
it is left out here: whoever has the document of a job is told so from memory. In every
other case, whatever it is, nothing is answered, and the request takes the whole way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .access import Access
from .answers import headers_about
from .asgi import Headers, Scope
from .documents import encode, job_document, job_etag
from .preferences import read_seen
from .requests import Facts, address_of
from .service import JobService

_PATH = re.compile(r"/v1/translations/([A-Za-z0-9_-]{1,64})")
# What the headers of such a poll may be besides; those that change what is answered
# are not among them.
_BODY = frozenset({b"content-length", b"transfer-encoding", b"expect"})


class UnchangedJobs:
    """Tells from a request whether its client has the job's document already."""

    def __init__(self, service: JobService, access: Access) -> None:
        self._service = service
        self._access = access

    def answer(self, scope: Scope, facts: Facts) -> Headers | None:
        """Return the headers of the answer 304; None where that is not the answer."""
        if scope["method"] != "GET" or not (match := _PATH.fullmatch(scope["path"])):
            return None
        seen: list[str] = []
        authorization: list[str] = []
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                seen.append(value.decode("latin-1"))
            elif name == b"authorization":
                authorization.append(value.decode("latin-1"))
            elif name == b"prefer" or name in _BODY:
                return None
        return self._unchanged(match[1], seen, authorization, scope, facts)

    def _unchanged(
        self,
        job_id: str,
        lines: Sequence[str],
        authorization: Sequence[str],
        scope: Scope,
        facts: Facts,
    ) -> Headers | None:
        seen = read_seen(lines)
        record = self._service.store.remembered(job_id)
        who = self._access.known(authorization, address_of(scope))
        if seen is None or record is None or who is None or record.owner != who.owner:
            return None
        etag = job_etag(record, encode(job_document(record)))
        if not seen.has(etag):
            return None
        facts.route, facts.client = "/v1/translations/<job_id>", who
        headers = headers_about(record, self._service, etag)
        self._service.metrics.poll(304, held=False)
        return [
            (name.lower().encode(), value.encode()) for name, value in headers.items()
        ]
