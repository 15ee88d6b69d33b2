"""The way of many videos: submitted, waited for and fetched, a few at a time.

Three stages, each with its tasks, however many videos there are: some submit, which take
one video after the other; one hears what becomes of the jobs, from a single wait for all
of them (`_many`); some fetch results. While nobody takes the translations, results pile up
to a limit, after which nothing more is submitted and little is asked.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import trio

from ._bell import Bell
from ._callbacks import OnJob, OnStall, tell
from ._checks import shorten
from ._errors import BadAnswer, GaveUp, TransientError, VtrioError, WaitTimeout
from ._job import Job
from ._many import Updates
from ._outcomes import Outcome
from ._places import Places, path_of, result_name, subtitles_of
from ._submissions import Submissions
from ._token import WaitToken
from ._translation import Translation, TranslationStatistics, Video

OnSubmit = Callable[[Video, Job], Awaitable[object] | object]

# Results that wait to be fetched before no further videos are submitted. So many, and not
# none, so that a failure is heard of while results are being fetched.
MOST_UNFETCHED = 100


class Translator(Protocol):
    """What a client does for one video."""

    def watch(self, *args: Any, **terms: Any) -> Any: ...

    async def submit(
        self,
        video: Video,
        to: str,
        *,
        source_language: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job: ...

    async def download(
        self,
        job: Job | str,
        path: str | os.PathLike[str],
        *,
        what: Literal["video", "subtitles"] = "video",
        max_silence: float | None = None,
    ) -> Path: ...


@dataclass(slots=True, eq=False)
class Way:
    """One video on its way."""

    video: Video
    name: str
    output: Path
    job: Job | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done; the arguments, checked."""

    videos: Iterable[Video]
    to: str
    into: Path | None
    max_total_time: float
    max_silence: float | None
    uploads_at_once: int
    downloads_at_once: int
    subtitles: bool
    on_submit: OnSubmit | None
    on_job: OnJob | None
    on_stall: OnStall | None

    def ways(self) -> Iterator[Way]:
        """Give one video after the other, with the place for its result.

        Raises:
            ValueError: its result cannot have a place of its own.
        """
        places = Places()
        for number, video in enumerate(self.videos, 1):
            source = path_of(video)
            if source is None and self.into is None:
                raise ValueError(
                    f"into=None is not allowed with video={shorten(video)}: must be a"
                    " folder, since it is not known where that lies"
                )
            path = source or Path(f"video-{number}.mp4")
            folder = path.parent if self.into is None else self.into
            output = folder / result_name(path, self.to)
            taken = places.take(output, source)
            if taken is not None:
                raise ValueError(
                    f"video={shorten(video)} is not allowed: must have a result in a"
                    f" place of its own, and {str(taken)!r} is another file's"
                )
            yield Way(video, path.name, output)

    def prepare(self) -> None:
        """Make the folder, and look at all videos if they are there to be looked at.

        Raises:
            ValueError: two of them would give one place.
            OSError: the folder cannot be made.
        """
        if isinstance(self.videos, Collection):
            for _ in self.ways():
                pass
        if self.into is not None:
            self.into.mkdir(parents=True, exist_ok=True)


