"""Migrations: the steps lead to the tables that the code expects, from any step on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from vtrio.server.store import migrations
from vtrio.server.store.migrations import REVISIONS
from vtrio.server.store.opening import open_engine
from vtrio.server.store.tables import METADATA

if TYPE_CHECKING:
    from tests.programs.store.conftest import StoreBench


def schema(connection: Connection) -> dict[str, Any]:
    """Return what the database says of its tables, in an order of its own."""
    look = inspect(connection)
    return {
        name: (
            [{**column, "type": str(column["type"])} for column in columns],
            sorted(map(str, look.get_indexes(name))),
            sorted(map(str, look.get_unique_constraints(name))),
            look.get_pk_constraint(name)["constrained_columns"],
        )
        for name in sorted(look.get_table_names())
        if name != "alembic_version" and (columns := look.get_columns(name))
    }


def test_the_steps_are_those_that_there_are_files_for() -> None:
    """One leads to the next, and the list names them in that order."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    steps = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(steps)) == REVISIONS


def test_all_steps_together_make_the_tables_of_the_code(bench: StoreBench) -> None:
    """Alembic finds no difference, and they are at the last step."""
    engine = open_engine(bench.url)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == REVISIONS[-1]
    engine.dispose()


def test_the_database_is_the_one_that_the_code_would_make(bench: StoreBench) -> None:
    """Column by column, and index by index."""
    engine = open_engine(bench.url)
    with engine.begin() as connection:
        migrated = schema(connection)
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
        assert schema(connection) == migrated
    engine.dispose()


def test_numbers_are_never_given_again(file_bench: StoreBench) -> None:
    """The migration says so to SQLite, as the tables do."""
    engine = open_engine(file_bench.url)
    with engine.begin() as connection:
        for table in ("jobs", "events"):
            made = connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = :name"),
                {"name": table},
            ).scalar_one()
            assert "AUTOINCREMENT" in made
    engine.dispose()


def test_opening_again_changes_nothing(bench: StoreBench) -> None:
    """The facts, the store's id among them, are those of the first time."""
    found: list[dict[str, str]] = []
    for _ in range(2):
        engine = open_engine(bench.url)
        with engine.begin() as connection:
            found.append(
                dict(connection.execute(text("SELECT name, value FROM facts")).all())
            )
        engine.dispose()
    assert found[0] == found[1]
    assert found[0]["events_floor"] == "0"


def test_a_store_of_an_earlier_version_keeps_its_facts(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is brought up to date; the cursors that it gave out stay good."""
    open_engine(bench.url).dispose()
    monkeypatch.setattr(
        "vtrio.server.store.opening.REVISIONS", (*REVISIONS, "the next one")
    )

    engine = open_engine(bench.url)
    with engine.begin() as connection:
        names = connection.execute(text("SELECT name FROM facts ORDER BY name"))
        assert names.scalars().all() == ["events_floor", "store_id"]
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start begins where this one did."""
    from vtrio.server.store import opening

    def fail() -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as killed:
        killed.setattr(opening, "_first_facts", fail)
        with pytest.raises(RuntimeError, match="killed"):
            open_engine(bench.url)
    engine = create_engine(bench.url)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()

    open_engine(bench.url).dispose()


def test_alembic_stays_out_of_a_server_that_is_up_to_date(
    file_bench: StoreBench,
) -> None:
    """It would take memory and time at every start for nothing."""
    open_engine(file_bench.url).dispose()
    program = (
        "import sys\n"
        "from vtrio.server.store.opening import open_engine\n"
        "open_engine(sys.argv[1]).dispose()\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file_bench.url)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"
