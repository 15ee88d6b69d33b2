"""`vtrio keys`: shown once, kept as a digest, noticed by the server that runs."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from vtrio.cli import main
from vtrio.server import ServeError, ServerSettings, serve
from vtrio.server.access import digest_of
from vtrio.server.engines.simulated import SimulatedEngine

if TYPE_CHECKING:
    from tests.programs.conftest import StartServer

ANYWHERE = "0.0.0.0"  # noqa: S104 - which is what has to be allowed


class Keys:
    """Runs `vtrio keys` on one data directory, and reads what it prints."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, *line: str) -> str:
        """Run it, and return what is on standard output."""
        assert main(["keys", *line, "--data-dir", str(self.folder)]) == 0
        printed = self._capsys.readouterr()
        assert printed.err == ""
        return printed.out

    def documents(self, *line: str) -> list[dict[str, Any]]:
        """Run it with `--json`."""
        return [json.loads(each) for each in self.run(*line, "--json").splitlines()]

    def refuse(self, *line: str) -> str:
        """Run what is refused, and return the sentence."""
        assert main(["keys", *line, "--data-dir", str(self.folder)]) == 2
        printed = self._capsys.readouterr()
        assert printed.out == ""
        (sentence,) = printed.err.splitlines()
        return sentence

    def stored(self) -> bytes:
        """Return all that is on disk."""
        return b"".join(
            path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        )


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    """Have keys in a folder that is not there yet."""
    return Keys(tmp_path / "new", capsys)


def test_a_key_is_shown_once(keys: Keys) -> None:
    """Alone on its line, for a script to take; the list has no secret in it."""
    key = keys.run("add", "the team").strip()
    assert re.fullmatch(r"vtrio_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    _, key_id, secret = key.split("_", 2)

    (line,) = keys.run("list").splitlines()
    assert re.fullmatch(rf"{key_id}  20\S+Z  valid  the team", line)
    assert secret not in line


def test_only_a_digest_of_a_key_is_kept(keys: Keys) -> None:
    """Neither the key nor its secret is among the bytes on disk."""
    key = keys.run("add", "ci").strip()
    stored = keys.stored()
    assert digest_of(key) in stored
    assert key.encode() not in stored
    assert key.split("_", 2)[2].encode() not in stored
    assert b"ci" in stored


def test_each_command_speaks_json(keys: Keys) -> None:
    """An object a line; what a revoked key was stays in the list."""
    (added,) = keys.documents("add", "ci")
    assert set(added) == {"event", "key", "id", "name", "created_at", "revoked_at"}
    assert (added["event"], added["name"], added["revoked_at"]) == ("added", "ci", None)
    assert added["key"].startswith(f"vtrio_{added['id']}_")
    (other,) = keys.documents("add", "ci")
    assert other["id"] != added["id"]

    assert keys.documents("revoke", added["id"]) == [
        {"event": "revoked", "id": added["id"]}
    ]
    first, second = keys.documents("list")
    assert (first["event"], first["id"]) == ("key", added["id"])
    assert first["revoked_at"] is not None
    assert (second["id"], second["revoked_at"]) == (other["id"], None)
    assert not {"key", "digest"} & {*first, *second}


def test_a_key_is_revoked_once(keys: Keys) -> None:
    """In silence; what is none, or none any more, is refused and not quoted."""
    key_id = keys.documents("add", "ci")[0]["id"]
    assert keys.run("revoke", key_id) == ""
    assert re.search(r"  revoked 20\S+Z  ci$", keys.run("list").strip())
    for gone in (key_id, "nobody"):
        assert keys.refuse("revoke", gone) == (
            "vtrio: there is no valid key of that id: see vtrio keys list"
        )


def test_a_folder_without_a_store_is_told(keys: Keys) -> None:
    """A name that was mistyped makes no store, in which there would be no keys."""
    for command in (("list",), ("revoke", "nobody")):
        assert "there is no store in " in keys.refuse(*command)
    assert not keys.folder.exists() or not list(keys.folder.iterdir())


def test_keys_go_by_the_port_unless_told_where(
    data_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the server of that port keeps its jobs."""
    assert main(["keys", "add", "ci", "--port", "5091"]) == 0
    assert (data_home / "vtrio" / "5091" / "vtrio.sqlite3").exists()
    capsys.readouterr()
    assert main(["keys", "list", "--port", "5092"]) == 2
    assert capsys.readouterr().out == ""


async def test_a_server_that_runs_notices_what_becomes_of_keys(
    start_server: StartServer, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first key closes it, and a revoked one opens nothing.

    That it does so within a second is proved where time is virtual.
    """
    monkeypatch.setattr("vtrio.server.access._FRESH", 0.1)

    async def run(*line: str) -> str:
        return await trio.to_thread.run_sync(partial(keys.run, *line))

    async def until(status: int, key: str | None) -> float:
        """Ask until this is the answer, and return how long it took."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        began = trio.current_time()
        while (await client.get("/v1/events", headers=headers)).status_code != status:  # noqa: ASYNC110 - it is polling
            await trio.sleep(0.01)
        return trio.current_time() - began

    async with (
        start_server(data_dir=keys.folder) as running,
        running.client() as client,
    ):
        assert await until(200, None) < 1
        key = (await run("add", "ci")).strip()
        assert await until(401, None) < 2
        assert await until(200, key) < 2
        await run("revoke", key.split("_")[1])
        assert await until(401, key) < 2
        assert (await client.get("/status")).status_code == 200


async def test_with_a_key_a_server_may_listen_anywhere(
    start_server: StartServer, keys: Keys
) -> None:
    """Without one that is valid it may not, and says what to do."""

    async def refused() -> str:
        settings = ServerSettings(host=ANYWHERE, port=0, data_dir=keys.folder)
        with pytest.raises(ServeError) as caught:
            await serve(SimulatedEngine(), settings)
        return str(caught.value)

    async def run(*line: str) -> str:
        return await trio.to_thread.run_sync(partial(keys.run, *line))

    assert "make one with vtrio keys add" in await refused()
    key = (await run("add", "ci")).strip()
    async with start_server(host=ANYWHERE, data_dir=keys.folder) as running:
        assert running.where.url == f"http://{ANYWHERE}:{running.where.port}"
        url = f"http://127.0.0.1:{running.where.port}"
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/v1/events")).status_code == 401
            headers = {"Authorization": f"Bearer {key}"}
            answer = await client.get("/v1/events", headers=headers)
            assert answer.status_code == 200
    await run("revoke", key.split("_")[1])
    assert "without an API key" in await refused()
