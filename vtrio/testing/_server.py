"""A job server that follows a script: no sockets, on whatever clock trio runs.

It speaks the wire of a translation server, as far as a client of ours uses it, and the
form without ids. What it is asked it writes down, so that a test can say what was asked
when; what was scripted and did not come about it tells at the end.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, assert_never
from urllib.parse import unquote

from .._arguments import check_base_url, check_status_path
from .._checks import check_count, check_number, shorten
from .._names import publish
from ..client import VideoTranslationClient
from . import _wire
from ._chance import Steady
from ._faults import Fault
from ._instants import Instants, time_is_virtual
from ._jobs import Record, ScriptedJob, wall
from ._plans import Answer, Planned, Route
from ._replies import Reply
from ._scripts import Drawn, JobScript, Script
from ._timeline import Exchange, Kind, ScriptNotFollowed, render
from ._transport import make_client, make_transport

URL = "http://vtrio.test"
"""Where the scripted server is; the name is one that no network has (RFC 6761)."""

_JOB = re.compile(rf"{_wire.COLLECTION}/([^/]+)(/cancel|/video|/subtitles)?")


class ScriptedServer:
    """A job server that follows a script, for tests; no socket, no thread.

    Instants are those of a virtual clock; on another one they count from when the
    server is first used. Its time of day is 2026-01-01 at instant 0.

    Args:
        url: where it is; a request for another place is one that nothing is scripted
            for. May have a path, below which all is.
        latency: seconds that each answer takes.
        retry_after: whole seconds that every answer about a job that still runs asks
            to wait, as `vtrio serve` does; None for no word of it, so that instants are
            those of the schedule.
        api_key: what all but `/status` must be asked with; None for no key.
        status_path: where else it tells the status in the form without ids, such as
            `/jobs/{id}/status`.
        only_virtual_time: refuse to answer on a clock that really takes its time.
    """

    def __init__(
        self,
        *,
        url: str = URL,
        latency: float = 0.0,
        retry_after: int | None = None,
        api_key: str | None = None,
        status_path: str | None = None,
        only_virtual_time: bool = False,
    ) -> None:
        check_number("latency", latency, least=0)
        self.url = check_base_url(url)
        if retry_after is not None:
            check_count("retry_after", retry_after)
        self.latency = latency
        self._retry_after = retry_after
        self._api_key = api_key
        self._status_path = None
        if status_path is not None:
            check_status_path(status_path)
            escaped = re.escape(status_path).replace(r"\{id\}", "([^/]+)")
            self._status_path = re.compile(escaped)
        self._only_virtual_time = only_virtual_time
        self._records: dict[str, Record] = {}
        self._keys: dict[str, tuple[str, str]] = {}
        self._coming: list[tuple[JobScript | Drawn, bool]] = []
        self._planned: list[Planned] = []
        self._routes: list[Route] = []
        self._exchanges: list[Exchange] = []
        self._unmatched: list[Exchange] = []
        self._open: set[Exchange] = set()
        self._instants = Instants()
        self._clients: dict[str, Any] = {}

    def __repr__(self) -> str:
        return (
            f"<ScriptedServer {self.url}: {len(self._records)} jobs,"
            f" {len(self._exchanges)} requests>"
        )

    # --- the script ---------------------------------------------------------------

    def add(
        self,
        script: JobScript | Drawn,
        *,
        id: str | None = None,  # noqa: A002 - it is what everybody calls it
        age: float = 0.0,
        optional: bool = False,
        video: bytes | None = None,
        subtitles: bytes = b"WEBVTT\n",
    ) -> ScriptedJob:
        """Have a job that was submitted just now; the first one is that of `/status`.

        Outside of trio it counts as submitted at instant 0.

        Args:
            script: its life: `job(...)`, or the next one of `drawn(...)`.
            id: what clients call it; `j1`, `j2` and so on otherwise.
            age: seconds ago that it was submitted.
            optional: whether it is well if the test ends before its script does.
            video: what its result is.
            subtitles: likewise.
        """
        check_number("age", age, least=0)
        record = self._make(
            script,
            id=id,
            submitted_at=self._instants.now() - age,
            optional=optional,
            video=video,
            subtitles=subtitles,
        )
        return ScriptedJob(record)

    def on_submit(self, *scripts: JobScript | Drawn, optional: bool = False) -> None:
        """Script the jobs that will be submitted, in their order.

        What `drawn` gives serves for all further ones, so nothing may follow it.
        `optional` is as in `add`, and lets a submission stay away too.
        """
        if not scripts:
            raise ValueError("scripts=() is not allowed: must be at least one")
        for script in scripts:
            if not isinstance(script, (Script, Drawn)):
                raise ValueError(f"{_refusal(script)} or drawn(...)")
            if self._coming and isinstance(self._coming[-1][0], Drawn):
                raise ValueError(
                    f"script={script} is not allowed: must come before drawn(...),"
                    " which serves for all submissions after it"
                )
            self._coming.append((script, optional))

    def fault(
        self,
        fault: Fault,
        *,
        at: float = 0.0,
        lasting: float = math.inf,
        times: int | None = None,
        skip: int = 0,
        to: Kind | str | None = None,
        about: ScriptedJob | str | None = None,
        optional: bool = False,
    ) -> None:
        """Let something go wrong: on the timeline, by count, or both.

        Of several faults that a request meets, the first one that was planned strikes.

        Args:
            fault: what: `refused()`, `busy(retry_after=30)` and the like.
            at: the instant from which on it does.
            lasting: for how many seconds.
            times: for how many requests; None for all within that time.
            skip: how many requests go well first.
            to: which requests: `poll`, `submission`, `cancel`, `result` or `other`; None for
                all.
            about: which job's.
            optional: whether it is well if no request meets it.
        """
        if not isinstance(fault, Fault):
            raise ValueError(
                f"fault={shorten(fault)} is not allowed: must be one of vtrio.testing's"
            )
        if not isinstance(about, (ScriptedJob, str, type(None))):
            raise ValueError(
                f"about={shorten(about)} is not allowed: must be a job, or its id"
            )
        check_number("at", at, least=0)
        if lasting != math.inf:
            check_number("lasting", lasting, above=0)
        if times is not None:
            check_count("times", times)
        check_count("skip", skip, least=0)
        if to is not None and to not in set(Kind):
            raise ValueError(
                f"to={shorten(to)} is not allowed: must be one of {', '.join(Kind)}"
            )
        self._planned.append(
            Planned(
                fault,
                at,
                at + lasting,
                times,
                skip,
                None if to is None else Kind(to),
                about.id if isinstance(about, ScriptedJob) else about,
                optional,
            )
        )

    def route(
        self,
        answer: Answer,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = None,
        optional: bool = False,
    ) -> None:
        """Answer some requests in a way of your own, in place of the wire.

        The first route that fits a request answers it.

        Args:
            answer: what `respond` makes, a fault, which spoils what the wire would
                say, or a function from the `Exchange` to one of these, async or not.
            method: which requests; None for all.
            path: likewise: below the server's address, or a whole one of another place.
            times: for how many requests, after which the next route or the wire
                answers; None for all.
            optional: whether it is well if no request comes.
        """
        if not isinstance(answer, (Reply, Fault)) and not callable(answer):
            raise ValueError(
                f"answer={shorten(answer)} is not allowed: must be what respond(...)"
                " makes, a fault, or a function"
            )
        if path is not None and not path.startswith(("/", "http://", "https://")):
            raise ValueError(
                f"path={path!r} is not allowed: must begin with a slash, or be a whole"
                " address"
            )
        if times is not None:
            check_count("times", times)
        self._routes.append(Route(answer, method, path, times, optional))

    # --- what is given to the program under test ------------------------------------

    def transport(self, library: ModuleType | None = None) -> Any:
        """Make a transport for an `AsyncClient` of httpx, or of the library given."""
        return make_transport(self, library)

    def http(self, library: ModuleType | None = None) -> Any:
        """Make an `AsyncClient` that sends its requests here; it needs no closing."""
        return make_client(self.transport(library), self.url, library)

    def client(
        self, *, library: ModuleType | None = None, **settings: Any
    ) -> VideoTranslationClient:
        """Make a client of this server, with the settings given.

        Chance plays no part in its waits, so that instants are exact: every roll is
        the middle one. Give it an `rng` where chance is the point.
        """
        name = "httpx" if library is None else library.__name__
        http = self._clients.setdefault(name, self.http(library))
        given = {"base_url": self.url, "http": http, "rng": Steady()}
        return VideoTranslationClient(**{**given, **settings})

    # --- what happened --------------------------------------------------------------

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All requests, in their order."""
        return tuple(self._exchanges)

    @property
    def polls(self) -> tuple[Exchange, ...]:
        """The questions for the status of a job."""
        return tuple(e for e in self._exchanges if e.kind is Kind.POLL)

    @property
    def asked_at(self) -> list[float]:
        """The instants of all polls."""
        return [poll.at for poll in self.polls]

    @property
    def open_exchanges(self) -> tuple[Exchange, ...]:
        """The requests that have no whole answer yet, and were not given up."""
        return tuple(e for e in self._exchanges if e in self._open)

    @property
    def in_flight(self) -> int:
        """How many these are."""
        return len(self._open)

    def jobs(self) -> tuple[ScriptedJob, ...]:
        """All jobs, those that were submitted too."""
        return tuple(map(ScriptedJob, self._records.values()))

    def timeline(self) -> str:
        """Write down what happened, a line for each request."""
        turns = [turn for record in self._records.values() for turn in record.turns()]
        return render(self._exchanges, turns)

    def check(self) -> None:
        """Compare what was scripted with what happened.

        Raises:
            ScriptNotFollowed: a step was never reached, a fault or a route met too few
                requests, or nothing was scripted for a request.
        """
        missing = [
            *filter(None, (record.missing() for record in self._records.values())),
            *filter(None, (planned.missing for planned in self._planned)),
            *filter(None, (route.missing for route in self._routes)),
            *(
                f"{script}, scripted for a submission that never came"
                for script, optional in self._coming
                if isinstance(script, Script) and not optional
            ),
        ]
        parts = []
        if missing:
            parts.append("never reached:\n" + "\n".join(f"  {m}" for m in missing))
        if self._unmatched:
            lines = "\n".join(
                f"  {e.method} {e.target} at {e.at:g} s" for e in self._unmatched
            )
            parts.append(f"nothing was scripted for:\n{lines}")
        if parts:
            parts.append(f"what happened:\n{self.timeline()}")
            first = [*missing, *(f"{e.method} {e.target}" for e in self._unmatched)][0]
            head = f"the script was not followed: {first}"
            raise ScriptNotFollowed("\n".join([head, *parts]))

    # --- the wire -------------------------------------------------------------------

    @contextmanager
    def receive(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> Iterator[Exchange]:
        """Take in a request; its record is complete when its answer has ended."""
        # Below our address; in full where it is for another place.
        below = url.removeprefix(self.url)
        target = below if below.startswith("/") else url
        exchange = Exchange(self._instants.now(), method, target, headers, url=url)
        self._exchanges.append(exchange)
        self._open.add(exchange)
        try:
            yield exchange
        except BaseException as error:
            if exchange.outcome is None and isinstance(error, Exception):
                exchange.outcome = shorten(error)
            self.end(exchange)
            raise

    def end(self, exchange: Exchange) -> None:
        """Take in that an answer is whole, or was given up."""
        if exchange in self._open:
            self._open.discard(exchange)
            exchange.ended_at = self._instants.now()

    def meet(self, exchange: Exchange) -> Fault | None:
        """Say what a request is for; the first fault that is planned for such strikes.

        Raises:
            RuntimeError: the clock really takes its time, and must not.
        """
        self._require_virtual_time()
        record = self._find(exchange)
        if record is not None and exchange.kind is Kind.POLL:
            record.polls.append(exchange)
        for planned in self._planned:
            if planned.strikes(exchange):
                return planned.fault
        return None

    async def answer(self, exchange: Exchange, fault: Fault | None) -> Reply:
        """Say what comes back."""
        record = self._records.get(exchange.job_id or "")
        if fault is not None:
            return self._spoil(fault, exchange, record)
        reply = await self._own(exchange, record)
        return self._right(exchange, record) if reply is None else reply

    def _spoil(self, fault: Fault, exchange: Exchange, record: Record | None) -> Reply:
        """Answer in a wrong way."""
        if fault.of_results_only and record is not None:
            record.renew_links()
        right = partial(
            self._right, exchange, record, heard=fault.is_heard, word=fault.word
        )
        return fault.spoil(right, wall(exchange.at))

    async def _own(self, exchange: Exchange, record: Record | None) -> Reply | None:
        """Answer as the test's own routes say, if one of them fits."""
        for route in self._routes:
            if route.fits(exchange):
                answer = route.answer
                own: Any = answer(exchange) if callable(answer) else answer
                if inspect.isawaitable(own):
                    own = await own
                if isinstance(own, Fault):
                    return self._spoil(own, exchange, record)
                if not isinstance(own, Reply):
                    raise ValueError(
                        f"route(...) gave {shorten(own)}, which is not allowed: must be"
                        " what respond(...) makes, or a fault"
                    )
                return own
        return None

    def _find(self, exchange: Exchange) -> Record | None:
        """Say what a request is for, and find the job that it is about."""
        path = exchange.path
        if exchange.method == "GET" and path == "/status":
            exchange.kind = Kind.POLL
            first = next(iter(self._records.values()), None)
            exchange.job_id = None if first is None else first.id
            return first
        if exchange.method == "POST" and path == _wire.COLLECTION:
            exchange.kind = Kind.SUBMISSION
            return None
        by_word = self._status_path and self._status_path.fullmatch(path)
        if by_word:
            exchange.kind = Kind.POLL
            exchange.job_id = unquote(by_word[1])
        elif match := _JOB.fullmatch(path):
            exchange.job_id = unquote(match[1])
            kinds = {None: Kind.POLL, "/cancel": Kind.CANCEL}
            kind = kinds.get(match[2], Kind.RESULT)
            wanted = "POST" if kind is Kind.CANCEL else "GET"
            if exchange.method == wanted:
                exchange.kind = kind
        return self._records.get(exchange.job_id or "")

    def _right(
        self,
        exchange: Exchange,
        record: Record | None,
        *,
        heard: bool = True,
        word: str | None = None,
    ) -> Reply:
        """Answer as the wire says."""
        if not self._may(exchange):
            return _wire.problem(401, "unauthorized", "The API key is missing or wrong")
        if exchange.kind is Kind.SUBMISSION:
            return self._take_in(exchange)
        if exchange.kind is Kind.OTHER:
            self._unmatched.append(exchange)
            return _wire.problem(404, "no-such-place", "There is nothing here")
        if record is None:
            self._unmatched.append(exchange)
            return _wire.unknown_job(exchange.job_id or "")
        match exchange.kind:
            case Kind.CANCEL:
                return record.cancel(exchange.at, hint=self._retry_after)
            case Kind.RESULT:
                return record.result(exchange)
            case Kind.POLL:
                return record.tell(
                    exchange,
                    by_word=self._is_by_word(exchange.path),
                    heard=heard,
                    word=word,
                    hint=self._retry_after,
                )
            case never:
                assert_never(never)

    def _is_by_word(self, path: str) -> bool:
        """Tell whether a path is one of the form without ids."""
        own = self._status_path
        return path == "/status" or (
            own is not None and own.fullmatch(path) is not None
        )

    def _may(self, exchange: Exchange) -> bool:
        if self._api_key is None or exchange.path == "/status":
            return True
        return exchange.headers.get("authorization") == f"Bearer {self._api_key}"

    def _take_in(self, exchange: Exchange) -> Reply:
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
        record = self._records.get(job_id)
        if record is None:
            if not self._coming:
                self._unmatched.append(exchange)
                return _wire.problem(
                    503, "no-script", "Nothing is scripted", "call on_submit(job(...))"
                )
            script, optional = self._coming[0]
            if isinstance(script, Script):
                del self._coming[0]
            record = self._make(
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
            exchange.job_id = record.id
            return record.submitted(hint=self._retry_after)
        exchange.job_id = record.id
        record.look(exchange.at)
        return record.document(
            exchange.at, status=202, hint=self._retry_after, location=True
        )

    def _make(
        self,
        script: JobScript | Drawn,
        *,
        submitted_at: float,
        id: str | None = None,  # noqa: A002 - as in `add`
        optional: bool = False,
        video: bytes | None = None,
        subtitles: bytes = b"WEBVTT\n",
        fields: Mapping[str, Any] = MappingProxyType({}),
    ) -> Record:
        if isinstance(script, Drawn):
            script = script.draw()
        if not isinstance(script, Script):
            raise ValueError(f"{_refusal(script)} or drawn(...)")
        job_id = f"j{len(self._records) + 1}" if id is None else id
        if not job_id or job_id in self._records:
            raise ValueError(f"id={job_id!r} is not allowed: must be a new one")
        for name, data in {"video": video, "subtitles": subtitles}.items():
            if not isinstance(data, (bytes, type(None))):
                raise ValueError(
                    f"{name}={shorten(data)} is not allowed: must be bytes"
                )
        if video is None:
            video = f"the video of {job_id}".encode()
        record = self._records[job_id] = Record(
            job_id,
            script,
            submitted_at=submitted_at,
            fields=fields,
            results={"video": video, "subtitles": subtitles},
            optional=optional,
        )
        return record

    def _require_virtual_time(self) -> None:
        if self._only_virtual_time and not time_is_virtual():
            raise RuntimeError(
                "this test runs on a real clock, and its waits would really take their"
                " time; add pytest-trio's fixture autojump_clock to it"
            )


def _refusal(script: object) -> str:
    return f"script={shorten(script)} is not allowed: must be job(...)"


publish(ScriptedServer, by="vtrio.testing")
