"""What a scripted server says: from a request to its answer, right or wrong."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from .._checks import shorten
from . import _wire
from ._allowance import Allowance
from ._faults import Fault
from ._feed import Feed
from ._holding import FEED, Holding
from ._instants import Instants, wall
from ._jobs import Record
from ._plans import Planned, Route
from ._questions import AllChanges, ManyJobs, OneJob, Question
from ._replies import Reply
from ._requests import (
    Abilities,
    Places,
    Query,
    Refused,
    cancels_many,
    ids_in_body,
    seen_by,
    tells_documents,
    wait_of,
    wants_stream,
)
from ._scripts import Drawn, JobScript, Script
from ._streams import LONGEST_BEAT, StreamedChanges, streamed
from ._timeline import Exchange, Kind

_STATUS = frozenset({Kind.POLL, Kind.BATCH, Kind.FEED})


class Answering:
    """The jobs of a scripted server, and what it says of them.

    Attributes:
        records: the jobs, by their ids.
        coming: the scripts of those that will be submitted; whether each is optional.
        planned: the faults.
        routes: the answers of the test's own.
        unmatched: the requests for which nothing was scripted.
        allowance: how many questions for a status get an answer; None for all.
    """

    def __init__(
        self,
        instants: Instants,
        abilities: Abilities,
        *,
        places: Places,
        api_key: str | None,
        hint: int | None,
        keep_events: int | None,
        keep_exchanges: bool,
    ) -> None:
        self._instants = instants
        self._can = abilities
        self._places = places
        self._api_key = api_key
        self._hint = hint
        self._keeps_exchanges = keep_exchanges
        self._keys: dict[str, tuple[str, str]] = {}
        self.records: dict[str, Record] = {}
        self.coming: list[tuple[JobScript | Drawn, bool]] = []
        self.planned: list[Planned] = []
        self.routes: list[Route] = []
        self.unmatched: list[Exchange] = []
        self.allowance: Allowance | None = None
        self.holding = Holding(instants)
        self.feed = Feed(keep_events, self.holding.wake)

    # --- jobs -------------------------------------------------------------------------

    def make(
        self,
        script: JobScript | Drawn,
        *,
        submitted_at: float,
        id: str | None = None,  # noqa: A002 - as in `ScriptedServer.add`
        optional: bool = False,
        video: bytes | None = None,
        subtitles: bytes = b"WEBVTT\n",
        fields: Mapping[str, Any] = MappingProxyType({}),
    ) -> Record:
        """Make a job; see `ScriptedServer.add`."""
        if isinstance(script, Drawn):
            script = script.draw()
        if not isinstance(script, Script):
            raise ValueError(f"{refusal(script)} or drawn(...)")
        job_id = f"j{len(self.records) + 1}" if id is None else id
        if not job_id or job_id in self.records:
            raise ValueError(f"id={job_id!r} is not allowed: must be a new one")
        _check_bytes("video", video)
        _check_bytes("subtitles", subtitles)
        record = self.records[job_id] = Record(
            job_id,
            script,
            submitted_at=submitted_at,
            fields=fields,
            video=video,
            subtitles=subtitles,
            optional=optional,
            feed=self.feed,
        )
        return record

    # --- requests ---------------------------------------------------------------------

    def meet(self, exchange: Exchange) -> Fault | None:
        """Say what a request is for; the first fault that is planned for such strikes."""
        self.feed.advance(self._instants.now())
        self._places.find(exchange)
        if exchange.path == "/status" and exchange.kind is Kind.POLL:
            exchange.job_id = next(iter(self.records), None)
        if exchange.kind is Kind.POLL:
            if record := self._record(exchange):
                record.asked(exchange, keep=self._keeps_exchanges)
        elif exchange.kind is Kind.BATCH:
            for job_id in exchange.job_ids:
                if record := self.records.get(job_id):
                    record.asked(exchange, keep=False)
        for planned in self.planned:
            if planned.strikes(exchange):
                return planned.fault
        if self.allowance is None or exchange.kind not in _STATUS:
            return None
        within = self.allowance.lets_through(exchange.at)
        return None if within else self.allowance.refusal

    def expire_cursors(self) -> None:
        """Let the cursors that were given so far be expired ones."""
        self.feed.expire()
        self.holding.wake(FEED)

    async def answer(self, exchange: Exchange, fault: Fault | None) -> Reply:
        """Say what comes back; a request that asks for it is held until then."""
        if fault is None:
            own = await self._own(exchange)
            if isinstance(own, Reply):
                return own
            fault = own
        record = self._record(exchange)
        if fault is not None and fault.of_results_only and record is not None:
            record.renew_links()
        if self._streams(exchange) and (fault is None or fault.spoils_the_answer):
            stream = partial(self._stream, exchange, fault)
            return stream() if fault is None else fault.spoil(stream, wall(exchange.at))
        question: Question | Reply | None = None
        whole = self._can.documents and tells_documents(exchange)
        manner = _wire.Manner(now=exchange.at, hint=self._hint, whole=whole)
        if fault is None or fault.spoils_the_answer:
            question = self._question(exchange)
            wait = self._wait(exchange)
            if not (wait is None or question is None or isinstance(question, Reply)):
                fault = await self._hold(exchange, question, wait) or fault
                now = self._instants.now()
                manner = replace(manner, now=now, wait=wait)
        right = partial(
            self._right,
            exchange,
            question,
            manner,
            heard=fault is None or fault.lets_hear(held=manner.wait is not None),
            word="" if fault is None else fault.word or "",
        )
        return right() if fault is None else fault.spoil(right, wall(manner.now))

    def _streams(self, exchange: Exchange) -> bool:
        return (
            self._can.feed
            and self._can.streams
            and exchange.kind is Kind.FEED
            and wants_stream(exchange)
        )

    def _stream(self, exchange: Exchange, fault: Fault | None) -> Reply:
        """Answer with the changes as they come, or say why not."""
        question = self._question(exchange)
        if not isinstance(question, AllChanges):
            return self._right(
                exchange, question, _wire.Manner(now=exchange.at), heard=False, word=""
            )
        after = question.after()
        if isinstance(after, Reply):
            return after
        wait = wait_of(exchange)
        manner = _wire.Manner(
            now=exchange.at,
            wait=None if wait is None else max(1, min(wait, LONGEST_BEAT)),
            whole=self._can.documents and tells_documents(exchange),
        )
        body = StreamedChanges(
            exchange,
            self.feed,
            self.holding,
            self._instants,
            after=after,
            limit=question.limit,
            manner=manner,
            heard=fault is None or fault.lets_hear(held=True),
            word="" if fault is None else fault.word or "",
        )
        return streamed(body, manner)

    async def _own(self, exchange: Exchange) -> Reply | Fault | None:
        """Answer as the test's own routes say, if one of them fits."""
        for route in self.routes:
            if route.fits(exchange):
                answer = route.answer
                own: Any = answer(exchange) if callable(answer) else answer
                if inspect.isawaitable(own):
                    own = await own
                if not isinstance(own, (Reply, Fault)):
                    raise ValueError(
                        f"route(...) gave {shorten(own)}, which is not allowed: must be"
                        " what respond(...) makes, or a fault"
                    )
                return own
        return None

    def _wait(self, exchange: Exchange) -> int | None:
        """Return for how many seconds to hold a request; None if not at all."""
        if not self._can.holds or self._places.is_by_word(exchange.path):
            return None
        return wait_of(exchange)

    async def _hold(
        self, exchange: Exchange, question: Question, wait: int
    ) -> Fault | None:
        """Hold a request; return what goes wrong with it, if it is cut off."""

        def is_news(now: float) -> bool:
            self.feed.advance(now)
            return question.is_news(now)

        return await self.holding.hold(
            exchange, wait, question.topics, is_news, question.due_at
        )

    def _question(self, exchange: Exchange) -> Question | Reply | None:
        """Read what is asked about jobs; None where something is to be done.

        A reply is one that says why there is no answer.
        """
        if not self._may(exchange):
            return _wire.problem(401, "unauthorized", "The API key is missing or wrong")
        try:
            match exchange.kind:
                case Kind.POLL:
                    return self._ask_for_one(exchange)
                case Kind.BATCH:
                    if not self._can.lists:
                        return _NOTHING_HERE
                    ids = Query(exchange).ids(self._can.most_ids)
                    return ManyJobs(ids, self.records)
                case Kind.FEED:
                    if not self._can.feed:
                        return _NOTHING_HERE
                    query = Query(exchange)
                    return AllChanges(
                        self.feed, query.one("after") or "", query.limit()
                    )
                case _:
                    return None
        except Refused as refused:
            return refused.reply

    def _ask_for_one(self, exchange: Exchange) -> Question | Reply:
        record = self._record(exchange)
        if record is None:
            self.unmatched.append(exchange)
            return _wire.unknown_job(exchange.job_id or "")
        by_word = self._places.is_by_word(exchange.path)
        return OneJob(record, by_word=by_word, seen=seen_by(exchange))

    def _right(
        self,
        exchange: Exchange,
        question: Question | Reply | None,
        manner: _wire.Manner,
        *,
        heard: bool,
        word: str,
    ) -> Reply:
        """Answer as the wire says."""
        if isinstance(question, Reply):
            return question
        if self._can.feed:  # before a look at the jobs, which may move them
            manner = replace(manner, cursor=self.feed.cursor())
        if question is not None:
            return question.answer(manner, heard=heard, word=word)
        if exchange.kind is Kind.SUBMISSION:
            return self._take_in(exchange, manner)
        if cancels_many(exchange):
            return self._cancel_many(exchange, manner)
        if exchange.kind is Kind.OTHER:
            self.unmatched.append(exchange)
            return _NOTHING_HERE
        record = self._record(exchange)
        if record is None:
            self.unmatched.append(exchange)
            return _wire.unknown_job(exchange.job_id or "")
        if exchange.kind is Kind.RESULT:
            return record.result(exchange)
        changed = record.cancel(exchange.at)
        return record.document(manner, status=202 if changed else 200)

    def _record(self, exchange: Exchange) -> Record | None:
        return self.records.get(exchange.job_id or "")

    def _may(self, exchange: Exchange) -> bool:
        if self._api_key is None or exchange.path == "/status":
            return True
        return exchange.headers.get("authorization") == f"Bearer {self._api_key}"

    def _cancel_many(self, exchange: Exchange, manner: _wire.Manner) -> Reply:
        if not self._can.lists:
            return _NOTHING_HERE
        try:
            ids = ids_in_body(exchange, self._can.most_ids)
        except Refused as refused:
            return refused.reply
        exchange.job_ids = tuple(ids)
        there = [self.records[job_id] for job_id in ids if job_id in self.records]
        changed = [record.cancel(manner.now) for record in there]
        status = 202 if any(changed) else 200
        return ManyJobs(ids, self.records).list(manner, status=status)

    def _take_in(self, exchange: Exchange, manner: _wire.Manner) -> Reply:
        """Make a job of a submission, or give back the one that its key has made."""
        try:
            form = _wire.read_submission(exchange.headers, exchange.body)
        except _wire.BadSubmission as bad:
            return bad.reply
        key = exchange.headers.get("idempotency-key", "").strip('"')
        job_id, digest = self._keys.get(key, ("", form.digest))
        if digest != form.digest:
            return _wire.problem(
                422,
                "key-reused",
                "The Idempotency-Key was used before",
                "its payload was another one",
            )
        record = self.records.get(job_id)
        if record is None:
            if not self.coming:
                self.unmatched.append(exchange)
                return _wire.problem(
                    503, "no-script", "Nothing is scripted", "call on_submit(job(...))"
                )
            script, optional = self.coming[0]
            if isinstance(script, Script):
                del self.coming[0]
            record = self.make(
                script,
                submitted_at=exchange.at,
                optional=optional,
                video=form.video,
                fields={
                    name: form.fields.get(name)
                    for name in ("target_language", "source_language")
                },
            )
            if key:
                self._keys[key] = (record.id, form.digest)
            record.submitted()
        else:
            record.look(exchange.at)
        exchange.job_id = record.id
        return record.document(manner, status=202, location=True)


def refusal(script: object) -> str:
    """Say that something is no script."""
    return f"script={shorten(script)} is not allowed: must be job(...)"


def _check_bytes(name: str, data: bytes | None) -> None:
    if not isinstance(data, (bytes, type(None))):
        raise ValueError(f"{name}={shorten(data)} is not allowed: must be bytes")


_NOTHING_HERE = _wire.problem(404, "no-such-place", "There is nothing here")
