"""The gate keeps memory bounded, and what is not read does no harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio.server.asgi import Boundary
from vtrio.server.errors import BadUpload
from vtrio.server.gate import BodyGate, GatedBody
from vtrio.server.requests import FACTS

Message = MutableMapping[str, Any]


class Wire:
    """A client's side of an ASGI request, over channels."""

    def __init__(self) -> None:
        self.feed, self._receive = trio.open_memory_channel[Message](0)
        self.taken = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """Give the app its next message."""
        message = await self._receive.receive()
        self.taken += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Take a message of the app."""
        await trio.lowlevel.checkpoint()
        self.sent.append(message)

    async def push(self, size: int, count: int, *, end: bool = True) -> None:
        """Send a body in pieces of a size."""
        for _ in range(count):
            await self.feed.send(
                {"type": "http.request", "body": bytes(size), "more_body": True}
            )
        if end:
            await self.feed.send(
                {"type": "http.request", "body": b"", "more_body": False}
            )


def a_scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """Make the scope of a POST."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "http_version": "1.1",
        "headers": headers,
    }


async def test_the_gate_lets_in_a_window_ahead(nursery: trio.Nursery) -> None:
    """Unconsumed bytes stop the reading; consuming them lets it go on."""
    wire = Wire()
    gate = BodyGate(wire.receive, window=100)
    nursery.start_soon(wire.push, 60, 10)
    got: list[Message] = []

    async def read() -> None:
        while not gate.over:
            got.append(await gate.receive())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert len(got) == 2

    gate.consumed(60)
    await wait_all_tasks_blocked()
    assert len(got) == 3

    gate.consumed(60 * 9)
    await wait_all_tasks_blocked()
    assert len(got) == 11
    assert gate.over


Routes = Callable[[BodyGate, Callable[[Message], Awaitable[None]]], Awaitable[None]]


def app_of(route: Routes) -> Boundary:
    """Make an app of one route that reads messages beside it, as Quart does."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def read(nursery: trio.Nursery) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, nursery)
            await route(scope[FACTS].gate, send)
            nursery.cancel_scope.cancel()

    return Boundary(app, lambda *_: None, lambda *_: None)


def names(message: Message) -> set[bytes]:
    """Return the names of an answer's headers."""
    return {name for name, _ in message["headers"]}


async def refuse(gate: BodyGate, send: Callable[[Message], Awaitable[None]]) -> None:
    """Answer without having read the body."""
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"no", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def test_an_early_answer_reads_the_rest_before_it_ends(
    autojump_clock: MockClock,
) -> None:
    """The client can finish writing; the connection is told to close."""
    wire = Wire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            app_of(refuse),
            a_scope((b"content-length", b"1")),
            wire.receive,
            wire.send,
        )
        await trio.sleep(0.1)
        assert [message["type"] for message in wire.sent] == [
            "http.response.start",
            "http.response.body",
            "http.response.body",
        ]
        assert (b"connection", b"close") in wire.sent[0]["headers"]
        await wire.push(100_000, 50)
        await wait_all_tasks_blocked()
        assert wire.taken == 5_000_000
        assert trio.current_time() == 0.1
    assert not wire.sent[-1].get("more_body", False)


async def test_an_early_answer_does_not_wait_for_ever(
    autojump_clock: MockClock,
) -> None:
    """A client that neither writes on nor leaves holds it for two seconds."""
    wire = Wire()
    await app_of(refuse)(
        a_scope((b"transfer-encoding", b"chunked")), wire.receive, wire.send
    )
    assert trio.current_time() == pytest.approx(2.0)
    assert not wire.sent[-1].get("more_body", False)


async def test_an_early_answer_waits_two_seconds_in_all(
    autojump_clock: MockClock,
) -> None:
    """A client that drips, before the answer and during it, has no more than others."""
    wire = Wire()

    async def drip() -> None:
        while True:
            await wire.push(1, 1, end=False)
            await trio.sleep(0.04 if trio.current_time() < 1.5 else 0.2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        await app_of(refuse)(
            a_scope((b"content-length", b"10")), wire.receive, wire.send
        )
        assert trio.current_time() == pytest.approx(2.0)
        nursery.cancel_scope.cancel()


async def test_an_answer_to_a_body_that_comes_at_once_keeps_the_connection(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What comes without a pause is read and dropped, and nothing is closed."""
    wire = Wire()
    nursery.start_soon(wire.push, 100_000, 50)
    await app_of(refuse)(a_scope((b"content-length", b"10")), wire.receive, wire.send)
    assert trio.current_time() == 0
    assert wire.taken == 5_000_000
    assert names(wire.sent[0]) == {b"x-request-id"}


async def test_a_newer_protocol_has_no_connection_header(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """HTTP/2 forbids it."""
    wire = Wire()
    request = {**a_scope((b"content-length", b"1")), "http_version": "2"}
    await app_of(refuse)(request, wire.receive, wire.send)
    assert names(wire.sent[0]) == {b"x-request-id"}


async def test_the_end_of_an_answer_is_not_cut_off_by_its_own_disconnect() -> None:
    """Hypercorn tells of a disconnect while it ends an answer; it may finish that."""
    wire = Wire()
    finished = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await wire.feed.send({"type": "http.disconnect"})
            await wait_all_tasks_blocked()
            finished.append(message)

    await app_of(refuse)(a_scope(), wire.receive, send)
    assert len(finished) == 1


async def test_a_client_that_leaves_cancels_the_route() -> None:
    """Before the answer, a disconnect reaches the app as it always did."""
    wire = Wire()
    cancelled = []

    async def wait(gate: BodyGate, send: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(gate.left)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(app_of(wait), a_scope(), wire.receive, wire.send)
        await wire.feed.send({"type": "http.disconnect"})
    assert cancelled == [True]


async def test_what_goes_wrong_for_a_client_that_left_is_noted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is nobody to answer, and no reason for hypercorn to log a traceback."""
    wire = Wire()

    async def wait(gate: BodyGate, send: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("clean-up")

    with caplog.at_level("INFO", "vtrio.server"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app_of(wait), a_scope(), wire.receive, wire.send)
            await wire.feed.send({"type": "http.disconnect"})
    assert not wire.sent
    (left,) = [record for record in caplog.records if record.message == "client-left"]
    assert "clean-up" in left.__dict__["error"]


async def test_a_body_cut_off_by_a_client_that_left_is_no_failure() -> None:
    """Newer Quarts raise an error of theirs then; any other error stays what it is."""

    class Broken:
        """A body that breaks off."""

        def __aiter__(self) -> Broken:
            """Iterate over itself."""
            return self

        async def __anext__(self) -> bytes:
            """Break."""
            await trio.lowlevel.checkpoint()
            raise ConnectionError

    gate = BodyGate(Wire().receive)
    with pytest.raises(ConnectionError):
        await anext(GatedBody(Broken(), gate))
    gate.left = True
    with pytest.raises(BadUpload, match="left"):
        await anext(GatedBody(Broken(), gate))


async def test_a_failure_after_the_answer_began_goes_up() -> None:
    """There is no second answer; hypercorn closes the connection."""
    wire = Wire()

    async def break_off(
        gate: BodyGate, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError

    with pytest.RaisesGroup(LookupError):
        await app_of(break_off)(a_scope(), wire.receive, wire.send)
