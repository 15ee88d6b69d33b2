"""Long sound in pieces that fit into memory, parted where it is quiet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ._stages import HEARING_RATE, Samples, to_float

# The recognizer's spectrogram of ten minutes takes some 200 MB.
WINDOW = 600
_SEARCH = 30
_QUIET = HEARING_RATE // 2


def windows(
    samples: NDArray[np.int16], window: float = WINDOW, search: float = _SEARCH
) -> Iterator[tuple[float, Samples]]:
    """Yield the instant at which each piece begins, and its sound.

    A piece lasts at most `window` seconds and ends in the quietest half second of its
    last `search` seconds, so that no word is cut in two.
    """
    longest = int(window * HEARING_RATE)
    begin = 0
    while begin < len(samples):
        end = len(samples)
        if end - begin > longest:
            late = begin + longest - int(search * HEARING_RATE)
            end = late + _quietest(samples[late : begin + longest])
        yield begin / HEARING_RATE, to_float(samples[begin:end])
        begin = end


def _quietest(samples: NDArray[np.int16]) -> int:
    """Return the middle of the quietest half second."""
    parts = samples[: len(samples) // _QUIET * _QUIET].reshape(-1, _QUIET)
    loudness = np.abs(parts.astype(np.int32)).sum(axis=1)
    return int(np.argmin(loudness)) * _QUIET + _QUIET // 2
