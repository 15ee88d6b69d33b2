"""The commands for many jobs: one block of the client's for all of them."""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from .._errors import GaveUp, TransientError, VtrioError, WaitTimeout
from .._job import Job
from .._many import Jobs, Outcomes
from .._outcomes import Outcome
from .._token import WaitToken
from .._translate_many import Translations
from .._translation import Translation, Video
from ..client import VideoTranslationClient
from .commands import PATIENCE, UPLOADS_AT_ONCE, fetch, open_client, run_trio
from .crowd import CrowdDrawing, open_crowd
from .exits import Exit, exit_of, told
from .left import Left, read_left
from .outputs import outputs_of_left

# Results share one line from the server, as uploads do to it.
DOWNLOADS_AT_ONCE = 4


def run_resume(options: argparse.Namespace) -> int:
    """Take up what another command has left."""
    token = read_left(options.resume)
    if "base_url" not in getattr(options, "given", ()):
        options.base_url = token["base_url"]
    jobs = {job["id"]: job for job in token["jobs"]}
    wait = WaitForMany(
        options,
        token,
        outputs_of_left(options, token["jobs"]),
        names={
            job_id: job["video"] for job_id, job in jobs.items() if job.get("video")
        },
        file=None if options.resume == "-" else Path(options.resume),
    )
    return run_trio(wait.run)


class _Many(ABC):
    """What the commands for many jobs share: showing, and leaving what is left."""

    def __init__(
        self, options: argparse.Namespace, *, file: Path | None = None
    ) -> None:
        self.worst = Exit.COMPLETED
        self._options = options
        self._open: set[str] = set()
        """The jobs of which no end is known."""
        folder = Path() if options.into is None else Path(options.into)
        self._left = Left(folder, file=file, history=options.history)

    @abstractmethod
    def _token(self) -> WaitToken | None:
        """Return what is left at this moment; None if nothing was begun."""

    def _failed(
        self, drawing: CrowdDrawing, error: Exception, job_id: str, name: str
    ) -> None:
        """Show what went wrong with one job."""
        if not isinstance(error, GaveUp):
            self._open.discard(job_id)
        self.worst = max(self.worst, exit_of(error))
        if isinstance(error, WaitTimeout):
            drawing.timed_out(error, job_id, name, self._again())
        else:
            drawing.failed(told(error, name), job_id, name)

    def _again(self) -> str | None:
        """Return the command that goes on; its file is there from now on."""
        token = self._token()
        if self._left.again is None and self._options.on_exit == "leave" and token:
            try:
                self._left.write(token)
            except OSError:
                return None  # it is tried again, and told, at the end
        return self._left.again

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """Write down what is left, and tell how to go on with it, however this ends."""
        try:
            yield
        finally:
            # Nothing here waits for anything, so nothing can come in between.
            token = self._token()
            if token is not None:
                self._leave(token)

    def _leave(self, token: WaitToken) -> None:
        cancelled = self._open.difference(job["id"] for job in token["jobs"])
        if cancelled:
            print(f"{len(cancelled)} jobs were cancelled", file=sys.stderr)
        if not token["jobs"]:
            return
        try:
            again = self._left.write(token)
        except OSError as error:
            ids = " ".join(job["id"] for job in token["jobs"])
            print(f"what is left cannot be written down: {error}", file=sys.stderr)
            print(f"it is the jobs {ids}", file=sys.stderr)
        else:
            print(f"to go on: {again}", file=sys.stderr)


class TranslateMany(_Many):
    """Submits many files, waits for all, and fetches what is made of them."""

    def __init__(
        self, options: argparse.Namespace, outputs: Sequence[tuple[Path, Path]]
    ) -> None:
        super().__init__(options)
        self._files = [file for file, _ in outputs]
        self._translations: Translations | None = None
        self._names: dict[str, str] = {}
        self._known: set[Video] = set()
        self._whole: dict[Video, Path] = {}

    async def run(self) -> int:
        """Do it, and return the exit status."""
        options = self._options
        try:
            with self._leaving():
                async with (
                    open_client(options, history=options.history) as client,
                    open_crowd(
                        as_json=options.json, of=len(self._files), submits=True
                    ) as drawing,
                ):
                    await self._translate(client, drawing)
        finally:
            unsent = len(self._files) - len(self._known)
            if unsent and self._translations is not None:
                print(f"{unsent} files were not submitted", file=sys.stderr)
        if not options.json:
            for file in self._files:
                if file in self._whole:
                    print(self._whole[file])
        return self.worst

    async def _translate(
        self, client: VideoTranslationClient, drawing: CrowdDrawing
    ) -> None:
        options, names = self._options, self._names

        def submitted(video: Video, job: Job) -> None:
            self._known.add(video)
            self._open.add(job.id)
            names[job.id] = _name(video)
            drawing.submitted(job, names[job.id])

        async with client.translate_many(
            self._files,
            to=options.to,
            into=options.into,
            source_language=options.source_language,
            max_wait_time=options.max_wait,
            max_silence=PATIENCE,
            uploads_at_once=UPLOADS_AT_ONCE,
            downloads_at_once=DOWNLOADS_AT_ONCE,
            on_exit=options.on_exit,
            on_submit=submitted,
            on_job=lambda job: drawing.changed(job, names[job.id]),
        ) as self._translations:
            async for translation in self._translations:
                self._note(translation, drawing)

    def _note(self, translation: Translation, drawing: CrowdDrawing) -> None:
        self._known.add(translation.video)
        job, name = translation.job, _name(translation.video)
        job_id = "" if job is None else job.id
        if translation.exception is not None:
            self._failed(drawing, translation.exception, job_id, name)
            return
        assert job is not None  # noqa: S101 - it is completed
        self._open.discard(job_id)
        for path in (translation.path, translation.subtitles):
            if path is not None:
                drawing.downloaded(job, name, path)
        drawing.completed(job_id, name, translation.path)
        self._whole[translation.video] = translation.result()

    def _token(self) -> WaitToken | None:
        if self._translations is None:
            return None
        unsent = [str(f.absolute()) for f in self._files if f not in self._known]
        # For people, and for what they write: nobody takes these up by themselves.
        return {**self._translations.token(), "unsent": unsent}


