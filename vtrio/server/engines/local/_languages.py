"""Which languages the engine serves."""

from __future__ import annotations

from ...._checks import shorten

TARGETS = frozenset({"pt", "pt-br"})
SOURCES = frozenset({"en"})

# ISO 639-2, the form that an mp4 file's language tags take.
TARGET_TAG = "por"
SOURCE_TAG = "eng"

SOURCE = "en"


def check_languages(target: str, source: str | None) -> None:
    """Refuse a pair of languages that the models at hand cannot serve.

    Raises:
        ValueError: naming the language and what is allowed.
    """
    if _plain(target) not in TARGETS:
        raise ValueError(
            f"target_language={shorten(target)} is not allowed: the local engine"
            " translates into Brazilian Portuguese, 'pt' or 'pt-BR'"
        )
    if source is not None and _plain(source) not in SOURCES:
        raise ValueError(
            f"source_language={shorten(source)} is not allowed: the local engine"
            " translates from English, 'en'; leave it out to have it detected"
        )


def _plain(language: str) -> str:
    return language.lower().replace("_", "-")
