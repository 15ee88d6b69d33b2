"""The schema's history, kept by Alembic: one file a step in `versions`.

`REVISIONS` names the steps in their order, so that a server whose store is up to date
does not have to import Alembic to know it; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

REVISIONS = ("0001",)


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date, inside the transaction of the connection."""
    from alembic.command import upgrade as run
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent).replace("%", "%%")
    )
    config.attributes["connection"] = connection
    run(config, "head")
