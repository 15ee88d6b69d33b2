"""The suites that the kit ships, over all that claims to be one of its kind here."""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import trio

from vtrio import Exponential, Fixed, JobNotFound, Learned, Schedule, Unreachable
from vtrio.schedules import DurationHistory, Observation
from vtrio.server import ServerSettings, Serving, serve
from vtrio.server.engines import EngineError, Progress, Task, Translation
from vtrio.sources import ResultWordSource, StatusSource, TranslationsSource
from vtrio.sources._http import HttpEdge
from vtrio.testing import (
    URL,
    ScriptedServer,
    ScriptedSource,
    after,
    job,
    refused,
)
from vtrio.testing.contracts import (
    ScheduleContract,
    ServerUnderTest,
    SourceContract,
    SourceUnderTest,
    WireContract,
)

VIDEO = b"a video"


def learned(**settings: Any) -> Learned:
    """Make a schedule that has learned from thirty jobs."""
    history = DurationHistory()
    for number in range(30):
        history.observe(Observation(after=20.0 + number, until=21.0 + number))
    return Learned(history=history, **settings)


SCHEDULES = {
    "fixed": Fixed(7),
    "exponential": Exponential(1, 2, jitter=0.5),
    "exponential with a cap": Exponential(0.1, 1.5, cap=20),
    "learned, nothing yet": Learned(history=DurationHistory()),
    "learned, unbound": Learned(),
    "learned": learned(),
    "learned, by budget": learned(requests_per_job=5),
    "learned, within limits": learned(floor=2, ceiling=10, spread=1),
}


class TestSchedules(ScheduleContract):
    """All of ours."""

    @pytest.fixture(params=list(SCHEDULES.values()), ids=list(SCHEDULES))
    def schedule(self, request: pytest.FixtureRequest) -> Schedule:
        """Each of them."""
        schedule: Schedule = request.param
        return schedule


class ByLanguage:
    """An engine that completes, fails or goes on for ever, as the language says."""

    name = "by-language"

    def check(self, target_language: str, source_language: str | None) -> None:
        """Take every language."""

    async def translate(
        self, task: Task, report: Callable[[Progress], None]
    ) -> Translation:
        """Do as the language says."""
        if task.target_language == "it":
            await trio.sleep_forever()
        if task.target_language == "fr":
            raise EngineError("no-french", "There is no French", permanent=True)
        video, subtitles = task.folder / "out.mp4", task.folder / "out.vtt"
        video.write_bytes(task.source.read_bytes())
        subtitles.write_text("WEBVTT\n")
        return Translation(video=video, subtitles=subtitles)


@contextlib.asynccontextmanager
async def a_real_server(folder: Path) -> AsyncIterator[ServerUnderTest]:
    """Serve over a socket; one job runs, one is completed, one has failed."""
    languages = {"running": "it", "completed": "pt", "error": "fr"}
    jobs: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        settings = ServerSettings(port=0, data_dir=folder, workers=8)
        serving: Serving = await nursery.start(
            partial(serve, ByLanguage(), settings, stop=trio.Event())
        )
        async with httpx.AsyncClient(base_url=serving.url) as http:
            for word, language in languages.items():
                answer = await http.post(
                    "/v1/translations",
                    files={"video": ("v.mp4", VIDEO)},
                    data={"target_language": language},
                )
                path, jobs[word] = answer.headers["Location"], answer.json()["id"]
                with trio.fail_after(10):
                    while (await http.get(path)).json()["status"] != word:  # noqa: ASYNC110 - it is polling
                        await trio.sleep(0.005)
            yield ServerUnderTest(url=serving.url, http=http, jobs=jobs)
        nursery.cancel_scope.cancel("the test is over")


