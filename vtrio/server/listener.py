"""The listening socket: where it may be, and how its connections are let go."""

from __future__ import annotations

import errno
from contextlib import suppress
from ipaddress import ip_address
from socket import (
    AF_INET,
    IPPROTO_TCP,
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
# Many clients may come in the same instant.
_BACKLOG = 1024


async def open_listener(host: str, port: int, *, keys: bool = False) -> socket:
    """Listen on an address, whose IPv6 form may have the brackets of a URL.

    Without API keys it has to be a loopback address.

    Raises:
        ServeError: the address is not to be used, or cannot be.
    """
    if not host:
        raise ServeError("host '' is not allowed: must be an address or a name")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    family, address = await _resolve(host, port)
    if not keys and not ip_address(address[0]).is_loopback:
        raise ServeError(
            f"host {host!r} is refused: without an API key the server binds to"
            " loopback only, such as 127.0.0.1, ::1 or localhost; make one with"
            " vtrio keys add"
        )
    listener = socket(family, SOCK_STREAM)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        _limit_patience(listener)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ServeError(_why_not_bound(error, host, port)) from error
    return listener


def url_of(address: tuple[str, int]) -> str:
    """Return the URL of a bound address."""
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
