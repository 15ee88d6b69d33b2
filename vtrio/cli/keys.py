"""`vtrio keys`: the API keys of a server, which may be running meanwhile."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from .exits import Exit
from .parser import UsageError

if TYPE_CHECKING:
    from ..server import Store
    from ..server.store import ApiKeyRecord, Instant


def run_keys(options: argparse.Namespace) -> int:
    """Add, list or revoke keys."""
    try:
        from ..server import ServeError
        from ..server.errors import NoRoom, leaves
        from ..server.folders import default_data_dir, make_data_dir
        from ..server.store import FILE, Instant, StoreFailed, open_store, url_of_file
    except ImportError as error:
        raise UsageError(
            f"vtrio keys needs {error.name!r}, which is not installed: run"
            " pip install 'vtrio[server]'"
        ) from None
    if options.data_dir is None and options.port == 0:
        raise UsageError(
            "--port 0 has no data directory of its own: pass --data-dir, or the port"
            " of the server"
        )
    folder = Path(options.data_dir or default_data_dir(options.port))
    if options.keys_command != "add" and not (folder / FILE).exists():
        raise UsageError(
            f"there is no store in {str(folder)!r}: pass the --data-dir or the --port"
            " of the server"
        )
    work: Callable[[Store, Instant, argparse.Namespace], Awaitable[int]] = {
        "add": _add,
        "list": _list,
        "revoke": _revoke,
    }[options.keys_command]

    async def main() -> int:
        now = Instant(trio.current_time(), datetime.now(UTC))
        async with open_store(url_of_file(folder), now) as store:
            return await work(store, now, options)

    try:
        make_data_dir(folder)
    except OSError as error:
        raise UsageError(
            f"the data directory {str(folder)!r} cannot be used ({error.strerror}):"
            " pass another --data-dir"
        ) from None
    refused: list[Exception] = []
    status = 0
    try:
        status = trio.run(main)
    except* (ServeError, StoreFailed, NoRoom, UsageError) as group:
        refused.extend(leaves(group))
    if refused:
        raise UsageError(str(refused[0])) from None
    return status


async def _add(store: Store, now: Instant, options: argparse.Namespace) -> int:
    from ..server.access import new_key

    key, record = new_key(options.name, now)
    await store.add_api_key(record)
    if options.json:
        _print({"event": "added", "key": key, **_described(record)})
    else:
        # Only here: the store has but a digest of it.
        print(key)
    return Exit.COMPLETED


async def _list(store: Store, now: Instant, options: argparse.Namespace) -> int:
    for record in await store.api_keys():
        described = _described(record)
        if options.json:
            _print({"event": "key", **described})
        else:
            state = f"revoked {described['revoked_at']}" if record.revoked else "valid"
            print(f"{record.id}  {described['created_at']}  {state}  {record.name}")
    return Exit.COMPLETED


async def _revoke(store: Store, now: Instant, options: argparse.Namespace) -> int:
    from ..server.access import id_of_key

    # Whoever has the whole key at hand may give that; it is never shown again.
    key_id = id_of_key(options.id) or options.id
    if not await store.revoke_api_key(key_id, now):
        # Not quoted: it may be a key with a letter too many.
        raise UsageError("there is no valid key of that id: see vtrio keys list")
    if options.json:
        _print({"event": "revoked", "id": key_id})
    return Exit.COMPLETED


def _described(record: ApiKeyRecord) -> dict[str, Any]:
    from ..server.documents import format_instant

    return {
        "id": record.id,
        "name": record.name,
        "created_at": format_instant(record.created.wall),
        "revoked_at": format_instant(record.revoked.wall) if record.revoked else None,
    }


def _print(document: dict[str, Any]) -> None:
    print(json.dumps(document))
