"""The dubbed track: spoken sentences in their places, written as they come."""

from __future__ import annotations

import wave
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ._ffmpeg import Ffmpeg, local
from ._fit import Placement
from ._stages import Samples, to_float

# The voice's peak. Together with the quiet original it stays below full scale.
_PEAK = 0.85

# What is cut short fades out, because an abrupt end clicks.
_FADE = 0.06


@contextmanager
def open_dub(track: Path, rate: int, ffmpeg: Ffmpeg) -> Generator[DubWriter]:
    """Open a sound file to write sentences into; the block's end closes it."""
    with wave.open(str(track), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        yield DubWriter(file, track, rate, ffmpeg)


class DubWriter:
    """A sound file that grows by one sentence at a time.

    Written through, not gathered: two hours of speech would be 700 MB of memory.
    """

    def __init__(
        self, file: wave.Wave_write, track: Path, rate: int, ffmpeg: Ffmpeg
    ) -> None:
        self._file = file
        self._rate = rate
        self._ffmpeg = ffmpeg
        self._scratch = track.with_suffix(".sentence.wav")
        self._tempered = track.with_suffix(".tempo.wav")
        self._written = 0

    def add(self, sound: Samples, placement: Placement) -> None:
        """Write a sentence at its place, which lies behind those written before."""
        if placement.tempo != 1:
            sound = self._faster(sound, placement.tempo)
        self.pad(placement.start)
        length = round(placement.end * self._rate) - self._written
        fading = placement.lost > 0
        self._append(_faded(sound[:length], self._rate) if fading else sound[:length])

    def pad(self, until: float) -> None:
        """Write silence up to an instant."""
        missing = round(until * self._rate) - self._written
        # In pieces: an upload may claim hours, and hold one word.
        while missing > 0:
            piece = min(missing, self._rate * 60)
            self._append(np.zeros(piece, np.float32))
            missing -= piece

    def _faster(self, sound: Samples, tempo: float) -> Samples:
        with wave.open(str(self._scratch), "wb") as scratch:
            scratch.setparams((1, 2, self._rate, 0, "NONE", ""))
            scratch.writeframes(_pcm(sound))
        self._ffmpeg.run(
            *["-f", "wav", "-i", local(self._scratch)],
            *["-af", f"atempo={tempo:.4f}", "-f", "wav", local(self._tempered)],
        )
        with wave.open(str(self._tempered), "rb") as tempered:
            frames = tempered.readframes(tempered.getnframes())
        return to_float(np.frombuffer(frames, np.int16))

    def _append(self, sound: Samples) -> None:
        self._file.writeframes(_pcm(sound))
        self._written += len(sound)


def _pcm(sound: Samples) -> bytes:
    peak = float(np.abs(sound).max(initial=0.0))
    factor = 32767 * min(_PEAK / peak, 1.0) if peak else 0.0
    return (sound * factor).astype(np.int16).tobytes()


def _faded(sound: Samples, rate: int) -> Samples:
    length = min(int(_FADE * rate), len(sound))
    faded = sound.copy()
    faded[len(sound) - length :] *= np.linspace(1, 0, length, dtype=np.float32)
    return faded
