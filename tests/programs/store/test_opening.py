"""Opening a store: what cannot be used is refused in a sentence, and left as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from sqlalchemy import URL, Connection, NullPool, create_engine, event, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from vtrio._job import JobStatus
from vtrio.server import ServeError, Store, open_store
from vtrio.server.errors import NoRoom, UnknownJob
from vtrio.server.store import FILE, Instant, StoreFailed, url_of_file
from vtrio.server.store.failures import reason, translate
from vtrio.server.store.opening import refusing_to_serve

if TYPE_CHECKING:
    from tests.programs.store.conftest import StoreBench


SESAME = "sesame"
NOW = Instant(0.0, datetime(2026, 1, 2, tzinfo=UTC))


async def refusal(bench: StoreBench) -> str:
    """Return the sentence with which the store is not opened."""
    with pytest.raises(ServeError) as caught:
        async with bench.opened():
            pass
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def execute(url: URL, *statements: str) -> None:
    """Change a database behind the store's back."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


async def test_a_store_of_a_newer_version_is_refused(bench: StoreBench) -> None:
    """It is named, and what it holds is left alone."""
    async with bench.opened() as store:
        await bench.submit(store)
    execute(bench.url, "UPDATE alembic_version SET version_num = '9999'")

    sentence = await refusal(bench)

    assert "was written by a newer version of vtrio" in sentence
    assert "'9999'" in sentence
    execute(bench.url, "UPDATE alembic_version SET version_num = '0001'")
    async with bench.opened() as store:
        assert store.counts[JobStatus.PENDING] == 1


async def test_another_programs_database_is_refused(bench: StoreBench) -> None:
    """Nothing is written into it."""
    execute(bench.url, "CREATE TABLE recipes (name TEXT)")

    sentence = await refusal(bench)

    assert "is no store of vtrio: it has the table 'recipes'" in sentence
    with pytest.raises(SQLAlchemyError):
        execute(bench.url, "SELECT * FROM jobs")


async def test_a_file_that_is_no_database_is_refused(
    file_bench: StoreBench, tmp_path: Path
) -> None:
    """It is left as it is."""
    (tmp_path / FILE).write_bytes(b"a letter to my grandmother " * 100)

    sentence = await refusal(file_bench)

    assert sentence.startswith(f"the store {str(tmp_path / FILE)!r} cannot be used")
    assert "(file is not a database)" in sentence
    assert (tmp_path / FILE).read_bytes() == b"a letter to my grandmother " * 100


async def test_a_store_in_whose_place_there_is_a_directory_is_refused(
    file_bench: StoreBench, tmp_path: Path
) -> None:
    """It stays there."""
    (tmp_path / FILE).mkdir()

    assert "(unable to open database file)" in await refusal(file_bench)
    assert (tmp_path / FILE).is_dir()


async def test_a_store_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """No folder is made for it."""
    url = url_of_file(tmp_path / "nowhere")
    with pytest.raises(ServeError, match="unable to open database file"):
        async with open_store(url, NOW):
            pass
    assert not list(tmp_path.iterdir())


async def test_a_damaged_store_is_refused(
    file_bench: StoreBench, tmp_path: Path
) -> None:
    """The database's own words say what is wrong."""
    async with file_bench.opened():
        pass
    path = tmp_path / FILE
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x07" * (len(content) - 4096))

    sentence = await refusal(file_bench)

    assert "malformed" in sentence
    assert "or pass another --data-dir" in sentence


async def test_a_store_that_may_only_be_read_is_refused(tmp_path: Path) -> None:
    """Nobody's job could be kept in it."""
    (tmp_path / FILE).touch()
    url = URL.create(
        "sqlite", database=f"file:{tmp_path / FILE}?mode=ro", query={"uri": "true"}
    )
    with pytest.raises(ServeError, match="readonly database"):
        async with open_store(url, NOW):
            pass


