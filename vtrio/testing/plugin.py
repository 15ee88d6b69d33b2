"""The fixtures for pytest. Nothing heavy is imported until one of them is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..client import VideoTranslationClient
    from ._invariants import Invariants
    from ._server import ScriptedServer

# What a suite asserts is to be told in full, wherever it is installed.
pytest.register_assert_rewrite("vtrio.testing.contracts")

_server_of = pytest.StashKey["ScriptedServer"]()


@pytest.fixture
def vtrio_server(request: pytest.FixtureRequest) -> ScriptedServer:
    """A job server that follows a script, without sockets; see `vtrio.testing`.

    It wants a virtual clock: give the test pytest-trio's `autojump_clock` too. Settings
    of `ScriptedServer` go through `@pytest.mark.vtrio_server(latency=0.1)`. When the
    test has passed, a step of the script that was never reached, a fault that met no
    request, and a request for which nothing was scripted fail it.
    """
    from ._server import ScriptedServer

    marker = request.node.get_closest_marker("vtrio_server")
    settings = {} if marker is None else marker.kwargs
    server = ScriptedServer(only_virtual_time=True, **settings)
    request.node.stash[_server_of] = server
    return server


@pytest.fixture
def vtrio_client(vtrio_server: ScriptedServer) -> VideoTranslationClient:
    """A client of `vtrio_server` with its defaults, in whose waits chance plays no part.

    `vtrio_server.client(...)` makes one with other settings.
    """
    return vtrio_server.client()


@pytest.fixture
async def vtrio_invariants(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Invariants]:
    """Watch every wait of the test; what no wait may do fails it. See `Invariants`."""
    from ._invariants import Invariants

    server = request.node.stash.get(_server_of, None)
    with Invariants(*([] if server is None else [server])) as invariants:
        yield invariants


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "vtrio_server(**settings): settings of the fixture vtrio_server"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Compare the script with what happened, as a part of the test itself."""
    server = item.stash.get(_server_of, None)
    if server is None:
        return (yield)
    try:
        result = yield
    except BaseException:
        item.add_report_section("call", "vtrio timeline", server.timeline())
        raise
    from ._timeline import ScriptNotFollowed

    try:
        server.check()
    except ScriptNotFollowed as error:
        told = str(error)
    else:
        return result
    # The message alone: where in the kit it was found helps nobody.
    pytest.fail(told, pytrace=False)
