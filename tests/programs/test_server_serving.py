"""Serving for real: addresses, folders, settings, and what is announced."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from vtrio.cli import main
from vtrio.server import (
    ServeError,
    ServerSettings,
    Serving,
    serve,
    serve_until_signal,
)
from vtrio.server.engines.simulated import SimulatedEngine

if TYPE_CHECKING:
    from tests.programs.conftest import StartServer

FORM = {"target_language": "pt"}


async def test_it_serves_until_it_is_stopped(
    start_server: StartServer, tmp_path: Path
) -> None:
    """The address is given back; afterwards nobody listens and no file is left."""
    async with start_server(data_dir=tmp_path / "new") as running:
        async with running.client() as client:
            assert (await client.get("/healthz")).status_code == 200
            answer = await client.post(
                "/v1/translations", files={"video": b"video"}, data=FORM
            )
            assert answer.status_code == 202
        assert await running.stop() < 1
        with pytest.raises(OSError, match="connect"):
            await running.connect()
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]


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
        *(("grace", -1), ("grace", float("inf")), ("largest_upload", 0)),
    ],
)
def test_a_setting_is_refused_by_name(setting: str, value: object) -> None:
    """The message names the setting, the value and what is allowed."""
    with pytest.raises(ValueError, match=f"{setting}=.*must be"):
        ServerSettings(**{setting: value})  # type: ignore[arg-type]


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
        url = log.rpartition("url=")[2].split()[0]
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
    assert "--data-dir '' is not allowed" in sentence


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
        "print([m for m in ('quart', 'hypercorn', 'werkzeug', 'trio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_without_the_extra_one_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Using a name that needs it fails with what to install."""
    import vtrio.server

    for name in list(sys.modules):
        if name.startswith("vtrio.server.") and "engines" not in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypercorn.trio", None)
    monkeypatch.setitem(sys.modules, "hypercorn", None)
    monkeypatch.setitem(sys.modules, "quart", None)
    with pytest.raises(ImportError, match=r"pip install 'vtrio\[server\]'"):
        _ = vtrio.server.run_server
    assert main(["serve"]) == 2
    assert "pip install 'vtrio[server]'" in capsys.readouterr().err
    monkeypatch.setattr("vtrio.server.import_module", lambda *_: __import__("no_such"))
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        _ = vtrio.server.run_server
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vtrio.server.nonsense
