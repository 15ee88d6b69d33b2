"""The tasks and threads that the peers' waits run in, and the connections they share."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TypeAlias

import httpx
import trio

from . import Outcome, Report

CONNECTIONS = 16
"""Connections that a process keeps, whatever its client.

A server of one process on loopback answers in a millisecond or two, so that these keep
it busy for thousands of waits. More would be measured themselves: with 64, tenacity
over httpx took twice the CPU for a thousand waits. A request beyond them waits for its
turn; none is opened to be thrown away.
"""

ENDS: Mapping[str, Outcome] = MappingProxyType(
    {"completed": "completed", "error": "failed", "cancelled": "failed"}
)
"""What a wait has come to when the document's `status` is one of these."""

# A wait in a thread is a dozen calls deep. Nothing but addresses is set aside for more.
_STACK = 512 * 1024


Get: TypeAlias = Callable[[str], Awaitable[httpx.Response]]
"""Asks a URL over the client that all share."""


async def wait_in_tasks(
    urls: Sequence[str],
    wait_for: Callable[[Get, str], Awaitable[Outcome]],
    report: Report,
) -> None:
    """Run a wait for each URL in a trio task of its own, over one client."""

    async def get(url: str) -> httpx.Response:
        # httpx's pool looks through all requests that wait in it, for each that ends:
        # a thousand at once would take it most of a minute.
        async with turns:
            return await client.get(url)

    async def run(url: str) -> None:
        try:
            outcome = await wait_for(get, url)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            report(url, "raised", type(error).__name__)
        else:
            report(url, outcome)

    turns = trio.CapacityLimiter(CONNECTIONS)
    client = httpx.AsyncClient(
        limits=httpx.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS
        ),
        # A proxy of the machine is not what is measured.
        trust_env=False,
    )
    async with client, trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(run, url)


def wait_in_threads(
    urls: Sequence[str], wait_for: Callable[[str], Outcome], report: Report
) -> None:
    """Run a wait for each URL in a thread of its own."""

    def run(url: str) -> None:
        try:
            outcome = wait_for(url)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            report(url, "raised", type(error).__name__)
        else:
            report(url, outcome)

    threads = [threading.Thread(target=run, args=[url], daemon=True) for url in urls]
    with _small_stacks():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@contextmanager
def _small_stacks() -> Iterator[None]:
    """Give a small stack to what is started meanwhile, a peer's own threads too."""
    before = threading.stack_size(_STACK)
    try:
        yield
    finally:
        threading.stack_size(before)
