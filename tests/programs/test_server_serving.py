"""Serving for real: sockets on free ports, stopping in order, signals to a child."""

from __future__ import annotations

import json
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
import trio

from vtrio._distributions import Durations
from vtrio._job import JobStatus
from vtrio.server import (
    Demonstration,
    JobService,
    MemoryStore,
    ServeError,
    ServerSettings,
    Serving,
    run_server,
    serve,
    serve_until_signal,
)
from vtrio.server.engines.simulated import SimulatedEngine
from vtrio.server.store import JobRecord

FORM = {"target_language": "pt"}


def quick(seconds: float = 0) -> SimulatedEngine:
    """Make an engine whose jobs take so long."""
    return SimulatedEngine(Durations("fixed", (seconds,)))


class Running:
    """A server that runs, and how to stop it."""

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

    async def connect(self) -> trio.SocketStream:
        """Open a plain connection."""
        return await trio.open_tcp_stream(self.where.host, self.where.port)


@asynccontextmanager
async def server(
    engine: SimulatedEngine | None = None,
    *,
    demonstration: Demonstration | None = None,
    **settings: object,
) -> AsyncIterator[Running]:
    """Serve on a free port inside the block."""
    stop = trio.Event()

    async def run(*, task_status: trio.TaskStatus[Serving]) -> None:
        await serve(
            engine or quick(),
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


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread or process does."""
    while not condition():  # noqa: ASYNC110 - which sets no event here
        await trio.sleep(0.005)


async def completed(client: httpx.AsyncClient, video: bytes) -> str:
    """Submit a video, wait for its job, and return the job's path."""
    answer = await client.post(
        "/v1/translations", files={"video": ("v.mkv", video)}, data=FORM
    )
    path = answer.headers["Location"]
    while (await client.get(path)).json()["status"] != "completed":  # noqa: ASYNC110 - it is polling
        await trio.sleep(0.01)
    return str(path)


async def open_stuck_download(running: Running, path: str) -> trio.SocketStream:
    """Ask for a file and read but the beginning of it."""
    stream = await running.connect()
    await stream.send_all(f"GET {path}/video HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await stream.receive_some()
    return stream


async def exchange(running: Running, request: bytes) -> bytes:
    """Send bytes as they are, and read until the server closes."""
    stream = await running.connect()
    async with stream:
        await stream.send_all(request)
        return b"".join([piece async for piece in stream])


async def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """The address is given back; afterwards nobody listens and no file is left."""
    async with server(data_dir=tmp_path / "new") as running:
        async with httpx.AsyncClient(base_url=running.where.url) as client:
            assert (await client.get("/healthz")).status_code == 200
            answer = await client.post(
                "/v1/translations", files={"video": b"video"}, data=FORM
            )
            assert answer.status_code == 202
        assert await running.stop() < 1
        with pytest.raises(OSError, match="connect"):
            await running.connect()
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]


async def test_it_leaves_no_file_descriptor_behind() -> None:
    """As many are open after ten servers as after one."""

    async def once() -> int:
        async with (
            server() as running,
            httpx.AsyncClient(base_url=running.where.url) as client,
        ):
            await client.get("/status")
        return len(list(Path("/proc/self/fd").iterdir()))

    counts = [await once() for _ in range(10)]
    assert counts[-1] <= counts[1]


async def test_ipv6_has_its_brackets() -> None:
    """The URL of an IPv6 address can be used as it is given."""
    if not socket.has_ipv6:  # pragma: no cover - depends on the machine
        pytest.skip("no IPv6 here")
    async with server(host="::1") as running:
        assert running.where.url == f"http://[::1]:{running.where.port}"
        async with httpx.AsyncClient() as client:
            answer = await client.get(running.where.url + "/status")
        assert answer.json() == {"result": "pending"}


async def test_a_name_is_resolved() -> None:
    """The localhost is as good as its address, of which IPv4 comes first."""
    async with server(host="localhost") as running:
        assert running.where.url == f"http://127.0.0.1:{running.where.port}"


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("0.0.0.0", "without an API key the server binds to loopback only"),  # noqa: S104
        ("::", "binds to loopback only"),
        ("192.0.2.1", "binds to loopback only"),
        ("", "must be an address or a name"),
        ("no.such.host.invalid", "cannot be resolved"),
        ("a" * 80 + ".b", "cannot be resolved"),
    ],
)
async def test_a_host_that_is_not_to_be_used_is_refused(
    host: str, sentence: str
) -> None:
    """One sentence names the host and says what would do."""
    with pytest.raises(ServeError, match=sentence) as caught:
        await serve(quick(), ServerSettings(host=host, port=0))
    assert repr(host) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_busy_port_is_refused() -> None:
    """One sentence names the port and what would do."""
    async with server() as running:
        with pytest.raises(ServeError, match="is in use") as caught:
            await serve(quick(), ServerSettings(port=running.where.port))
        assert str(running.where.port) in str(caught.value)
        assert "--port" in str(caught.value)