class WaitForMany(_Many):
    """Waits for many jobs, and fetches what they made.

    Args:
        options: of the command.
        jobs: their ids, or the token that was left.
        outputs: where the result of each goes; None for nowhere.
        names: what a job is called, where it is not by its id.
        file: where the token came from, for what is left again.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        jobs: Jobs,
        outputs: Mapping[str, Path | None],
        *,
        names: Mapping[str, str] | None = None,
        file: Path | None = None,
    ) -> None:
        super().__init__(options, file=file)
        self._jobs = jobs
        self._outputs = outputs
        self._names = names or {}
        self._outcomes: Outcomes | None = None
        self._open = set(outputs)
        self._unfetched: set[str] = set()

    async def run(self) -> int:
        """Do it, and return the exit status."""
        options = self._options
        with self._leaving():
            async with (
                open_client(options, history=options.history) as client,
                open_crowd(
                    as_json=options.json, of=len(self._outputs), submits=False
                ) as drawing,
                client.as_completed(
                    self._jobs,
                    max_wait_time=options.max_wait,
                    max_silence=PATIENCE,
                    on_exit=options.on_exit,
                    on_job=lambda job: drawing.changed(job, self._name(job.id)),
                ) as self._outcomes,
                trio.open_nursery() as nursery,
            ):
                turns = trio.Semaphore(DOWNLOADS_AT_ONCE)
                async for outcome in self._outcomes:
                    self._note_taken(outcome)
                    # Taken here, so that there are no more tasks than turns.
                    await turns.acquire()
                    nursery.start_soon(self._see, client, drawing, outcome, turns)
        return self.worst

    def _note_taken(self, outcome: Outcome) -> None:
        """Take in that the block tells no more of a job, whatever comes of it here."""
        job_id = outcome.job_id
        if not isinstance(outcome.exception, GaveUp):
            self._open.discard(job_id)
        if outcome.exception is None and self._outputs.get(job_id) is not None:
            self._unfetched.add(job_id)

    async def _see(
        self,
        client: VideoTranslationClient,
        drawing: CrowdDrawing,
        outcome: Outcome,
        turns: trio.Semaphore,
    ) -> None:
        """Fetch what a job made, if it made something."""
        job_id, name = outcome.job_id, self._name(outcome.job_id)
        output = self._outputs.get(job_id)
        error: Exception | None = outcome.exception
        if error is None and output is not None:
            try:
                await fetch(client, drawing, outcome.result(), output, name=name)
            except BrokenPipeError:
                raise  # whoever read our output has left
            except (VtrioError, OSError) as failure:
                error = failure
            if not isinstance(error, (GaveUp, TransientError, OSError)):
                self._unfetched.discard(job_id)
        if error is None:
            drawing.completed(job_id, name, output)
        else:
            self._failed(drawing, error, job_id, name)
        turns.release()

    def _name(self, job_id: str) -> str:
        return self._names.get(job_id, job_id)

    def _token(self) -> WaitToken | None:
        if self._outcomes is None:
            return None
        token = self._outcomes.token()
        left = {job["id"]: job for job in token["jobs"]}
        for job_id in self._unfetched:
            left.setdefault(job_id, {"id": job_id, "age": None, "status": None})
        for job_id, job in left.items():
            output = self._outputs.get(job_id)
            if job_id in self._names:
                job["video"] = self._names[job_id]
            if output is not None:
                job["output"] = str(output.absolute())
        return {**token, "jobs": list(left.values())}


def _name(video: Video) -> str:
    assert isinstance(video, Path)  # noqa: S101 - as it was given
    return video.name
