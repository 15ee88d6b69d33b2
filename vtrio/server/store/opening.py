"""Opening a database: its schema is brought up to date, or refused if it is newer.

The database is named by a URL as SQLAlchemy has it, so that a PostgreSQL server can
take the place of the file.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from ..errors import ServeError
from .failures import reason
from .migrations import REVISIONS, upgrade
from .tables import EVENTS_FLOOR, FACTS, STORE_ID

FILE = "vtrio.sqlite3"
"""What the database of a data directory is called."""

# Milliseconds for which SQLite waits for another process: `vtrio keys`, or somebody's
# backup, which is no reason to end a server.
_BUSY = 30_000
_READING = "vtrio_reading"
_ALONE = "vtrio_outside_a_transaction"
# Among PostgreSQL's advisory locks, which are numbers that everybody agrees on.
_WRITING = 0x767472696F


def url_of_file(folder: Path) -> URL:
    """Return the URL of the database in a data directory."""
    return URL.create("sqlite", database=str(folder / FILE))


def open_engine(url: URL | str) -> Engine:
    """Open a database, and bring its schema up to date; blocks.

    Raises:
        ServeError: it cannot be used, or a newer version has written it.
    """
    url = make_url(url)
    # An error shall not tell in the log what clients sent.
    engine = create_engine(url, hide_parameters=True)
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    try:
        with refusing_to_serve(url):
            # Before anything is written: what is not ours is left as it is.
            with for_reading(engine).begin() as connection:
                _check_revision(connection, url)
            if url.get_backend_name() == "sqlite":
                _write_ahead(engine)
            _bring_up_to_date(engine, url)
    except BaseException:
        engine.dispose()
        raise
    return engine


def for_reading(engine: Engine) -> Engine:
    """Return the engine for looks that neither wait for the writer nor hold it up."""
    return engine.execution_options(**{_READING: True})


@contextmanager
def refusing_to_serve(url: URL) -> Iterator[None]:
    """Turn what is wrong with the database into the reason why there is no server."""
    try:
        yield
    except SQLAlchemyError as error:
        raise ServeError(
            f"the store {_name_of(url)} cannot be used ({reason(error)}): repair it or"
            " free its disk, or pass another --data-dir"
        ) from error


def _bring_up_to_date(engine: Engine, url: URL) -> None:
    with engine.begin() as connection:
        found = _check_revision(connection, url)
        if found == REVISIONS[-1]:
            return
        upgrade(connection)
        if found is None:
            connection.execute(insert(FACTS), _first_facts())


def _check_revision(connection: Connection, url: URL) -> str | None:
    """Return which revision the schema has, if any; refuse what is not ours."""
    found = _revision(connection)
    if found is not None and found not in REVISIONS:
        raise ServeError(
            f"the store {_name_of(url)} was written by a newer version of vtrio"
            f" (its schema is {found!r}, this one knows {REVISIONS[-1]!r}): install"
            " that version, or pass another --data-dir"
        )
    if found is None and (tables := inspect(connection).get_table_names()):
        raise ServeError(
            f"the store {_name_of(url)} is no store of vtrio: it has the table"
            f" {tables[0]!r}; pass another --data-dir"
        )
    return found


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()


def _first_facts() -> Sequence[dict[str, str]]:
    return [
        {"name": STORE_ID, "value": secrets.token_hex(4)},
        {"name": EVENTS_FLOOR, "value": "0"},
    ]


def _name_of(url: URL) -> str:
    """Name the database; a password in its URL is not shown."""
    if url.get_backend_name() == "sqlite":
        return repr(url.database)
    return repr(url.render_as_string(hide_password=True))


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The module shall not begin transactions by itself: `_begin_sqlite` does.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={_BUSY}",
        # In WAL mode anything less may lose the last commits with the power.
        "synchronous=FULL",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _write_ahead(engine: Engine) -> None:
    """Have SQLite keep a log of its own, in which readers need not wait; it stays so."""
    with engine.execution_options(**{_ALONE: True}).connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    """Take the lock for writing at once: one that is taken later can only fail."""
    options = connection.get_execution_options()
    if not options.get(_ALONE, False):
        reading = options.get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    """Let one transaction write at a time, as SQLite does.

    Cursors are given out before the commit. Were there two writers, a later one could
    be seen first, and who follows the feed would pass the earlier one by.
    """
    if not connection.get_execution_options().get(_READING, False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITING})")
