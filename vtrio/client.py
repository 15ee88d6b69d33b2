"""The front door: one client for one translation server."""

from __future__ import annotations

import math
import os
import random
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, assert_never

import trio

from ._arguments import (
    check_api_key,
    check_base_url,
    check_collaborators,
    check_idempotency_key,
    check_key,
    check_schedule,
    check_status_path,
    check_text,
    id_of,
)
from ._callbacks import OnJob, OnUpdate, both, with_word
from ._checks import check_number, shorten
from ._connections import Connections
from ._download import download
from ._errors import (
    JobEnded,
    Refused,
    RemoteError,
    RequestTimedOut,
    VtrioError,
    WaitTimeout,
)
from ._governor import Governor
from ._job import Job, JobStatus
from ._learning import Learning
from ._limits import Limits
from ._names import publish
from ._poller import poll
from ._runs import of_this_run, require_trio, seen_now, submitted_at_of, this_run
from ._session import Deliver, Session, Stop
from ._source import Answer, StatusSource
from ._threads import in_thread
from ._translate_many import TranslatesMany
from ._videos import open_video
from ._watching import a_wait
from .schedules import Exponential, History, Learned, Schedule
from .sources._http import library_of

FinalStatus = Literal["completed", "error", "timeout"]
# Float objects of our own, told apart by identity: whoever passes `schedule` beside a
# backoff parameter is told so even if the value is the default's, and the signature
# still shows plain numbers.
_INITIAL_WAIT_TIME, _BACKOFF_FACTOR, _JITTER = map(float, ("1.0", "2.0", "0.5"))


