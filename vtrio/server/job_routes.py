"""The routes about jobs: submit, ask, list, cancel, delete, fetch what was made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import TypeVar

from quart import Response, request
from quart_trio import QuartTrio

from .._job import JobStatus
from . import documents, queries
from .access import Client
from .answers import (
    body,
    client,
    facts,
    job_answer,
    jobs_answer,
    without_content,
)
from .downloads import answer_with_file
from .errors import NotCompleted, UnknownJob
from .idempotency import read_key
from .json_body import read_ids
from .preferences import read_seen, read_wait
from .service import JobService, Order
from .store import IdempotencyKey, JobRecord
from .uploads import receive_form

_T = TypeVar("_T")

_VIDEO_TYPES = {
    ".avi": "video/x-msvideo",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".ogv": "video/ogg",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
}


class JobRoutes:
    """Parses what is asked, has the service do it, and answers."""

    def __init__(self, service: JobService) -> None:
        self._service = service
        self._store = service.store
        self._limits = service.limits

    def add_to(self, app: QuartTrio) -> None:
        """Add them to the app."""
        jobs, one = "/v1/translations", "/v1/translations/<job_id>"
        for rule, method, answer in (
            (jobs, "POST", self.submit),
            (jobs, "GET", self.show_several),
            (f"{jobs}/cancel", "POST", self.cancel_several),
            (one, "GET", self.show),
            (one, "DELETE", self.remove),
            (f"{one}/cancel", "POST", self.cancel),
            (f"{one}/video", "GET", self.send_video),
            (f"{one}/subtitles", "GET", self.send_subtitles),
        ):
            app.add_url_rule(rule, answer.__name__, answer, methods=[method])

    async def submit(self) -> Response:
        """Take a video, and make a job of it."""
        service = self._service
        key = read_key(request.headers.getlist("Idempotency-Key"))
        service.check_open()
        if key is None:
            service.check_room()  # with one it may be a job that is there
        async with receive_form(
            body(),
            content_type=request.headers.get("Content-Type"),
            content_length=request.content_length,
            folder=service.uploads,
            limits=self._limits,
            check_languages=service.check_languages,
            patience=service.patience,
        ) as form:
            order = Order(
                video=form.video,
                suffix=form.suffix,
                target_language=form.target_language,
                source_language=form.source_language,
            )
            submission = await service.submit(
                order, IdempotencyKey(key, form.digest) if key else None, client().owner
            )
        location = documents.job_path(submission.record.id)
        return job_answer(
            submission.record,
            service,
            submission.cursor,
            status=202,
            location=location,
        )

    async def show(self, job_id: str) -> Response:
        """Tell how a job stands, now or when its status changes."""
        who, wait = client(), read_wait(request.headers.getlist("Prefer"))
        seen = read_seen(request.headers.getlist("If-None-Match"))

        async def look() -> tuple[int, JobRecord]:
            return self._store.cursor, await self._service.get(job_id, who.owner)

        def is_news(found: tuple[int, JobRecord]) -> bool:
            _, record = found
            if record.is_final or seen is None or seen.anything:
                return record.is_final
            return not seen.knows(record.status)

        metrics, held = self._service.metrics, wait is not None
        try:
            cursor, record = await self._held(look, is_news, [job_id], who, wait)
        except UnknownJob:
            metrics.poll(404, held=held)
            raise
        response = job_answer(record, self._service, cursor, seen=seen, held=wait)
        metrics.poll(response.status_code, held=held)
        return response

    async def show_several(self) -> Response:
        """Tell how the named jobs stand, or list a page of all."""
        ids = queries.read_ids(request.args, self._limits)
        return await (self._page() if ids is None else self._named(ids))

    async def _named(self, ids: list[str]) -> Response:
        who, wait = client(), read_wait(request.headers.getlist("Prefer"))
        first: dict[str, JobStatus] = {}

        async def look() -> tuple[int, list[JobRecord]]:
            return self._store.cursor, await self._service.get_many(ids, who.owner)

        def is_news(found: tuple[int, list[JobRecord]]) -> bool:
            statuses = {record.id: record.status for record in found[1]}
            if not first:
                first.update(statuses)
            # One that is gone has changed too; and none are no reason to wait.
            changed = statuses != first or not first
            return changed or any(status.is_final for status in statuses.values())

        cursor, records = await self._held(look, is_news, ids, who, wait)
        there = {record.id for record in records}
        missing = [job_id for job_id in ids if job_id not in there]
        self._service.metrics.poll(200, held=wait is not None)
        return jobs_answer(
            records, self._service, cursor, more={"missing": missing}, held=wait
        )

    async def _held(
        self,
        look: Callable[[], Awaitable[_T]],
        is_news: Callable[[_T], bool],
        ids: Sequence[str],
        who: Client,
        wait: int | None,
    ) -> _T:
        if wait is None:
            return await look()
        return await self._service.board.hold(
            look, is_news, ids, client=who.name, seconds=wait
        )

    async def _page(self) -> Response:
        size = queries.read_count(
            request.args,
            "page_size",
            default=queries.PAGE_SIZE,
            most=self._limits.page,
        )
        cursor = self._store.cursor
        records = await self._store.page(
            client().owner,
            status=queries.read_status(request.args),
            before=queries.read_page_token(request.args),
            size=size + 1,  # one more tells whether there is another page
        )
        shown = records[:size]
        token = str(shown[-1].number) if len(records) > size else None
        return jobs_answer(
            shown, self._service, cursor, more={"next_page_token": token}
        )

    async def cancel(self, job_id: str) -> Response:
        """Cancel a job."""
        cursor = self._store.cursor
        record, changed = await self._service.cancel(job_id, client().owner)
        return job_answer(record, self._service, cursor, status=202 if changed else 200)

    async def cancel_several(self) -> Response:
        """Cancel the named jobs."""
        who = client()
        ids = await read_ids(
            body(),
            content_type=request.headers.get("Content-Type"),
            content_length=request.content_length,
            limits=self._limits,
        )
        cursor = self._store.cursor
        found = await self._service.cancel_many(ids, who.owner)
        missing = [job_id for job_id in ids if job_id not in found]
        changed = any(change for _, change in found.values())
        return jobs_answer(
            [found[job_id][0] for job_id in ids if job_id in found],
            self._service,
            cursor,
            status=202 if changed else 200,
            more={"missing": missing},
        )

    async def remove(self, job_id: str) -> Response:
        """Forget a job, and remove its files."""
        await self._service.remove(job_id, client().owner)
        return without_content(204, documents.ABOUT_JOBS)

    async def send_video(self, job_id: str) -> Response:
        """Send the translated video."""
        record = await self._service.get(job_id, client().owner)
        path = _result(record, record.video)
        kind = _VIDEO_TYPES.get(path.suffix.lower(), "application/octet-stream")
        return await self._file(record, path, kind)

    async def send_subtitles(self, job_id: str) -> Response:
        """Send the translated subtitles."""
        record = await self._service.get(job_id, client().owner)
        path = _result(record, record.subtitles)
        return await self._file(record, path, "text/vtt; charset=utf-8")

    async def _file(
        self, record: JobRecord, path: PurePath, content_type: str
    ) -> Response:
        # The files of an attempt never change once its job is completed.
        name = f"{record.id}/{record.attempt}/{path.name}"
        file = self._service.path_of(path)
        with suppress(FileNotFoundError):
            return await answer_with_file(
                request,
                file,
                etag=documents.strong_etag(name.encode()),
                content_type=content_type,
                closing=facts().closing,
            )
        # It was removed since we looked: then there is no such job.
        await self._service.get(record.id, record.owner)
        raise FileNotFoundError(file)


def _result(record: JobRecord, path: PurePath | None) -> PurePath:
    if record.status is not JobStatus.COMPLETED or path is None:
        raise NotCompleted(
            f"job {record.id!r} is {record.status}: only a completed job has a result"
        )
    return path
