"""The listening socket: where it may be, and how its connections are let go."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SHUT_RDWR,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    AddressFamily,
    gaierror,
    socket,
)

import trio

from .errors import ServeError

# Milliseconds that a client may leave what we send unread: long enough for a player
# that has buffered ahead, short enough that a dead client does not stay for ever.
# Inherited by every accepted connection. Linux has it; its number is there since
# 2.6.37, `socket` knows its name since Python 3.6.
_PATIENCE = 30_000


async def open_listener(host: str, port: int) -> socket:
    """Bind to a loopback address; hypercorn begins to listen.

    Raises:
        ServeError: the address is not to be used, or cannot be.
    """
    if not host:
        raise ServeError("host '' is not allowed: must be an address or a name")
    family, address = await _resolve(host, port)
    if not ip_address(address[0]).is_loopback:
        raise ServeError(
            f"host {host!r} is refused: without an API key the server binds to"
            " loopback only, such as 127.0.0.1, ::1 or localhost"
        )
    listener = socket(family, SOCK_STREAM)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        _limit_patience(listener)
        listener.setblocking(False)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ServeError(_why_not_bound(error, host, port)) from error
    return listener


def url_of(address: tuple[str, int]) -> str:
    """Return the URL of a bound address."""
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def cut_connections(address: tuple[str, int]) -> None:
    """Shut down the connections of this process that were accepted at an address.

    The sockets belong to hypercorn, which does not give them out; the table of open
    files does. Without one (outside Linux) the connections end by themselves.
    """
    with suppress(OSError):
        for entry in list(Path("/proc/self/fd").iterdir()):
            with suppress(OSError):
                _cut_if_accepted(int(entry.name), address)


def _cut_if_accepted(number: int, address: tuple[str, int]) -> None:
    if not stat.S_ISSOCK(os.fstat(number).st_mode):
        return
    with socket(fileno=os.dup(number)) as connection:
        if connection.family in (AF_INET, AF_INET6) and (
            connection.getsockname() == address
        ):
            connection.shutdown(SHUT_RDWR)


async def _resolve(host: str, port: int) -> tuple[AddressFamily, tuple[str, int]]:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=SOCK_STREAM)
    except (gaierror, UnicodeError) as error:
        raise ServeError(
            f"host {host!r} cannot be resolved ({error}): use an address such as"
            " 127.0.0.1"
        ) from error
    # IPv4 first, where a name such as localhost has both.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != AF_INET)
    return family, address  # type: ignore[return-value]


def _limit_patience(listener: socket) -> None:
    with suppress(ImportError, OSError):
        from socket import TCP_USER_TIMEOUT

        listener.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, _PATIENCE)


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host!r} is in use: end what listens there, or pass"
            " another --port (0 takes a free one)"
        )
    return (
        f"the server cannot listen on port {port} of {host!r} ({error.strerror}):"
        " pass another --host or --port"
    )
