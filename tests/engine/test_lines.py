"""Waits for one job: one asks, and all hear what it is answered."""

from __future__ import annotations

import gc
import random
import tracemalloc
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Capabilities,
    Fixed,
    Governor,
    Job,
    JobNotFound,
    JobStatus,
    Unreachable,
)
from vtrio._errors import RemoteError
from vtrio._limits import Limits
from vtrio._lines import Lines, place_of
from vtrio._poller import poll
from vtrio._session import Deliver, Session, Stop
from vtrio.schedules import Schedule
from vtrio.testing import Invariants, ScriptedSource, after

RUNNING = Answer(job=Job(id="j1", status=JobStatus.RUNNING))
EVERY_TWO_SECONDS = Fixed(2)
DONE = Answer(job=Job(id="j1", status=JobStatus.COMPLETED))


class Listener:
    """A follower, and an heir, that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def hear(self, answer: Answer, asked_at: float, now: float) -> None:
        """Remember an answer."""
        self.told.append((answer, asked_at, now))

    def miss(self, error: RemoteError, asked_at: float, now: float) -> None:
        """Remember a failure."""
        self.told.append((error, asked_at, now))

    def inherit(self) -> None:
        """Remember that it is to ask."""
        self.told.append("ask")


class Waits:
    """Waits on one governor and one source, with what became of each."""

    def __init__(self, source: ScriptedSource) -> None:
        self.source = source
        self.governor = Governor()
        self.ends: dict[str, tuple[float, Deliver | Stop]] = {}
        self.heard: dict[str, list[float]] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    async def wait(
        self,
        name: str,
        *,
        job_id: str = "j1",
        begins: float = 0.0,
        schedule: Schedule = EVERY_TWO_SECONDS,
        **limits: float,
    ) -> None:
        """Wait for a job from an instant on."""
        await trio.sleep_until(begins)
        session = Session(
            job_id=job_id,
            schedule=schedule,
            limits=Limits(**limits),  # type: ignore[arg-type]
            started_at=trio.current_time(),
        )
        self.heard[name] = []
        with trio.CancelScope() as self.scopes[name]:
            verdict = await poll(
                self.source,
                session,
                rng=random.Random(),
                governor=self.governor,
                on_job=lambda _: self.heard[name].append(trio.current_time()),
            )
            self.ends[name] = (trio.current_time(), verdict)
        assert self.scopes[name].cancelled_caught is (name not in self.ends)


def polls_of(waits: Waits, name: str) -> int:
    """Return how many polls a wait's receipt counts."""
    _, verdict = waits.ends[name]
    assert isinstance(verdict, Deliver)
    assert verdict.job.receipt is not None
    return verdict.job.receipt.polls


async def test_two_waits_cost_the_requests_of_one(autojump_clock: MockClock) -> None:
    """Both hear every answer, and both end at the same instant."""
    waits = Waits(ScriptedSource("running", after(5, "completed"), latency=0.5))
    with Invariants():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits.wait, "a")
            nursery.start_soon(waits.wait, "b")
    assert waits.source.asked_at == [0.0, 2.5, 5.0]
    assert waits.heard["a"] == waits.heard["b"] == [0.5, 3.0, 5.5]
    assert [end for end, _ in waits.ends.values()] == [5.5, 5.5]
    assert polls_of(waits, "a") + polls_of(waits, "b") == 3
    statistics = waits.governor.statistics()
    assert (statistics.requests, statistics.shared) == (3, 3)
    assert len(waits.governor.lines) == 0


