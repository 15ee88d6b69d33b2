"""What a client learns from its waits, in virtual time."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    Answer,
    Capabilities,
    DamagedHistory,
    Exponential,
    Job,
    JobCancelled,
    JobFailed,
    JobStatus,
    Learned,
    VideoTranslationClient,
    WaitTimeout,
    _history_file,
)
from vtrio._job import Sighting
from vtrio._runs import this_run
from vtrio.schedules import DurationHistory, Observation
from vtrio.schedules._history import WINDOW
from vtrio.testing import ScriptedServer, ScriptedSource, after, job, respond

URL = "http://translations.example"


class Remote:
    """Jobs that begin when they are first heard of and last as long as they are told.

    Their ids are their durations; each answer is made at once.
    """

    capabilities = Capabilities()

    def __init__(self, ending: str = "completed", *, tells_ends: bool = False) -> None:
        self.ending = JobStatus(ending)
        self.tells_ends = tells_ends
        self.begun: dict[str, float] = {}
        self.asked: list[tuple[str, float]] = []

    def submitted(self, job_id: str) -> Job:
        """Begin a job, and return it as `submit` does."""
        now = self.begun[job_id] = trio.current_time()
        seen = Sighting(at=now, run=this_run(), age=0.0)
        return Job(id=job_id, status=JobStatus.PENDING, seen=seen)

    async def status(self, job_id: str) -> Answer:
        """Tell whether the job's time is over, to somebody who knows its age."""
        await trio.lowlevel.checkpoint()
        age = trio.current_time() - self.begun[job_id]
        self.asked.append((job_id, age))
        ended_ago = age - float(job_id.partition("/")[0])
        status = self.ending if ended_ago >= 0 else JobStatus.RUNNING
        return Answer(
            job=Job(id=job_id, status=status),
            age=age,
            ended_ago=ended_ago if self.tells_ends and ended_ago >= 0 else None,
        )


def a_client(source: object, **settings: object) -> VideoTranslationClient:
    """Make a client that asks a source, without spreading."""
    given = {"schedule": Learned(spread=0), **settings}
    return VideoTranslationClient(URL, source=source, **given)  # type: ignore[arg-type]


def remembered(client: VideoTranslationClient) -> list[Observation]:
    """Return what a client has learned from."""
    return list(client._learning.durations.remembered())


async def test_waits_learn_from_each_other(autojump_clock: MockClock) -> None:
    """The first wait polls as if nothing was known; later ones where jobs end."""
    remote = Remote()
    client = a_client(remote)
    rng = random.Random(1)
    counts, lags = [], []
    for number in range(40):
        duration = rng.uniform(50, 70)
        job = remote.submitted(f"{duration}/{number}")
        await client.wait(job)
        ages = [age for job_id, age in remote.asked if job_id == job.id]
        counts.append(len(ages))
        lags.append(ages[-1] - duration)
    assert counts[0] == 9  # 1, 2.5, 4.75 ...
    assert sum(counts[-10:]) < 50
    assert sum(lags[-10:]) < 40
    assert client._learning.durations.statistics().running == 0


async def test_learned_is_the_default_of_wait(autojump_clock: MockClock) -> None:
    """And the client's own history is what it learns from."""
    remote = Remote()
    client = VideoTranslationClient(URL, source=remote, rng=random.Random(3))
    for number in range(12):
        await client.wait(remote.submitted(f"60/{number}"))
    first_polls = [
        age
        for before, (job_id, age) in pairwise([("", 0.0), *remote.asked])
        if job_id != before[0]
    ]
    assert first_polls[0] < 1.2
    assert first_polls[-1] > 10


async def test_get_status_teaches_too(autojump_clock: MockClock) -> None:
    """By the seed's polls; it does not use what was learned unless told so."""
    remote = Remote()
    client = VideoTranslationClient(URL, source=remote, jitter=0)
    job = remote.submitted("5")
    assert await client.get_status(job) == "completed"
    assert remote.asked == [("5", age) for age in (0.0, 1.0, 3.0, 7.0)]
    assert remembered(client) == [Observation(after=3.0, until=7.0, job="5")]


