"""JSON that a client sends: bounded in size and depth, and strict.

Python's reader takes what is no JSON (`NaN`), keeps the last of two members of one
name, and runs out of stack where brackets lie deep in one another.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable
from typing import NoReturn

import trio
from werkzeug.http import parse_options_header

from .errors import BadJson, TooLarge, TooManyIds, TooSlow, WrongMediaType
from .limits import Limits

_LONGEST = 30.0
"""Seconds within which all of it has to come."""

# One that does not end reaches to the end: looked for anew from each quote in it, 64 KB
# of them would take a minute.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def read_ids(
    body: AsyncIterable[bytes],
    *,
    content_type: str | None,
    content_length: int | None,
    limits: Limits,
) -> list[str]:
    """Read `{"ids": [...]}`; of an id that comes twice the first counts.

    Raises:
        WrongMediaType, TooLarge, TooSlow, BadJson, TooManyIds: it is refused.
    """
    kind, _ = parse_options_header(content_type)
    if kind.lower() != "application/json":
        raise WrongMediaType("send application/json")
    if (content_length or 0) > limits.json:
        raise _too_large(limits)
    document = parse(await _read(body, limits), deepest=limits.json_depth)
    ids = document.get("ids") if isinstance(document, dict) else None
    if not isinstance(ids, list) or not all(map(is_id, ids)):
        raise BadJson('it must be an object such as {"ids": ["…"]}, with ids of jobs')
    check_number_of_ids(ids, limits)
    return list(dict.fromkeys(ids))


def is_id(value: object) -> bool:
    """Tell whether something has the form of a job's id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_number_of_ids(ids: list[str], limits: Limits) -> None:
    """Refuse none, and more than one request may name.

    Raises:
        TooManyIds: there are none or too many.
    """
    if not 1 <= len(ids) <= limits.ids:
        raise TooManyIds(
            f"there are {len(ids)} ids, and one request may name 1 to {limits.ids}"
        )


async def _read(body: AsyncIterable[bytes], limits: Limits) -> bytes:
    raw = bytearray()
    with trio.move_on_after(_LONGEST) as waiting:
        async for data in body:
            raw += data
            if len(raw) > limits.json:
                raise _too_large(limits)
    if waiting.cancelled_caught:
        raise TooSlow(f"the JSON did not come in within {_LONGEST:g} s")
    return bytes(raw)


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the JSON is longer than the {limits.json} bytes that are taken")


def parse(raw: bytes, *, deepest: int) -> object:
    """Read JSON as RFC 8259 has it.

    Raises:
        BadJson: it is none, or lies too deep.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadJson("it is not UTF-8") from None
    _check_depth(text, deepest)
    try:
        document: object = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
    except ValueError as error:  # JSONDecodeError is one
        raise BadJson(f"it is not JSON: {error}") from None
    except RecursionError:  # where `deepest` is more than Python can do
        raise BadJson("it lies too deep") from None
    return document


def _check_depth(text: str, deepest: int) -> None:
    depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            if depth > deepest:
                raise BadJson(f"it lies more than {deepest} deep")
        elif character in "]}":
            depth -= 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _unique(members: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("an object has two members of one name")
    return found