async def test_a_store_that_another_process_holds_is_refused_in_time(
    file_bench: StoreBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, as long as `vtrio keys` may take, and no longer."""
    monkeypatch.setattr("vtrio.server.store.opening._BUSY", 10)
    async with file_bench.opened():
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "(database is locked)" in await refusal(file_bench)
        other.rollback()


async def test_a_password_is_not_shown() -> None:
    """Neither in the sentence, nor in what it comes from."""
    url = URL.create(
        "postgresql+psycopg", username="u", password=SESAME, host="h", port=1
    )
    with pytest.raises(ServeError) as caught, refusing_to_serve(url):
        raise SQLAlchemyError("no such host")

    assert "postgresql+psycopg://u:***@h:1" in str(caught.value)
    assert SESAME not in repr(caught.value) + repr(caught.value.__cause__)


async def test_a_database_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    """In its driver's words, and without the password."""
    url = URL.create(
        "postgresql+psycopg",
        username="u",
        password=SESAME,
        database="vtrio",
        query={"host": str(tmp_path)},
    )
    with pytest.raises(ServeError, match=r"u:\*\*\*@.*\(connection ") as caught:
        async with open_store(url, NOW):
            pass
    assert SESAME not in str(caught.value)


async def test_a_store_that_breaks_while_it_is_open_says_so(bench: StoreBench) -> None:
    """A look and a change fail alike, and tell no more than the database's words."""
    async with bench.opened() as store:
        execute(bench.url, "ALTER TABLE jobs RENAME TO lost")

        for call in (
            store.page("ann", status=None, before=None, size=1),
            bench.submit(store),
        ):
            with pytest.raises(StoreFailed, match=r"jobs") as caught:
                await call
            assert "SELECT" not in str(caught.value)
            assert "INSERT" not in str(caught.value)


# --- a full disk --------------------------------------------------------------------


@contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """Let the store's file grow no further, inside the block."""
    pages = 1  # it cannot be less than there are

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    event.listen(store._writer._engine, "begin", limit)
    try:
        yield
        pages = 2**30
    finally:
        event.remove(store._writer._engine, "begin", limit)


async def test_a_full_disk_refuses_a_change_and_harms_nothing(
    file_bench: StoreBench,
) -> None:
    """What was kept stays, and a change for which there is room is still made."""
    long = "x" * 5000
    async with file_bench.opened() as store:
        await file_bench.submit(store, "before")
        heard: list[object] = []
        store.listeners.append(lambda *told: heard.append(told))

        with full_disk(store), pytest.raises(NoRoom, match="disk is full"):
            await file_bench.submit(store, "long", target_language=long)
        assert heard == []
        with pytest.raises(UnknownJob):
            await store.get("long")
        await store.move("before", JobStatus.CANCELLED, at=file_bench.at(1))

    async with file_bench.opened() as store:
        assert [job for job, _ in await file_bench.told(store)] == ["before"] * 2
        assert (await file_bench.submit(store, "long", target_language=long)).created


async def test_of_changes_that_come_together_those_that_fit_are_made(
    file_bench: StoreBench,
) -> None:
    """The one that needs too much room is refused alone."""
    refused = []

    async def submit(store: Store, name: str, language: str) -> None:
        try:
            await file_bench.submit(store, name, target_language=language)
        except NoRoom:
            refused.append(name)

    async with file_bench.opened() as store:
        with full_disk(store):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(submit, store, "small", "pt")
                nursery.start_soon(submit, store, "large", "x" * 50_000)

        assert refused == ["large"]
        assert await file_bench.told(store) == [("small", JobStatus.PENDING)]


# --- words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("database or disk is full", NoRoom),
        ('could not extend file "base/1/2": No space left on device\nHINT: x', NoRoom),
        ("disk I/O error\nmore of it", StoreFailed),
    ],
)
def test_only_a_full_disk_passes(words: str, kind: type[Exception]) -> None:
    """A client may try again then; for the rest somebody has to look at the server."""
    error = OperationalError("INSERT INTO jobs", {"id": "secret"}, Exception(words))

    translated = translate(error)

    assert type(translated) is kind
    assert translated.__cause__ is error
    assert "secret" not in str(translated)
    if kind is StoreFailed:
        assert str(translated) == "disk I/O error"


def test_an_error_without_words_is_told_by_its_kind() -> None:
    """So that there is something to look for."""
    assert reason(OperationalError("", {}, ValueError())) == "ValueError()"
    assert reason(SQLAlchemyError("pool is closed")) == "pool is closed"
