"""What each command does: hand the work to the client, show it, say how it ended."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from .._errors import DamagedHistory, GaveUp, JobNotFound, VtrioError, WaitTimeout
from .._job import Job, JobStatus
from .._places import subtitles_of
from ..client import VideoTranslationClient
from ..schedules import Exponential, Learned
from .drawing import Drawing, document_of, open_drawing, printable
from .exits import Exit, exit_of, told
from .outputs import outputs_of_files, outputs_of_ids
from .parser import UsageError

# The library's waits go on whatever happens; somebody who sits in front of a command
# line wants to know that nobody is there.
PATIENCE = 30.0
# Uploads share one line to the server; more at once make none of them faster.
UPLOADS_AT_ONCE = 4
# So many jobs have a bar each, which tells how far they are because each is asked about.
# Beyond that they are waited for together, and told of as a crowd.
FEW = 8
# Seconds for cancelling what is left, when that was chosen.
CANCEL_TIME = 5.0
# Somebody who waits for a single video has nothing to learn from, and sits there.
COLD = Exponential(1, 1.5, cap=20)


def run_translate(options: argparse.Namespace) -> int:
    """Submit files, wait for them, and fetch what is made of them."""
    outputs = outputs_of_files(options)
    if len(outputs) > FEW:
        from .many import TranslateMany

        return run_trio(TranslateMany(options, outputs).run)
    return run_trio(partial(_translate, options, outputs))


def run_wait(options: argparse.Namespace) -> int:
    """Wait for jobs, and fetch what they made."""
    if options.resume is not None:
        from .many import run_resume

        return run_resume(options)
    outputs = outputs_of_ids(options)
    if len(outputs) > FEW:
        from .many import WaitForMany

        return run_trio(WaitForMany(options, list(outputs), outputs).run)
    return run_trio(partial(_wait, options, list(outputs.items())))


def run_status(options: argparse.Namespace) -> int:
    """Tell how jobs stand."""
    return run_trio(partial(_ask_each, options, VideoTranslationClient.get_job))


def run_cancel(options: argparse.Namespace) -> int:
    """Cancel jobs."""
    return run_trio(partial(_ask_each, options, VideoTranslationClient.cancel))


def run_trio(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command under trio; what ends it from outside comes out in no group."""
    status = 0
    ended: BaseException | None = None
    try:
        status = trio.run(command)
    except* KeyboardInterrupt:
        ended = KeyboardInterrupt()
    except* BrokenPipeError:
        ended = BrokenPipeError()
    if ended is not None:
        raise ended
    return status


