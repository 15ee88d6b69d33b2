"""A job server that follows a script: no sockets, on whatever clock trio runs.

It speaks the wire of a translation server, as far as a client of ours uses it, and the
form without ids. What it is asked it writes down, so that a test can say what was asked
when; what was scripted and did not come about it tells at the end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from .._arguments import check_base_url, check_status_path
from .._checks import check_count, check_number, shorten
from .._names import publish
from ..client import VideoTranslationClient
from ._allowance import Allowance
from ._answering import Answering, refusal
from ._chance import Steady
from ._faults import Fault, reset
from ._instants import Instants, time_is_virtual
from ._jobs import ScriptedJob
from ._plans import Answer, Planned, Route
from ._replies import Reply
from ._requests import Abilities, Places
from ._scripts import Drawn, JobScript, Script
from ._timeline import Exchange, Kind, ScriptNotFollowed, render
from ._transport import make_client, make_transport

URL = "http://vtrio.test"
"""Where the scripted server is; the name is one that no network has (RFC 6761)."""


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
        lists: whether it tells of many jobs in one request, and cancels them in one.
        holds: whether it holds an answer back as long as a client wants (`Prefer`).
        feed: whether it tells all changes after a cursor.
        feed_documents: whether the changes that tell of an end hold the job's document,
            for clients that prefer it (`return=representation`), as `vtrio serve` does.
        feed_streams: whether the feed goes on in one answer, as server-sent events, for
            clients that like that best; likewise.
        max_ids: how many jobs one request may name.
        keep_events: how many changes it keeps, the latest ones; None for all.
        record: keep the requests; without that they are but counted, by which a run of
            a hundred thousand jobs stays small.

    Attributes:
        requests: how many requests there were of each kind.
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
        lists: bool = True,
        holds: bool = True,
        feed: bool = True,
        feed_documents: bool = False,
        feed_streams: bool = False,
        max_ids: int = 200,
        keep_events: int | None = None,
        record: bool = True,
    ) -> None:
        check_number("latency", latency, least=0)
        self.url = check_base_url(url)
        if retry_after is not None:
            check_count("retry_after", retry_after)
        if status_path is not None:
            check_status_path(status_path)
        self.latency = latency
        self.requests: Counter[Kind] = Counter()
        self._only_virtual_time = only_virtual_time
        self._records = record
        self._exchanges: list[Exchange] = []
        self._open: dict[Exchange, None] = {}
        self._instants = Instants()
        self._clients: dict[str, Any] = {}
        self._answering = Answering(
            self._instants,
            Abilities(
                lists=lists,
                holds=holds,
                feed=feed,
                documents=feed_documents,
                streams=feed_streams,
                most_ids=max_ids,
            ),
            places=Places(status_path),
            api_key=api_key,
            hint=retry_after,
            keep_events=keep_events,
            keep_exchanges=record,
        )

    def __repr__(self) -> str:
        return (
            f"<ScriptedServer {self.url}: {len(self._answering.records)} jobs,"
            f" {self.requests.total()} requests>"
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
        now = self._instants.now()
        record = self._answering.make(
            script,
            id=id,
            submitted_at=now - age,
            optional=optional,
            video=video,
            subtitles=subtitles,
        )
        self._answering.feed.advance(now)  # what it has been through at that age
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
                raise ValueError(f"{refusal(script)} or drawn(...)")
            coming = self._answering.coming
            if coming and isinstance(coming[-1][0], Drawn):
                raise ValueError(
                    f"script={script} is not allowed: must come before drawn(...),"
                    " which serves for all submissions after it"
                )
            coming.append((script, optional))

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
            to: which requests: `poll`, `batch`, `feed`, `submission`, `cancel`, `result`
                or `other`; None for all.
            about: which job's; a list is about each job in it.
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
        self._answering.planned.append(
            Planned(
                fault,
                at,
                at + lasting,
                times,
                skip,
                _kind(to),
                about.id if isinstance(about, ScriptedJob) else about,
                optional,
            )
        )

    def cut_off(self, to: Kind | str | None = None, fault: Fault | None = None) -> int:
        """Let the requests that are held at this moment end at once.

        Args:
            to: which: `poll`, `batch` or `feed`; None for all.
            fault: how they end; `reset()` by default.

        Returns:
            How many these were.
        """
        if not isinstance(fault, (Fault, type(None))):
            raise ValueError(
                f"fault={shorten(fault)} is not allowed: must be one of vtrio.testing's"
            )
        return self._answering.holding.cut(_kind(to), fault or reset())

    def expire_cursors(self) -> None:
        """Let all cursors that the feed has given so far be answered with 410.

        A request that is held with one of them ends so at once.
        """
        self._answering.expire_cursors()

    def allowance(
        self, *, rate: float = 50, burst: float = 10, retry_after: float | None = None
    ) -> None:
        """Allow so many questions for a status from now on; what is beyond gets 429.

        It is a token bucket over polls, lists and the feed together. One that a fault
        strikes takes no token. A second call takes the place of the first, and begins
        with what is left of that.

        Args:
            rate: requests a second, in the long run.
            burst: how many at once, after a pause.
            retry_after: seconds that a refusal asks to wait; None for no word of it.
        """
        self._answering.allowance = Allowance(
            rate,
            burst,
            retry_after,
            now=self._instants.now(),
            before=self._answering.allowance,
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
        self._answering.routes.append(Route(answer, method, path, times, optional))

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
        """The questions for the status of one job."""
        return tuple(e for e in self._exchanges if e.kind is Kind.POLL)

    @property
    def asked_at(self) -> list[float]:
        """The instants of all polls."""
        return [poll.at for poll in self.polls]

    @property
    def open_exchanges(self) -> tuple[Exchange, ...]:
        """The requests that have no whole answer yet, and were not given up."""
        return tuple(self._open)

    @property
    def in_flight(self) -> int:
        """How many these are."""
        return len(self._open)

    def jobs(self) -> tuple[ScriptedJob, ...]:
        """All jobs, those that were submitted too."""
        return tuple(map(ScriptedJob, self._answering.records.values()))

    def timeline(self) -> str:
        """Write down what happened, a line for each request."""
        jobs = self._answering.records.values()
        turns = [turn for record in jobs for turn in record.turns()]
        return render(self._exchanges, turns)

    def check(self) -> None:
        """Compare what was scripted with what happened.

        Raises:
            ScriptNotFollowed: a step was never reached, a fault or a route met too few
                requests, or nothing was scripted for a request.
        """
        script, unmatched = self._answering, self._answering.unmatched
        missing = [
            *filter(None, (record.missing() for record in script.records.values())),
            *filter(None, (planned.missing for planned in script.planned)),
            *filter(None, (route.missing for route in script.routes)),
            *(
                f"{coming}, scripted for a submission that never came"
                for coming, optional in script.coming
                if isinstance(coming, Script) and not optional
            ),
        ]
        parts = []
        if missing:
            parts.append("never reached:\n" + "\n".join(f"  {m}" for m in missing))
        if unmatched:
            lines = "\n".join(
                f"  {e.method} {e.target} at {e.at:g} s" for e in unmatched
            )
            parts.append(f"nothing was scripted for:\n{lines}")
        if parts:
            parts.append(f"what happened:\n{self.timeline()}")
            first = [*missing, *(f"{e.method} {e.target}" for e in unmatched)][0]
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
        if self._records:
            self._exchanges.append(exchange)
        self._open[exchange] = None
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
            del self._open[exchange]
            exchange.ended_at = self._instants.now()

    def meet(self, exchange: Exchange) -> Fault | None:
        """Say what a request is for; the first fault that is planned for such strikes.

        Raises:
            RuntimeError: the clock really takes its time, and must not.
        """
        self._require_virtual_time()
        fault = self._answering.meet(exchange)
        self.requests[exchange.kind] += 1
        return fault

    async def answer(self, exchange: Exchange, fault: Fault | None) -> Reply:
        """Say what comes back, when it does."""
        return await self._answering.answer(exchange, fault)

    def _require_virtual_time(self) -> None:
        if self._only_virtual_time and not time_is_virtual():
            raise RuntimeError(
                "this test runs on a real clock, and its waits would really take their"
                " time; add pytest-trio's fixture autojump_clock to it"
            )


def _kind(to: Kind | str | None) -> Kind | None:
    if to is not None and to not in set(Kind):
        raise ValueError(
            f"to={shorten(to)} is not allowed: must be one of {', '.join(Kind)}"
        )
    return None if to is None else Kind(to)


publish(ScriptedServer, by="vtrio.testing")
