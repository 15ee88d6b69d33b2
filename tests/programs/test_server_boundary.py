"""What stands around the app: targets, handshakes, and what fails below its routes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio.server.asgi import Boundary

if TYPE_CHECKING:
    from tests.programs.conftest import OpenApp


async def asgi(app: object, **scope: object) -> tuple[int, dict[str, str], bytes]:
    """Send one request below any client; return status, headers and body."""
    sent: list[dict[str, object]] = []
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> object:
        for message in received:
            return message
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    defaults = {
        "type": "http",
        "method": "GET",
        "path": "/status",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
    }
    await app({**defaults, **scope}, receive, send)  # type: ignore[operator]
    headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}  # type: ignore[attr-defined]
    body = b"".join(message.get("body", b"") for message in sent[1:])  # type: ignore[misc]
    return int(sent[0]["status"]), headers, body  # type: ignore[call-overload]


@pytest.mark.parametrize("target", ["", "*", "http://[x/", "status", "x:y"])
async def test_a_target_that_cannot_be_read_is_a_problem(
    target: str, open_app: OpenApp
) -> None:
    """What would fail below Quart's handlers is a 400 of ours."""
    async with open_app() as client:
        status, headers, body = await asgi(client.app, path=target)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    problem = json.loads(body)
    assert problem["type"] == "urn:vtrio:problem:bad-target"
    assert problem["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize("target", ["http://server/status", "HTTP://s:80/status"])
async def test_a_whole_url_as_target_is_its_path(
    target: str, open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Clients of proxies send the absolute form, and servers must take it."""
    async with open_app() as client:
        status, _, body = await asgi(client.app, path=target)
    assert (status, json.loads(body)) == (200, {"result": "pending"})


async def test_what_fails_below_the_handlers_is_a_problem(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The outermost wrapper answers for the framework itself."""

    def break_down(*_: object, **__: object) -> None:
        raise LookupError("deep inside")

    async with open_app() as client:
        monkeypatch.setattr(client.app, "request_class", break_down)
        status, _, body = await asgi(client.app)
    assert status == 500
    assert json.loads(body)["type"] == "urn:vtrio:problem:internal-error"
    assert "deep inside" in caplog.text


@pytest.mark.parametrize(
    ("extensions", "kinds"),
    [
        ({}, ["websocket.close"]),
        (
            {"websocket.http.response": {}},
            ["websocket.http.response.start", "websocket.http.response.body"],
        ),
    ],
)
async def test_websockets_are_refused(
    extensions: dict[str, object], kinds: list[str], open_app: OpenApp
) -> None:
    """By a problem where the server can carry one, else by closing the handshake."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": []}
    async with open_app() as client:
        await client.app({**scope, "extensions": extensions}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == kinds


async def test_the_lifespan_is_the_apps_own_affair() -> None:
    """What is no request is passed on as it is, for those who run the app elsewhere."""
    passed = []

    async def app(scope: object, receive: object, send: object) -> None:
        passed.append((scope, receive, send))

    boundary = Boundary(app, lambda *_: None, lambda *_: None)
    await boundary({"type": "lifespan"}, "receive", "send")  # type: ignore[arg-type]
    assert passed == [({"type": "lifespan"}, "receive", "send")]