@asynccontextmanager
async def open_client(
    options: argparse.Namespace, *, history: str | None = None
) -> AsyncIterator[VideoTranslationClient]:
    """Open the client that the options describe.

    Raises:
        UsageError: the history cannot be used.
    """
    client = VideoTranslationClient(
        options.base_url,
        api_key=options.api_key,
        schedule=Learned(cold=COLD),
        history=history,
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(client)
        except DamagedHistory as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(
                f"history={history!r} is not allowed: must be a file that can be read"
                f" ({error.strerror})"
            ) from None
        yield client


class Errand:
    """One job on its way through a command, up to its result."""

    def __init__(
        self,
        client: VideoTranslationClient,
        drawing: Drawing,
        *,
        name: str,
        output: Path | None,
        options: argparse.Namespace,
        uploads: trio.CapacityLimiter | None = None,
    ) -> None:
        self._client = client
        self._uploads = uploads or trio.CapacityLimiter(UPLOADS_AT_ONCE)
        self._drawing = drawing
        self._name = name
        self._output = output
        self._options = options
        self.job_id = ""
        self.exit = Exit.INTERRUPTED  # until it is known to be otherwise
        self._gave_up = False
        self._is_gone = False  # because it was cancelled here
        self._is_told = False

    async def translate(self, file: Path) -> None:
        """Submit a file, and see the job through."""
        try:
            async with self._uploads:
                job = await self._client.submit(
                    file,
                    self._options.to,
                    source_language=self._options.source_language,
                )
        except VtrioError as error:
            self._note(error)
            return
        except BrokenPipeError:
            raise  # whoever read our output has left
        except OSError as error:
            self._note(error)
            return
        self._drawing.submitted(job, self._name)
        await self.see_through(job)

    async def see_through(self, job: Job | str) -> None:
        """Wait for a job, and fetch what it made."""
        self.job_id = job if isinstance(job, str) else job.id
        try:
            done = await self._client.wait(
                job,
                max_wait_time=self._options.max_wait,
                max_silence=PATIENCE,
                on_job=lambda seen: self._drawing.changed(seen, self._name),
            )
            if self._output is not None:
                await fetch(
                    self._client, self._drawing, done, self._output, name=self._name
                )
        except VtrioError as error:
            self._note(error)
        except BrokenPipeError:
            raise  # whoever read our output has left
        except OSError as error:
            self._note(error)
        else:
            self.exit = Exit.COMPLETED

    @property
    def is_left(self) -> bool:
        """Whether there is a job whose wait has ended before it did."""
        is_open = self.exit is Exit.INTERRUPTED or self._gave_up
        return bool(self.job_id) and is_open and not self._is_gone

    async def cancel(self) -> None:
        """Cancel the job on the server, if it is left."""
        if not self.is_left:
            return
        try:
            job = await self._client.cancel(self.job_id)
        except VtrioError as error:
            self._drawing.failed(error, self.job_id, self._name)
        else:
            self._is_gone = job.status is not JobStatus.COMPLETED
            self._drawing.changed(job, self._name)

    def tell(self) -> None:
        """Tell how to go on with a job that is left, unless that was told."""
        if self.is_left and not self._is_told:
            print(f"to go on: {self.again}", file=sys.stderr)

    def _note(self, error: Exception) -> None:
        self.exit = exit_of(error)
        self._gave_up = isinstance(error, GaveUp)
        if isinstance(error, WaitTimeout):
            self._is_told = self._options.on_exit == "leave"
            again = self.again if self._is_told else None
            self._drawing.timed_out(error, self.job_id, self._name, again)
        else:
            self._drawing.failed(told(error, self._name), self.job_id, self._name)

    @property
    def again(self) -> str:
        """The command that takes the wait up again; the key is left to the user."""
        words = ["vtrio", "wait", self.job_id, "--base-url", self._options.base_url]
        if self._output is not None:
            words += ["-o", str(self._output)]
        if self._options.history is not None:
            words += ["--history", self._options.history]
        return shlex.join(words)


async def fetch(
    client: VideoTranslationClient,
    drawing: Drawing,
    job: Job,
    output: Path,
    *,
    name: str,
) -> None:
    """Download the video, and the subtitles beside it."""
    await client.download(job, output, max_silence=PATIENCE)
    drawing.downloaded(job, name, output)
    if job.result is not None and job.result.subtitles_url is not None:
        subtitles = subtitles_of(output)
        await client.download(job, subtitles, what="subtitles", max_silence=PATIENCE)
        drawing.downloaded(job, name, subtitles)


async def _translate(
    options: argparse.Namespace, outputs: Sequence[tuple[Path, Path]]
) -> int:
    async with open_client(options, history=options.history) as client:
        with open_drawing(as_json=options.json) as drawing:
            uploads = trio.CapacityLimiter(UPLOADS_AT_ONCE)
            errands = [
                Errand(
                    client,
                    drawing,
                    name=file.name,
                    output=output,
                    options=options,
                    uploads=uploads,
                )
                for file, output in outputs
            ]
            async with _all_of(errands, options) as nursery:
                for errand, (file, _) in zip(errands, outputs, strict=True):
                    nursery.start_soon(errand.translate, file)
    if not options.json:
        for errand, (_, output) in zip(errands, outputs, strict=True):
            if errand.exit is Exit.COMPLETED:
                print(output)
    return max(errand.exit for errand in errands)


async def _wait(
    options: argparse.Namespace, outputs: Sequence[tuple[str, Path | None]]
) -> int:
    async with open_client(options, history=options.history) as client:
        with open_drawing(as_json=options.json) as drawing:
            errands = [
                Errand(client, drawing, name=job_id, output=output, options=options)
                for job_id, output in outputs
            ]
            async with _all_of(errands, options) as nursery:
                for errand, (job_id, _) in zip(errands, outputs, strict=True):
                    nursery.start_soon(errand.see_through, job_id)
    return max(errand.exit for errand in errands)


@asynccontextmanager
async def _all_of(
    errands: Sequence[Errand], options: argparse.Namespace
) -> AsyncIterator[trio.Nursery]:
    """Run errands side by side; then do what was chosen with the jobs that are left."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    finally:
        if options.on_exit == "cancel":
            with trio.move_on_after(CANCEL_TIME, shield=True):
                async with trio.open_nursery() as nursery:
                    for errand in errands:
                        nursery.start_soon(errand.cancel)
        for errand in errands:
            errand.tell()


async def _ask_each(
    options: argparse.Namespace,
    ask: Callable[[VideoTranslationClient, str], Awaitable[Job]],
) -> int:
    """Ask about each job once, in order, and print the answers."""
    worst = Exit.COMPLETED
    left = list(options.ids)
    async with open_client(options) as client:
        with open_drawing(as_json=options.json) as drawing:
            limit = math.inf if options.max_wait is None else options.max_wait
            with trio.move_on_after(limit) as patience:
                while left:
                    job_id = left[0]
                    try:
                        job = await ask(client, job_id)
                    except VtrioError as error:
                        worst = max(worst, exit_of(error))
                        drawing.failed(error, job_id, job_id)
                        if not isinstance(error, JobNotFound):
                            # Nobody is there, or lets us in: all would fail alike.
                            break
                    else:
                        _print_answer(job, drawing, as_json=options.json)
                    del left[0]
            if patience.cancelled_caught:
                worst = Exit.TIMED_OUT
                late = WaitTimeout(f"there was no answer within max-wait={limit:g} s")
                words = ["vtrio", options.command, *left]
                again = shlex.join([*words, "--base-url", options.base_url])
                drawing.timed_out(late, left[0], left[0], again)
    return worst


def _print_answer(job: Job, drawing: Drawing, *, as_json: bool) -> None:
    if as_json:
        drawing.changed(job, job.id)
    else:
        document = document_of(job)
        known = ("status", "stage", "progress", "target_language", "media_seconds")
        told = [f"{k}={document[k]}" for k in known if document[k] is not None]
        why = [f"error={job.error.title!r}"] if job.error is not None else []
        print(printable(" ".join([job.id, *told, *why])))
