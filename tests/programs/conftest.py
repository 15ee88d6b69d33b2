"""What the tests of the server share: a service, an app and a server to talk to."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import httpx
import pytest
import trio
from quart_trio import QuartTrio

from vtrio._distributions import Durations
from vtrio._job import JobStatus
from vtrio.server import (
    Access,
    Demonstration,
    JobService,
    Limits,
    ServerSettings,
    Serving,
    Store,
    asgi,
    create_app,
    open_store,
    serve,
)
from vtrio.server.engines import Progress, Task, Translation
from vtrio.server.engines.simulated import SimulatedEngine
from vtrio.server.service import Order
from vtrio.server.store import (
    FILE,
    ApiKeyRecord,
    IdempotencyKey,
    Instant,
    JobRecord,
    url_of_file,
)
from vtrio.server.store.opening import open_engine

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
VIDEO = bytes(range(256)) * 40
FORM = {"target_language": "pt"}


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[logging.Logger]:
    """Have the log as it was after a test in which `vtrio serve` set it up."""
    root = logging.getLogger()
    alembic = logging.getLogger("alembic")
    before = root.handlers[:], root.level, alembic.level
    yield root
    root.handlers[:], level, alembic_level = before
    root.setLevel(level)
    alembic.setLevel(alembic_level)


@pytest.fixture(autouse=True)
def data_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Have servers that are not told where keep their jobs apart from the user's own."""
    home = tmp_path_factory.getbasetemp() / "data-home"
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    return home


Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Wait for something that another thread or process does."""

    async def wait(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - which sets no event here
            await trio.sleep(0.005)

    return wait


# --- a service, in virtual time ---------------------------------------------------


@dataclass
class ScriptedEngine:
    """Works for some seconds an attempt, then ends as the script says.

    The last line of the script is repeated. `cleaning_up` is how long a cancelled
    attempt takes to be gone, and `cleanup_error` what goes wrong then.
    """

    script: list[tuple[float, BaseException | None]] = field(
        default_factory=lambda: [(10.0, None)]
    )
    reports: list[tuple[float, Progress]] = field(default_factory=list)
    cleaning_up: float = 0.0
    cleanup_error: Exception | None = None
    attempts: list[tuple[float, str, int]] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    name: str = "scripted"

    def check(self, target_language: str, source_language: str | None) -> None:
        """Know every language but Klingon."""
        if "tlh" in (target_language, source_language):
            raise ValueError("language 'tlh' is not allowed")

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Follow the script."""
        assert not list(task.folder.iterdir())
        seconds, error = self.script[min(len(self.attempts), len(self.script) - 1)]
        began = trio.current_time()
        self.attempts.append((began, task.job_id, task.attempt))
        try:
            async with trio.open_nursery() as nursery:
                for after, progress in self.reports:
                    nursery.start_soon(self._report, began + after, report, progress)
                await trio.sleep(seconds)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.cleaning_up)
            if self.cleanup_error is not None:
                raise BaseExceptionGroup(
                    "", [self.cleanup_error, await _a_cancelled()]
                ) from None
            raise
        finally:
            self.ended.append(trio.current_time())
        if error is not None:
            raise error
        video, subtitles = task.folder / "out.mp4", task.folder / "out.vtt"
        video.write_bytes(b"dubbed")
        subtitles.write_text("WEBVTT")
        return Translation(
            video=video, subtitles=subtitles, media_seconds=3.5, source_language="en"
        )

    async def _report(
        self, when: float, report: Callable[[Progress], None], progress: Progress
    ) -> None:
        await trio.sleep_until(when)
        report(progress)


async def _a_cancelled() -> trio.Cancelled:
    """Return the exception with which trio cancels this task."""
    try:
        await trio.lowlevel.checkpoint()
    except trio.Cancelled as cancelled:
        return cancelled
    raise AssertionError("not cancelled")


def wall() -> datetime:
    """Return the time of day in a test: noon when the clock is at 0."""
    return NOON + timedelta(seconds=trio.current_time())


