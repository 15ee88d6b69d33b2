"""What is known of a request besides its message: passed along in its ASGI scope."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .access import Client
from .gate import BodyGate

FACTS = "vtrio.facts"
"""Where the scope of a request holds its `Facts`."""

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Facts:
    """What is known of one request, and becomes known on the way.

    Attributes:
        id: names it in the log, in the answer and in a problem document.
        gate: what its body comes in through.
        closing: closed at its end, whatever that is.
        route: the rule that it was routed by.
        client: who asks.
    """

    id: str
    gate: BodyGate
    closing: ExitStack = field(default_factory=ExitStack)
    route: str = "none"
    client: Client | None = None


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the address that a request comes from, without the port."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the client gave its request, or a fresh one."""
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(8)
