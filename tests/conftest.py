"""What the tests share: both HTTP libraries, and a server of bare sockets."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import httpx
import httpx2
import pytest
import trio
from hypothesis import HealthCheck, settings

# The benchmarks are in no wheel. Last, for vtrio itself is that of the wheel.
sys.path.append(str(Path(__file__).parent.parent))

# How long an example takes tells of the machine and of what else it does, not of us.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

Answering = Callable[[trio.SocketStream, bytes], Awaitable[None]]
StartServer = Callable[[Answering], Awaitable["BareServer"]]


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the HTTP libraries whose client the edge takes."""
    module: ModuleType = request.param
    return module


@dataclass
class BareServer:
    """A server of bare sockets, with no HTTP library in it."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0


@pytest.fixture
def bare_server(nursery: trio.Nursery) -> StartServer:
    """Start a server that hands each request's head to a function."""

    async def start(answer: Answering) -> BareServer:
        server = BareServer("")

        async def serve_one(stream: trio.SocketStream) -> None:
            server.connections += 1
            server.open_connections += 1
            try:
                while head := await read_head(stream):
                    server.requests.append(head)
                    await answer(stream, head)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # one of the two hung up, as some tests want it to
            finally:
                server.open_connections -= 1

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        server.url = f"http://127.0.0.1:{port}"
        await nursery.start(trio.serve_listeners, serve_one, [listener])
        return server

    return start


async def read_head(stream: trio.SocketStream) -> bytes:
    """Read a request's head, up to the blank line; empty when the client has left."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some()
        if not data:
            return b""
        head += data
    return head


@pytest.fixture
def count_open() -> Callable[[], dict[str, int]]:
    """Count what a leak would add to: file descriptors, and trio's tasks."""

    def count() -> dict[str, int]:
        return {
            "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
        }

    return count


@pytest.fixture
def sample() -> Path:
    """The small video with speech that ships with the package."""
    import vtrio

    return Path(vtrio.__file__).parent / "samples" / "sense.mp4"