async def test_an_address_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the system says against binding is told."""

    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vtrio.server.listener.socket.bind", refuse, raising=False)
    with pytest.raises(ServeError, match="Permission denied"):
        await serve(quick(), ServerSettings(port=1))


async def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """One sentence names the folder; the port is free again."""
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ServeError, match="data directory .*file.* cannot be used"):
        await serve(quick(), ServerSettings(port=0, data_dir=blocked / "x"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("port", -1), ("port", 65_536), ("port", "80"), ("workers", 0)),
        *(("grace", -1), ("grace", float("inf")), ("largest_upload", 0)),
    ],
)
def test_a_setting_is_refused_by_name(setting: str, value: object) -> None:
    """The message names the setting, the value and what is allowed."""
    with pytest.raises(ValueError, match=f"{setting}=.*must be"):
        ServerSettings(**{setting: value})  # type: ignore[arg-type]


async def test_a_plain_socket_client_can_poll_status() -> None:
    """HTTP/1.1 on one connection: pending until the end, read by Content-Length."""
    job = Demonstration(started=trio.current_time(), duration=0.15)
    async with server(demonstration=job) as running:
        stream = await running.connect()
        words: list[str] = []
        async with stream:
            while not words or words[-1] == "pending":
                await stream.send_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
                raw = b""
                while b"\r\n\r\n" not in raw or not raw.endswith(b"}"):
                    raw += await stream.receive_some()
                head, _, body = raw.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert f"content-length: {len(body)}".encode() in head.lower()
                words.append(json.loads(body)["result"])
                await trio.sleep(0.02)
    assert words[-1] == "completed"
    assert set(words[:-1]) == {"pending"}


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /status HTTP/1.0\r\n\r\n",
        b"GET /status HTTP/1.0\r\nConnection: close\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://x/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_a_client_that_reads_to_the_end_gets_one(request_line: bytes) -> None:
    """The connection is closed after the answer, every time: old clients wait for it."""
    async with server() as running:
        for _ in range(30):
            answer = await exchange(running, request_line)
            assert answer.endswith(b'{"result":"pending"}')


@pytest.mark.parametrize("target", [b"http://[x/", b"?", b"*", b"x"])
async def test_a_broken_target_is_a_problem_on_the_wire(target: bytes) -> None:
    """What Quart cannot parse is a 400 problem document."""
    async with server() as running:
        request = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
        answer = await exchange(running, request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in answer


async def test_websockets_and_odd_hosts_do_no_harm() -> None:
    """A handshake is refused, and a Host that is none is no reason to fail."""
    async with server() as running:
        answer = await exchange(
            running,
            b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 403 ")
        for host in (b"", b"a b", b"[", b"\xff", b"x:y"):
            request = b"GET /status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
            answer = await exchange(running, request % host)
            assert answer.split()[1] in (b"200", b"400")


async def test_head_has_no_body_on_the_wire() -> None:
    """The length is told, the body stays away."""
    async with server() as running:
        request = b"HEAD /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await exchange(running, request)
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 20" in answer


REFUSED = (
    b"POST /v1/translations HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 20000000\r\n\r\n"
)


async def test_a_refused_upload_that_comes_fast_keeps_its_connection() -> None:
    """A client that first writes all reads its 413, and can ask the next thing."""
    async with (
        server(largest_upload=1000) as running,
        await running.connect() as stream,
    ):
        await stream.send_all(REFUSED + bytes(20_000_000))
        await stream.send_all(
            b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join([piece async for piece in stream])
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"result":"pending"}')


async def test_a_refused_upload_that_comes_slowly_loses_its_connection() -> None:
    """The 413 says so, comes at once, and what is written on harms nobody."""
    async with (
        server(largest_upload=1000) as running,
        await running.connect() as stream,
    ):
        await stream.send_all(REFUSED + bytes(3_000_000))
        answer = await stream.receive_some()
        await stream.send_all(bytes(17_000_000))
        answer += b"".join([piece async for piece in stream])
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()
        assert await running.stop() < 1


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    tmp_path: Path,
) -> None:
    """Its half upload is removed and makes no job."""
    async with server(data_dir=tmp_path) as running:
        stream = await running.connect()
        async with stream:
            await stream.send_all(
                b"POST /v1/translations HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 20000000\r\n\r\n"
                b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n'
            )
            await stream.send_all(bytes(5_000_000))
            await until(lambda: bool(list(tmp_path.rglob("*.part"))))
        await until(lambda: not list(tmp_path.rglob("*.part")))
        assert not list(tmp_path.rglob("jobs/*"))


async def test_an_upload_of_many_pieces_arrives_whole(tmp_path: Path) -> None:
    """What comes through a real socket, gate and threads is what was sent."""
    video = random.Random(1).randbytes(3_000_000)
    async with (
        server() as running,
        httpx.AsyncClient(base_url=running.where.url) as client,
    ):
        path = await completed(client, video)
        result = await client.get(f"{path}/video")
    assert result.content == video
    assert result.headers["Content-Type"] == "video/x-matroska"


async def test_a_client_that_does_not_read_cannot_hold_the_stop_up() -> None:
    """With a download that nobody reads the server ends within its grace."""
    async with (
        server(grace=0.6) as running,
        httpx.AsyncClient(base_url=running.where.url) as client,
    ):
        path = await completed(client, bytes(30_000_000))
        async with await open_stuck_download(running, path):
            took = await running.stop()

    assert took < 1.2


async def test_requests_in_flight_may_end_within_the_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stop lets an answer that is on its way be finished, and takes no new work."""
    asked = trio.Event()
    get = MemoryStore.get

    async def get_slowly(self: MemoryStore, job_id: str) -> JobRecord:
        asked.set()
        await trio.sleep(0.2)
        return await get(self, job_id)

    monkeypatch.setattr(MemoryStore, "get", get_slowly)
    answers = []
    async with (
        server(quick(60)) as running,
        httpx.AsyncClient(base_url=running.where.url) as client,
    ):

        async def ask(path: str) -> None:
            answers.append(await client.get(path))

        job = await client.post("/v1/translations", files={"video": b"v"}, data=FORM)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, job.headers["Location"])
            await asked.wait()
            took = await running.stop()
    assert answers[0].json()["status"] == "running"
    assert 0.15 < took < 1


