"""Stopping for real: in order, within the grace, by signals to a child."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import httpx
import pytest
import trio

from vtrio._job import JobStatus
from vtrio.server import (
    JobService,
    ServerSettings,
    Serving,
    Store,
    run_server,
    serve,
)
from vtrio.server.engines.simulated import SimulatedEngine
from vtrio.server.store import JobRecord
from vtrio.server.store.writer import Writer

if TYPE_CHECKING:
    from tests.programs.conftest import StartServer, Until

FORM = {"target_language": "pt"}


async def test_a_client_that_does_not_read_cannot_hold_the_stop_up(
    start_server: StartServer,
) -> None:
    """With a download that nobody reads the server ends within its grace."""
    async with (
        start_server(grace=0.6) as running,
        running.client() as client,
    ):
        path = await running.complete(client, bytes(30_000_000))
        async with await running.open_stuck_download(path):
            took = await running.stop()

    assert took < 0.6


async def test_clean_up_that_hangs_cannot_hold_the_stop_up(
    start_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    until: Until,
) -> None:
    """What it has not removed at the end of the grace stays for the next server."""
    disk_works = threading.Event()

    def hang(path: Path) -> None:
        disk_works.wait(10)

    async with start_server(60, grace=0.6, data_dir=tmp_path) as running:
        async with running.client() as client:
            await client.post("/v1/translations", files={"video": b"v"}, data=FORM)
        await until(lambda: bool(list(tmp_path.glob("jobs/*/attempt-1/*.vtt"))))
        monkeypatch.setattr("vtrio.server.files.remove_now", hang)
        took = await running.stop()
    disk_works.set()
    assert took < 1.1
    assert len(list(tmp_path.glob("jobs/*/attempt-1"))) == 1


async def test_requests_in_flight_may_end_within_the_grace(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stop lets an answer that is on its way be finished, and takes no new work."""
    asked = trio.Event()
    get = Store.get

    async def get_slowly(self: Store, job_id: str) -> JobRecord:
        asked.set()
        await trio.sleep(0.2)
        return await get(self, job_id)

    monkeypatch.setattr(Store, "get", get_slowly)
    answers = []
    async with (
        start_server(60) as running,
        running.client() as client,
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
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the grace the client sees its connection break."""

    async def hang(self: Store, job_id: str) -> NoReturn:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(Store, "get", hang)
    async with start_server(grace=0.7) as running, await running.connect() as stream:
        await stream.send_all(b"GET /v1/translations/x HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(0.05)
        took = await running.stop()
    assert took < 0.7


async def test_stopping_happens_in_order(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is refused first, then jobs are put back, then the store is closed."""
    record: list[str] = []
    refuse, move, write = JobService.refuse_work, Store.move, Writer.run

    def refuse_work(self: JobService) -> None:
        record.append("refuse work")
        refuse(self)

    async def moved(
        self: Store, job_id: str, status: JobStatus, **changes: Any
    ) -> JobRecord:
        record.append(f"job {status}")
        return await move(self, job_id, status, **changes)

    async def run(self: Writer) -> None:
        try:
            await write(self)
        finally:
            record.append("close the store")

    monkeypatch.setattr(JobService, "refuse_work", refuse_work)
    monkeypatch.setattr(Store, "move", moved)
    monkeypatch.setattr(Writer, "run", run)
    async with (
        start_server(60) as running,
        running.client() as client,
    ):
        await client.post("/v1/translations", files={"video": b"v"}, data=FORM)
        await trio.sleep(0.05)
        await running.stop()
    assert record == ["refuse work", "job pending", "close the store"]


async def test_cancelling_ends_it_at_once(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Without any grace: a download that nobody reads does not delay it either."""
    with trio.CancelScope() as scope:
        async with (
            start_server(data_dir=tmp_path) as running,
            running.client() as client,
        ):
            path = await running.complete(client, bytes(30_000_000))
            stream = await running.open_stuck_download(path)
            began = trio.current_time()
            scope.cancel("the test wants to see")
            await trio.sleep_forever()
    assert trio.current_time() - began < 1
    await stream.aclose()
    async with start_server(data_dir=tmp_path) as running, running.client() as client:
        assert (await client.get(path)).json()["status"] == "completed"


async def test_if_the_service_dies_the_server_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It raises what the service raised, and does not answer on."""

    async def die(self: JobService, nursery: trio.Nursery) -> NoReturn:
        await trio.sleep(0.1)
        raise LookupError("the service is broken")

    monkeypatch.setattr(JobService, "_hand_out", die)
    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        await serve(SimulatedEngine(), ServerSettings(port=0))


def test_it_runs_until_a_signal(capsys: pytest.CaptureFixture[str]) -> None:
    """Two signals at once end it as well, and nothing but the announcement is printed."""

    def announce(serving: Serving) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    received = run_server(SimulatedEngine(), ServerSettings(port=0), announce=announce)
    assert received in (signal.SIGTERM, signal.SIGINT)
    assert capsys.readouterr().out == ""


CHILD = """
import sys
import threading
from pathlib import Path
from vtrio._distributions import Durations
from vtrio.server import ServerSettings, run_server
from vtrio.server.engines.simulated import SimulatedEngine

received = run_server(
    SimulatedEngine(Durations("fixed", (float(sys.argv[3]),))),
    ServerSettings(port=0, data_dir=Path(sys.argv[1]), grace=float(sys.argv[2])),
)
print("ended by", received.name)
"""


@asynccontextmanager
async def child(
    data_dir: Path, grace: float = 5, job_seconds: float = 60
) -> AsyncIterator[tuple[trio.Process, str, Callable[[], str]]]:
    """Run a server in a process of its own; give its URL and its later output."""
    out: list[bytes] = []
    told = trio.Event()

    async def read(process: trio.Process) -> None:
        assert process.stdout is not None
        async for piece in process.stdout:
            out.append(bytes(piece))
            told.set()

    settings = [str(data_dir), str(grace), str(job_seconds)]
    command = [sys.executable, "-W", "error", "-c", CHILD, *settings]
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                partial(trio.run_process, command, stdout=-1, check=False)
            )
            nursery.start_soon(read, process)
            await told.wait()
            line = b"".join(out).decode().splitlines()[0]
            assert line.startswith("listening on ")
            yield (
                process,
                line.removeprefix("listening on "),
                lambda: b"".join(out).decode().split("\n", 1)[1],
            )


def rows(data_dir: Path) -> list[tuple[str, int, int]]:
    """Return the status, the attempts and the deaths of each job in a store."""
    with closing(sqlite3.connect(data_dir / "vtrio.sqlite3")) as store:
        return store.execute("SELECT status, attempt, deaths FROM jobs").fetchall()


async def completed(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Wait until a job is completed, and return its document."""
    answer = await client.get(path, headers={"Prefer": "wait=10"})
    document: dict[str, Any] = answer.json()
    assert document["status"] == "completed"
    return document


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_order(
    number: signal.Signals, tmp_path: Path
) -> None:
    """What is held is answered at once; what runs is put back, and run the next time."""
    told: dict[str, Any] = {}
    async with child(tmp_path) as (process, url, output):
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.post(
                "/v1/translations", files={"video": b"v"}, data=FORM
            )
            assert answer.status_code == 202
            path = answer.headers["Location"]

            async def hold() -> None:
                told["held"] = await client.get(path, headers={"Prefer": "wait=60"})

            async def follow() -> None:
                accepted = {"Accept": "text/event-stream"}
                async with client.stream("GET", "/v1/events", headers=accepted) as feed:
                    told["events"] = [
                        json.loads(line.removeprefix("data: "))["status"]
                        async for line in feed.aiter_lines()
                        if line.startswith("data: ")
                    ]

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hold)
                nursery.start_soon(follow)
                metrics = b""
                while not (
                    b"vtrio_held_requests 2.0" in metrics
                    and b'vtrio_jobs{status="running"} 1.0' in metrics
                ):
                    metrics = (await client.get("/metrics")).content
                began = trio.current_time()
                process.send_signal(number)
        await process.wait()
        assert trio.current_time() - began < 4  # of the grace of 5
    assert process.returncode == 0
    assert output() == f"ended by {number.name}\n"
    assert told["held"].json()["status"] == "running"
    assert told["held"].headers["Preference-Applied"] == "wait=60"
    assert told["events"] == ["pending", "running"]
    assert rows(tmp_path) == [("pending", 1, 0)]
    assert not list(tmp_path.glob("jobs/*/attempt-1"))

    async with child(tmp_path, job_seconds=0) as (process, url, _):
        async with httpx.AsyncClient(base_url=url) as client:
            await completed(client, path)
        process.terminate()
    assert rows(tmp_path) == [("completed", 2, 0)]


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


@pytest.mark.slow
async def test_a_killed_server_leaves_its_jobs_to_the_next(tmp_path: Path) -> None:
    """With SIGKILL nothing is put back; the next start does, and counts the death."""
    async with child(tmp_path) as (process, url, _):
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.post(
                "/v1/translations", files={"video": b"v"}, data=FORM
            )
            path = answer.headers["Location"]
            while (await client.get(path)).json()["status"] != "running":  # noqa: ASYNC110 - it is polling
                await trio.sleep(0.01)
        process.kill()
        await process.wait()
    (tmp_path / "uploads" / "half.part").write_bytes(b"half a video")

    async with child(tmp_path, job_seconds=0) as (process, url, _):
        async with httpx.AsyncClient(base_url=url) as client:
            await completed(client, path)
            assert (await client.get(f"{path}/video")).content == b"v"
        assert not list((tmp_path / "uploads").iterdir())
        process.terminate()
    assert rows(tmp_path) == [("completed", 2, 1)]
