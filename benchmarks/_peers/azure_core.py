"""azure-core: the poller of Azure's clients over its requests transport, in threads.

`LROBasePolling` waits for as long as the server says in `Retry-After`, and only where
it says nothing for its own `timeout`, the interval (30 s if not given). Which status
is an end, it asks a `LongRunningOperation`: that is where others' words come in. The
pipeline has the retry policy of the package's own example, with its defaults.

Nothing stops a poller. `wait` comes back after the limit, and the poller's thread goes
on asking until its transport is closed. So a wait takes two threads: the caller's, and
the poller's own.

https://learn.microsoft.com/python/api/azure-core/azure.core.polling.base_polling
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import Pipeline, PipelineContext, PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    RedirectPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import (
    LongRunningOperation,
    LROBasePolling,
    OperationFailed,
)
from azure.core.rest import HttpRequest, HttpResponse

from . import Outcome, Report, Way
from ._requests import open_session
from ._running import wait_in_threads

NAME = "azure-core"
NEEDS: Sequence[str] = ("azure-core", "requests", "urllib3")
RUNS_ON = "threads"
DEFAULT = Way("its own: what Retry-After says, 30 s where there is none", {})

_Answer: TypeAlias = PipelineResponse[HttpRequest, HttpResponse]

_ID = "x-ms-client-request-id"

_WORDS: Mapping[str, str] = MappingProxyType(
    {"completed": "Succeeded", "error": "Failed", "cancelled": "Canceled"}
)


class JobOperation(LongRunningOperation[HttpRequest, HttpResponse]):
    """Where a job is asked about, and what its words mean to azure-core."""

    def __init__(self, url: str) -> None:
        self._url = url

    def can_poll(self, pipeline_response: _Answer) -> bool:
        """Tell that each answer is of this kind."""
        return True

    def get_polling_url(self) -> str:
        """Return the job's own address."""
        return self._url

    def set_initial_status(self, pipeline_response: _Answer) -> str:
        """Read the first answer as all others."""
        return self.get_status(pipeline_response)

    def get_status(self, pipeline_response: _Answer) -> str:
        """Translate the status."""
        status = pipeline_response.http_response.json()["status"]
        return _WORDS.get(status, "InProgress")

    def get_final_get_url(self, pipeline_response: _Answer) -> str | None:
        """Tell that the last answer is all there is."""
        return None


def tuned(interval: float) -> Way:
    """Return that interval, which still gives way to `Retry-After`."""
    return Way(
        f"polling interval {interval:g} s where there is no Retry-After",
        {"timeout": interval},
    )


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a thread for each; see `Peer`."""
    policies: list[Any] = [
        RequestIdPolicy(),
        UserAgentPolicy("benchmarks"),
        ContentDecodePolicy(),
        RedirectPolicy(),
        RetryPolicy(),
    ]
    transport = RequestsTransport(session=open_session())
    pipeline: Pipeline[HttpRequest, HttpResponse] = Pipeline(transport, policies)
    with PipelineClient[HttpRequest, HttpResponse]("", pipeline=pipeline) as client:
        wait_in_threads(urls, partial(_wait, client, limit, way), report)


def _wait(
    client: PipelineClient[HttpRequest, HttpResponse],
    limit: float,
    way: Way,
    url: str,
) -> Outcome:
    accepted = _answer_to_submission(url)
    polling: LROBasePolling[Any, HttpRequest, HttpResponse] = LROBasePolling(
        lro_algorithms=[JobOperation(url)], **way.settings
    )
    poller = LROPoller(client, accepted, _itself, polling)
    try:
        poller.wait(limit)
    except HttpResponseError as error:
        if isinstance(error.inner_exception, OperationFailed):
            return "failed"
        raise
    if not poller.done():
        return "timeout"
    return "completed" if poller.status() == "Succeeded" else "failed"


class _Accepted:
    """The answer to a submission, as far as a poller looks at it."""

    status_code = 202
    headers: Mapping[str, str] = MappingProxyType({})
    is_stream_consumed = True  # by which azure-core knows an answer of this kind

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def json(self) -> Any:
        """Return the document."""
        return {"status": "pending"}


def _answer_to_submission(url: str) -> _Answer:
    """Return what begins a poller. No wait pays for the submission, so none is made."""
    # All requests of a poller have the id of the first.
    request = HttpRequest("POST", url, headers={_ID: str(uuid.uuid4())})
    response = cast("HttpResponse", _Accepted(request))
    return PipelineResponse(request, response, PipelineContext(None))


def _itself(answer: _Answer) -> _Answer:
    return answer
