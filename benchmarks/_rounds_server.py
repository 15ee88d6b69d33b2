"""`vtrio serve` for many contenders: who asks is told from the path, and counted.

Everything is that of the command but for this: each contender asks below a path of its
own, `/as/NAME`, and has jobs of its own there, as if by an API key. Its requests are
counted with their instants, whatever they ask for and whatever is answered. A round's
jobs all begin at one instant, and each ends at the age that it was given. What our
server tells beyond the document, when to ask again and how long the job took
(`Retry-After`, `Job-Age`, `Job-Run-Time`, `Job-Ended-Ago`), is left out for all alike,
because most servers tell nothing of the sort. In an outage every request is
answered 503, without a hint, and so are those that were held when it began. An answer
that had begun is finished; a stream of events ends there, in order.

It is steered below `/steer`. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

import vtrio.server.engines
import vtrio.server.serving
from vtrio.cli import main
from vtrio.server.access import Access, Client
from vtrio.server.asgi import App, Scope, Send
from vtrio.server.engines import Engine, Progress, Task, Translation
from vtrio.server.gate import Message, Receive

from ._steered_server import end_with_the_parent, make_result

_TOLD_BY_NONE = frozenset(
    {b"retry-after", b"job-age", b"job-run-time", b"job-ended-ago"}
)


class Rounds:
    """The jobs that wait to begin, and what each contender asks from then on."""

    name = "simulated"

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._begun: dict[str, trio.Event] = {}
        self._by_contender: dict[str, _Own] = defaultdict(_Own)

    def check(self, target_language: str, source_language: str | None) -> None:
        """Refuse no language."""

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Wait for the round, and then for the age of this job."""
        made = await trio.to_thread.run_sync(make_result, task)
        begun = self._begun[task.job_id] = trio.Event()
        await begun.wait()
        await trio.sleep_until(self._ends.pop(task.job_id))
        return made

    @property
    def waiting(self) -> int:
        """How many jobs wait for a round."""
        return len(self._begun)

    def begin(
        self,
        name: str,
        at: float,
        durations: dict[str, float],
        outage: Sequence[float] | None,
    ) -> None:
        """Let a contender's jobs begin at an instant of the wall clock.

        `outage` is its beginning and its end, in seconds from then on.

        Raises:
            KeyError: one of the jobs does not wait.
        """
        begun = [self._begun[job_id] for job_id in durations]
        begins_at = trio.current_time() + at - time.time()
        for job_id, duration in durations.items():
            self._ends[job_id] = begins_at + duration
            del self._begun[job_id]
        own = self._by_contender[name] = _Own(begins_at)
        if outage is not None:
            own.out_from, own.out_until = (begins_at + age for age in outage)
        for event in begun:
            event.set()

    def counts(self) -> dict[str, list[float]]:
        """Return the instants of all requests, in seconds from each beginning."""
        return {name: own.instants for name, own in self._by_contender.items()}

    def asked(self, name: str) -> _Own:
        """Take in a request of a contender, and return how it stands."""
        own = self._by_contender[name]
        age = trio.current_time() - own.begins_at
        if age >= 0:
            own.instants.append(round(age, 4))
        return own


@dataclass
class _Own:
    """One contender in a round; instants are of trio's clock."""

    begins_at: float = math.inf
    out_from: float = math.inf
    out_until: float = math.inf
    instants: list[float] = field(default_factory=list)


class Front:
    """Stands before the app: tells who asks, counts, and answers in an outage."""

    def __init__(self, app: App, steered: Rounds) -> None:
        self._app = app
        self._rounds = steered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        match scope["path"].split("/", 3):
            case ["", "as", name, rest]:
                await self._serve(name, f"/{rest}", scope, receive, send)
            case ["", "steer", word]:
                status, answer = await self._steer(word, receive)
                await _answer(send, status, answer)
            case _:
                await self._app(scope, receive, send)

    async def _serve(
        self, name: str, path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        own = self._rounds.asked(name)
        now = trio.current_time()
        if own.out_from <= now < own.out_until:
            await receive()
            await _answer(send, 503, {"title": "The server is out of order"})
            return
        started = ended = False

        async def tell(message: Message) -> None:
            nonlocal started, ended
            # The outage answers what is held when it begins, and ends what streams.
            await trio.lowlevel.checkpoint_if_cancelled()
            if message["type"] == "http.response.start":
                started = True
                headers = message["headers"]
                if not _is_stream(headers):
                    answering.deadline = math.inf
                kept = [
                    pair for pair in headers if pair[0].lower() not in _TOLD_BY_NONE
                ]
                message = {**message, "headers": kept}
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            # Cut in the middle of a message, the connection would be left hanging.
            with trio.CancelScope(shield=True):
                await send(message)

        # As if from an address of its own, by which the jobs are told apart.
        inner = {
            **scope,
            "path": path,
            "raw_path": path.encode(),
            "client": (name, 0),
        }
        until = own.out_from if now < own.out_from else math.inf
        with trio.CancelScope(deadline=until) as answering:
            await self._app(inner, receive, tell)
        if answering.cancelled_caught and not started:
            await _answer(send, 503, {"title": "The server is out of order"})
        elif answering.cancelled_caught and not ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _steer(self, word: str, receive: Receive) -> tuple[int, Any]:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        match word:
            case "waiting":
                return 200, {"waiting": self._rounds.waiting}
            case "counts":
                return 200, self._rounds.counts()
            case "begin":
                try:
                    self._rounds.begin(**json.loads(body))
                except KeyError as error:
                    return 409, {"title": f"job {error} does not wait"}
                return 200, {}
            case _:
                return 404, {"title": f"no such word: {word!r}"}


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in headers
    )


async def _answer(send: Send, status: int, document: Any) -> None:
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _ByContender(Access):
    """Takes each contender for an owner of its own: by its address, which is its name."""

    def _client(self, authorization: Sequence[str], address: str) -> Client | None:
        return Client(address, address)


def _serve() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flags", nargs="*")
    options = parser.parse_args()
    end_with_the_parent()
    steered = Rounds()
    program: Any = vtrio.server.serving
    create_app = program.create_app

    def choose(name: str | None = None, **_: object) -> Engine:
        return steered

    def create_front(*parts: Any) -> Front:
        return Front(create_app(*parts), steered)

    vtrio.server.engines.choose_engine = choose
    program.create_app = create_front
    program.Access = _ByContender
    serve = ["serve", "--port", "0", "--engine", "simulated"]
    return main([*serve, *options.flags])


if __name__ == "__main__":
    sys.exit(_serve())
