"""What a thousand waits do together: to a server that refuses, and in an outage."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Capabilities,
    Exponential,
    Fixed,
    Governor,
    Job,
    JobStatus,
    Learned,
    RemoteError,
    ServerBusy,
    Unreachable,
    VideoTranslationClient,
)
from vtrio.schedules import DurationHistory, Observation, Schedule

URL = "http://translations.example"
WAITS = 1000


class Bucket:
    """A server with a bucket of tokens, which refuses without a hint."""

    capabilities = Capabilities()

    def __init__(
        self, rate: float, *, burst: float = 10, latency: float = 0.02
    ) -> None:
        self.rate = rate
        self.burst = self.tokens = burst
        self.latency = latency
        self.at = 0.0
        self.given: list[tuple[float, bool]] = []

    async def status(self, job_id: str) -> Answer:
        """Answer as long as there are tokens."""
        await trio.sleep(self.latency / 2)
        now = trio.current_time()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        is_given = self.tokens >= 1
        self.tokens -= is_given
        self.given.append((now, is_given))
        await trio.sleep(self.latency / 2)
        if not is_given:
            raise ServerBusy("too many requests", status_code=429)
        return Answer(job=Job(id=job_id, status=JobStatus.RUNNING))

    def of(self, begin: float, end: float) -> tuple[float, float]:
        """Return which share was refused, and how much of the allowance was used."""
        given = [is_given for at, is_given in self.given if begin <= at < end]
        good = sum(given)
        return 1 - good / len(given), good / (self.rate * (end - begin))


class Failing:
    """A server with an outage of 30 s, which keeps the instants of all requests."""

    capabilities = Capabilities()

    def __init__(self, how: RemoteError | None, at: float, latency: float) -> None:
        self.how = how
        self.began, self.ended = at, at + 30.0
        self.latency = latency
        self.asked_at: list[float] = []

    async def status(self, job_id: str) -> Answer:
        """Answer, or fail, or be silent."""
        now = trio.current_time()
        self.asked_at.append(now)
        if self.began <= now < self.ended:
            if self.how is None:
                await trio.sleep_forever()
            await trio.sleep(0.001)
            raise type(self.how)("gone", status_code=self.how.status_code)
        await trio.sleep(self.latency)
        job = Job(id=job_id, status=JobStatus.RUNNING)
        return Answer(job=job, age=trio.current_time())

    def count(self, begin: float, end: float) -> int:
        """Count the requests of a time."""
        return sum(begin <= at < end for at in self.asked_at)

    def peak(self, begin: float, end: float) -> float:
        """Return the most that 100 ms hold, as multiples of the 2 s around them."""
        tenths = Counter(int(at * 10 + 1e-9) for at in self.asked_at)
        peaks = [0.0]
        for tenth in range(int(begin * 10), int(end * 10)):
            # The tenth, and as much before its middle as after it: 21 tenths.
            mean = sum(tenths[near] for near in range(tenth - 10, tenth + 11)) / 21
            if mean >= 10:
                peaks.append(tenths[tenth] / mean)
        return max(peaks)


def run(
    source: Bucket | Failing,
    schedule: Schedule | None,
    seconds: float,
    *,
    history: DurationHistory | None = None,
    waits: int = WAITS,
    changed: tuple[float, float] | None = None,
) -> Governor:
    """Wait for so many jobs that never end; nothing may end the waits before that."""
    governor = Governor()

    async def main() -> None:
        client = VideoTranslationClient(
            URL,
            source=source,
            schedule=schedule,
            history=history,
            governor=governor,
            rng=random.Random(1),
        )
        with trio.move_on_after(seconds) as scope:
            async with trio.open_nursery() as nursery:
                for number in range(waits):
                    nursery.start_soon(client.wait, f"j{number}")
                if changed is not None and isinstance(source, Bucket):
                    await trio.sleep_until(changed[0])
                    source.rate = changed[1]
        assert scope.cancelled_caught
        statistics = governor.statistics()
        assert statistics.in_flight == statistics.waiting == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return governor


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "latency", [0.02, pytest.param(0.0, marks=slow), pytest.param(0.1, marks=slow)]
)
def test_an_allowance_is_used_and_hardly_ever_exceeded(latency: float) -> None:
    """Fifty a second where two hundred are wanted: 1 % refused, 90 % used."""
    server = Bucket(50, latency=latency)
    run(server, Fixed(5), 65)
    refused, used = server.of(5, 65)
    assert refused <= 0.01
    assert used >= 0.9


@pytest.mark.parametrize(
    ("rate", "every", "waits"),
    [
        (5, 5, 200),
        pytest.param(5, 5, 1000, marks=slow),
        pytest.param(500, 1, 1000, marks=slow),
    ],
)
def test_other_allowances_are_found_too(rate: float, every: float, waits: int) -> None:
    """A tenth of that, and ten times as much."""
    server = Bucket(rate)
    run(server, Fixed(every), 65, waits=waits)
    refused, used = server.of(5, 65)
    assert refused <= 0.01
    assert used >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "settled"), [(100, 10.0), (25, 5.0)])
def test_an_allowance_that_changes_is_found_again(rate: float, settled: float) -> None:
    """Half as much within 5 s; twice as much within 10, for feeling one's way costs."""
    server = Bucket(50)
    run(server, Fixed(5), 65, changed=(30.0, rate))
    refused, used = server.of(30 + settled, 65)
    assert refused <= 0.01
    assert used >= 0.9