async def test_each_ending_teaches_what_it_is(autojump_clock: MockClock) -> None:
    """A failure is an end; a cancellation, a limit and a cancelled wait are bounds."""
    remote = Remote("error")
    client = a_client(remote)
    with pytest.raises(JobFailed):
        await client.wait(remote.submitted("4/failed"))
    remote.ending = JobStatus.CANCELLED
    client_of_cancelled = a_client(remote)
    with pytest.raises(JobCancelled):
        await client_of_cancelled.wait(remote.submitted("4/cancelled"))
    impatient = a_client(remote)
    with pytest.raises(WaitTimeout):
        await impatient.wait(remote.submitted("900/late"), max_wait_time=6)
    with trio.move_on_after(6):
        await impatient.wait(remote.submitted("900/left"))
    assert remembered(client) == [Observation(after=2.5, until=4.75, job="4/failed")]
    assert remembered(client_of_cancelled) == [
        Observation(after=2.5, until=None, job="4/cancelled")
    ]
    # Instants of this clock add up to a last bit more.
    told = [replace(one, after=round(one.after, 9)) for one in remembered(impatient)]
    assert told == [
        Observation(after=5.96, until=None, job="900/late"),
        Observation(after=4.75, until=None, job="900/left"),
    ]
    assert impatient._learning.durations.statistics().running == 0


async def test_a_wait_taken_up_an_hour_later_starts_from_the_jobs_age(
    autojump_clock: MockClock,
) -> None:
    """Where jobs last an hour, it polls at once and then as at that age."""
    history = DurationHistory()
    for k in range(50):
        history.observe(Observation(after=3500 + 10 * k, until=3500 + 10 * k))
    remote = Remote()
    client = a_client(remote, history=history)
    remote.submitted("3700")
    await trio.sleep(3600)
    await client.wait("3700")
    ages = [age for _, age in remote.asked]
    assert ages[0] == 3600
    assert len(ages) < 6
    assert 3700 <= ages[-1] < 3900


async def test_one_job_is_one_lesson_however_many_waits_it_takes(
    autojump_clock: MockClock,
) -> None:
    """What a first wait gave up is replaced by what the next one sees."""
    remote = Remote()
    client = a_client(remote)
    job = remote.submitted("100")
    for _ in range(4):
        with pytest.raises(WaitTimeout) as caught:
            await client.wait(job, max_wait_time=20)
        assert caught.value.job is not None
        job = caught.value.job
    await client.wait(job)
    (seen,) = remembered(client)
    assert seen.until is not None
    assert seen.after < 100 <= seen.until


@pytest.mark.slow
async def test_waits_side_by_side_share_a_history(autojump_clock: MockClock) -> None:
    """Of many more than are followed, a fair sample is learned from."""
    remote = Remote()
    client = VideoTranslationClient(URL, source=remote, rng=random.Random(1))
    rng = random.Random(2)
    async with trio.open_nursery() as nursery:
        for number in range(WINDOW + 100):
            duration = 60 * math.exp(rng.gauss(0, 0.5))
            job = remote.submitted(f"{duration}/{number}")
            nursery.start_soon(client.wait, job)
    held = client._learning.durations.statistics()
    assert (held.remembered, held.running, held.changes) == (WINDOW, 0, 0)
    ends = [seen.until for seen in remembered(client) if seen.until is not None]
    assert sorted(ends)[WINDOW // 2] == pytest.approx(63, abs=8)


async def test_the_work_may_be_the_callers_word(autojump_clock: MockClock) -> None:
    """Where the server does not tell how long the video is."""
    remote = Remote()
    client = a_client(remote)
    for number in range(12):
        media = 20.0 * (number % 4 + 1)
        job = remote.submitted(f"{1.5 * media + number / 10}/{number}")
        await client.wait(job, work=media, key="pt")
    assert {seen.work for seen in remembered(client)} == {20.0, 40.0, 60.0, 80.0}
    remote.asked.clear()
    await client.wait(remote.submitted("600"), work=400.0, key="pt")
    assert remote.asked[0][1] > 60
    assert client._learning.durations.belief("") is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"work": 0}, "work=0 is not allowed: .* above 0"),
        ({"work": math.nan}, "work=nan"),
        ({"key": 7}, "key=7 is not allowed: must be a text"),
        ({"key": "\ud800"}, "key='.ud800' is not allowed"),
    ],
)
async def test_bad_words_on_a_job_are_named(
    given: dict[str, object], told: str
) -> None:
    """Before anything is asked."""
    client = a_client(ScriptedSource("completed"))
    with pytest.raises(ValueError, match=told):
        await client.wait("j1", **given)  # type: ignore[arg-type]


