"""Polls that are answered in front of the framework: as the framework would answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock

from vtrio.server.access import new_key
from vtrio.server.asgi import Boundary
from vtrio.server.store import Instant

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, OpenApp

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def boundary_of(client: AppClient) -> Boundary:
    """Return what stands in front of the app."""
    boundary = client.app.asgi_app
    assert isinstance(boundary, Boundary)
    return boundary


async def ask_both_ways(
    client: AppClient, path: str, headers: list[tuple[str, str]], method: str = "GET"
) -> tuple[httpx.Response, httpx.Response]:
    """Ask with the short cut, and with the framework alone."""
    boundary = boundary_of(client)
    quick = await client.request(method, path, headers=headers)
    shortcut = boundary._shortcut
    boundary._shortcut = lambda _scope, _facts: None
    try:
        whole = await client.request(method, path, headers=headers)
    finally:
        boundary._shortcut = shortcut
    return quick, whole


def without_id(answer: httpx.Response) -> dict[str, str]:
    """Return the headers of an answer, but for the id of its request."""
    return {n: v for n, v in answer.headers.items() if n != "x-request-id"}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("If-None-Match", "ETAG")],
        [("If-None-Match", "W/ETAG")],
        [("If-None-Match", '"other", ETAG')],
        [("If-None-Match", '"other"'), ("If-None-Match", "ETAG")],
        [("If-None-Match", '"other"')],
        [("If-None-Match", "*")],
        [("If-None-Match", "ETAG"), ("Prefer", "wait=0")],
        [("If-None-Match", "ETAG"), ("Prefer", "respond-async")],
        [("If-None-Match", "ETAG"), ("Authorization", "Bearer nobody")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("ended", [False, True])
async def test_both_ways_give_the_same_answer(
    open_app: OpenApp,
    autojump_clock: MockClock,
    headers: list[tuple[str, str]],
    method: str,
    ended: bool,
) -> None:
    """Status, headers and body, whatever the client has seen and wishes."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11.25 if ended else 1.25)
        etag = (await client.get(path)).headers["ETag"]
        told = [(name, value.replace("ETAG", etag)) for name, value in headers]
        quick, whole = await ask_both_ways(client, path, told, method)
    assert quick.status_code == whole.status_code
    assert without_id(quick) == without_id(whole)
    assert quick.content == whole.content


async def test_the_framework_is_not_asked(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """A poll that brings no news is answered by the short cut alone."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1.25)
        etag = (await client.get(path)).headers["ETag"]

        async def fail(*_: object) -> None:
            raise AssertionError("the framework was asked")

        boundary_of(client)._app = fail
        unchanged = await client.get(path, headers={"If-None-Match": etag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert (await client.get(path)).status_code == 500


async def test_a_key_is_asked_for_in_front_too(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Whoever has no key, or another's, is not told that nothing has changed."""
    mine, mine_kept = new_key("mine", Instant(0.0, NOON))
    others, others_kept = new_key("another's", Instant(0.0, NOON))
    async with open_app(keys=[mine_kept, others_kept]) as client:
        client.headers["Authorization"] = f"Bearer {mine}"
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        etag = (await client.get(path)).headers["ETag"]
        seen = {"If-None-Match": etag}
        assert (await client.get(path, headers=seen)).status_code == 304
        client.headers["Authorization"] = f"Bearer {others}"
        assert (await client.get(path, headers=seen)).status_code == 404
        del client.headers["Authorization"]
        assert (await client.get(path, headers=seen)).status_code == 401
