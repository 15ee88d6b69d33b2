"""The client's way to translate many videos: one block that owns all that runs in it."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Self

import trio

from ._arguments import check_text
from ._callbacks import OnJob, OnStall
from ._checks import check_count, shorten
from ._many import OnExit, Updates, WaitsForMany
from ._names import publish
from ._pipeline import OnSubmit, Order, Pipeline, Translator, Way
from ._runs import require_trio
from ._scopes import beside
from ._submissions import Submissions
from ._threads import in_thread
from ._token import WaitToken
from ._translation import Translation, TranslationStatistics, Video


class Translations:
    """Translations of many videos, as each is whole; see `translate_many`."""

    def __init__(
        self,
        pipeline: Pipeline,
        channel: trio.MemoryReceiveChannel[tuple[Way, Translation]],
        *,
        stop_on_failure: bool,
    ) -> None:
        self._pipeline = pipeline
        self._channel = channel
        self._stop_on_failure = stop_on_failure
        self._failures: list[Exception] = []

    def __repr__(self) -> str:
        held = self.statistics()
        return (
            f"<Translations: {held.taken} taken, {held.waiting} waiting,"
            f" {held.completed} completed, {held.failed} failed>"
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Translation:
        try:
            way, translation = await self._channel.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        self._pipeline.was_taken(way, translation)
        if translation.exception is not None:
            self._failures.append(translation.exception)
            if self._stop_on_failure:
                raise translation.exception
        return translation

    def raise_failures(self) -> None:
        """Raise the exceptions of all translations that were taken and have one.

        Does nothing if there are none.

        Raises:
            ExceptionGroup: of them all; each has a note that names its video.
        """
        if self._failures:
            raise ExceptionGroup(
                f"{len(self._failures)} videos were not translated", self._failures
            )

    def statistics(self) -> TranslationStatistics:
        """Return how it stands at this moment."""
        return self._pipeline.statistics()

    def token(self) -> WaitToken:
        """Return what was submitted and is not whole, as plain JSON; also after the block.

        What `client.watch` and `client.as_completed` take up, and `vtrio wait --resume
        FILE`, which fetches the results as well: beside what is in the token of a wait,
        each job has a `video`, the name of its file, and an `output`, the place for its
        result. Jobs whose translations nobody has taken are among them.
        """
        return self._pipeline.token()


class TranslatesMany(WaitsForMany):
    """The part of a client that translates many videos."""

    def translate_many(
        self: Translator,
        videos: Iterable[Video],
        *,
        to: str,
        into: str | os.PathLike[str] | None,
        source_language: str | None = None,
        max_wait_time: float | None = None,
        max_total_time: float | None = None,
        max_silence: float | None = None,
        max_queue_time: float | None = None,
        max_run_time: float | None = None,
        uploads_at_once: int = 4,
        downloads_at_once: int = 4,
        subtitles: bool = True,
        on_submit: OnSubmit | None = None,
        on_job: OnJob | None = None,
        on_stall: OnStall | None = None,
        stop_on_failure: bool = False,
        on_exit: OnExit = "leave",
    ) -> AbstractAsyncContextManager[Translations]:
        """Submit many videos, wait for their jobs, and fetch the results.

            async with client.translate_many(paths, to="pt", into="out") as translations:
                async for translation in translations:
                    print(translation.result())

        The translations come in the order in which they are whole. What goes wrong with
        one video is its translation's exception, and no other's; all have one, those
        too that there was no time left to submit. While nobody takes the translations,
        hardly anything more is submitted. Leaving the block ends all that runs in it,
        whatever the reason; if it is cancelled, the body is first, and what the block
        runs after it. A submission that is cut off then may have made a job all the
        same.

        Args:
            videos: paths, or binary files that can be sought, taken when their turn
                comes. Where there are two whose results would have one place, that is a
                `ValueError`: before anything is submitted, if this is a list or another
                collection, and otherwise when the second one is taken.
            to: the target language, such as `pt`.
            into: the folder for the results, made if it is not there: `talk.pt.mp4` for
                `talk.mp4`, and `talk.pt.vtt`. None for the folder of each video. What
                has such a name already is replaced.
            source_language: what is spoken in them; None lets the server find out.
            max_wait_time: seconds for each job, from its submission.
            max_total_time: seconds for all, from the beginning of the block.
            max_silence: seconds without any answer, after which all have `NoAnswer`.
            max_queue_time: seconds that a job may wait in the queue before it is
                reported as stalled; see `as_completed`.
            max_run_time: likewise, of the work on it.
            uploads_at_once: videos that are submitted at a time. One whose answer is
                lost is submitted again, with the same key, for half a minute.
            downloads_at_once: results that are fetched at a time.
            subtitles: whether the subtitles are fetched as well.
            on_submit: called with the video and its job when the server has taken it,
                and awaited if it can be. What a callback raises ends the block.
            on_job: called with the job at each change of its status, likewise.
            on_stall: called with a `Stall`, once a phase; the wait goes on.
            stop_on_failure: whether the first translation that has an exception raises
                it from the iteration, as it is.
            on_exit: what becomes of jobs that still run when the block ends; see
                `as_completed`.

        Raises:
            ValueError: naming the parameter, the value and what is allowed.
            OSError: the folder cannot be made.
        """
        return _open_translations(
            self,
            videos,
            to=to,
            into=into,
            source_language=source_language,
            max_wait_time=max_wait_time,
            max_total_time=max_total_time,
            max_silence=max_silence,
            max_queue_time=max_queue_time,
            max_run_time=max_run_time,
            uploads_at_once=uploads_at_once,
            downloads_at_once=downloads_at_once,
            subtitles=subtitles,
            on_exit=on_exit,
            on_submit=on_submit,
            on_job=on_job,
            on_stall=on_stall,
            stop_on_failure=stop_on_failure,
        )


def _open_translations(
    client: Translator,
    videos: Iterable[Video],
    *,
    to: str,
    into: str | os.PathLike[str] | None,
    source_language: str | None,
    max_wait_time: float | None,
    max_total_time: float | None,
    max_silence: float | None,
    max_queue_time: float | None,
    max_run_time: float | None,
    uploads_at_once: int,
    downloads_at_once: int,
    subtitles: bool,
    on_exit: OnExit,
    on_submit: OnSubmit | None,
    on_job: OnJob | None,
    on_stall: OnStall | None,
    stop_on_failure: bool,
) -> AbstractAsyncContextManager[Translations]:
    """Check what `translate_many` is given, and make its block."""
    if isinstance(videos, (str, bytes, os.PathLike)) or hasattr(videos, "read"):
        raise ValueError(
            f"videos={shorten(videos)} is not allowed: must be many, such as a list of"
            " paths"
        )
    check_text("to", to)
    if Path(to).name != to:
        raise ValueError(
            f"to={shorten(to)} is not allowed: must be fit for the name of a file"
        )
    if source_language is not None:
        check_text("source_language", source_language)
    check_count("uploads_at_once", uploads_at_once)
    check_count("downloads_at_once", downloads_at_once)
    watch = client.watch(
        max_wait_time=max_wait_time,
        max_total_time=max_total_time,
        max_silence=max_silence,
        max_queue_time=max_queue_time,
        max_run_time=max_run_time,
        stay_open=True,
        on_exit=on_exit,
    )
    order = Order(
        videos=videos,
        to=to,
        into=None if into is None else Path(into),
        max_total_time=math.inf if max_total_time is None else max_total_time,
        max_silence=max_silence,
        uploads_at_once=uploads_at_once,
        downloads_at_once=downloads_at_once,
        subtitles=subtitles,
        on_submit=on_submit,
        on_job=on_job,
        on_stall=on_stall,
    )
    submissions = Submissions(
        client.submit, to=to, source_language=source_language, max_silence=max_silence
    )
    return _open(client, watch, order, submissions, stop_on_failure=stop_on_failure)


@asynccontextmanager
async def _open(
    client: Translator,
    watch: AbstractAsyncContextManager[Updates],
    order: Order,
    submissions: Submissions,
    *,
    stop_on_failure: bool,
) -> AsyncIterator[Translations]:
    require_trio()
    give_up_at = trio.current_time() + order.max_total_time
    await in_thread(order.prepare)
    async with watch as updates:
        send, channel = trio.open_memory_channel[tuple[Way, Translation]](0)
        pipeline = Pipeline(
            client, updates, submissions, send, order=order, give_up_at=give_up_at
        )
        block = Translations(pipeline, channel, stop_on_failure=stop_on_failure)
        with send, channel:
            async with beside(pipeline.run, name="vtrio: translate many videos"):
                yield block


publish(Translations)
