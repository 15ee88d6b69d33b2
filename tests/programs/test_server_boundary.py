"""What stands around the app: targets, handshakes, and what fails below its routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from vtrio.server import Demonstration, JobService, MemoryStore, create_app
from vtrio.server.asgi import Boundary
from vtrio.server.engines.simulated import SimulatedEngine


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
    target: str, tmp_path: Path
) -> None:
    """What would fail below Quart's handlers is a 400 of ours."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    status, headers, body = await asgi(app, path=target)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["type"] == "urn:vtrio:problem:bad-target"


@pytest.mark.parametrize("target", ["http://server/status", "HTTP://s:80/status"])
async def test_a_whole_url_as_target_is_its_path(target: str, tmp_path: Path) -> None:
    """Clients of proxies send the absolute form, and servers must take it."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    status, _, body = await asgi(app, path=target)
    assert (status, json.loads(body)) == (200, {"result": "completed"})


async def test_what_fails_below_the_handlers_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The outermost wrapper answers for the framework itself."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))

    def break_down(*_: object, **__: object) -> None:
        raise LookupError("deep inside")

    monkeypatch.setattr(app, "request_class", break_down)
    status, _, body = await asgi(app)
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
    extensions: dict[str, object], kinds: list[str], tmp_path: Path
) -> None:
    """By a problem where the server can carry one, else by closing the handshake."""
    service = JobService(MemoryStore(), SimulatedEngine(), tmp_path)
    app = create_app(service, Demonstration(started=0, duration=1))
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "extensions": extensions}
    await app(scope, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == kinds


async def test_the_lifespan_is_the_apps_own_affair() -> None:
    """What is no request is passed on as it is, for those who run the app elsewhere."""
    passed = []

    async def app(scope: object, receive: object, send: object) -> None:
        passed.append((scope, receive, send))

    await Boundary(app)({"type": "lifespan"}, "receive", "send")  # type: ignore[arg-type]
    assert passed == [({"type": "lifespan"}, "receive", "send")]
