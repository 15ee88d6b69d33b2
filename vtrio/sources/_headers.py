"""Reading the headers that carry seconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DECIMAL = re.compile(r"\d{1,300}(\.\d{1,300})?", re.ASCII)


def parse_seconds(text: str | None) -> float | None:
    """Read a decimal number of seconds; None if it is none."""
    if text is None or not _DECIMAL.fullmatch(text.strip()):
        return None
    return float(text)


def parse_retry_after(text: str | None, *, date: str | None = None) -> float | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3) as seconds from now.

    An HTTP date is measured against the answer's own `Date`, where it has one,
    because clocks differ. Nonsense and dates in the past are None: no hint.
    """
    if text is None:
        return None
    seconds = parse_seconds(text)
    if seconds is not None:
        return seconds
    until = _parse_date(text)
    if until is None:
        return None
    now = _parse_date(date) if date is not None else None
    pause = (until - (now or datetime.now(UTC))).total_seconds()
    return pause if 0 < pause < math.inf else None


def _parse_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