@cache
def _empty_store() -> bytes:
    """Make a store, once: bringing its schema up to date takes a tenth of a second."""
    with TemporaryDirectory() as folder:
        open_engine(url_of_file(Path(folder))).dispose()
        return (Path(folder) / FILE).read_bytes()


@asynccontextmanager
async def open_store_in(folder: Path) -> AsyncIterator[Store]:
    """Open the store of a folder."""
    if not (folder / FILE).exists():
        (folder / FILE).write_bytes(_empty_store())
    async with open_store(
        url_of_file(folder), Instant(trio.current_time(), wall())
    ) as store:
        yield store


class Bench:
    """A service, and what a test needs around it; it lives while it is running.

    Run again, it is a server that starts on what the last one left.
    """

    service: JobService
    store: Store

    def __init__(
        self, folder: Path, engine: ScriptedEngine, settings: dict[str, object]
    ) -> None:
        self.engine = engine
        self.folder = folder
        self._settings = settings

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Bench]:
        """Have a store and a service that does not run, inside the block."""
        async with open_store_in(self.folder) as self.store:
            self.service = JobService(
                self.store,
                self.engine,
                self.folder,
                wall=wall,
                **self._settings,  # type: ignore[arg-type]
            )
            yield self

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        """Run the service inside the block, and stop it at its end."""
        async with self.open(), trio.open_nursery() as nursery:
            await nursery.start(self.service.run)
            yield self
            nursery.cancel_scope.cancel("the test is over")

    async def submit(
        self,
        key: IdempotencyKey | None = None,
        target: str = "pt",
        source: str | None = None,
    ) -> JobRecord:
        """Submit a video of a few bytes."""
        upload = self.service.uploads / "upload.part"
        upload.parent.mkdir(parents=True, exist_ok=True)
        upload.write_bytes(b"video")
        order = Order(
            video=upload, suffix=".mp4", target_language=target, source_language=source
        )
        return (await self.service.submit(order, key)).record

    async def history(self) -> list[JobStatus]:
        """Return every status that was told of."""
        page = await self.store.events("", None, 1000)
        return [event.status for event in page.events]

    def files(self) -> list[str]:
        """Return the names of all files that are there."""
        return sorted(
            path.name
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith("vtrio.sqlite3")
        )


class BenchOf(Protocol):
    """Builds a bench around a scripted engine."""

    def __call__(
        self,
        script: list[tuple[float, BaseException | None]] | None = None,
        *,
        folder: Path | None = None,
        service: dict[str, object] | None = None,
        workers: int = 1,
        **engine: object,
    ) -> Bench:
        """Build it in the test's own folder unless told otherwise."""
        ...


@pytest.fixture
def bench_of(tmp_path: Path) -> BenchOf:
    """Build a service around an engine that follows a script."""

    def build(
        script: list[tuple[float, BaseException | None]] | None = None,
        *,
        folder: Path | None = None,
        service: dict[str, object] | None = None,
        workers: int = 1,
        **engine: object,
    ) -> Bench:
        settings = engine if script is None else {"script": script, **engine}
        return Bench(
            folder or tmp_path,
            ScriptedEngine(**settings),  # type: ignore[arg-type]
            {"workers": workers, **(service or {})},
        )

    return build


# --- an app, without sockets ------------------------------------------------------


class AppClient(httpx.AsyncClient):
    """A client of an app in the same process, which may look at its service too."""

    app: QuartTrio
    service: JobService
    store: Store

    async def submit(
        self, *, video: bytes = VIDEO, key: str | None = None, **fields: str
    ) -> httpx.Response:
        """Submit a video."""
        return await self.post(
            "/v1/translations",
            files={"video": ("clip.mp4", video)},
            data=fields or FORM,
            headers={} if key is None else {"Idempotency-Key": key},
        )


OpenApp = Callable[..., AbstractAsyncContextManager[AppClient]]


