"""Fakes for testing programs that wait: small real objects, not mocks."""

from __future__ import annotations

from ._sources import ScriptedSource, TimedSource

__all__ = ["ScriptedSource", "TimedSource"]
