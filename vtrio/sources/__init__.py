"""The remotes that vtrio can ask: one file each, and the protocol for others."""

from __future__ import annotations

from .._source import Answer, Capabilities, StatusSource
from ._result_word import ResultWordSource
from ._translations import TranslationsSource

__all__ = [
    "Answer",
    "Capabilities",
    "ResultWordSource",
    "StatusSource",
    "TranslationsSource",
]
