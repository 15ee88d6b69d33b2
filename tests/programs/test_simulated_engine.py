"""The simulated engine: it takes exactly the time it drew, and ends as it drew."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from vtrio._distributions import Durations
from vtrio.server.engines import EngineError, Progress, Task
from vtrio.server.engines.simulated import SimulatedEngine

CONTENT = b"a video, as far as anybody here knows"


def a_task(folder: Path, job_id: str = "j1") -> Task:
    """Make a task with an upload and an empty folder of its own."""
    source = folder / f"{job_id}.mp4"
    source.write_bytes(CONTENT)
    own = folder / job_id
    own.mkdir(exist_ok=True)
    return Task(
        job_id=job_id, attempt=1, source=source, folder=own, target_language="pt"
    )


class Raising:
    """Raises an error, whatever it is called with."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Raise it."""
        raise self._error


def ignore(progress: Progress) -> None:
    """Report to nobody."""


async def endings(
    engine: SimulatedEngine, folder: Path, count: int
) -> dict[str, tuple[float, str]]:
    """Run some jobs at once; return when and how each ended."""
    found = {}

    async def run(task: Task) -> None:
        try:
            await engine.translate(task, ignore)
        except EngineError as error:
            found[task.job_id] = (trio.current_time(), error.kind)
        else:
            found[task.job_id] = (trio.current_time(), "completed")

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(run, a_task(folder, f"j{number}"))
            await trio.testing.wait_all_tasks_blocked()
    return found


async def test_it_takes_the_time_that_it_drew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A fixed duration ends at exactly that virtual instant."""
    engine = SimulatedEngine(Durations.parse("fixed:7"))

    made = await engine.translate(a_task(tmp_path), ignore)

    assert trio.current_time() == 7.0
    assert made.video.read_bytes() == CONTENT
    assert made.video.suffix == ".mp4"
    assert made.subtitles.read_text(encoding="utf-8").startswith("WEBVTT\n")


async def test_it_reports_stages_in_order_and_progress_that_grows(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Every twentieth of the duration is told of, with its stage."""
    told: list[tuple[float, Progress]] = []
    engine = SimulatedEngine(Durations.parse("fixed:20"))

    await engine.translate(
        a_task(tmp_path), lambda progress: told.append((trio.current_time(), progress))
    )

    assert [at for at, _ in told] == [float(second) for second in range(20)]
    assert [progress.fraction for _, progress in told] == [n / 20 for n in range(20)]
    stages = list(dict.fromkeys(progress.stage for _, progress in told))
    assert stages == [
        *("extracting", "recognizing", "translating"),
        *("speaking", "muxing"),
    ]


def test_a_seed_fixes_every_ending(tmp_path: Path) -> None:
    """Two engines of one seed end their jobs alike; another seed differs."""

    def run(seed: int, folder: str) -> dict[str, tuple[float, str]]:
        place = tmp_path / folder
        place.mkdir()
        engine = SimulatedEngine(
            Durations.parse("uniform:5,15"), failure_rate=0.5, seed=seed
        )
        clock = MockClock(autojump_threshold=0)
        return trio.run(endings, engine, place, 12, clock=clock)

    first, again, other = run(1, "a"), run(1, "b"), run(2, "c")

    assert first == again != other
    assert {kind for _, kind in first.values()} == {"completed", "simulated-failure"}


async def test_a_failure_is_permanent_and_comes_before_the_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A job that draws a failure ends within its duration, for good."""
    engine = SimulatedEngine(Durations.parse("fixed:10"), failure_rate=1, seed=3)

    with pytest.raises(EngineError) as caught:
        await engine.translate(a_task(tmp_path), ignore)

    assert caught.value.permanent
    assert 0 < trio.current_time() < 10


async def test_nothing_is_remembered_of_a_job_that_was_cut_off(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However an attempt ends, the next has a place of its own in the order."""
    engine = SimulatedEngine(Durations.parse("uniform:5,15"), seed=4)
    with trio.move_on_after(1):
        await engine.translate(a_task(tmp_path, "cancelled"), ignore)
    task = a_task(tmp_path, "broken")
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", Raising(OSError("full")))
        with pytest.raises(OSError, match="full"):
            await engine.translate(task, ignore)

    began = trio.current_time()
    for left in (tmp_path / "cancelled").iterdir():
        left.unlink()
    await engine.translate(a_task(tmp_path, "cancelled"), ignore)
    took = trio.current_time() - began

    fresh = SimulatedEngine(Durations.parse("uniform:5,15"), seed=4)
    third = (await endings(fresh, tmp_path, 3))["j2"][0]
    assert took == pytest.approx(third - began - took)


async def test_a_disk_without_hard_links_gets_a_copy(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a link cannot be made the upload is copied."""

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("os.link", refuse)

    made = await SimulatedEngine(Durations.parse("fixed:1")).translate(
        a_task(tmp_path), ignore
    )

    assert made.video.read_bytes() == CONTENT


@pytest.mark.parametrize("tag", ["pt", "pt-BR", "zh-Hant-TW", "es-419"])
def test_any_well_formed_language_is_served(tag: str) -> None:
    """The shape of a tag is all that counts."""
    SimulatedEngine().check(tag, None)
    SimulatedEngine().check("pt", tag)


@pytest.mark.parametrize("tag", ["", "p", "pt_BR", "pt-", "-pt", "p t", "português"])
def test_a_language_that_is_no_tag_is_refused_by_name(tag: str) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(ValueError, match="must be a language tag") as caught:
        SimulatedEngine().check("pt", tag)
    assert repr(tag) in str(caught.value)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "often"])
def test_a_failure_rate_is_a_share(rate: float) -> None:
    """What is not between 0 and 1 is refused by name."""
    with pytest.raises(ValueError, match="failure_rate="):
        SimulatedEngine(failure_rate=rate)


def test_it_tells_its_settings() -> None:
    """The representation says what a run can be repeated with."""
    engine = SimulatedEngine(Durations.parse("fixed:1"), failure_rate=0.25, seed=5)
    assert repr(engine) == "<SimulatedEngine fixed:1 failure_rate=0.25 seed=5>"
