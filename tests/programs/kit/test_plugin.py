"""The plugin for pytest, end to end, and what importing the kit costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vtrio.testing

# All of it is loaded now: what the first pytest in here would load, the second would
# load again, beside what has kept something of the first.
for _name in vtrio.testing.__all__:
    getattr(vtrio.testing, _name)

RunTests = Callable[[str], pytest.RunResult]

pytest_plugins = ["pytester"]

HEAD = """
import pytest, trio
from vtrio import WaitTimeout
from vtrio.testing import *
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> RunTests:
    """Run tests in a pytest of their own, in this process."""
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")

    def run_tests(code: str) -> pytest.RunResult:
        pytester.makepyfile(HEAD + code)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider")

    return run_tests


def test_a_test_that_follows_its_script_passes(run: RunTests) -> None:
    """With the fixtures alone, in virtual time, with exact instants."""
    done = run(
        """
async def test_talk(vtrio_server, vtrio_client, vtrio_invariants, autojump_clock):
    talk = vtrio_server.add(job("queued", after(5, "running"), after(20, "completed")))
    assert await vtrio_client.get_status(talk.id) == "completed"
    assert talk.asked_at == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]

async def test_other(vtrio_client, vtrio_server, autojump_clock):
    vtrio_server.add(job("completed"))
    assert await vtrio_client.get_status() == "completed"

def test_without_it():
    pass
"""
    )
    done.assert_outcomes(passed=3)
    done.stdout.no_fnmatch_line("*seconds*")


def test_a_step_that_was_never_reached_fails_the_test(run: RunTests) -> None:
    """With the timeline, and without a traceback of the kit's."""
    done = run("""
async def test_talk(vtrio_server, autojump_clock):
    talk = vtrio_server.add(job("pending", after(5, "running"), after(60, "completed")))
    with pytest.raises(WaitTimeout):
        await vtrio_server.client().wait(talk.id, max_attempts=1)
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "the script was not followed: after(5, 'running'), after(60, *of job j1; *",
            "never reached:",
            "  after(5, 'running'), after(60, 'completed') of job j1; the last*at 0 s",
            "what happened:",
            "     seconds",
            "       0.000  GET  /v1/translations/j1  ->  200 pending",
        ],
        consecutive=True,
    )
    done.stdout.no_fnmatch_line("*_server.py*")


def test_a_request_that_nothing_matched_fails_the_test(run: RunTests) -> None:
    """Even where the program under test has swallowed the error."""
    done = run("""
async def test_talk(vtrio_server, vtrio_client, autojump_clock):
    with pytest.raises(Exception):
        await vtrio_client.get_job("nobody")
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "nothing was scripted for:",
            "  GET /v1/translations/nobody at 0 s",
            "what happened:",
            "*GET  /v1/translations/nobody  ->  404 there is no such job",
        ]
    )


