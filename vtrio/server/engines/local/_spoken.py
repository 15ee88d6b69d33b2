"""Portuguese as it is written to Portuguese as it is said, where the voice is wrong."""

from __future__ import annotations

import re

# Each rule with what the phonemizer makes of it otherwise.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # spelt letter by letter
        (r"\bSr\.", "senhor"),
        (r"\bSra\.", "senhora"),
        (r"\bSrta\.", "senhorita"),
        (r"\bDr\.", "doutor"),
        (r"\bDra\.", "doutora"),
        (r"\bProf\.", "professor"),
        (r"\bProfa\.", "professora"),
        (r"\bSto\.", "santo"),
        (r"\bSta\.", "santa"),
        (r"\betc\.", "et cetera"),
        # the dot of thousands is taken for the end of a clause
        (r"(?<=\d)\.(?=\d{3}(?!\d))", ""),
        # the name of the currency's sign, in English
        (r"R\$ ?(\d+(?:,\d+)?)", r"\1 reais"),
        (r"(?:US)?\$ ?(\d+(?:,\d+)?)", r"\1 dólares"),
        (r"€ ?(\d+(?:,\d+)?)", r"\1 euros"),
        (r"£ ?(\d+(?:,\d+)?)", r"\1 libras"),
        # the comma of decimals is taken for a pause
        (r"(?<=\d),(?=\d)", " vírgula "),
        (r"\b(\d{1,2})[h:](\d{2})\b", r"\1 e \2"),
        (r"\b(\d{1,2})h\b", r"\1 horas"),
        (r"(?<=\d) ?%", " por cento"),
        (r"&", " e "),
    )
)


def as_said(sentence: str) -> str:
    """Write out abbreviations, currencies, times and numbers."""
    for pattern, replacement in _RULES:
        sentence = pattern.sub(replacement, sentence)
    return sentence
