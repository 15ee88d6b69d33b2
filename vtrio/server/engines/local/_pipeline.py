"""The whole way from an upload to a translated video, one stage after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from .._base import EngineError, Progress
from ._dub import open_dub
from ._ffmpeg import Ffmpeg
from ._fit import Placement, fit, note
from ._languages import SOURCE
from ._mux import Parts, mux
from ._segments import Sentence, Word, sentences
from ._settings import LocalSettings
from ._stages import (
    HEARING_RATE,
    Recognizer,
    Speaker,
    build_recognizer,
    build_speaker,
    build_translator,
)
from ._steps import Steps
from ._subtitles import cues, to_srt, to_webvtt
from ._windows import windows
from ._wire import Made, Request


def translate_video(request: Request, tell: Callable[[Progress], None]) -> Made:
    """Do the attempt, writing `video.mp4` and `subtitles.vtt` into its work folder.

    Models are loaded where they are used and let go behind it, so that the large
    ones, which hear and speak, are not in memory at once.

    Raises:
        EngineError: a stage failed.
    """
    settings, work = request.settings, request.work
    ffmpeg = Ffmpeg(settings)
    steps = Steps(tell)

    steps.enter("extracting")
    upload = ffmpeg.describe(request.source)
    heard = work / "heard.s16"
    ffmpeg.extract(request.source, upload.sound.index, heard)
    # What was recorded live often tells no length; its sound may end first.
    seconds = upload.seconds or max(
        ffmpeg.measure(request.source, upload.picture.index, work / "frames.txt"),
        heard.stat().st_size / 2 / HEARING_RATE,
    )
    ffmpeg.check_length(seconds)
    steps.learn(media_seconds=seconds)

    steps.enter("recognizing")
    words = _hear(build_recognizer(settings), heard, request.source_language, steps)
    said = sentences(words, until=seconds)
    if not said:
        raise _no_speech()

    steps.enter("translating")
    translator = build_translator(settings)
    translated = [
        replace(part, text=translator.translate(part.text))
        for part in steps.through(said)
    ]

    steps.enter("speaking")
    dub = work / "dub.wav"
    placements = _speak(
        build_speaker(settings), translated, dub, seconds, settings, ffmpeg, steps
    )

    steps.enter("muxing")
    shown = cues(_shown(translated, placements), seconds)
    (work / "target.srt").write_text(to_srt(shown), "utf-8")
    (work / "source.srt").write_text(to_srt(cues(said, seconds)), "utf-8")
    parts = Parts(
        video=request.source,
        picture=upload.picture,
        sound=upload.sound,
        dub=dub,
        target_srt=work / "target.srt",
        source_srt=work / "source.srt",
        seconds=seconds,
        original_volume=settings.original_volume,
    )
    changes = mux(ffmpeg, parts, work / "video.mp4")
    fitted = (note(number, place) for number, place in enumerate(placements, start=1))
    notes = (*changes, *filter(None, fitted))
    # Whoever gets the result is told what was done to it, beside the text.
    (work / "subtitles.vtt").write_text(to_webvtt(shown, notes), "utf-8")
    steps.finish()
    return Made(media_seconds=seconds, source_language=SOURCE, notes=notes)


def _hear(
    recognizer: Recognizer, heard: Path, language: str | None, steps: Steps
) -> list[Word]:
    """Return the words of the whole sound, window by window."""
    if heard.stat().st_size == 0:
        raise _no_speech()
    samples = np.memmap(heard, np.int16, mode="r")
    total = len(samples) / HEARING_RATE
    words: list[Word] = []
    for offset, sound in windows(samples):
        if language is None:
            guess = recognizer.detect(sound)
            if guess is None:
                continue
            if guess.rules_out(SOURCE):
                raise EngineError(
                    "unsupported-language",
                    "The speech is not in English",
                    f"it seems to be {guess.language!r} (probability"
                    f" {guess.probability:.2f}); the local engine translates from 'en'",
                    permanent=True,
                )
            language = SOURCE
            steps.learn(source_language=language)
        for word in recognizer.recognize(sound, SOURCE):
            words.append(
                replace(word, start=word.start + offset, end=word.end + offset)
            )
            steps.reach(words[-1].end / total)
    return words


def _speak(
    speaker: Speaker,
    translated: list[Sentence],
    track: Path,
    seconds: float,
    settings: LocalSettings,
    ffmpeg: Ffmpeg,
    steps: Steps,
) -> list[Placement]:
    """Write the dubbed track; return where each sentence went."""
    placements: list[Placement] = []
    ends = [part.start for part in translated[1:]] + [seconds]
    with open_dub(track, speaker.rate, ffmpeg) as dub:
        for part, until in zip(steps.through(translated), ends, strict=True):
            sound = speaker.speak(part.text)
            place = fit(
                len(sound) / speaker.rate,
                start=part.start,
                free_from=placements[-1].end if placements else 0.0,
                until=until,
                max_stretch=settings.max_stretch,
            )
            dub.add(sound, place)
            placements.append(place)
        dub.pad(seconds)
    return placements


def _shown(translated: list[Sentence], placements: list[Placement]) -> list[Sentence]:
    """Keep each subtitle on the screen for as long as its sentence is spoken."""
    return [
        replace(part, end=max(part.end, place.end))
        for part, place in zip(translated, placements, strict=True)
    ]


def _no_speech() -> EngineError:
    return EngineError(
        "no-speech",
        "Nobody speaks in the video",
        "there is nothing to translate",
        permanent=True,
    )
