"""What holds for every schedule."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from ..._errors import Unreachable
from ..._job import Job, JobStatus
from ..._session import LONGEST_HINT
from ..._source import Answer
from ...client import VideoTranslationClient
from ...schedules import PollState, Schedule
from .._scripts import after
from .._server import URL
from .._sources import ScriptedSource

_QUESTIONS = 2000
_MOST_POLLS = 100_000
_CLOCKS = ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "sleep")


class ScheduleContract:
    """A schedule is a pure function of what it is told. Define the fixture `schedule`."""

    @pytest.fixture
    def schedule(self) -> Schedule:
        """Make the schedule that is tested."""
        raise NotImplementedError("define the fixture `schedule` in your class")

    def test_it_answers_to_the_protocol(self, schedule: Schedule) -> None:
        """It has the method that a wait calls."""
        assert isinstance(schedule, Schedule), f"{schedule!r} has no `delay`"

    def test_every_delay_is_a_time_to_come(self, schedule: Schedule) -> None:
        """Finite and 0 or more, whatever the age, the answers and the rolls."""
        for state in _states():
            try:
                delay = schedule.delay(state)
            except Exception as error:
                raise AssertionError(f"{error!r} for {state}") from error
            assert isinstance(delay, (int, float)), f"{delay!r} is no number"
            assert 0 <= delay < math.inf, f"{delay!r} for {state}"

    def test_the_same_question_has_the_same_answer(self, schedule: Schedule) -> None:
        """In whatever order: nothing is counted or remembered from question to question."""
        states = list(_states())
        first = [schedule.delay(state) for state in states]
        backwards = [schedule.delay(state) for state in reversed(states)]
        assert first == backwards[::-1], "the order of the questions makes a difference"

    def test_it_leaves_chance_and_clocks_alone(
        self, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rolls are handed in, and so is the age."""

        def forbidden(*_: object) -> float:
            raise AssertionError("the schedule looked at a clock, or slept")

        before = random.getstate()
        states = list(_states())
        with monkeypatch.context() as patched:
            for name in _CLOCKS:
                patched.setattr(time, name, forbidden)
            for state in states:
                schedule.delay(state)
        assert random.getstate() == before, "the schedule drew a random number"

    @pytest.mark.parametrize("lasting", [1.0, 60.0, 3600.0])
    def test_a_wait_comes_to_the_end_of_its_job(
        self, schedule: Schedule, lasting: float
    ) -> None:
        """Delays add up: the end is seen after a number of polls that is bounded."""
        age, polls = 0.0, 0
        while age < lasting:
            polls += 1
            assert polls <= _MOST_POLLS, f"after {polls} polls the job is {age} s old"
            age += schedule.delay(PollState(age=age, answers=polls))

    def test_it_carries_a_real_wait(self, schedule: Schedule) -> None:
        """Through the client, with failures and hints, to the end of a job."""
        running = Job(id="", status=JobStatus.RUNNING)
        source = ScriptedSource(
            "pending",
            Unreachable("refused"),
            Answer(job=running, hint=5.0),
            after(30, "completed"),
        )

        async def main() -> str:
            client = VideoTranslationClient(
                URL,
                source=source,
                schedule=schedule,
                rng=random.Random(20_261),
                max_attempts=None,
                max_wait_time=2 * LONGEST_HINT,
            )
            return await client.get_status()

        ending = trio.run(main, clock=MockClock(autojump_threshold=0))
        assert ending == "completed", f"{ending} after asking at {source.asked_at}"
        assert source.asked_at == sorted(source.asked_at)
        after_the_hint = source.asked_at[3] - source.asked_at[2]
        # Both are sums, and rounded.
        assert after_the_hint > 5 - 1e-6, (
            f"a hint of 5 s, and asked after {after_the_hint} s"
        )


def _states() -> Iterator[PollState]:
    """Yield questions of all kinds, the same ones each time."""
    rng = random.Random(20_261)
    edges = (0.0, 0.5, math.nextafter(1.0, 0.0))
    for number in range(_QUESTIONS):
        start_age = rng.choice([0.0, 0.0, 10 ** rng.uniform(-3, 7)])
        answers = rng.choice([0, 1, 2, 10, 1000, 10**6, rng.randrange(100)])
        yield PollState(
            age=start_age + rng.choice([0.0, 10 ** rng.uniform(-6, 9)]),
            start_age=start_age,
            answers=answers,
            failures=min(answers, rng.choice([0, 0, 1, 5, 2000])),
            hint=rng.choice([None, None, 0.0, 1.0, 1e6]),
            work=rng.choice([None, None, 0.1, 21.5, 1e5]),
            key=rng.choice(["", "", "dubbing"]),
            roll=edges[number % 3] if number < 300 else rng.random(),
            phase=edges[number // 3 % 3] if number < 300 else rng.random(),
        )
