"""The `Range` of a download (RFC 9110, section 14)."""

from __future__ import annotations

import re

from .errors import BadRange

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE)


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte asked for and the one after the last; None for all.

    What is not one well-formed range of bytes is ignored, as the RFC allows for many
    ranges and demands for what is malformed.

    Raises:
        BadRange: none of the bytes asked for exists.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or match[1] == match[2] == "":
        return None
    first, last = match[1], match[2]
    if first == "":
        wanted = min(int(last), size)
        if wanted == 0:
            raise BadRange(size)
        return size - wanted, size
    if last != "" and int(last) < int(first):
        return None
    if int(first) >= size:
        raise BadRange(size)
    stop = size if last == "" else min(int(last) + 1, size)
    return int(first), stop
