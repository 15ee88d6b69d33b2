"""The public interface, as two type checkers read it; nothing here is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import httpx
import httpx2
import pytest

import vtrio
from vtrio import (
    Answer,
    Capabilities,
    Exponential,
    Fixed,
    Job,
    JobStatus,
    Learned,
    Receipt,
    Schedule,
    StatusSource,
    Translation,
    Translations,
    TranslationStatistics,
    VideoTranslationClient,
    VtrioError,
)
from vtrio.schedules import DurationHistory, Observation, PollState
from vtrio.testing import (
    Exchange,
    Invariants,
    Kind,
    Reply,
    ScriptedJob,
    ScriptedServer,
    ScriptedSource,
    after,
    drawn,
    job,
    refused,
    respond,
)
from vtrio.testing.contracts import ScheduleContract, SourceUnderTest


class MySchedule:
    """A schedule of a user's own."""

    def delay(self, state: PollState) -> float:
        """Wait a tenth of the age."""
        return state.age / 10


class MySource:
    """A source of a user's own."""

    @property
    def capabilities(self) -> Capabilities:
        """Say that it can do nothing beyond `status`."""
        return Capabilities()

    async def status(self, job_id: str) -> Answer:
        """Answer always alike."""
        return Answer(job=Job(id=job_id, status=JobStatus.RUNNING))


def values() -> None:
    """Settings are values, and protocols are fulfilled by shape."""
    schedules: list[Schedule] = [Fixed(5), Exponential(1, 1.5, cap=20), MySchedule()]
    history = DurationHistory()
    history.observe(Observation(after=1, until=2))
    schedules += [Learned(), Learned(history=history, requests_per_job=5)]
    source: StatusSource = MySource()
    VideoTranslationClient("http://host", schedule=schedules[0], source=source)
    VideoTranslationClient("http://host", history=history)
    VideoTranslationClient("http://host", history="durations.json")
    VideoTranslationClient("http://host", history=Path("durations.json"))
    VideoTranslationClient("http://host", http=httpx.AsyncClient())
    VideoTranslationClient("http://host", http=httpx2.AsyncClient())
    assert_type(vtrio.__version__, str)


async def later(word: str) -> None:
    """Be an async callback."""


async def calls(client: VideoTranslationClient) -> None:
    """Every call of the client, and what it returns."""
    async with client as same:
        assert_type(same, VideoTranslationClient)
    final = await client.get_status(on_update=print)
    if final == "completed":
        await client.get_status("j1", on_update=later)
    job = await client.submit("talk.mp4", to="pt")
    assert_type(job, Job)
    assert_type(await client.wait(job, max_wait_time=60, on_job=print), Job)
    assert_type(await client.wait(job, key="pt", work=66.0), Job)
    assert_type(await client.get_job(job.id), Job)
    assert_type(await client.cancel(job), Job)
    assert_type(await client.download(job, Path("out.mp4")), Path)


async def many_videos(client: VideoTranslationClient) -> None:
    """What `translate_many` gives."""
    async with client.translate_many(
        ["a.mp4", Path("b.mp4")], to="pt", into="out", on_submit=print, on_job=print
    ) as translations:
        assert_type(translations, Translations)
        async for translation in translations:
            assert_type(translation, Translation)
            assert_type(translation.result(), Path)
        assert_type(translations.statistics(), TranslationStatistics)
        assert_type(translations.token(), dict[str, Any])
    translations.raise_failures()


def errors(error: VtrioError) -> None:
    """What every error carries."""
    assert_type(error.job_id, str | None)
    assert_type(error.job, Job | None)
    assert_type(error.receipt, Receipt | None)


class TestMySchedule(ScheduleContract):
    """A suite over a schedule of a user's own."""

    @pytest.fixture
    def schedule(self) -> Schedule:
        """Make it."""
        return MySchedule()


def own_answer(exchange: Exchange) -> Reply:
    """Answer in a way of the test's own."""
    return respond(418, json={"asked": exchange.path})


def kit() -> None:
    """What a test scripts, and what it reads off."""
    server = ScriptedServer(latency=0.1)
    talk = server.add(job("pending", after(5, "running", progress=0.5)), optional=True)
    assert_type(talk, ScriptedJob)
    server.on_submit(job("pending", refused(), "completed"), drawn("genai", seed=1))
    server.fault(refused(), at=60, lasting=120, about=talk)
    server.route(own_answer, path="/tea", times=1)
    server.allowance(rate=50, burst=10)
    server.expire_cursors()
    assert_type(server.cut_off("feed", refused()), int)
    assert_type(server.requests[Kind.BATCH], int)
    ScriptedServer(lists=False, holds=False, feed=False, keep_events=9, record=False)
    assert_type(server.client(max_attempts=3), VideoTranslationClient)
    assert_type(server.asked_at, list[float])
    assert_type(server.exchanges, tuple[Exchange, ...])
    with Invariants(server) as invariants:
        assert_type(invariants, Invariants)
    source = ScriptedSource("pending", after(20, "completed"), latency=0.1)
    SourceUnderTest(source=source, jobs={"pending": "j1"})
