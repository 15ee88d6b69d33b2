"""The `Range` of a download (RFC 9110, section 14)."""

from __future__ import annotations

import re

from .errors import BadRange

_ONE_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
# No file is as long, and Python reads no number of thousands of digits.
_MOST_DIGITS = 19


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte asked for and the one after the last; None for all.

    What is not one well-formed range of bytes is ignored, as the RFC allows for many
    ranges and demands for what is malformed.

    Raises:
        BadRange: none of the bytes asked for exists.
    """
    match = _ONE_RANGE.fullmatch((header or "").strip(" \t"))
    if match is None:
        return None
    first, last = _position(match[1]), _position(match[2])
    if first is None and last is None:
        return None
    if first is None:
        wanted = min(last or 0, size)
        if wanted == 0:
            raise BadRange(size)
        return size - wanted, size
    if last is not None and last < first:
        return None
    if first >= size:
        raise BadRange(size)
    return first, size if last is None else min(last + 1, size)


def _position(digits: str) -> int | None:
    """Read a number; those beyond every file are alike."""
    if digits == "":
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
