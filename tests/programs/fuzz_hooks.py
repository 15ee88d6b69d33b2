"""What Schemathesis cannot read from the OpenAPI document, for `test_server_fuzz`.

It is run in a process of its own, which loads this file.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

PROBLEM = "application/problem+json"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Hold no answer for long, and take the feed as a stream half of the time."""
    prefer = case.headers.get("Prefer") if case.headers else None
    if prefer:
        # Nothing changes here while an answer is held.
        case.headers["Prefer"] = re.sub(r"[0-9]{2,}", "1", prefer)
    if case.operation.label == "GET /v1/events" and len(repr(case.query)) % 2:
        case.headers["Accept"] = "text/event-stream"


@schemathesis.check
def is_whole_problem(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Check that what refuses is a problem document, which names the request."""
    if response.status_code < 400 or case.method == "HEAD":
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == PROBLEM, f"a refusal is {kind!r}, and not {PROBLEM!r}"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"][0]


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Accept what is refused for a reason that no schema can tell."""
    if not isinstance(failure, AcceptedNegativeData | RejectedPositiveData):
        return True
    if {"Accept", "Last-Event-ID"} <= set(case.headers):
        return False  # the cursor counts that is in the header, and any other does not
    if isinstance(failure, AcceptedNegativeData):
        # What is not text is written as text in a form: `null` may well be a language.
        fields = case.body if isinstance(case.body, dict) else {}
        return case.operation.label != "POST /v1/translations" or all(
            isinstance(value, str | bytes) for value in fields.values()
        )
    match case.operation.label, response.json()["type"].rpartition(":")[2]:
        case "POST /v1/translations", "key-reused":
            return False
        case "GET /v1/events", "expired-cursor":  # of another store
            return False
        case "GET /v1/translations", "bad-query":
            # Either ids or what pages have.
            return not ("ids" in case.query and len(case.query) > 1)
        case _, "bad-range":  # which depends on the file
            return False
    return True
