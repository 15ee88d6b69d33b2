"""Fitting: what is too long begins earlier, is spoken faster, and last is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio.server.engines.local._fit import PAUSE, Placement, fit, note


def test_a_sentence_with_room_is_left_alone() -> None:
    """It begins with the speaker, at its own pace."""
    place = fit(2.0, start=5, free_from=4, until=8, max_stretch=1.8)

    assert place == Placement(start=5, length=2.0, tempo=1.0, lost=0.0)
    assert note(1, place) is None


def test_a_sentence_that_is_a_little_long_begins_earlier() -> None:
    """Silence in front of it is used before its pace is touched."""
    place = fit(3.0, start=5, free_from=4, until=7.88, max_stretch=1.8)

    assert place.start == pytest.approx(4.8)
    assert place.tempo == 1.0


def test_a_longer_sentence_is_spoken_faster() -> None:
    """It fills its slot, and a note says so."""
    place = fit(3.0, start=5, free_from=5, until=7 + PAUSE, max_stretch=1.8)

    assert place == Placement(start=5, length=2.0, tempo=1.5, lost=0.0)
    assert note(7, place) == "sentence 7 at 5.0 s: spoken 1.50 times as fast"


def test_a_sentence_that_cannot_fit_is_cut() -> None:
    """It never runs into the next one, and a note says what was lost."""
    place = fit(4.6, start=5, free_from=5, until=7 + PAUSE, max_stretch=1.8)

    assert place.end == pytest.approx(7)
    told = "sentence 1 at 5.0 s: spoken 1.80 times as fast, cut short by 1.0 s"
    assert note(1, place) == told


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 10)), min_size=1, max_size=20),
    st.floats(1, 2),
)
def test_sentences_never_overlap(
    parts: list[tuple[float, float]], max_stretch: float
) -> None:
    """Whatever their lengths, each ends before the next begins, within the video."""
    starts, now = [], 0.0
    for gap, _ in parts:
        now += gap
        starts.append(now)
    ends = [*starts[1:], now + 5]
    free = 0.0
    for (_, natural), start, until in zip(parts, starts, ends, strict=True):
        place = fit(
            natural, start=start, free_from=free, until=until, max_stretch=max_stretch
        )
        assert place.start >= free
        assert place.end <= max(until, free) + 1e-9
        assert 1 <= place.tempo <= max_stretch
        kept = place.length * place.tempo + place.lost
        assert kept == pytest.approx(natural, abs=1e-5)
        free = place.end