@pytest.fixture
def open_app(tmp_path: Path) -> OpenApp:
    """Have a client of an app whose jobs take 10 s."""

    @asynccontextmanager
    async def serving(
        *,
        failure_rate: float = 0.0,
        limits: Limits | None = None,
        keys: Sequence[ApiKeyRecord] = (),
        **settings: object,
    ) -> AsyncIterator[AppClient]:
        async with open_store_in(tmp_path) as store:
            for key in keys:
                await store.add_api_key(key)
            service = JobService(
                store,
                SimulatedEngine(
                    Durations.parse("fixed:10"), failure_rate=failure_rate, seed=1
                ),
                tmp_path,
                wall=wall,
                limits=limits or Limits(upload=2**20),
                **{"workers": 10, **settings},  # type: ignore[arg-type]
            )
            access = Access(store)
            await access.refresh()
            demonstration = Demonstration(started=0, duration=7, ending=JobStatus.ERROR)
            app = create_app(service, demonstration, access)
            transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                async with AppClient(
                    transport=transport, base_url="http://s"
                ) as client:
                    client.app, client.service, client.store = app, service, store
                    yield client
                nursery.cancel_scope.cancel("the test is over")

    return serving


CheckProblem = Callable[[httpx.Response, int, str | None], str]


@pytest.fixture
def check_problem() -> CheckProblem:
    """Assert that an answer is this problem, whole; return its detail."""

    def check(answer: httpx.Response, status: int, kind: str | None) -> str:
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        document = answer.json()
        kind = f"urn:vtrio:problem:{kind}" if kind else "about:blank"
        assert (document["type"], document["status"]) == (kind, status)
        assert document["title"]
        assert document["instance"].startswith("/")
        assert document["request_id"] == answer.headers["X-Request-Id"]
        return str(document["detail"])

    return check


# --- a server, with sockets -------------------------------------------------------