def a_history() -> DurationHistory:
    """Make what was learned of jobs that last two minutes."""
    history, rng = DurationHistory(), random.Random(3)
    for _ in range(200):
        duration = rng.lognormvariate(4.8, 0.5)
        history.observe(Observation(after=duration, until=duration))
    return history


SCHEDULES: dict[str, Schedule] = {
    "fixed": Fixed(5),
    "exponential": Exponential(1, 2),
    "capped": Exponential(1, 2, cap=10),
    "learned": Learned(),
}
FAILURES = {
    "refuses": Unreachable("gone"),
    "busy": ServerBusy("gone", status_code=503),
    "broken": ServerBusy("gone", status_code=500),
    "silent": None,
}


@pytest.mark.parametrize(
    ("schedule", "how", "at", "latency"),
    [
        ("exponential", "silent", 40, 0.003),
        *(
            pytest.param(*case, marks=slow)
            for case in [
                ("exponential", "busy", 40, 0.003),
                ("exponential", "refuses", 62, 0.03),
                ("capped", "refuses", 40, 0.003),
                ("fixed", "busy", 40, 0.003),
                ("fixed", "broken", 40, 0.03),
                ("fixed", "silent", 41.3, 0.003),
                ("learned", "refuses", 100, 0.003),
                ("learned", "silent", 100, 0.003),
                ("learned", "busy", 100, 0.03),
            ]
        ),
    ],
)
def test_an_outage_costs_no_wait_and_ends_without_a_herd(
    schedule: str, how: str, at: float, latency: float
) -> None:
    """A tenth more than before at most, and no 100 ms above three times the mean."""
    server = Failing(FAILURES[how], at, latency)
    history = a_history() if schedule == "learned" else None
    run(server, SCHEDULES[schedule], at + 60, history=history)
    before, during = server.count(at - 30, at), server.count(at, at + 30)
    # A hundred requests in half a minute are no load, besides what was on its way.
    assert during <= max(1.1 * before, 105 + 20)
    assert server.count(at + 30, at + 60) > 0
    assert server.peak(at + 30, at + 59) <= 3


async def test_a_thousand_waits_are_cancelled_at_once(
    autojump_clock: MockClock,
) -> None:
    """Those in flight, those in the queue and those that sleep."""
    governor = Governor()
    server = Bucket(50)
    client = VideoTranslationClient(
        URL, source=server, schedule=Fixed(5), governor=governor
    )
    with trio.move_on_after(7) as scope:
        async with trio.open_nursery() as nursery:
            for number in range(WAITS):
                nursery.start_soon(client.wait, f"j{number}")
    assert scope.cancelled_caught
    assert trio.current_time() == 7.0
    statistics = governor.statistics()
    assert statistics.in_flight == statistics.held == statistics.waiting == 0
    assert len(governor.lines) == 0
