"""A disk that is full while the server runs, and a store that fails altogether.

A trigger lets the database refuse exactly what a full disk would, in its words; what a
disk that is full for real does is tried too, by forbidding the database to grow.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server import ServeError, files
from vtrio.server.errors import NoRoom
from vtrio.server.store import IdempotencyKey, StoreFailed

if TYPE_CHECKING:
    from tests.programs.conftest import (
        BenchOf,
        CheckProblem,
        OpenApp,
        StartServer,
    )

FORM = {"target_language": "pt"}


def in_database(folder: Path, *statements: str) -> None:
    """Change a database as another process would."""
    with closing(sqlite3.connect(folder / "vtrio.sqlite3")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Have the database find no room for anything that is told, inside the block."""
    in_database(
        folder,
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN"
        " SELECT RAISE(ABORT, 'database or disk is full'); END",
    )
    yield
    in_database(folder, "DROP TRIGGER full")


async def test_a_submission_is_refused_while_the_disk_is_full(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Nothing of it is left: no row, no event, no key, no file. Then it is taken."""
    key = IdempotencyKey("k", "payload")
    async with bench_of().running() as bench:
        with full(bench.folder):
            with pytest.raises(NoRoom, match="disk is full"):
                await bench.submit(key)
            assert bench.files() == []
            assert await bench.history() == []
            assert sum(bench.store.counts.values()) == 0
        job = await bench.submit(key)
        await trio.sleep(20)
        assert (await bench.service.get(job.id)).status is JobStatus.COMPLETED
        assert len(bench.engine.attempts) == 1


async def test_a_file_that_finds_no_room_is_a_refusal_too(
    bench_of: BenchOf, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no job without its file."""
    move_into = files.move_into

    async def half(source: Path, target: Path) -> None:
        await move_into(source, target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with bench_of().running() as bench:
        with monkeypatch.context() as patch:
            patch.setattr(files, "move_into", half)
            with pytest.raises(NoRoom):
                await bench.submit()
        assert bench.files() == []
        assert not list((bench.folder / "jobs").iterdir())
        assert await bench.history() == []
        await bench.submit()


async def test_an_ending_is_written_once_there_is_room(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried every second, and its worker waits; no work is lost or done twice."""
    async with bench_of().running() as bench:
        job = await bench.submit()
        await trio.sleep(5)
        with full(bench.folder):
            await trio.sleep_until(20.5)
            assert (await bench.service.get(job.id)).status is JobStatus.RUNNING
            assert bench.service.statistics().attempts == 1
            assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        await trio.sleep(1)

        ended = await bench.service.get(job.id)
        assert ended.status is JobStatus.COMPLETED
        assert ended.finished is not None
        assert ended.finished.clock == 21.0
        assert len(bench.engine.attempts) == 1
        assert bench.service.statistics().attempts == 0
    assert caplog.messages.count("attempt-not-concluded") == 11


async def test_claims_go_on_once_there_is_room(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that waits is not forgotten, whatever refused to begin it."""
    async with bench_of().running() as bench:
        first, second = await bench.submit(), await bench.submit()
        await trio.sleep(5)
        await bench.service.cancel(first.id)  # frees the worker
        with full(bench.folder):
            await trio.sleep_until(8.5)
            assert (await bench.service.get(second.id)).status is JobStatus.PENDING
        await trio.sleep_until(30)
        assert (await bench.service.get(second.id)).status is JobStatus.COMPLETED
        assert bench.engine.attempts[1] == (9.0, second.id, 1)
    assert caplog.messages.count("claim-without-room") == 4


async def test_a_stop_on_a_full_disk_ends_all_the_same(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """What could not be put back is taken up by the next server, as after a kill."""
    bench = bench_of()
    async with bench.running():
        job = await bench.submit()
        await trio.sleep(5)
        in_database(
            bench.folder,
            "CREATE TRIGGER full BEFORE INSERT ON events BEGIN"
            " SELECT RAISE(ABORT, 'database or disk is full'); END",
        )
    assert trio.current_time() == 5.0
    in_database(bench.folder, "DROP TRIGGER full")
    async with bench.running():
        await trio.sleep(20)
        record = await bench.service.get(job.id)
        assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)


async def test_what_is_too_old_is_forgotten_once_there_is_room(
    bench_of: BenchOf, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Removing needs room too, in the database's log; it is tried at the next round."""
    async with bench_of(service={"keep": 100}).running() as bench:
        job = await bench.submit()
        await trio.sleep(50)
        in_database(
            bench.folder,
            "CREATE TRIGGER full BEFORE DELETE ON jobs BEGIN"
            " SELECT RAISE(ABORT, 'database or disk is full'); END",
        )
        await trio.sleep_until(200.5)
        assert bench.files() == ["out.mp4", "out.vtt", "source.mp4"]
        assert (await bench.service.get(job.id)).status is JobStatus.COMPLETED
        in_database(bench.folder, "DROP TRIGGER full")
        await trio.sleep_until(205.5)
        assert bench.files() == []
    assert "forgetting-without-room" in caplog.messages


async def test_a_database_that_cannot_grow_takes_what_fits_and_goes_on(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """In the database's own way of being full, some submissions pass and none is half."""
    async with bench_of(workers=5).running() as bench:
        grow = "PRAGMA max_page_count={}"
        with bench.store._reading.connect() as connection:
            connection.exec_driver_sql(grow.format(1))  # it is as large as it may be
            connection.rollback()
        taken = []
        while True:
            try:
                taken.append((await bench.submit()).id)
            except NoRoom:
                break
        assert 0 < len(taken) < 500
        await trio.sleep(5)
        with bench.store._reading.connect() as connection:
            connection.exec_driver_sql(grow.format(2**30))
            connection.rollback()
        taken.append((await bench.submit()).id)
        await trio.sleep(10 * len(taken))

        assert bench.store.counts[JobStatus.COMPLETED] == len(taken)
        assert sum(bench.store.counts.values()) == len(taken)
        assert {path.name for path in (bench.folder / "jobs").iterdir()} == set(taken)
        assert sorted(job_id for _, job_id, _ in bench.engine.attempts) == sorted(taken)


async def test_a_client_is_told_of_a_full_disk(
    open_app: OpenApp,
    tmp_path: Path,
    check_problem: CheckProblem,
    autojump_clock: MockClock,
) -> None:
    """By a problem of status 507; the same key is taken when there is room."""
    async with open_app() as client:
        with full(tmp_path):
            answer = await client.submit(key="k")
            check_problem(answer, 507, "no-room")
            assert not list((tmp_path / "jobs").iterdir())
            assert not list((tmp_path / "uploads").iterdir())
        answer = await client.submit(key="k")
        assert answer.status_code == 202
        await trio.sleep(20)
        document = (await client.get(answer.headers["Location"])).json()
        assert document["status"] == "completed"


# --- a store that fails -------------------------------------------------------------


async def test_a_store_that_fails_ends_the_service(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """A service that cannot write down what happens must not seem to work."""
    bench = bench_of()
    with pytest.RaisesGroup(
        pytest.RaisesExc(StoreFailed, match="no such table"), flatten_subgroups=True
    ):
        async with bench.running():
            await bench.submit()
            await trio.sleep(5)
            in_database(bench.folder, "DROP TABLE events")
            await trio.sleep(50)
    assert trio.current_time() == 10.0


async def test_a_request_that_finds_a_failed_store_is_a_problem_that_tells_nothing(
    open_app: OpenApp,
    tmp_path: Path,
    check_problem: CheckProblem,
    autojump_clock: MockClock,
) -> None:
    """The words of the database are for the log."""
    async with open_app() as client:
        await wait_all_tasks_blocked()
        in_database(tmp_path, "DROP TABLE jobs")
        answer = await client.get("/v1/translations")
        detail = check_problem(answer, 500, "internal-error")
        assert "table" not in detail
        check_problem(await client.submit(), 500, "internal-error")
        assert not list((tmp_path / "jobs").iterdir())


async def test_a_server_whose_store_fails_ends_with_one_sentence(
    start_server: StartServer, tmp_path: Path
) -> None:
    """One error of ours comes out, whatever ran meanwhile."""
    with pytest.RaisesGroup(
        pytest.RaisesExc(
            ServeError, match=r"store has failed \(no such table: events\)"
        ),
        flatten_subgroups=True,
    ):
        async with start_server(0.3, data_dir=tmp_path) as running:
            async with running.client() as client:
                await client.post("/v1/translations", files={"video": b"v"}, data=FORM)
                in_database(tmp_path, "DROP TABLE events")
            await running.ended.wait()


async def test_opening_that_is_cancelled_at_any_step_ends(
    bench_of: BenchOf, autojump_clock: MockClock
) -> None:
    """Nothing is left that would be waited for."""
    opened = []
    for steps in range(10):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, steps, scope)
                async with bench_of().open():
                    opened.append(steps)
                    await trio.sleep_forever()
        assert scope.cancelled_caught
    assert opened
    assert opened[0] > 0


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()
