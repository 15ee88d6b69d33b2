"""Serving for real: addresses, folders, settings, and what is announced."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from vtrio.cli import main
from vtrio.server import (
    Limits,
    ServeError,
    ServerSettings,
    Serving,
    serve,
    serve_until_signal,
)
from vtrio.server.engines.simulated import SimulatedEngine
from vtrio.server.folders import default_data_dir

if TYPE_CHECKING:
    from tests.programs.conftest import StartServer

FORM = {"target_language": "pt"}


async def test_it_serves_until_it_is_stopped(
    start_server: StartServer, tmp_path: Path
) -> None:
    """The address is given back; afterwards nobody listens, and the jobs are kept."""
    folder = tmp_path / "new"
    async with start_server(data_dir=folder) as running:
        async with running.client() as client:
            assert (await client.get("/healthz")).status_code == 200
            path = await running.complete(client, b"video")
        assert await running.stop() < 1
        with pytest.raises(OSError, match="connect"):
            await running.connect()
    # The store is one file again: nothing is left in its log.
    assert {path.name for path in folder.iterdir()} == {
        *("jobs", "lock", "uploads", "vtrio.sqlite3")
    }
    assert not list((folder / "uploads").iterdir())
    job_id = path.rpartition("/")[2]
    assert {path.name for path in (folder / "jobs" / job_id).iterdir()} == {
        *("attempt-1", "source.mkv")
    }

    async with start_server(data_dir=folder) as running, running.client() as client:
        answer = await client.get(f"{path}/video")
        assert (answer.status_code, answer.content) == (200, b"video")


@pytest.mark.parametrize("name", [".", "data"])
async def test_a_data_directory_may_be_named_from_where_one_stands(
    start_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Jobs complete there as anywhere."""
    monkeypatch.chdir(tmp_path)
    async with start_server(data_dir=Path(name)) as running, running.client() as client:
        path = await running.complete(client, b"video")
        assert (await client.get(f"{path}/video")).content == b"video"
    assert (tmp_path / name / "vtrio.sqlite3").exists()


async def test_a_server_of_no_port_keeps_nothing(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could find its jobs again: they are in a temporary folder, which goes."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with start_server() as running, running.client() as client:
        await client.post("/v1/translations", files={"video": b"video"}, data=FORM)
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith("vtrio-")
        assert (folder / "vtrio.sqlite3").exists()
    assert not list(tmp_path.iterdir())


async def test_a_server_of_a_port_has_a_folder_of_its_own(
    start_server: StartServer, data_home: Path
) -> None:
    """In the user's data, by the port; it is there for the next one on this port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with start_server(port=port) as running, running.client() as client:
        path = await running.complete(client, b"video")
    assert (data_home / "vtrio" / str(port) / "vtrio.sqlite3").exists()
    async with start_server(port=port) as running, running.client() as client:
        assert (await client.get(path)).json()["status"] == "completed"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_DATA_HOME": "/data"}, Path("/data/vtrio/5001")),
        ({"XDG_DATA_HOME": ""}, Path.home() / ".local/share/vtrio/5001"),
        ({}, Path.home() / ".local/share/vtrio/5001"),
    ],
)
def test_where_jobs_are_kept_that_nobody_told(
    environment: dict[str, str], folder: Path
) -> None:
    """As the XDG base directory specification says; a variable set to nothing is unset."""
    assert default_data_dir(5001, environment) == folder


async def test_it_leaves_no_file_descriptor_behind(start_server: StartServer) -> None:
    """As many are open after ten servers as after one."""

    async def once() -> int:
        async with (
            start_server() as running,
            running.client() as client,
        ):
            await client.get("/status")
        return len(list(Path("/proc/self/fd").iterdir()))

    counts = [await once() for _ in range(10)]
    assert counts[-1] <= counts[1]


async def test_ipv6_has_its_brackets(start_server: StartServer) -> None:
    """The URL of an IPv6 address can be used as it is given."""
    if not socket.has_ipv6:  # pragma: no cover - depends on the machine
        pytest.skip("no IPv6 here")
    async with start_server(host="::1") as running:
        assert running.where.url == f"http://[::1]:{running.where.port}"
        async with httpx.AsyncClient() as client:
            answer = await client.get(running.where.url + "/status")
        assert answer.json() == {"result": "pending"}


async def test_the_brackets_of_an_address_may_be_given(
    start_server: StartServer,
) -> None:
    """The form that the URL has is taken too."""
    if not socket.has_ipv6:  # pragma: no cover - depends on the machine
        pytest.skip("no IPv6 here")
    async with start_server(host="[::1]") as running:
        assert running.where.host == "::1"


async def test_a_name_is_resolved(start_server: StartServer) -> None:
    """The localhost is as good as its address, of which IPv4 comes first."""
    async with start_server(host="localhost") as running:
        assert running.where.url == f"http://127.0.0.1:{running.where.port}"


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("0.0.0.0", "without an API key the server binds to loopback only"),  # noqa: S104
        ("::", "binds to loopback only"),
        ("192.0.2.1", "binds to loopback only"),
        ("", "must be an address or a name"),
        ("no.such.host.invalid", "cannot be resolved"),
        ("a" * 80 + ".b", "cannot be resolved"),
    ],
)
async def test_a_host_that_is_not_to_be_used_is_refused(
    host: str, sentence: str
) -> None:
    """One sentence names the host and says what would do."""
    with pytest.raises(ServeError, match=sentence) as caught:
        await serve(SimulatedEngine(), ServerSettings(host=host, port=0))
    assert repr(host) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_busy_port_is_refused(start_server: StartServer) -> None:
    """One sentence names the port and what would do."""
    async with start_server() as running:
        with pytest.raises(ServeError, match="is in use") as caught:
            await serve(SimulatedEngine(), ServerSettings(port=running.where.port))
        assert str(running.where.port) in str(caught.value)
        assert "--port" in str(caught.value)


async def test_an_address_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the system says against binding is told."""

    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vtrio.server.listener.socket.bind", refuse, raising=False)
    with pytest.raises(ServeError, match="Permission denied"):
        await serve(SimulatedEngine(), ServerSettings(port=1))


async def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """One sentence names the folder; the port is free again."""
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ServeError, match="data directory .*file.* cannot be used"):
        await serve(SimulatedEngine(), ServerSettings(port=0, data_dir=blocked / "x"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("port", -1), ("port", 65_536), ("port", "80"), ("workers", 0)),
        *(("grace", -1), ("grace", float("inf")), ("keep", 0), ("max_run_time", 0)),
    ],
)
def test_a_setting_is_refused_by_name(setting: str, value: object) -> None:
    """The message names the setting, the value and what is allowed."""
    with pytest.raises(ValueError, match=f"{setting}=.*must be"):
        ServerSettings(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [limit.name for limit in fields(Limits)])