async def test_a_request_that_does_not_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the grace the client sees its connection break."""

    async def hang(self: MemoryStore, job_id: str) -> NoReturn:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(MemoryStore, "get", hang)
    async with server(grace=0.7) as running, await running.connect() as stream:
        await stream.send_all(b"GET /v1/translations/x HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(0.05)
        took = await running.stop()
    assert took < 1.2


async def test_stopping_happens_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is refused first, then jobs are put back, then the store is closed."""
    record: list[str] = []
    refuse, move, close = JobService.refuse_work, MemoryStore.move, MemoryStore.close

    def refuse_work(self: JobService) -> None:
        record.append("refuse work")
        refuse(self)

    async def moved(self: MemoryStore, job_id: str, status: JobStatus, **changes: object) -> object:  # fmt: skip
        record.append(f"job {status}")
        return await move(self, job_id, status, **changes)  # type: ignore[arg-type]

    async def closed(self: MemoryStore) -> None:
        record.append("close the store")
        await close(self)

    monkeypatch.setattr(JobService, "refuse_work", refuse_work)
    monkeypatch.setattr(MemoryStore, "move", moved)
    monkeypatch.setattr(MemoryStore, "close", closed)
    async with (
        server(quick(60)) as running,
        httpx.AsyncClient(base_url=running.where.url) as client,
    ):
        await client.post("/v1/translations", files={"video": b"v"}, data=FORM)
        await trio.sleep(0.05)
        await running.stop()
    assert record == ["refuse work", "job pending", "close the store"]


async def test_cancelling_ends_it_at_once(tmp_path: Path) -> None:
    """Without any grace: a download that nobody reads does not delay it either."""
    with trio.CancelScope() as scope:
        async with (
            server(data_dir=tmp_path) as running,
            httpx.AsyncClient(base_url=running.where.url) as client,
        ):
            path = await completed(client, bytes(30_000_000))
            stream = await open_stuck_download(running, path)
            began = trio.current_time()
            scope.cancel("the test wants to see")
            await trio.sleep_forever()
    assert trio.current_time() - began < 1
    await stream.aclose()
    assert not list(tmp_path.iterdir())


