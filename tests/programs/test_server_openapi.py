"""The OpenAPI document: it is one, tells of every route, and tells the truth."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from vtrio.server import Limits, problems
from vtrio.server.access import new_key
from vtrio.server.documents import EventDocument, JobDocument
from vtrio.server.openapi import openapi_document
from vtrio.server.openapi._answers import PROBLEMS
from vtrio.server.store import Instant

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.programs.conftest import AppClient, OpenApp

UNTOLD = {"HEAD", "OPTIONS"}  # they follow from GET


def document(*, keys: bool = False) -> dict[str, Any]:
    """Return the document of a server with the usual limits."""
    return openapi_document(Limits(), version="1.2.3", keys=keys)


def check(described: dict[str, Any], path: str, answer: httpx.Response) -> None:
    """Assert that an answer is one of those that its operation may give."""
    operation = described["paths"][path][answer.request.method.lower()]
    response = operation["responses"][str(answer.status_code)]
    for name, link in response["headers"].items():
        header = described["components"]["headers"][link["$ref"].rpartition("/")[2]]
        if name in answer.headers or header["required"]:
            pattern = header["schema"].get("pattern", "")
            assert re.search(pattern, answer.headers[name]), name
    if "content" not in response:
        assert answer.content == b""
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    content = response["content"]
    schema = content.get(kind, content.get("video/*", {})).get("schema", {})
    assert kind in content or kind.startswith("video/")
    if kind.endswith("json"):
        rooted = {**schema, "components": described["components"]}
        Draft202012Validator(
            rooted, format_checker=Draft202012Validator.FORMAT_CHECKER
        ).validate(answer.json())


@pytest.mark.parametrize("keys", [False, True])
def test_the_document_is_valid(keys: bool) -> None:
    """As OpenAPI 3.1, and as JSON."""
    described = document(keys=keys)
    OpenAPIV31SpecValidator(described).validate()
    assert json.loads(json.dumps(described)) == described
    assert described["info"]["version"] == "1.2.3"


def test_each_operation_is_named_once_and_says_what_it_is() -> None:
    """Generators of clients make functions of the names."""
    operations = [
        operation
        for operations in document()["paths"].values()
        for operation in operations.values()
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in operations)


def test_all_but_the_open_routes_need_a_key_where_there_are_keys() -> None:
    """And may then answer that it is missing."""
    for path, operations in document(keys=True)["paths"].items():
        for operation in operations.values():
            needed = path not in ("/status", "/healthz", "/readyz")
            assert operation["security"] == ([{"key": []}] if needed else [])
            assert ("401" in operation["responses"]) == needed
    assert "securitySchemes" not in document()["components"]


def test_limits_are_told() -> None:
    """A client learns beforehand what is too much."""
    limits = Limits(upload=12_345, ids=7, page=9, json=54_321, json_depth=3)
    described = openapi_document(limits, version="1", keys=False)
    parameters = described["components"]["parameters"]
    schemas = described["components"]["schemas"]
    assert parameters["ids"]["schema"]["maxItems"] == 7
    assert parameters["page_size"]["schema"]["maximum"] == 9
    assert parameters["page_size"]["schema"]["default"] == 9
    assert schemas["Ids"]["properties"]["ids"]["maxItems"] == 7
    text = json.dumps(described)
    assert "12345" in text
    assert "54321" in text


def test_members_are_those_of_the_documents() -> None:
    """What is sent is described, and nothing else."""
    schemas = document()["components"]["schemas"]
    for name, kind in {"Job": JobDocument, "JobEvent": EventDocument}.items():
        members = set(kind.__annotations__)
        assert set(schemas[name]["properties"]) == members
        assert set(schemas[name]["required"]) == members - {"translation"}


def test_each_kind_of_problem_is_described_with_its_status() -> None:
    """The table of the server and that of the document are the same."""
    answered = {kind: status for status, kind, _ in problems._TABLE.values()}
    assert {**answered, "internal-error": 500} == dict(PROBLEMS)


async def test_every_route_is_described_and_every_path_is_a_route(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """By the app's own map of its routes."""
    async with open_app() as client:
        routes = {
            (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
            for rule in client.app.url_map.iter_rules()
            for method in (rule.methods or set()) - UNTOLD
        }
        described = (await client.get("/openapi.json")).json()
    told = {
        (path, method.upper())
        for path, operations in described["paths"].items()
        for method in operations
    }
    assert told == routes


async def follow_a_job(client: AppClient, described: dict[str, Any]) -> None:
    """Have a job of each ending, and check every answer on the way."""
    jobs, one = "/v1/translations", "/v1/translations/{job_id}"
    submitted = await client.submit(key="k", target_language="pt-BR")
    check(described, jobs, submitted)
    check(described, jobs, await client.submit(key="k", target_language="de"))
    path, etag = submitted.headers["Location"], submitted.headers["ETag"]
    await trio.sleep(1)
    shown = await client.get(path, headers={"If-None-Match": etag})
    assert shown.json()["status"] == "running"
    check(described, one, shown)
    seen = {"If-None-Match": shown.headers["ETag"]}
    check(described, one, await client.get(path, headers=seen))
    check(described, f"{one}/video", await client.get(f"{path}/video"))
    held = await client.get(path, headers={**seen, "Prefer": "wait=60"})
    assert held.json()["status"] in ("completed", "error")
    check(described, one, held)
    check(described, f"{one}/cancel", await client.post(f"{path}/cancel"))
    for name in ("video", "subtitles"):
        for value in ("", "bytes=0-1", "bytes=999999999-"):
            answer = await client.get(f"{path}/{name}", headers={"Range": value})
            check(described, f"{one}/{name}", answer)
    job_id = held.json()["id"]
    for query in (f"ids={job_id},x", "page_size=1", "status=pending", "page_size=0"):
        check(described, jobs, await client.get(f"{jobs}?{query}"))
    cancelled = await client.submit()
    ids = {"ids": [cancelled.json()["id"], "x"]}
    for body in (ids, ids, {"ids": 1}, {"ids": ["x"] * 1000}):
        answer = await client.post(f"{jobs}/cancel", json=body)
        check(described, f"{jobs}/cancel", answer)
    check(described, one, await client.get(cancelled.headers["Location"]))
    check(described, one, await client.delete(path))
    check(described, one, await client.delete(path))


@pytest.mark.parametrize("failure_rate", [0.0, 1.0])
async def test_what_the_server_answers_is_what_the_document_says(
    failure_rate: float, open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Its bodies, headers and statuses, along the life of jobs."""
    async with open_app(failure_rate=failure_rate) as client:
        answer = await client.get("/openapi.json")
        described = answer.json()
        check(described, "/openapi.json", answer)
        assert described == openapi_document(
            client.service.limits, version=described["info"]["version"], keys=False
        )
        await follow_a_job(client, described)
        for path in ("/status", "/healthz", "/readyz", "/metrics"):
            check(described, path, await client.get(path))
        for query in ("", "?limit=1", "?after=x", "?after=00000000.1", "?limit=x"):
            answer = await client.get(f"/v1/events{query}")
            check(described, "/v1/events", answer)


async def test_a_key_that_is_added_later_is_described(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The document is asked for with it, and says that it is needed."""
    key, record = new_key("late", Instant(0.0, datetime.now(UTC)))
    async with open_app() as client:
        described = (await client.get("/openapi.json")).json()
        assert described["paths"]["/metrics"]["get"]["security"] == []
        await client.store.add_api_key(record)
        await trio.sleep(2)
        refused = await client.get("/openapi.json")
        authorized = {"Authorization": f"Bearer {key}"}
        described = (await client.get("/openapi.json", headers=authorized)).json()
    assert described["paths"]["/metrics"]["get"]["security"] == [{"key": []}]
    check(described, "/openapi.json", refused)