def test_a_limit_is_refused_by_name(name: str) -> None:
    """None may be negative or a text; only an upload may be as slow as it likes."""
    for value in (-1, "1", *([] if name == "upload_rate" else [0, 1.5])):
        with pytest.raises(ValueError, match=f"{name}=.*must be"):
            Limits(**{name: value})  # type: ignore[arg-type]
    assert Limits(upload_rate=0).upload_rate == 0


async def test_an_announcement_names_the_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A signal ends the server, and it tells which it was."""
    from vtrio.server.serving import print_address

    def announce(serving: Serving) -> None:
        print_address(serving)
        signal.raise_signal(signal.SIGTERM)

    received = await serve_until_signal(
        SimulatedEngine(), ServerSettings(port=0), announce=announce
    )
    assert received is signal.SIGTERM
    assert capsys.readouterr().out.startswith("listening on http://127.0.0.1:")


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_it_serves_where_nothing_can_be_printed(where: str, tmp_path: Path) -> None:
    """The log has the address instead, and the server ends as it would otherwise."""
    command = (
        f"exec {sys.executable} -m vtrio serve --port 0 --engine simulated {where}"
    )
    with subprocess.Popen(
        ["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        log = ""
        while "address-not-printed" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        url = json.loads(log.splitlines()[-1])["url"]
        assert httpx.get(f"{url}/status").json() == {"result": "pending"}
        process.terminate()
        log += process.stderr.read()
        assert process.wait(timeout=10) == 0
    assert "Traceback" not in log
    assert "Exception ignored" not in log


def test_no_folder_is_not_this_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty --data-dir, as an unset variable of a shell makes it, is refused."""
    assert main(["serve", "--engine", "simulated", "--data-dir", ""]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "data-dir='' is not allowed" in sentence


async def test_a_refusal_to_serve_comes_out_plain() -> None:
    """No group, no traceback of nurseries: one error of ours."""
    with pytest.raises(ServeError, match="loopback"):
        await serve_until_signal(
            SimulatedEngine(),
            ServerSettings(host="192.0.2.1"),
            announce=lambda _: None,  # pragma: no cover - never listens
        )


def test_the_package_is_light() -> None:
    """Importing it imports neither the framework nor hypercorn, nor trio."""
    program = (
        "import sys, vtrio.server;"
        "heavy = ('alembic', 'hypercorn', 'prometheus_client', 'quart', 'sqlalchemy',"
        " 'structlog', 'trio', 'werkzeug');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
import vtrio.server
from vtrio.cli import main
try:
    vtrio.server.run_server
except ImportError as error:
    print(error)
print(main(["serve"]), main(["keys", "list"]))
"""


@pytest.mark.parametrize("missing", ["hypercorn", "sqlalchemy", "structlog"])
def test_without_the_extra_one_sentence_names_it(missing: str) -> None:
    """Using a name that needs it fails with what to install; so do the commands."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing],
        capture_output=True,
        text=True,
        check=True,
    )
    refusal, statuses = done.stdout.splitlines()
    assert missing in refusal
    assert "pip install 'vtrio[server]'" in refusal
    # Keys are looked after without a server.
    assert statuses == ("2 0" if missing == "hypercorn" else "2 2")
    told = done.stderr.splitlines()
    assert all(line.startswith("vtrio: ") for line in told)
    assert all("pip install 'vtrio[server]'" in line for line in told)


def test_what_is_missing_besides_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A module of ours that is not there is no matter of an extra; nor is a wrong name."""
    import vtrio.server

    monkeypatch.setattr("vtrio.server.import_module", lambda *_: __import__("no_such"))
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        _ = vtrio.server.run_server
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vtrio.server.nonsense