class Running:
    """A server that runs, and how to talk to it and stop it."""

    def __init__(self, where: Serving, stop: trio.Event) -> None:
        self.where = where
        self._stop = stop
        self.ended = trio.Event()

    async def stop(self) -> float:
        """Stop the server in order; return how long that took."""
        began = trio.current_time()
        self._stop.set()
        await self.ended.wait()
        return trio.current_time() - began

    def client(self) -> httpx.AsyncClient:
        """Make a client of it."""
        return httpx.AsyncClient(base_url=self.where.url)

    async def connect(self) -> trio.SocketStream:
        """Open a plain connection."""
        return await trio.open_tcp_stream(self.where.host, self.where.port)

    async def exchange(self, request: bytes) -> bytes:
        """Send bytes as they are, and read until the server closes."""
        async with await self.connect() as stream:
            await stream.send_all(request)
            return b"".join([piece async for piece in stream])

    async def ask(self, stream: trio.SocketStream) -> bytes:
        """Ask for the status on a connection, and read the whole answer."""
        await stream.send_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            piece = await stream.receive_some()
            assert piece, "the connection was closed before the end of the answer"
            answer += piece
        return answer

    async def complete(self, client: httpx.AsyncClient, video: bytes) -> str:
        """Submit a video, wait for its job, and return the job's path."""
        answer = await client.post(
            "/v1/translations", files={"video": ("v.mkv", video)}, data=FORM
        )
        path = answer.headers["Location"]
        while (await client.get(path)).json()["status"] != "completed":  # noqa: ASYNC110 - it is polling
            await trio.sleep(0.01)
        return str(path)

    async def open_stuck_download(self, path: str) -> trio.SocketStream:
        """Ask for a file and read but the beginning of it."""
        stream = await self.connect()
        await stream.send_all(f"GET {path}/video HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await stream.receive_some()
        return stream


StartServer = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start_server() -> StartServer:
    """Serve on a free port inside a block; a job takes as many seconds as told."""

    @asynccontextmanager
    async def server(
        job_seconds: float = 0,
        *,
        demonstration: Demonstration | None = None,
        **settings: object,
    ) -> AsyncIterator[Running]:
        stop = trio.Event()

        async def run(*, task_status: trio.TaskStatus[Serving]) -> None:
            await serve(
                SimulatedEngine(Durations("fixed", (job_seconds,))),
                ServerSettings(**{"port": 0, **settings}),  # type: ignore[arg-type]
                demonstration=demonstration,
                stop=stop,
                task_status=task_status,
            )
            running.ended.set()

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                running = Running(await nursery.start(run), stop)
                yield running
                stop.set()

    return server


# --- a corpus of requests, to one server ------------------------------------------

CheckCorpus = Callable[..., Awaitable[None]]
# A name, the bytes, and the statuses that may answer them: 0 is no answer.
Corpus = Sequence[tuple[str, bytes, tuple[int, ...]]]

# Seconds within which every answer is whole; all requests are under way at once.
_PATIENCE = 10


@pytest.fixture
def check_corpus(
    start_server: StartServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> CheckCorpus:
    """Send requests as they are, and look at every answer.

    It comes in time, has the status that it may have, and tells of no traceback; what
    refuses is a whole problem document. Those that are `below` are refused by
    hypercorn in its own words, and the client ends before the request does where it
    is `half` of one. Nothing is logged as failed, and the server serves on.
    """
    # What was announced and does not come need not be waited for as long as usual.
    monkeypatch.setattr(asgi, "_LINGER", 0.2)

    async def check(
        corpus: Corpus = (),
        *,
        below: Corpus = (),
        half: Corpus = (),
        **settings: object,
    ) -> None:
        answers: dict[str, bytes] = {}

        async def send(name: str, request: bytes, *, half: bool = False) -> None:
            answers[name] = await _exchange(running, request, half=half)

        async with start_server(**settings) as running, running.client() as client:
            job = (await running.complete(client, VIDEO)).rpartition("/")[2].encode()
            with trio.move_on_after(_PATIENCE):
                async with trio.open_nursery() as nursery:
                    for name, request, _ in (*corpus, *below):
                        nursery.start_soon(send, name, request.replace(b"JOB", job))
                    for name, request, _ in half:
                        nursery.start_soon(partial(send, name, request, half=True))
            serves_on = (await client.get("/status")).status_code == 200
        everything = [*corpus, *below, *half]
        assert len({name for name, _, _ in everything}) == len(everything)
        assert [name for name, _, _ in everything if name not in answers] == []
        wrong = [
            f"{name}: {answers[name][-300:]!r}"
            for name, _, statuses in everything
            if _status_of(answers[name]) not in statuses
        ]
        assert not wrong, "\n".join(wrong)
        for name, _, _ in corpus:
            if _status_of(answers[name]) >= 400:
                _check_raw_problem(answers[name])
        assert not [name for name in answers if b"Traceback" in answers[name]]
        assert [entry for entry in caplog.records if entry.levelname == "ERROR"] == []
        assert serves_on

    return check


async def _exchange(running: Running, request: bytes, *, half: bool) -> bytes:
    """Send bytes, all of them if the server lets us, and read until it closes."""
    answer = b""
    async with await running.connect() as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            with suppress(trio.BrokenResourceError):  # it may have answered already
                await stream.send_all(request)
                if half:
                    await stream.send_eof()

        nursery.start_soon(send)
        with suppress(trio.BrokenResourceError):  # it may close while we still write
            async for piece in stream:
                answer += piece
        nursery.cancel_scope.cancel("the server has closed")
    return answer


def _status_of(answer: bytes) -> int:
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(match[1]) if match else 0


def _check_raw_problem(answer: bytes) -> None:
    """Assert that an answer is a problem, whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    if not body:  # it was asked for by HEAD
        return
    document = json.loads(body)
    assert document["status"] == _status_of(answer)
    assert document["type"].startswith(("about:blank", "urn:vtrio:problem:")), answer
    assert document["title"]
    told = re.search(rb"x-request-id: (\S+)", head, re.IGNORECASE)
    assert told, answer
    assert document["request_id"] == told[1].decode()
