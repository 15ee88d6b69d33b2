"""The simplest form of a status server: one address, one word.

`GET {base_url}/status` answers `{"result": "pending" | "completed" | "error"}`; some
servers of this form know ids, and put them into the path.
"""

from __future__ import annotations

from .._job import Job
from .._source import Answer, Capabilities
from ._documents import parse_object, parse_status
from ._http import HttpEdge, quote_id


class ResultWordSource:
    """A server that tells the status as `{"result": WORD}`.

    Args:
        http: the way to the server.
        path: below the base address; `{id}` stands for the job's id.
    """

    capabilities = Capabilities()

    def __init__(self, http: HttpEdge, path: str = "/status") -> None:
        self._http = http
        self._path = path

    @property
    def remote(self) -> object:
        """What is asked: equal for sources that ask one address over one client."""
        return self._http.remote, self._path

    async def status(self, job_id: str) -> Answer:
        """Ask once; see `StatusSource`."""
        path = self._path.replace("{id}", quote_id(job_id)) if job_id else self._path
        reply = await self._http.ask("GET", path)
        status, unknown_word = parse_status(reply.parse(parse_object), "result")
        return Answer(
            job=Job(id=job_id, status=status, unknown_word=unknown_word),
            age=reply.seconds("Job-Age"),
            hint=reply.hint,
            ended_ago=reply.seconds("Job-Ended-Ago"),
            size=len(reply.body),
        )
