"""What a request is for, and what its query, headers and body say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs, unquote

from .._checks import check_count, shorten
from ..server.preferences import Seen, read_seen, read_wait, wants_representation
from . import _wire
from ._feed import MOST_EVENTS
from ._replies import Reply
from ._timeline import Exchange, Kind

_JOB = re.compile(rf"{_wire.COLLECTION}/([^/]+)(/cancel|/video|/subtitles)?")
_CANCEL_MANY = f"{_wire.COLLECTION}/cancel"
_EVENTS = "/v1/events"
_KINDS = {None: Kind.POLL, "/cancel": Kind.CANCEL}
_COUNT = re.compile(r"[0-9]{1,18}")


class Refused(Exception):
    """A request that cannot be answered as it is; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.told)
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a server can do beyond telling of one job; see `ScriptedServer`."""

    lists: bool = True
    holds: bool = True
    feed: bool = True
    documents: bool = False
    streams: bool = False
    most_ids: int = 200

    def __post_init__(self) -> None:
        check_count("max_ids", self.most_ids)


class Places:
    """The places of the wire: says what a request is for.

    Args:
        status_path: where else the status is told in the form without ids.
    """

    def __init__(self, status_path: str | None) -> None:
        self._status_path = None
        if status_path is not None:
            escaped = re.escape(status_path).replace(r"\{id\}", "([^/]+)")
            self._status_path = re.compile(escaped)

    def is_by_word(self, path: str) -> bool:
        """Tell whether a path is one of the form without ids."""
        own = self._status_path
        return path == "/status" or (
            own is not None and own.fullmatch(path) is not None
        )

    def find(self, exchange: Exchange) -> None:
        """Say what a request is for, and which jobs it names in its address.

        At `/status` it names none, and is about the first one.
        """
        path, asks = exchange.path, exchange.method == "GET"
        if asks and path == "/status":
            exchange.kind = Kind.POLL
        elif asks and path == _EVENTS:
            exchange.kind = Kind.FEED
        elif path == _wire.COLLECTION:
            if exchange.method == "POST":
                exchange.kind = Kind.SUBMISSION
            elif asks and (ids := Query(exchange).all("ids")):
                exchange.kind = Kind.BATCH
                exchange.job_ids = tuple(dict.fromkeys(ids[0].split(",")))
        elif exchange.method == "POST" and path == _CANCEL_MANY:
            exchange.kind = Kind.CANCEL
        elif self._status_path and (word := self._status_path.fullmatch(path)):
            exchange.kind = Kind.POLL
            exchange.job_id = unquote(word[1])
        elif match := _JOB.fullmatch(path):
            exchange.job_id = unquote(match[1])
            kind = _KINDS.get(match[2], Kind.RESULT)
            if exchange.method == ("POST" if kind is Kind.CANCEL else "GET"):
                exchange.kind = kind


def cancels_many(exchange: Exchange) -> bool:
    """Tell whether a request is for the end of several jobs."""
    return exchange.kind is Kind.CANCEL and exchange.path == _CANCEL_MANY


class Query:
    """The parameters of a request, each checked where it is read."""

    def __init__(self, exchange: Exchange) -> None:
        self._text = exchange.target.partition("?")[2]

    @cached_property
    def _values(self) -> Mapping[str, list[str]]:
        return parse_qs(self._text, keep_blank_values=True)

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """Return its value; None without one.

        Raises:
            Refused: it has several.
        """
        values = self.all(name)
        if len(values) > 1:
            raise _bad_query(f"{name} was given {len(values)} times: give it once")
        return values[0] if values else None

    def limit(self) -> int:
        """Return how many events are wanted at most.

        Raises:
            Refused: it is no number, or too large a one.
        """
        text = self.one("limit")
        if text is None:
            return MOST_EVENTS
        if not _COUNT.fullmatch(text) or not 1 <= int(text) <= MOST_EVENTS:
            raise _bad_query(
                f"limit={shorten(text)} is not allowed: must be from 1 to {MOST_EVENTS}"
            )
        return int(text)

    def ids(self, most: int) -> list[str]:
        """Return the ids that are asked for, each once.

        Raises:
            Refused: what is there are no ids, or too many.
        """
        for name in ("page_size", "page_token", "status"):
            if self.all(name):
                raise _bad_query(f"{name} is for pages: leave it out beside ids")
        ids = (self.one("ids") or "").split(",")
        _check_number(ids, most)
        if "" in ids:
            raise _bad_query("ids has an empty one")
        return list(dict.fromkeys(ids))


def ids_in_body(exchange: Exchange, most: int) -> list[str]:
    """Read `{"ids": [...]}`.

    Raises:
        Refused: it is something else.
    """
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(
            _wire.problem(
                415,
                "wrong-media-type",
                "The body is of another type",
                "send application/json",
            )
        )
    try:
        document = json.loads(exchange.body)
    except ValueError:
        document = None
    ids = document.get("ids") if isinstance(document, dict) else None
    if not isinstance(ids, list) or not all(isinstance(i, str) and i for i in ids):
        raise Refused(
            _wire.problem(
                400,
                "bad-json",
                "The JSON cannot be read",
                'it must be an object such as {"ids": ["…"]}, with ids of jobs',
            )
        )
    _check_number(ids, most)
    return list(dict.fromkeys(ids))


def wait_of(exchange: Exchange) -> int | None:
    """Return for how many seconds a client wants its answer held; None if not at all."""
    return read_wait([exchange.headers.get("prefer", "")])


def tells_documents(exchange: Exchange) -> bool:
    """Tell whether a client of the feed wants the documents of jobs that have ended."""
    preferences = [exchange.headers.get("prefer", "")]
    return exchange.kind is Kind.FEED and wants_representation(preferences)


def wants_stream(exchange: Exchange) -> bool:
    """Tell whether a client of the feed likes best to be told event by event."""
    liked: dict[str, float] = {}
    for text in exchange.headers.get("accept", "").lower().split(","):
        kind, _, weight = text.replace(" ", "").partition(";q=")
        try:
            liked[kind] = float(weight or 1)
        except ValueError:
            continue  # what makes no sense is not liked
    json = liked.get("application/json", liked.get("*/*", 0.0))
    return liked.get("text/event-stream", 0.0) > json


def seen_by(exchange: Exchange) -> Seen | None:
    """Return which documents a client has already; None where it does not say."""
    header = exchange.headers.get("if-none-match")
    return None if header is None else read_seen([header])


def _check_number(ids: list[str], most: int) -> None:
    if not 1 <= len(ids) <= most:
        raise Refused(
            _wire.problem(
                422,
                "too-many-ids",
                "The request names too many jobs",
                f"there are {len(ids)} ids, and one request may name 1 to {most}",
            )
        )


def _bad_query(detail: str) -> Refused:
    title = "A parameter is missing or not allowed"
    return Refused(_wire.problem(422, "bad-query", title, detail))
