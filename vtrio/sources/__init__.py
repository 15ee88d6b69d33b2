"""The remotes that vtrio can ask: one file each, and the protocols for others."""

from __future__ import annotations

from .._source import (
    Answer,
    Answers,
    Capabilities,
    Change,
    Changes,
    ChangeStream,
    FeedSource,
    ManySource,
    StatusSource,
    StreamSource,
)
from ._result_word import ResultWordSource
from ._translations import TranslationsSource

__all__ = [
    "Answer",
    "Answers",
    "Capabilities",
    "Change",
    "ChangeStream",
    "Changes",
    "FeedSource",
    "ManySource",
    "ResultWordSource",
    "StatusSource",
    "StreamSource",
    "TranslationsSource",
]
