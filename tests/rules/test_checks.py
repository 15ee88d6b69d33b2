"""What a parameter may be, to the last digit, and how a bad one is shown."""

from __future__ import annotations

import sys

import pytest

from vtrio._checks import check_count, check_number, shorten

LARGEST = sys.float_info.max


@pytest.mark.parametrize(
    ("value", "least", "above", "most"),
    [
        (2, 2, None, None),
        (2, None, None, 2),
        (0.5, None, 0, 1),
        (1, 0, None, 1),
        (LARGEST, None, None, None),
        (-LARGEST, None, None, None),
    ],
)
def test_a_number_at_its_limit_is_allowed(
    value: float, least: float | None, above: float | None, most: float | None
) -> None:
    """`least` and `most` belong to what is allowed; so does the largest float."""
    check_number("x", value, least=least, above=above, most=most)


@pytest.mark.parametrize(
    ("value", "least", "above", "most", "allowed"),
    [
        (1.9, 2, None, None, "a finite number and at least 2"),
        (0, None, 0, None, "a finite number and above 0"),
        (2.1, 1, None, 2, "a finite number and at least 1 and at most 2"),
        (10**400, None, None, None, "a finite number"),
        (False, None, None, None, "a finite number"),
        (None, None, None, None, "a finite number"),
    ],
)
def test_a_number_beyond_its_limit_is_refused(
    value: object,
    least: float | None,
    above: float | None,
    most: float | None,
    allowed: str,
) -> None:
    """The message tells every limit that there is."""
    with pytest.raises(ValueError, match=rf"^x=.* is not allowed: must be {allowed}$"):
        check_number("x", value, least=least, above=above, most=most)


@pytest.mark.parametrize(("value", "least"), [(0, 1), (4, 5), (True, 1), (1.0, 1)])
def test_a_count_is_a_whole_number_from_its_least_on(value: object, least: int) -> None:
    """A truth value is none, nor is a float that happens to be whole."""
    with pytest.raises(ValueError, match=f"whole number of at least {least}$"):
        check_count("x", value, least=least)
    check_count("x", least, least=least)


@pytest.mark.parametrize(
    ("length", "shown"),
    [(78, f"'{'a' * 78}'"), (79, f"'{'a' * 76}..."), (1000, f"'{'a' * 76}...")],
)
def test_what_is_shown_of_a_value_has_eighty_characters(
    length: int, shown: str
) -> None:
    """With the quotes, and with the dots that stand for the rest."""
    assert shorten("a" * length) == shown
    assert len(shown) == 80