async def test_an_answer_to_one_sets_the_others_clock(
    autojump_clock: MockClock,
) -> None:
    """Whoever would ask later goes on from what was heard, and so never asks."""
    waits = Waits(ScriptedSource("running", after(9, "completed")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits.wait, "often")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(lambda: waits.wait("seldom", begins=1, schedule=Fixed(5)))
    assert waits.source.asked_at == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    assert waits.heard["seldom"] == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert polls_of(waits, "seldom") == 1
    assert polls_of(waits, "often") == 5


async def test_shared_answers_are_no_attempts(autojump_clock: MockClock) -> None:
    """A limit on attempts counts one's own polls."""
    waits = Waits(ScriptedSource("running", after(9, "completed")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits.wait, "a")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(
            lambda: waits.wait("b", begins=1, schedule=Fixed(5), max_attempts=2)
        )
    assert polls_of(waits, "b") == 1


async def test_when_the_asking_wait_leaves_another_asks_at_once(
    autojump_clock: MockClock,
) -> None:
    """One of those that were due, and only one."""
    waits = Waits(ScriptedSource("completed", latency=10.0))
    with Invariants():
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(partial(waits.wait, name, request_timeout=20))
                await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(4)
            waits.scopes["a"].cancel()
    assert waits.source.asked_at == [0.0, 4.0]
    assert [waits.ends[name][0] for name in "bc"] == [14.0, 14.0]


async def test_an_heir_that_leaves_too_hands_on(autojump_clock: MockClock) -> None:
    """Both in one instant: the third one asks."""
    waits = Waits(ScriptedSource("completed", latency=10.0))
    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(partial(waits.wait, name, request_timeout=20))
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(4)
        waits.scopes["a"].cancel()
        waits.scopes["b"].cancel()
    assert waits.source.asked_at == [0.0, 4.0]
    assert list(waits.ends) == ["c"]


async def test_a_deadline_of_the_asking_wait_is_not_the_others(
    autojump_clock: MockClock,
) -> None:
    """Its poll ends with it, and the other one asks."""
    waits = Waits(ScriptedSource("completed", latency=5.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: waits.wait("a", max_wait_time=3))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(waits.wait, "b")
    assert waits.source.asked_at == [0.0, 3.0]
    assert waits.ends["a"][0] == 3.0
    assert waits.ends["b"][0] == 8.0


async def test_a_failure_is_for_those_that_were_due(autojump_clock: MockClock) -> None:
    """They take it as theirs; who was not due does not hear of it."""
    waits = Waits(ScriptedSource(Unreachable("gone"), after(1.5, "completed")))
    waits.source.latency = 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits.wait, "a")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(waits.wait, "b")
    assert waits.source.asked_at == [0.0, 3.0]
    for name in "ab":
        _, verdict = waits.ends[name]
        assert isinstance(verdict, Deliver)
        assert verdict.job.receipt is not None
        assert verdict.job.receipt.failures == 1
    assert polls_of(waits, "b") + polls_of(waits, "a") == 2


async def test_an_error_that_ends_both_is_each_ones_own(
    autojump_clock: MockClock,
) -> None:
    """It carries the receipt of the wait that it ended."""
    waits = Waits(ScriptedSource(JobNotFound("no such job", status_code=404)))
    waits.source.latency = 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits.wait, "a")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(waits.wait, "b")
    first, second = (waits.ends[name][1] for name in "ab")
    assert isinstance(first, Stop)
    assert isinstance(second, Stop)
    assert type(second.error) is JobNotFound
    assert str(second.error) == "no such job"
    assert isinstance(second.error, JobNotFound)
    assert second.error.status_code == 404
    assert first.error.receipt is not None
    assert second.error.receipt is not None
    assert (first.error.receipt.polls, second.error.receipt.polls) == (1, 0)


async def test_whoever_is_told_in_the_queue_need_not_ask(
    autojump_clock: MockClock,
) -> None:
    """A batch may bring the answer before the wait's turn comes."""
    waits = Waits(ScriptedSource("running", "completed"))
    lines, key = waits.governor.lines, (place_of(waits.source), "j1")
    async with trio.open_nursery() as nursery:
        # All places are taken until 5 s.
        for _ in range(20):
            nursery.start_soon(hold_a_place, waits.governor, 5.0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(waits.wait, "a")
        nursery.start_soon(lambda: waits.wait("other", job_id="j2"))
        await trio.sleep(1)
        assert waits.governor.statistics().waiting == 2
        lines.tell(key, RUNNING, asked_at=0.5, now=1.0)
        await trio.sleep(1)
        assert waits.governor.statistics().waiting == 1
        await trio.sleep(1.5)
        lines.tell(key, DONE, asked_at=3.0, now=3.5)
    assert waits.ends["a"][0] == 3.5
    assert polls_of(waits, "a") == 0


async def test_the_end_of_the_job_ends_a_poll_that_is_on_its_way(
    autojump_clock: MockClock,
) -> None:
    """An answer that says less is no reason to give up one's own."""
    waits = Waits(ScriptedSource("running", latency=8.0))
    lines, key = waits.governor.lines, (place_of(waits.source), "j1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits.wait, "a")
        await trio.sleep(1)
        lines.tell(key, RUNNING, asked_at=0.5, now=1.0)
        await trio.sleep(1)
        assert waits.source.in_flight == 1
        lines.tell(key, DONE, asked_at=1.5, now=2.0)
    assert waits.ends["a"][0] == 2.0
    assert waits.source.in_flight == 0
    assert waits.heard["a"] == [2.0]


async def hold_a_place(governor: Governor, seconds: float) -> None:
    """Be in flight for some seconds."""
    async with governor.turn(0.0):
        await trio.sleep(seconds)


async def test_an_end_is_not_forgotten_for_later_news(
    autojump_clock: MockClock,
) -> None:
    """A callback may be slow, and an answer that was overtaken come after it."""
    governor, source = Governor(), ScriptedSource("running")
    key = (place_of(source), "j1")
    told: list[JobStatus] = []

    async def slow(job: Job) -> None:
        told.append(job.status)
        await trio.sleep(1)

    session = Session(job_id="j1", schedule=Fixed(5), limits=Limits(), started_at=0.0)
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            rng = random.Random()
            await poll(source, session, rng=rng, governor=governor, on_job=slow)

        nursery.start_soon(wait)
        await trio.sleep(0.5)
        governor.lines.tell(key, DONE, asked_at=0.2, now=0.5)
        governor.lines.tell(key, RUNNING, asked_at=0.1, now=0.5)
    assert told == [JobStatus.RUNNING, JobStatus.COMPLETED]
    assert trio.current_time() == 2.0


async def test_other_jobs_and_other_sources_do_not_mix(
    autojump_clock: MockClock,
) -> None:
    """Two sources without a name for what they ask are two places."""
    one, two = ScriptedSource("completed"), ScriptedSource("completed")
    assert place_of(one) == place_of(one)
    assert place_of(one) != place_of(two)
    waits = Waits(one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits.wait, "a")
        nursery.start_soon(lambda: waits.wait("b", job_id="j2"))
    assert one.asked_at == [0.0, 0.0]


def test_a_line_tells_who_asks_and_hands_on() -> None:
    """As the engine of many jobs uses it."""
    lines = Lines()
    first, second = Listener(), Listener()
    line = lines.follow("k", first)
    assert lines.follow("k", second) is line
    assert len(lines) == 1
    assert not lines.are_lone
    with lines.asking("k"):
        assert line.is_asked
        with lines.asking("k"):
            line.wait_for_outcome(second)
        assert second.told == []
    assert second.told == ["ask"]
    lines.tell("k", RUNNING, asked_at=1.0, now=2.0, by=first)
    assert first.told == []
    assert second.told == ["ask", (RUNNING, 1.0, 2.0)]
    line.leave(first)
    line.leave(second)
    assert len(lines) == 0
    assert lines.followers == 0


def test_a_question_about_a_job_that_nobody_waits_for_leaves_nothing() -> None:
    """Such as one in a batch whose last follower has just left."""
    lines = Lines()
    with lines.asking("k"):
        line = lines.follow("k", listener := Listener())
        line.leave(listener)
        assert len(lines) == 1
    assert len(lines) == 0
    lines.tell("k", DONE, asked_at=0.0, now=0.0)
    lines.miss("k", Unreachable("gone"), asked_at=0.0, now=0.0)
    with lines.asking("k"):
        assert len(lines) == 1
    assert len(lines) == 0


def test_an_idle_line_is_small() -> None:
    """A hundred thousand jobs have one each: 300 bytes, with its key."""
    follower, count = Listener(), 20_000
    place = place_of(ScriptedSource("running"))
    ids = [f"j{number}" for number in range(count)]
    lines = Lines()
    gc.collect()
    tracemalloc.start()
    try:
        kept = [lines.follow((place, job_id), follower) for job_id in ids]
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == count
    assert size / count <= 300


@pytest.mark.parametrize("seed", range(30))
def test_whoever_leaves_when_somebody_goes_on_asking(seed: int) -> None:
    """However waits are cancelled, those that stay end, and never two ask at once."""

    async def main() -> None:
        rng = random.Random(seed)

        class Moody:
            capabilities = Capabilities()
            asked = 0

            async def status(self, job_id: str) -> Answer:
                await trio.sleep(rng.choice([0.5, 1.0, 3.0]))
                if rng.random() < 0.3:
                    raise Unreachable("gone")
                return DONE if trio.current_time() > 12 else RUNNING

        waits = Waits(Moody())  # type: ignore[arg-type]
        with Invariants():
            async with trio.open_nursery() as nursery:
                for number in range(8):
                    name, schedule = str(number), Fixed(rng.choice([0.5, 1.0, 2.0]))
                    begins = rng.choice([0, 1, 2])
                    nursery.start_soon(
                        partial(
                            waits.wait,
                            name,
                            begins=begins,
                            schedule=schedule,
                            request_timeout=2,
                        )
                    )
                await trio.sleep(2.5)
                for number in range(5):
                    await trio.sleep(rng.choice([0, 0.5, 1.0]))
                    waits.scopes[str(number)].cancel()
        assert set(waits.ends) == {"5", "6", "7"}
        assert len(waits.governor.lines) == 0
        statistics = waits.governor.statistics()
        assert statistics.in_flight == statistics.waiting == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
