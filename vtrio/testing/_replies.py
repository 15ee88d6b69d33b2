"""What comes back over the wire, in no HTTP library's terms."""

from __future__ import annotations

import json as _json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .._checks import check_count, check_number, shorten
from .._names import publish


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing comes for so many seconds; `math.inf` is for ever."""

    seconds: float


class Cut(Enum):
    """How a connection ends before its answer does."""

    REFUSED = "connection refused"
    RESET = "connection reset"
    HUNG_UP = "hung up"


Piece = bytes | Pause | Cut


class Coming(ABC):
    """A body whose pieces are known when they come: it gives itself for each of them."""

    @abstractmethod
    def __iter__(self) -> Iterator[Coming]:
        """Give itself until it ends."""

    @abstractmethod
    async def come(self) -> Piece:
        """Wait for the next piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: its head, and its body piece by piece; see `respond`.

    `before` is what comes before the head: pauses, or the end of the connection. What
    was said of the length is kept, as HTTP/1.1 keeps it: bytes beyond it are not read,
    and where some are missing the connection has broken.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[Piece | Coming] = ()
    before: Sequence[Pause | Cut] = ()
    told: str = ""
    """What the timeline says of it beside the status."""

    def __str__(self) -> str:
        for piece in self.before:
            if isinstance(piece, Cut):
                return piece.value
            if piece.seconds == float("inf"):
                return "no answer"
        return f"{self.status} {self.told}".rstrip()


def respond(
    status: int = 200,
    *,
    body: bytes | str | Iterable[Piece] = b"",
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Make an answer of your own.

    Args:
        status: of HTTP.
        body: bytes, text, or pieces: bytes, a `Pause`, or a `Cut`.
        json: what to send as JSON instead.
        headers: in place of those that follow from the body, or beside them.
    """
    check_count("status", status, least=100)
    check_number("status", status, most=599)
    told: dict[str, str] = {}
    if json is not None:
        body = _json.dumps(json)
        told["content-type"] = "application/json"
    if isinstance(body, str):
        body = body.encode()
        told.setdefault("content-type", "text/plain; charset=utf-8")
    if isinstance(body, bytes):
        if status >= 200 and status not in {204, 304}:
            told["content-length"] = str(len(body))
        body = (body,)
    elif not isinstance(body, Iterable) or isinstance(body, Iterator):
        raise ValueError(
            f"body={shorten(body)} is not allowed: must be bytes, text or pieces that"
            " can be gone through again, such as a list"
        )
    given = {name.lower(): value for name, value in (headers or {}).items()}
    return Reply(status=status, headers={**told, **given}, body=body)


def in_pieces(data: bytes, size: int = 65_536) -> Iterable[bytes]:
    """Cut a body as a socket would give it."""
    return [data[at : at + size] for at in range(0, len(data), size)]


publish(Cut, Pause, Reply, by="vtrio.testing")