async def test_the_servers_headers_teach_exactly(
    vtrio_server: ScriptedServer, library: ModuleType, autojump_clock: MockClock
) -> None:
    """`Job-Age` and `Job-Ended-Ago` are a point, `Job-Run-Time` a lower bound."""
    vtrio_server.add(job("running", after(97.25, "completed")), age=100.5)
    client = vtrio_server.client(library=library)
    await client.wait("j1")
    running = respond(json={"status": "running"}, headers={"Job-Age": "50"})
    told = {"Job-Age": "51", "Job-Run-Time": "50.5"}
    vtrio_server.route(running, times=1)
    vtrio_server.route(respond(json={"status": "completed"}, headers=told), times=1)
    with trio.fail_after(60):
        await client.wait("j2")
    first, second = remembered(client)
    assert (first.after, first.until) == (97.25, 97.25)
    assert second.until is not None
    assert second.after == 50.5
    assert second.until > 51


# --- whose history it is -----------------------------------------------------------


async def test_a_schedule_without_a_history_takes_the_clients(
    autojump_clock: MockClock,
) -> None:
    """Given a knob alone, it learns from the client's waits, or from a shared one."""
    shared = DurationHistory()
    remote = Remote()
    for number in range(10):
        client = a_client(
            remote, schedule=Learned(requests_per_job=3, spread=0), history=shared
        )
        await client.wait(remote.submitted(f"60/{number}"))
    assert shared.statistics().remembered == 10
    ages = [age for job_id, age in remote.asked if job_id == "60/9"]
    assert len(ages) <= 4


def test_two_histories_are_one_too_many() -> None:
    """A schedule that has one, and another for the client."""
    own = DurationHistory()
    client = a_client(None, schedule=Learned(history=own))
    assert client._learning.durations is own
    a_client(None, schedule=Learned(history=own), history=own)
    with pytest.raises(ValueError, match="must be the history of that schedule"):
        a_client(None, schedule=Learned(history=own), history=DurationHistory())


# --- the file ------------------------------------------------------------------------


