"""An engine that only takes its time, for tests and benchmarks."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import trio

from ..._checks import check_number, shorten
from ..._distributions import Durations
from ..._threads import in_thread
from ._base import EngineError, Progress, Task, Translation

# The shape of RFC 5646: letters, then subtags of letters and digits.
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")

# Those of the real engine, in shares that are easy to foretell.
_STAGES = ("extracting", "recognizing", "translating", "speaking", "muxing")
_STEPS = 20

DURATIONS = Durations("uniform", (5, 15))
"""How long jobs take unless told otherwise: those of a demonstration."""

_SUBTITLES = """WEBVTT

00:00:00.000 --> 00:00:02.000
[{language}] A simulated translation
"""


class SimulatedEngine:
    """Draws a duration and an ending for each job.

    The draws of an attempt come from the seed and from its place in the order of
    attempts, so they do not depend on how the jobs interleave: the same seed and order
    give the same durations and endings. Without a seed each engine draws its own.
    """

    name = "simulated"

    def __init__(
        self,
        durations: Durations = DURATIONS,
        *,
        failure_rate: float = 0.0,
        seed: int | None = None,
    ) -> None:
        check_number("failure_rate", failure_rate, least=0, most=1)
        self._durations = durations
        self._failure_rate = failure_rate
        self._seed = random.SystemRandom().getrandbits(64) if seed is None else seed
        self._begun = 0

    def __repr__(self) -> str:
        return (
            f"<SimulatedEngine {self._durations}"
            f" failure_rate={self._failure_rate:g} seed={self._seed}>"
        )

    def check(self, target_language: str, source_language: str | None) -> None:
        """Refuse what is not a language tag; there is no other limit.

        Raises:
            ValueError: naming the language and what is allowed.
        """
        for language in (target_language, source_language):
            if language is not None and not _LANGUAGE_TAG.fullmatch(language):
                raise ValueError(
                    f"language {shorten(language)} is not allowed: must be a language"
                    " tag such as 'pt' or 'pt-BR'"
                )

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Take the time that was drawn, then give the upload back.

        Raises:
            EngineError: the attempt drew a failure, which is the end of its job.
        """
        rng = random.Random(f"{self._seed}/{self._begun}")
        self._begun += 1
        duration = self._durations.at(rng.random())
        fails = rng.random() < self._failure_rate
        ends_at = rng.random() if fails else 1.0

        began = trio.current_time()
        made = None if fails else await in_thread(_make, task)
        for step in range(_STEPS):
            fraction = step / _STEPS
            if fraction >= ends_at:
                break
            await trio.sleep_until(began + duration * fraction)
            stage = _STAGES[step * len(_STAGES) // _STEPS]
            report(Progress(stage=stage, fraction=fraction))
        await trio.sleep_until(began + duration * ends_at)
        if made is None:
            raise EngineError(
                "simulated-failure",
                "The simulated engine failed this job",
                f"its failure rate is {self._failure_rate:g}",
                permanent=True,
            )
        return made


def _make(task: Task) -> Translation:
    """Write the result, which may well be there before its time has come."""
    video = task.folder / f"translated{task.source.suffix}"
    _link_or_copy(task.source, video)
    subtitles = task.folder / "subtitles.vtt"
    subtitles.write_text(
        _SUBTITLES.format(language=task.target_language), encoding="utf-8"
    )
    return Translation(video=video, subtitles=subtitles)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)