def test_a_test_that_fails_shows_the_timeline(run: RunTests) -> None:
    """As a section beside its own error, which stays what it is."""
    done = run("""
async def test_talk(vtrio_server, vtrio_client, autojump_clock):
    vtrio_server.add(job("running", "completed"))
    await vtrio_client.get_job("j1")
    assert 1 == 2
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "*assert 1 == 2*",
            "*- Captured vtrio timeline call -*",
            "     seconds",
            "       0.000  GET  /v1/translations/j1  ->  200 running",
        ]
    )
    done.stdout.no_fnmatch_line("*never reached*")


def test_a_test_on_a_real_clock_fails_at_once(run: RunTests) -> None:
    """And is told which fixture it lacks."""
    done = run("""
async def test_talk(vtrio_server, vtrio_client):
    vtrio_server.add(job("running", after(3600, "completed")))
    await vtrio_client.get_status()
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*add pytest-trio's fixture autojump_clock to it*"])


@pytest.mark.parametrize(
    "order", ["vtrio_server, vtrio_invariants", "vtrio_invariants"]
)
def test_a_broken_invariant_fails_the_test(order: str, run: RunTests) -> None:
    """Whether or not the test has a server."""
    done = run(f"""
async def test_talk({order}, autojump_clock):
    server = await make()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.client().wait, "j1")
        nursery.start_soon(server.client().wait, "j1")

async def make():
    server = ScriptedServer(latency=1)
    server.add(job("completed"))
    return server
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*what must hold did not:", "*at 0 s: 2 polls for job 'j1' are in flight"]
    )


@pytest.mark.parametrize(
    "order", ["vtrio_server, vtrio_invariants", "vtrio_invariants, vtrio_server"]
)
def test_the_invariants_watch_the_tests_server(order: str, run: RunTests) -> None:
    """In whichever order the fixtures are asked for."""
    done = run(f"""
async def test_talk({order}, autojump_clock):
    vtrio_server.route(respond(body=[b"a", Pause(1), b"b"]))
    http = vtrio_server.http()
    await http.send(http.build_request("GET", "/"), stream=True)
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*answer to GET / of 0 s was neither read to its end*"])


# --- what importing it costs ----------------------------------------------------

HEAVY = "sorted({'trio', 'httpx', 'httpx2', 'pytest_trio'} & set(sys.modules))"


def test_loading_the_plugin_imports_neither_trio_nor_http(tmp_path: Path) -> None:
    """Whoever has vtrio installed pays nothing for it in other tests."""
    (tmp_path / "test_it.py").write_text(
        f"import sys\ndef test(): print('loaded:', {HEAVY})\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-sq", "-p", "vtrio.testing.plugin"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "loaded: []" in done.stdout
    assert "1 passed" in done.stdout


def test_importing_the_kit_loads_neither_trio_nor_http() -> None:
    """A name is imported when it is first touched."""
    code = f"""
import sys, vtrio.testing
print({HEAVY}, dir(vtrio.testing) == vtrio.testing.__all__)
vtrio.testing.ScriptedServer
print({HEAVY})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[] True", "['httpx', 'trio']"]


@pytest.mark.parametrize("name", vtrio.testing.__all__)
def test_every_name_of_the_kit_is_there(name: str) -> None:
    """And a class shows itself by the kit's name."""
    thing = getattr(vtrio.testing, name)
    if isinstance(thing, type):
        assert (thing.__module__, thing.__qualname__) == ("vtrio.testing", name)
    else:
        assert callable(thing) or isinstance(thing, str)


def test_the_list_for_the_tools_is_the_list_of_the_program() -> None:
    """What type checkers see is what `__all__` says, from where it says."""
    source = Path(vtrio.testing.__file__).read_text(encoding="utf-8")
    told = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert sorted(told, key=str) == vtrio.testing.__all__
    assert told == {
        name: home for home, names in vtrio.testing._HOMES.items() for name in names
    }


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """A slip of the pen is told as for any module."""
    with pytest.raises(AttributeError, match=r"'vtrio.testing' has no attribute 'Jo'"):
        vtrio.testing.Jo  # noqa: B018


def test_the_fixture_takes_settings(pytester: pytest.Pytester) -> None:
    """By a marker, which pytest knows."""
    pytester.makepyfile(
        """
        import pytest
        from vtrio.testing import job

        @pytest.mark.trio
        @pytest.mark.vtrio_server(latency=2, retry_after=5)
        async def test_talk(vtrio_server, vtrio_client, autojump_clock):
            talk = vtrio_server.add(job("pending", "completed"))
            await vtrio_client.wait(talk.id)
            assert talk.asked_at == [0, 7]
        """
    )
    pytester.runpytest("--strict-markers").assert_outcomes(passed=1)


def test_a_test_case_of_unittests_is_checked_too(pytester: pytest.Pytester) -> None:
    """Whatever kind of test it is that used the fixture."""
    pytester.makepyfile(
        """
        import unittest
        import pytest
        from vtrio.testing import job

        class TestTalk(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def server(self, vtrio_server):
                self.server = vtrio_server

            def test_nobody_asks(self):
                self.server.add(job("pending"))
        """
    )
    done = pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*of job j1; nobody asked about it", "what happened:"])