async def test_a_file_carries_what_was_learned_to_the_next_program(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Written as it grows and when the block ends; read at the beginning."""
    path = tmp_path / "durations.json"
    remote = Remote()
    async with a_client(remote, history=path) as client:
        for number in range(15):
            await client.wait(remote.submitted(f"60/{number}"))
            assert path.exists()
    rows = json.loads(path.read_text())["classes"][""]
    assert len(rows) == 15
    remote.asked.clear()
    async with a_client(remote, history=str(path)) as client:
        await client.wait(remote.submitted("60"))
    assert remote.asked[0][1] > 15


async def test_a_bare_client_writes_after_every_wait(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nobody tells it when it is done with; what a cancelled one saw, with the next."""
    path = tmp_path / "durations.json"
    remote = Remote()
    client = a_client(remote, history=path)
    for number in range(15):
        await client.wait(remote.submitted(f"60/{number}"))
        assert len(json.loads(path.read_text())["classes"][""]) == number + 1
    with trio.move_on_after(70) as scope:
        await client.wait(remote.submitted("900"))
    assert scope.cancelled_caught
    assert len(json.loads(path.read_text())["classes"][""]) == 15
    await client.wait(remote.submitted("60/last"))
    rows = json.loads(path.read_text())["classes"][""]
    assert len(rows) == 17
    assert rows[15][1:] == [None, None, "900"]


async def test_a_slow_disk_makes_no_wait_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Neither at its deadline nor when it is cancelled; reading counts as waiting."""
    slowed: list[object] = []

    async def slow(
        function: Callable[..., object], *args: object, **_: object
    ) -> object:
        slowed.append(function)
        await trio.sleep(5)
        return function(*args)

    remote = Remote()
    client = a_client(remote, history=tmp_path / "h.json")
    monkeypatch.setattr(_history_file, "in_thread", slow)
    with pytest.raises(WaitTimeout):
        await client.wait(remote.submitted("900"), max_wait_time=3)
    assert trio.current_time() == 3
    with pytest.raises(WaitTimeout):
        await client.wait(remote.submitted("901"), max_wait_time=20)
    assert trio.current_time() == 23
    with trio.move_on_after(7):
        await client.wait(remote.submitted("902"))
    assert trio.current_time() == 30
    await client.wait(remote.submitted("1/done"), max_wait_time=4)
    assert trio.current_time() <= 34
    assert slowed


@pytest.mark.parametrize("told", [True, False], ids=["exact", "intervals"])
@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "from submission"])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]
)
async def test_a_steady_stream_of_jobs_is_no_change(
    told: bool, by_id: bool, seed: int, autojump_clock: MockClock
) -> None:
    """However it is waited for, and whatever the server tells of the ends."""
    remote = Remote(tells_ends=told)
    client = VideoTranslationClient(URL, source=remote, rng=random.Random(seed))
    rng = random.Random(f"steady {seed}")
    for number in range(100):
        job = remote.submitted(f"{60 * math.exp(rng.gauss(0, 0.5))}/{number}")
        await client.wait(job.id if by_id else job)
    held = client._learning.durations.statistics()
    assert (held.changes, held.remembered, held.running) == (0, 100, 0)


async def test_jobs_are_followed_from_their_submission(
    autojump_clock: MockClock,
) -> None:
    """Before any of them was polled."""
    remote = Remote()
    client = VideoTranslationClient(URL, source=remote)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(client.wait, remote.submitted(f"60/{number}"))
        await trio.sleep(0.5)
        assert remote.asked == []
        assert client._learning.durations.statistics().running == 20
        nursery.cancel_scope.cancel()


async def test_a_damaged_file_is_told_before_anything_is_asked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """On entering the block, or at the first wait; and it stays as it is."""
    path = tmp_path / "durations.json"
    path.write_text("{")
    source = ScriptedSource("completed")
    client = a_client(source, history=path)
    with pytest.raises(DamagedHistory, match="it is not JSON"):
        await client.wait("j1")
    with pytest.raises(DamagedHistory, match="it is not JSON"):
        async with client:
            raise AssertionError("not reached")
    assert "bare" in repr(client)
    assert source.asked_at == []
    assert path.read_text() == "{"


async def test_cancelling_at_every_step_leaves_a_whole_file(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Whenever the caller gives up: nothing runs on, nothing is followed on."""
    for step in range(1, 60):
        path = tmp_path / f"{step}.json"
        source = ScriptedSource("pending", after(4, "completed"), latency=0.1)
        client = a_client(source, history=path, schedule=Exponential(1, 1.5))
        with trio.CancelScope() as scope:
            async with client:
                await wait_and_cancel(client, scope, step)
        assert source.in_flight == 0
        assert client._learning.durations.statistics().running == 0
        if path.exists():
            assert json.loads(path.read_text())["version"] == 1


async def wait_and_cancel(
    client: VideoTranslationClient, scope: trio.CancelScope, step: int
) -> None:
    """Wait, and cancel the scope when tasks have been run so many times."""

    class Counting(trio.abc.Instrument):
        left = step

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.left -= 1
            if self.left == 0:
                scope.cancel("the test says so")

    counting = Counting()
    trio.lowlevel.add_instrument(counting)
    try:
        seen = Sighting(at=trio.current_time(), run=this_run(), age=0.0)
        job = Job(id="j1", status=JobStatus.PENDING, seen=seen)
        await client.wait(job)
    finally:
        trio.lowlevel.remove_instrument(counting)