class Pipeline:
    """The three stages."""

    def __init__(
        self,
        client: Translator,
        updates: Updates,
        submissions: Submissions,
        send: trio.MemorySendChannel[tuple[Way, Translation]],
        *,
        order: Order,
        give_up_at: float,
    ) -> None:
        self._client = client
        self._updates = updates
        self._submissions = submissions
        self._send = send
        self._order = order
        self._give_up_at = give_up_at
        self._ways: dict[str, Way] = {}
        """Those whose jobs are on the server, and whose translations nobody has taken."""
        self._coming = order.ways()
        self._unfetched = 0
        self._taken = self._submitting = self._completed = self._failed = 0
        self._room = Bell()

    async def run(self) -> None:
        """Translate all videos, and close the channel when all is told."""
        order = self._order
        send, receive = trio.open_memory_channel[Way](MOST_UNFETCHED)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, send, name="vtrio: hear of many")
            with receive:
                for _ in range(order.downloads_at_once):
                    nursery.start_soon(
                        self._fetch, receive.clone(), name="vtrio: fetch"
                    )
            async with trio.open_nursery() as submitting:
                for _ in range(order.uploads_at_once):
                    submitting.start_soon(self._submit, name="vtrio: submit")
            self._updates.close()
        # Not where it fails: then the body is cancelled, and must not take what it has
        # got for all there is.
        self._send.close()

    # --- submitting ---------------------------------------------------------------

    async def _submit(self) -> None:
        """Submit one video after the other, until there are none left."""
        while True:
            while self._unfetched >= MOST_UNFETCHED:
                await self._room.heard()
            way = next(self._coming, None)
            if way is None:
                return
            self._taken += 1
            self._submitting += 1
            try:
                error = await self._submit_one(way)
            finally:
                self._submitting -= 1
            if error is not None:
                await self._tell(way, exception=error)
            elif self._order.on_submit is not None and way.job is not None:
                await tell(partial(self._order.on_submit, way.video), way.job)

    async def _submit_one(self, way: Way) -> Exception | None:
        """Submit a video and begin to wait for its job, or return what is wrong."""
        try:
            with trio.move_on_at(self._give_up_at):
                job = await self._submissions.submit(way.video)
                if job.id in self._ways:
                    return BadAnswer(
                        f"the server gave the job {job.id!r} to another video before",
                        job_id=job.id,
                    )
                way.job = job
                self._ways[job.id] = way
                self._updates.add(job)
                return None
        except (VtrioError, OSError, ValueError) as error:
            return error
        return WaitTimeout(
            f"{way.name} was not submitted within max_total_time="
            f"{self._order.max_total_time:g} s; submit it again, with more time"
        )

    # --- waiting --------------------------------------------------------------------

    async def _listen(self, send: trio.MemorySendChannel[Way]) -> None:
        """Hear what becomes of the jobs, and have results fetched."""
        order = self._order
        with send:
            async for update in self._updates:
                if update.stall is not None:
                    if order.on_stall is not None:
                        await tell(order.on_stall, update.stall)
                    continue
                job, outcome = update.job, update.outcome
                is_change = job is not None and (outcome is None or job.is_final)
                if job is not None and is_change and order.on_job is not None:
                    await tell(order.on_job, job)
                way = self._ways[update.job_id]
                way.job = job or way.job
                if outcome is None:
                    continue
                way.outcome = outcome
                if outcome.exception is not None:
                    await self._tell(way, exception=outcome.exception)
                else:
                    self._submissions.note_answer()
                    self._unfetched += 1
                    await send.send(way)

    # --- fetching -------------------------------------------------------------------

    async def _fetch(self, receive: trio.MemoryReceiveChannel[Way]) -> None:
        """Fetch one result after the other, until there will be none."""
        with receive:
            async for way in receive:
                subtitles, error = await self._fetch_one(way)
                self._unfetched -= 1
                self._room.ring()
                if error is not None:
                    await self._tell(way, exception=error)
                else:
                    await self._tell(way, path=way.output, subtitles=subtitles)

    async def _fetch_one(self, way: Way) -> tuple[Path | None, Exception | None]:
        """Fetch a result; return where its subtitles lie, or what is wrong."""
        job, order = way.job, self._order
        assert job is not None  # noqa: S101 - it is completed
        fetch = partial(self._client.download, job, max_silence=order.max_silence)
        try:
            with trio.move_on_at(self._give_up_at):
                await fetch(way.output)
                result = job.result
                if not order.subtitles or result is None or not result.subtitles_url:
                    return None, None
                beside_it = subtitles_of(way.output)
                await fetch(beside_it, what="subtitles")
                return beside_it, None
        except (VtrioError, OSError) as error:
            return None, error
        late = WaitTimeout(
            f"the result of job {job.id!r} was not fetched within max_total_time="
            f"{order.max_total_time:g} s; download it, which goes on where this ended",
            job_id=job.id,
            job=job,
        )
        return None, late

    # --- telling --------------------------------------------------------------------

    async def _tell(
        self,
        way: Way,
        *,
        path: Path | None = None,
        subtitles: Path | None = None,
        exception: Exception | None = None,
    ) -> None:
        """Hand over a translation, when somebody takes it."""
        if exception is None:
            self._completed += 1
        else:
            self._failed += 1
            exception.add_note(f"while {way.name} was translated")
        translation = Translation(
            video=way.video,
            job=way.job,
            receipt=None if way.outcome is None else way.outcome.receipt,
            path=path,
            subtitles=subtitles,
            exception=exception,
        )
        await self._send.send((way, translation))

    def was_taken(self, way: Way, translation: Translation) -> None:
        """Take in that somebody knows of a translation; what can be gone on with stays."""
        error = translation.exception
        goes_on = isinstance(error, (GaveUp, TransientError, OSError))
        if way.job is not None and not goes_on:
            self._ways.pop(way.job.id, None)

    def statistics(self) -> TranslationStatistics:
        """Return how it stands."""
        waits = self._updates.statistics()
        return TranslationStatistics(
            taken=self._taken,
            submitting=self._submitting,
            waiting=waits.waiting,
            fetching=self._unfetched,
            completed=self._completed,
            failed=self._failed,
            requests=waits.requests,
            rung=waits.rung,
        )

    def token(self) -> WaitToken:
        """Write down what can be gone on with."""
        token = self._updates.token()
        waited = {job["id"]: job for job in token["jobs"]}
        jobs = []
        for job_id, way in self._ways.items():
            is_completed = way.outcome is not None and way.outcome.exception is None
            if is_completed:
                job = {"id": job_id, "age": None, "status": None}
            elif job_id in waited:
                job = waited[job_id]
            else:
                continue  # it was cancelled, or has ended otherwise
            jobs.append(
                {**job, "video": way.name, "output": str(way.output.absolute())}
            )
        return {**token, "jobs": jobs}
