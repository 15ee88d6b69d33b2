"""Public names print as `vtrio.X`, wherever they are defined."""

from __future__ import annotations


def publish(*public: type, by: str = "vtrio") -> None:
    """Let tracebacks, pickles and documentation name these by the front door."""
    for thing in public:
        thing.__module__ = by
