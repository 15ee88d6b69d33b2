"""Real translations, judged by machines: the text, the voice and the pace.

None is skipped: without the `local` extra each fails and says what to install.
"""

from __future__ import annotations

import json
import os
import random
import re
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from vtrio.server.engines import EngineError, Progress, Task, Translation
from vtrio.server.engines.local import LocalEngine, LocalSettings
from vtrio.server.engines.local._ffmpeg import Ffmpeg, local

Attempt = Callable[..., Awaitable[Translation]]

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> LocalSettings:
    """The real models, joined once for the whole module."""
    return LocalSettings(cache=str(tmp_path_factory.mktemp("cache")))


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    return re.findall(r"\w+", text.lower())


def cue_text(subtitles: Path) -> str:
    """Return what the subtitles say, without their times."""
    blocks = subtitles.read_text().split("\n\n")[1:]
    return " ".join(" ".join(block.splitlines()[1:]) for block in blocks).strip()


def word_errors(heard: list[str], said: list[str]) -> float:
    """Return the share of words that were heard wrongly: Levenshtein's distance."""
    row = list(range(len(said) + 1))
    for count, word in enumerate(heard, start=1):
        above, row = row, [count]
        for index, other in enumerate(said):
            swapped = above[index] + (word != other)
            row.append(min(swapped, above[index + 1] + 1, row[index] + 1))
    return row[-1] / len(said)


def hear_dub(made: Translation, folder: Path, real: LocalSettings) -> str:
    """Recognise the first audio track of a result as Portuguese."""
    import numpy as np

    from vtrio.server.engines.local._recognize import WhisperRecognizer
    from vtrio.server.engines.local._windows import windows

    sound = folder / "dub.s16"
    Ffmpeg(real).extract(made.video, 1, sound)
    recognizer = WhisperRecognizer(real)
    return "".join(
        word.text
        for _, samples in windows(np.fromfile(sound, np.int16))
        for word in recognizer.recognize(samples, "pt")
    )


def assert_translated(
    made: Translation, reference: str, folder: Path, real: LocalSettings
) -> None:
    """Check the text against a person's translation, and the voice against the text."""
    from sacrebleu import sentence_chrf

    text = cue_text(made.subtitles)
    chrf = sentence_chrf(text, [" ".join(reference.split())]).score
    heard = hear_dub(made, folder, real)
    errors = word_errors(words(heard), words(text))
    print(f"chrF {chrf:.1f}, word errors {errors:.1%}: {text} / {heard}")  # noqa: T201
    assert chrf >= 45
    assert errors <= 0.3


@pytest.mark.slow
async def test_the_sample_is_translated(
    real: LocalSettings,
    assert_promised: Callable[[Path, Path], None],
    sample: Path,
    tmp_path: Path,
) -> None:
    """Human speech becomes Portuguese text and Portuguese speech, in good time."""
    told: list[Progress] = []
    task = Task(
        job_id="job", attempt=1, source=sample, folder=tmp_path, target_language="pt-BR"
    )

    with trio.fail_after(45):
        made = await LocalEngine(real).translate(task, told.append)

    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(progress.stage for progress in told)) == [
        *["extracting", "recognizing", "translating", "speaking", "muxing"]
    ]
    assert {progress.source_language for progress in told} == {None, "en"}
    assert_promised(made.video, sample)
    reference = (DATA / "sense.pt.txt").read_text()
    assert_translated(made, reference, tmp_path, real)


@pytest.fixture
def say(ffmpeg: Ffmpeg) -> Callable[[str, str, Path], None]:
    """Make a clip in which a synthetic voice says a text."""

    def make(text: str, voice: str, clip: Path) -> None:
        from py_nanotts import NanoTTS  # type: ignore[import-untyped]  # no stubs exist

        sound = clip.with_suffix(".wav")
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            silence = b"\0" * 16_000
            file.writeframes(silence + NanoTTS().speak(text, voice=voice) + silence)
        picture = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=10"]
        sounds = ["-i", local(sound), "-shortest", "-c:a", "aac"]
        ffmpeg.run(*picture, *sounds, local(clip))

    return make


@pytest.mark.slow
async def test_a_sentence_drawn_at_random_is_translated(
    attempt: Attempt,
    real: LocalSettings,
    say: Callable[[str, str, Path], None],
    tmp_path: Path,
) -> None:
    """It is not the sample alone that is translated well."""
    seed = int(
        os.environ.get("VTRIO_TEST_SEED") or random.SystemRandom().getrandbits(32)
    )
    print(f"VTRIO_TEST_SEED={seed}")  # noqa: T201  # draws the same sentence again
    sentences = json.loads((DATA / "sentences.json").read_text())
    drawn = random.Random(seed).choice(sentences)
    say(drawn["en"], "en-US", tmp_path / "clip.mp4")

    made = await attempt(tmp_path / "clip.mp4", tmp_path / "out", real)

    assert_translated(made, drawn["pt"], tmp_path, real)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
async def test_speech_in_another_language_is_refused(
    attempt: Attempt,
    real: LocalSettings,
    say: Callable[[str, str, Path], None],
    tmp_path: Path,
) -> None:
    """Spanish is recognised as Spanish and not translated as if it were English."""
    text = "Ayer por la tarde fuimos al mercado y compramos pan, queso y fruta fresca."
    say(text, "es-ES", tmp_path / "clip.mp4")

    with pytest.raises(EngineError) as caught:
        await attempt(tmp_path / "clip.mp4", tmp_path / "out", real)

    assert (caught.value.kind, caught.value.permanent) == ("unsupported-language", True)
    assert "'es'" in str(caught.value)


@pytest.mark.slow
async def test_noise_is_not_speech(
    attempt: Attempt, real: LocalSettings, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """The real recognizer does not make words out of noise."""
    clip = tmp_path / "clip.mp4"
    noise = ["-f", "lavfi", "-i", "anoisesrc=duration=5:amplitude=0.2"]
    picture = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=10:duration=5"]
    ffmpeg.run(*picture, *noise, "-c:a", "aac", local(clip))

    with pytest.raises(EngineError) as caught:
        await attempt(clip, tmp_path / "out", real)

    assert caught.value.kind == "no-speech"


@pytest.mark.slow
async def test_three_quarters_of_a_minute_take_at_most_twice_that(
    attempt: Attempt, real: LocalSettings, ffmpeg: Ffmpeg, sample: Path, tmp_path: Path
) -> None:
    """The engine keeps pace with its input."""
    clip = tmp_path / "long.mp4"
    thrice = ["-stream_loop", "2", "-i", local(sample)]
    ffmpeg.run(*thrice, "-t", "45", "-c", "copy", local(clip))

    with trio.fail_after(90):
        began = trio.current_time()
        await attempt(clip, tmp_path / "out", real)
        print(f"{trio.current_time() - began:.1f} s for 45 s")  # noqa: T201