async def test_if_the_service_dies_the_server_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It raises what the service raised, and does not answer on."""

    async def die(self: JobService, nursery: trio.Nursery) -> NoReturn:
        await trio.sleep(0.1)
        raise LookupError("the service is broken")

    monkeypatch.setattr(JobService, "_hand_out", die)
    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        await serve(quick(), ServerSettings(port=0))


async def test_an_announcement_names_the_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A signal ends the server, and it tells which it was."""
    from vtrio.server.serving import print_address

    def announce(serving: Serving) -> None:
        print_address(serving)
        signal.raise_signal(signal.SIGTERM)

    received = await serve_until_signal(
        quick(), ServerSettings(port=0), announce=announce
    )
    assert received is signal.SIGTERM
    assert capsys.readouterr().out.startswith("listening on http://127.0.0.1:")


def test_it_runs_until_a_signal(capsys: pytest.CaptureFixture[str]) -> None:
    """Two signals at once end it as well, and nothing but the announcement is printed."""

    def announce(serving: Serving) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    received = run_server(quick(), ServerSettings(port=0), announce=announce)
    assert received in (signal.SIGTERM, signal.SIGINT)
    assert capsys.readouterr().out == ""


async def test_a_refusal_to_serve_comes_out_plain() -> None:
    """No group, no traceback of nurseries: one error of ours."""
    with pytest.raises(ServeError, match="loopback"):
        await serve_until_signal(
            quick(),
            ServerSettings(host="192.0.2.1"),
            announce=lambda _: None,  # pragma: no cover - never listens
        )


CHILD = """
import sys
from pathlib import Path
from vtrio._distributions import Durations
from vtrio.server import ServerSettings, run_server
from vtrio.server.engines.simulated import SimulatedEngine

received = run_server(
    SimulatedEngine(Durations("fixed", (60,))),
    ServerSettings(port=0, data_dir=Path(sys.argv[1]), grace=float(sys.argv[2])),
)
print("ended by", received.name)
"""


@asynccontextmanager
async def child(
    data_dir: Path, grace: float = 5
) -> AsyncIterator[tuple[trio.Process, str, Callable[[], str]]]:
    """Run a server in a process of its own; give its URL and its later output."""
    out: list[bytes] = []

    async def read(process: trio.Process) -> None:
        assert process.stdout is not None
        async for piece in process.stdout:
            out.append(bytes(piece))  # noqa: PERF401 - others look at it meanwhile

    command = [sys.executable, "-W", "error", "-c", CHILD, str(data_dir), str(grace)]
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                partial(trio.run_process, command, stdout=-1, capture_stdout=False)
            )
            nursery.start_soon(read, process)
            await until(lambda: b"\n" in b"".join(out))
            line = b"".join(out).decode().splitlines()[0]
            assert line.startswith("listening on ")
            yield (
                process,
                line.removeprefix("listening on "),
                lambda: b"".join(out).decode().split("\n", 1)[1],
            )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_order(
    number: signal.Signals, tmp_path: Path
) -> None:
    """With a job at work it ends soon, leaves no file, and says nothing more."""
    async with child(tmp_path) as (process, url, output):
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.post(
                "/v1/translations", files={"video": b"v"}, data=FORM
            )
            assert answer.status_code == 202
        began = trio.current_time()
        process.send_signal(number)
        await process.wait()
        assert trio.current_time() - began < 2
    assert process.returncode == 0
    assert output() == f"ended by {number.name}\n"
    assert not list(tmp_path.iterdir())


async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    """A long grace with an upload that hangs is cut short."""
    async with child(tmp_path, grace=30) as (process, url, output):
        host, port = url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(
                b"POST /v1/translations HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 1000\r\n\r\n--b\r\n"
            )
            await trio.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            await trio.sleep(0.3)
            assert process.poll() is None
            began = trio.current_time()
            process.send_signal(signal.SIGINT)
            await process.wait()
            assert trio.current_time() - began < 2
    assert output() == "ended by SIGTERM\n"


def test_the_package_is_light() -> None:
    """Importing it imports neither the framework nor hypercorn, nor trio."""
    import subprocess

    program = (
        "import sys, vtrio.server;"
        "print([m for m in ('quart', 'hypercorn', 'werkzeug', 'trio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_without_the_extra_one_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Using a name that needs it fails with what to install."""
    import vtrio.server

    for name in list(sys.modules):
        if name.startswith("vtrio.server.") and "engines" not in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypercorn.trio", None)
    monkeypatch.setitem(sys.modules, "hypercorn", None)
    monkeypatch.setitem(sys.modules, "quart", None)
    with pytest.raises(ImportError, match=r"pip install 'vtrio\[server\]'"):
        _ = vtrio.server.run_server
    monkeypatch.setattr("vtrio.server.import_module", lambda *_: __import__("no_such"))
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        _ = vtrio.server.run_server
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vtrio.server.nonsense
