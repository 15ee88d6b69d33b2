"""The same submission many times at once: one job, whoever wins."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from vtrio.server.service import Order
from vtrio.server.store import IdempotencyKey

if TYPE_CHECKING:
    from tests.programs.conftest import BenchOf, Running, StartServer

TWINS = 64
ROUNDS = 50
SERVERS = 10


@pytest.mark.parametrize("rounds", [2, pytest.param(ROUNDS, marks=pytest.mark.slow)])
async def test_twins_at_once_make_one_job_each_time(
    rounds: int, bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """64 of each key: a job and a file a key, and all twins are told of the one job."""
    async with bench_of().open() as bench:
        uploads = bench.service.uploads
        uploads.mkdir()
        jobs: dict[str, list[str]] = {}

        async def submit(key: str, number: int) -> None:
            upload = uploads / f"{key}-{number}.part"
            upload.write_bytes(b"video")
            order = Order(video=upload, suffix=".mp4", target_language="pt")
            submission = await bench.service.submit(order, IdempotencyKey(key, "p"))
            jobs.setdefault(key, []).append(submission.record.id)

        for key in map(str, range(rounds)):
            async with trio.open_nursery() as nursery:
                for number in range(TWINS):
                    nursery.start_soon(submit, key, number)

        assert {len(ids) for ids in jobs.values()} == {TWINS}
        assert {len(set(ids)) for ids in jobs.values()} == {1}
        made = {ids[0] for ids in jobs.values()}
        assert len(made) == rounds == sum(bench.store.counts.values())
        assert len(await bench.history()) == rounds
        assert {path.name for path in (bench.folder / "jobs").iterdir()} == made
        assert bench.files() == ["source.mp4"] * rounds


@pytest.mark.slow
async def test_twins_on_sockets_make_one_job_each_time(
    start_server: StartServer, tmp_path: Path
) -> None:
    """The same over connections of their own, to ten servers one after the other."""
    form = (
        b'--b\r\nContent-Disposition: form-data; name="target_language"\r\n\r\npt\r\n'
        b'--b\r\nContent-Disposition: form-data; name="video"; filename="v.mp4"\r\n'
        b"\r\nvideo\r\n--b--\r\n"
    )
    answers: list[bytes] = []

    async def submit(running: Running, key: str) -> None:
        head = (
            "POST /v1/translations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n"
            f"Content-Length: {len(form)}\r\nIdempotency-Key: {key}\r\n\r\n"
        )
        answers.append(await running.exchange(head.encode() + form))

    for first in range(0, ROUNDS, ROUNDS // SERVERS):
        async with start_server(3600, data_dir=tmp_path) as running:
            for key in range(first, first + ROUNDS // SERVERS):
                async with trio.open_nursery() as nursery:
                    for _ in range(TWINS):
                        nursery.start_soon(submit, running, f"twin-{key}")

    assert {answer.split(b"\r\n", 1)[0] for answer in answers} == {b"HTTP/1.1 202 "}
    assert len(answers) == ROUNDS * TWINS
    places = {
        line.rpartition(b"/")[2].decode()
        for answer in answers
        for line in answer.split(b"\r\n")
        if line.lower().startswith(b"location:")
    }
    with closing(sqlite3.connect(tmp_path / "vtrio.sqlite3")) as store:
        made = {job_id for (job_id,) in store.execute("SELECT id FROM jobs")}
    assert len(made) == ROUNDS
    assert made == places == {path.name for path in (tmp_path / "jobs").iterdir()}
