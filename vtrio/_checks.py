"""Checks of arguments, each failing with one sentence: name, value, what is allowed."""

from __future__ import annotations

import sys


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> None:
    """Refuse what is not a finite number within the limits.

    Raises:
        ValueError: naming the parameter, the value and what is allowed.
    """
    limits = [
        *([f"at least {least:g}"] if least is not None else []),
        *([f"above {above:g}"] if above is not None else []),
        *([f"at most {most:g}"] if most is not None else []),
    ]
    fits = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # an integer may be beyond any float
        and (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
    )
    if not fits:
        allowed = " and ".join(["a finite number", *limits])
        raise ValueError(f"{name}={shorten(value)} is not allowed: must be {allowed}")


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        ValueError: naming the parameter, the value and what is allowed.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name}={shorten(value)} is not allowed: must be a whole number of at"
            f" least {least}"
        )


def shorten(value: object, limit: int = 80) -> str:
    """Return the `repr` of a value, cut so that it fits into a message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