class VideoTranslationClient(TranslatesMany):
    """Wait for video translation jobs, promptly, with few requests, never too long.

    Used bare, each call opens a connection of its own; as an `async with` block it
    keeps its connections until the block ends. The constructor does no I/O.

    Args:
        base_url: where the server is, such as `http://127.0.0.1:5000`.
        max_attempts: of `get_status`: polls at most, failed ones too; None for no limit.
        max_wait_time: of `get_status`: seconds at most; None for no limit.
        initial_wait_time: of `get_status`: seconds after the first poll.
        backoff_factor: of `get_status`: what each wait is multiplied with for the next.
        jitter: of `get_status`: a uniform draw from ± so many seconds is added to
            each wait, never below 0.
        request_timeout: seconds that one request may take, of `submit` and `download`
            apart, which may be silent for 30 s but take as long as they need.
        status_path: where `get_status` and `wait` ask instead, for servers that
            answer `{"result": WORD}` and know ids: such as `/jobs/{id}/status`.
        api_key: sent as a bearer token, to this server alone.
        schedule: when to ask, for `wait` and `get_status` alike, in place of the
            backoff parameters. Without it, `wait` polls as `Learned()` says.
        http: an `httpx.AsyncClient` or `httpx2.AsyncClient` of your own to send
            requests with; it is never closed.
        source: where to ask for the status instead; see `StatusSource`.
        history: where what the waits have seen of their jobs' durations is kept:
            the name of a file, which is read at the first wait, and written after
            waits that ended in time, as it grows, and when the block ends (of a client
            that is used bare, after each of them); or a `vtrio.schedules.DurationHistory` to
            share with others; or anything else that is a `vtrio.schedules.History`.
            By default it lasts as long as the client.
        governor: limits what all waits together ask of the server; by default the
            client has a `Governor()` of its own. Share one among clients that ask one
            server.
        rng: draws what is random in the waits.

    Raises:
        ValueError: naming the parameter, the value and what is allowed.
    """

    def __init__(
        self,
        base_url: str,
        max_attempts: int | None = 10,
        max_wait_time: float | None = 60,
        initial_wait_time: float = _INITIAL_WAIT_TIME,
        backoff_factor: float = _BACKOFF_FACTOR,
        jitter: float = _JITTER,
        *,
        request_timeout: float = 10.0,
        status_path: str | None = None,
        api_key: str | None = None,
        schedule: Schedule | None = None,
        http: Any = None,
        source: StatusSource | None = None,
        history: History | str | os.PathLike[str] | None = None,
        governor: Governor | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._base_url = check_base_url(base_url)
        self._limits = Limits(
            max_wait_time=max_wait_time,
            max_attempts=max_attempts,
            request_timeout=request_timeout,
        )
        check_number("initial_wait_time", initial_wait_time, least=0)
        check_number("backoff_factor", backoff_factor, least=1)
        check_number("jitter", jitter, least=0)
        if schedule is not None:
            given = {
                "initial_wait_time": (initial_wait_time, _INITIAL_WAIT_TIME),
                "backoff_factor": (backoff_factor, _BACKOFF_FACTOR),
                "jitter": (jitter, _JITTER),
            }
            backoff = {k: v for k, (v, own) in given.items() if v is not own}
            check_schedule(schedule, backoff)
        if status_path is not None:
            check_status_path(status_path)
        check_collaborators(source=source, history=history, rng=rng)
        if governor is not None and not isinstance(governor, Governor):
            raise ValueError(
                f"governor={shorten(governor)} is not allowed: must be a Governor"
            )
        if source is not None and status_path is not None:
            raise ValueError(
                f"status_path={status_path!r} together with a source is not allowed:"
                " must be one or the other, since both say where to ask"
            )
        if http is not None:
            library_of(http)
        self._backoff = Exponential(
            initial_wait_time, backoff_factor, jitter=jitter, from_age=False
        )
        self._learning = Learning(history, schedule)
        self._schedule = None if schedule is None else self._learning.bind(schedule)
        self._learned = self._learning.bind(Learned())
        self._rng = rng if rng is not None else random.Random()
        self._governor = Governor() if governor is None else governor
        self._times = {}
        self._connections = Connections(
            self._base_url,
            api_key=check_api_key(api_key),
            http=http,
            source=source,
            status_path=status_path,
        )
        self._connections.check()

    def __repr__(self) -> str:
        state = "open" if self._connections.are_kept else "bare"
        return f"<VideoTranslationClient {self._base_url} ({state})>"

    async def __aenter__(self) -> Self:
        require_trio()
        await self._learning.load()
        await self._connections.keep()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._learning.close()  # noqa: ASYNC102 - likewise
        finally:
            await self._connections.drop()  # noqa: ASYNC102 - shielded, bounded in there

    async def get_status(
        self, job_id: Job | str | None = None, *, on_update: OnUpdate | None = None
    ) -> FinalStatus:
        """Ask until the job is over or a limit is reached, and say how it ended.

        Asks at once, then after `initial_wait_time * backoff_factor**(k - 1)` plus
        jitter seconds, k the number of polls so far. Returns at `max_wait_time`,
        never later, and never earlier without a final status while attempts are
        left; just before it, one last poll is made.

        Args:
            job_id: the job; None asks `GET {base_url}/status`, of a server that has
                just one.
            on_update: called with the status word of every answer, and awaited if it
                can be. Its time counts; what it raises ends the wait.

        Returns:
            `'completed'`, `'error'` (a cancelled job too) or `'timeout'`.

        Raises:
            Refused: the server will not answer, and asking again would not help.
        """
        require_trio()
        schedule = self._schedule if self._schedule is not None else self._backoff
        verdict = await self._wait(
            "" if job_id is None else id_of(job_id),
            last=None,
            submitted_at=submitted_at_of(job_id),
            schedule=schedule,
            limits=self._limits,
            on_job=with_word(on_update),
        )
        match verdict:
            case Deliver():
                return "completed"
            case Stop(JobEnded()):
                return "error"
            case Stop(WaitTimeout()):
                return "timeout"
            case Stop(error):
                raise error
            case never:
                assert_never(never)

    async def submit(
        self,
        video: str | os.PathLike[str] | IO[bytes],
        to: str,
        *,
        source_language: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Send a video to be translated, and return the job.

        The file is streamed, never read whole. If this is cancelled, or fails with a
        `TransientError`, the server may have taken the job all the same: submitting
        again with the same key (`error.idempotency_key`) gives that job back instead
        of making a second one.

        Args:
            video: a path, or a binary file that can be sought, sent from its beginning.
            to: the target language, such as `pt`.
            source_language: what is spoken in it; None lets the server find out.
            idempotency_key: yours, or a fresh one.

        Raises:
            TransientError: there was no good answer.
            Refused: the server will not take it.
            OSError: the file cannot be read.
        """
        require_trio()
        fields = {"target_language": check_text("to", to)}
        if source_language is not None:
            fields["source_language"] = check_text("source_language", source_language)
        if idempotency_key is None:
            idempotency_key = uuid.uuid4().hex
        key = check_idempotency_key(idempotency_key)
        opened, name = await open_video(video)
        try:
            async with self._connections.translations() as source:
                answer = await source.submit(
                    opened, name=name, fields=fields, idempotency_key=key
                )
        except RemoteError as error:
            error.idempotency_key = key
            raise
        finally:
            if opened is not video:
                opened.close()
        age = 0.0 if answer.age is None else answer.age
        return seen_now(replace(answer, age=age), asked_at=trio.current_time())

    async def get_job(self, job: Job | str) -> Job:
        """Ask once how a job stands.

        Raises:
            TransientError: no good answer this time.
            Refused: there will be none.
        """
        require_trio()
        async with self._connections.asking() as source:
            return await self._once(source.status, id_of(job))

    async def wait(
        self,
        job: Job | str,
        *,
        max_wait_time: float | None = None,
        max_attempts: int | None = None,
        max_silence: float | None = None,
        on_update: OnUpdate | None = None,
        on_job: OnJob | None = None,
        key: str = "",
        work: float | None = None,
    ) -> Job:
        """Wait until the job is over, and return it, with its receipt, if completed.

        Has no limit unless given one. Given a `Job` of this run, it goes on from when
        that was seen; given an id, it asks at once. If cancelled, nothing is left
        behind, and the job runs on: `cancel` ends it, another `wait` takes it up.

        Args:
            job: the job, or its id.
            max_wait_time: seconds from now.
            max_attempts: polls, failed ones too.
            max_silence: seconds without any answer.
            on_update: called with the status word of every answer; see `get_status`.
            on_job: called with the whole `Job` of every answer, likewise.
            key: the class of the job, such as its provider or its languages: durations
                are learned for each class apart.
            work: how much there is to do, such as the seconds of media, where you know
                it and the server does not tell: durations are learned for each unit of
                it as well.

        Raises:
            JobFailed, JobCancelled: the job ended so.
            WaitTimeout: `max_wait_time` or `max_attempts` was reached.
            NoAnswer: `max_silence` was reached.
            Refused: the server will not answer, and asking again would not help.
                Each carries the last `Job` and the `Receipt`.
        """
        require_trio()
        limits = replace(
            self._limits,
            max_wait_time=max_wait_time,
            max_attempts=max_attempts,
            max_silence=max_silence,
        )
        if work is not None:
            check_number("work", work, above=0)
        schedule = self._schedule if self._schedule is not None else self._learned
        callback = both(with_word(on_update), on_job)
        verdict = await self._wait(
            id_of(job),
            last=of_this_run(job),
            submitted_at=None,
            schedule=schedule,
            limits=limits,
            on_job=callback,
            key=check_key(key),
            work=work,
        )
        if isinstance(verdict, Stop):
            raise verdict.error
        return verdict.job

    async def download(
        self,
        job: Job | str,
        path: str | os.PathLike[str],
        *,
        what: Literal["video", "subtitles"] = "video",
        max_silence: float | None = None,
    ) -> Path:
        """Fetch the result of a completed job, and return where it lies.

        Streamed to `path` with `.part` appended, taken up again where it broke, here
        or in a later call, checked for its length, and renamed when whole. If
        cancelled, the part stays.

        Raises:
            ValueError: the job is not completed.
            TransientError: it broke too often without a new byte.
            NoAnswer: no byte came for `max_silence` seconds, if that is given.
            Refused: the server will not give it, or has none.
            OSError: the file cannot be written.
        """
        require_trio()
        if what not in {"video", "subtitles"}:
            raise ValueError(
                f"what={shorten(what)} is not allowed: must be 'video' or 'subtitles'"
            )
        if max_silence is not None:
            check_number("max_silence", max_silence, above=0)
        fetch = partial(
            download,
            rng=self._rng,
            max_silence=math.inf if max_silence is None else max_silence,
        )
        target = Path(path)
        if await in_thread(target.is_dir):
            raise IsADirectoryError(f"{str(target)!r} is a folder; name a file in it")
        if isinstance(job, str):
            job = await self.get_job(job)
        url = _url_of(job, what)
        async with self._connections.translations() as source:
            with _about(job.id, job):
                refusal = None
                try:
                    await fetch(source, url, target, result=f"{what} of {job.id}")
                except Refused as error:
                    refusal = error
                if refusal is not None:
                    # A link may have expired since the job was seen, or in the middle.
                    fresh = await self.get_job(job.id)
                    if fresh.result == job.result:
                        raise refusal
                    url = _url_of(fresh, what)
                    await fetch(source, url, target, result=f"{what} of {job.id}")
        return target

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job on the server, and return it as it then stands.

        A job that has ended already stays as it is.

        Raises:
            TransientError: no good answer; it may be cancelled all the same.
            Refused: the server will not do it.
        """
        require_trio()
        async with self._connections.translations() as source:
            return await self._once(source.cancel, id_of(job))

    async def _once(self, ask: Callable[[str], Awaitable[Answer]], job_id: str) -> Job:
        """Ask a single time, within what one request may take."""
        asked_at = trio.current_time()
        limit = self._limits.request_timeout
        with trio.move_on_after(limit), _about(job_id):
            return seen_now(await ask(job_id), asked_at=asked_at)
        raise RequestTimedOut(
            f"{self._base_url} gave no answer about job {job_id!r} within"
            f" request_timeout={limit:g} s",
            job_id=job_id,
        )

    async def _wait(
        self,
        job_id: str,
        *,
        last: Job | None,
        submitted_at: float | None,
        schedule: Schedule,
        limits: Limits,
        on_job: OnJob | None,
        key: str = "",
        work: float | None = None,
    ) -> Deliver | Stop:
        await trio.lowlevel.checkpoint()
        started_at = trio.current_time()
        limit = limits.max_wait_time
        with trio.move_on_after(math.inf if limit is None else limit):
            await self._learning.load()
        session = Session(
            job_id=job_id,
            schedule=schedule,
            limits=limits,
            started_at=started_at,
            last=last,
            submitted_at=submitted_at,
            key=key,
            work=work,
            phase=0.0 if schedule is self._backoff else self._rng.random(),
            run=this_run(),
        )
        with a_wait(session):
            async with self._connections.asking(has_id=bool(job_id)) as source:
                lesson = self._learning.begin(session)
                try:
                    verdict = await poll(
                        source,
                        session,
                        rng=self._rng,
                        governor=self._governor,
                        on_job=both(lesson.hear, on_job),
                    )
                finally:
                    lesson.over()
            # Not where a wait is cancelled or out of time: it must not end any later.
            # Who uses the client bare never says that it was the last one.
            await self._learning.save(
                before=session.deadline, everything=not self._connections.are_kept
            )
        return verdict


@contextmanager
def _about(job_id: str, job: Job | None = None) -> Iterator[None]:
    """Let errors say which job they are about."""
    try:
        yield
    except VtrioError as error:
        error.job_id = job_id
        error.job = job
        raise


def _url_of(job: Job, what: str) -> str:
    if job.status is not JobStatus.COMPLETED:
        raise ValueError(
            f"job={job.id!r} is {job.status} and has no {what} yet: must be completed;"
            " wait for it first"
        )
    result = job.result
    url = None
    if result is not None:
        url = result.video_url if what == "video" else result.subtitles_url
    if url is None:
        raise Refused(
            f"job {job.id!r} is completed, but the server has no {what} of it",
            job_id=job.id,
        )
    return url


publish(VideoTranslationClient)