def a_scripted_server(library: ModuleType) -> tuple[ScriptedServer, ServerUnderTest]:
    """Script the same."""
    scripted = ScriptedServer(
        retry_after=1, status_path="/jobs/{id}/status", feed_streams=True
    )
    scripted.on_submit(*[job("pending", after(0.05, "completed"))] * 9)
    jobs = {
        "running": scripted.add(job("pending", after(0, "running")), id="r").id,
        "completed": scripted.add(
            job("running", after(3, "completed")), age=60, video=VIDEO
        ).id,
        "error": scripted.add(job("running", after(3, "error")), age=60).id,
    }
    http = scripted.http(library)
    return scripted, ServerUnderTest(url=URL, http=http, jobs=jobs)


class TestWire(WireContract):
    """The real server over a socket and the scripted one alike."""

    @pytest.fixture(params=["real", "scripted, httpx", "scripted, httpx2"])
    async def server(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncIterator[ServerUnderTest]:
        """Each of them."""
        if request.param == "real":
            async with a_real_server(tmp_path / "server") as real:
                yield real
            return
        library = pytest.importorskip(request.param.rpartition(" ")[2])
        scripted, server = a_scripted_server(library)
        yield server
        assert scripted.in_flight == 0


SOURCES = {
    "documents, real": (TranslationsSource, "real"),
    "documents, scripted": (TranslationsSource, "scripted"),
    "words, scripted": (
        partial(ResultWordSource, path="/jobs/{id}/status"),
        "scripted",
    ),
}


class TestSources(SourceContract):
    """Both of ours, over the real server and the scripted one."""

    @pytest.fixture(params=list(SOURCES.values()), ids=list(SOURCES))
    async def remote(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncIterator[SourceUnderTest]:
        """Each of them."""
        source_over, where = request.param
        down = ScriptedServer()
        down.fault(refused())
        async with contextlib.AsyncExitStack() as stack:
            requests = None
            if where == "real":
                folder = tmp_path / "server"
                server = await stack.enter_async_context(a_real_server(folder))
            else:
                scripted, server = a_scripted_server(httpx)
                requests = partial(_count, scripted)
            edge = await stack.enter_async_context(
                HttpEdge(server.url, http=server.http)
            )
            jobs = dict(server.jobs)
            if source_over is not TranslationsSource:
                # That form has no word for it.
                jobs["pending"] = jobs.pop("running")
            yield SourceUnderTest(
                source=source_over(edge),
                jobs=jobs,
                unknown="nobody",
                unreachable=source_over(HttpEdge(URL, http=down.http())),
                change=partial(_submit, TranslationsSource(edge)),
                requests=requests,
            )


async def _submit(source: TranslationsSource) -> str:
    """Make a job, which runs for ever or until it is asked about."""
    answer = await source.submit(
        io.BytesIO(VIDEO),
        name="v.mp4",
        fields={"target_language": "it"},
        idempotency_key=uuid.uuid4().hex,
    )
    return answer.job.id


def _count(scripted: ScriptedServer) -> int:
    """Count its requests."""
    return len(scripted.exchanges)


class TestScriptedSource(SourceContract):
    """The one that needs no server."""

    @pytest.fixture(params=["pending", "running", "completed", "error", "cancelled"])
    def remote(self, request: pytest.FixtureRequest) -> SourceUnderTest:
        """A job in each status."""
        return SourceUnderTest(
            source=ScriptedSource(request.param),
            jobs={request.param: "j1"},
            unreachable=ScriptedSource(Unreachable("refused")),
        )


class TestScriptedSourceOfNothing(SourceContract):
    """One that knows its job, and no other."""

    class Knowing(ScriptedSource):
        """Refuses other ids."""

        async def status(self, job_id: str) -> Any:
            """Look at the id first."""
            if job_id != "j1":
                raise JobNotFound("there is no such job", status_code=404)
            return await super().status(job_id)

    @pytest.fixture
    def remote(self) -> SourceUnderTest:
        """It runs."""
        source: StatusSource = self.Knowing("running")
        return SourceUnderTest(source=source, jobs={"running": "j1"}, unknown="j2")
