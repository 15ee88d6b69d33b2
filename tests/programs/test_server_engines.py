"""The choice of the engine: the real one where it can work, and the log says which."""

from __future__ import annotations

import logging
import os
import sys
from types import ModuleType

import pytest

from vtrio._distributions import Durations
from vtrio.cli import main
from vtrio.server.engines import EngineUnavailable, choose_engine


def a_local_package(missing: str | None) -> ModuleType:
    """Make a stand-in for the package of the real engine."""

    class Settings:
        """Settings that remember where they came from."""

        @classmethod
        def from_environment(cls, environ: object) -> str:
            """Take the environment."""
            return "settings" if environ is os.environ else "others"

    class Engine:
        """An engine that remembers its settings."""

        name = "local"

        def __init__(self, settings: object) -> None:
            self.settings = settings

    def available(settings: object) -> str | None:
        assert settings == "settings"
        return missing

    package = ModuleType("vtrio.server.engines.local")
    package.available = available  # type: ignore[attr-defined]
    package.LocalEngine = Engine  # type: ignore[attr-defined]
    package.LocalSettings = Settings  # type: ignore[attr-defined]
    return package


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let a test say what the real engine lacks; nothing to begin with."""
    install(monkeypatch, None)
    return monkeypatch


def install(monkeypatch: pytest.MonkeyPatch, missing: str | None) -> None:
    """Have the real engine lack something, or nothing."""
    from vtrio.server import engines

    package = a_local_package(missing)
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setattr(engines, "local", package, raising=False)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str | None]]:
    """Return what the log says of the choice, and why."""
    return [
        (record.message, vars(record)["engine"], vars(record).get("because"))
        for record in caplog.records
    ]


def test_the_default_is_the_real_engine(
    local: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where its extra is installed; the log says so."""
    with caplog.at_level(logging.INFO, "vtrio.server"):
        engine = choose_engine()
    assert engine.name == "local"
    assert engine.settings == "settings"  # type: ignore[attr-defined]
    assert told(caplog) == [("engine-chosen", "local", None)]


def test_without_its_extra_the_default_is_the_simulated_one(
    local: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which, and what the real one lacks."""
    install(local, "no ears")
    assert choose_engine().name == "simulated"
    assert told(caplog) == [("engine-chosen", "simulated", "no ears")]


def test_asked_for_it_must_be_there(local: pytest.MonkeyPatch) -> None:
    """The real engine is not replaced behind the back of who asked for it."""
    assert choose_engine("local").name == "local"
    install(local, "no ears")
    with pytest.raises(EngineUnavailable, match="no ears"):
        choose_engine("local")


def test_what_cannot_be_imported_is_not_there(local: pytest.MonkeyPatch) -> None:
    """One sentence says what to install."""
    from vtrio.server import engines

    local.delattr(engines, "local", raising=False)
    local.setitem(sys.modules, "vtrio.server.engines.local", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'vtrio\[local\]'"):
        choose_engine("local")
    assert choose_engine().name == "simulated"


def test_what_is_there_but_damaged_is_as_if_it_were_not(
    local: pytest.MonkeyPatch,
) -> None:
    """Its own sentence says what to do."""

    class Damaged:
        def __init__(self, settings: object) -> None:
            raise ImportError("half of it is missing")

    local.setattr(sys.modules["vtrio.server.engines.local"], "LocalEngine", Damaged)
    with pytest.raises(EngineUnavailable, match="half of it is missing"):
        choose_engine("local")


def test_the_simulated_engine_can_always_be_chosen(local: pytest.MonkeyPatch) -> None:
    """It needs nothing."""
    assert choose_engine("simulated").name == "simulated"


def test_the_simulated_engine_takes_its_settings(
    local: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them, or some; the log says which engine it is as for any other."""
    with caplog.at_level(logging.INFO, "vtrio.server"):
        engine = choose_engine(
            "simulated", durations=Durations("fixed", (1,)), failure_rate=0.25, seed=5
        )
    assert repr(engine) == "<SimulatedEngine fixed:1 failure_rate=0.25 seed=5>"
    assert told(caplog) == [("engine-chosen", "simulated", None)]
    partly = choose_engine("simulated", failure_rate=0, seed=0)
    assert repr(partly) == "<SimulatedEngine uniform:5,15 failure_rate=0 seed=0>"


@pytest.mark.parametrize("name", [None, "local"])
def test_no_other_engine_takes_the_settings_of_the_simulated_one(
    name: str | None, local: pytest.MonkeyPatch
) -> None:
    """Not the real one, and not whichever is there: it has to be asked for by name."""
    for setting, value in (
        *(("durations", Durations("fixed", (1,))), ("failure_rate", 0.0)),
        ("seed", 0),
    ):
        with pytest.raises(ValueError, match=f"{setting}=.*engine='simulated'"):
            choose_engine(name, **{setting: value})  # type: ignore[arg-type]


def test_a_command_that_asks_for_what_is_not_there_is_told(
    local: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and the status of a wrong command."""
    install(local, "no ears")
    assert main(["serve", "--engine", "local", "--port", "0"]) == 2
    assert capsys.readouterr().err == "vtrio: no ears\n"


def test_there_are_two_engines(local: pytest.MonkeyPatch) -> None:
    """Another name is refused, with those that are allowed."""
    with pytest.raises(ValueError, match="engine='magic'.*local, simulated"):
        choose_engine("magic")
