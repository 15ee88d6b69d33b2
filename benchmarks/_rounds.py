"""Rounds: contenders that wait at once, each for jobs drawn alike, on one server.

Each contender is a process, and the server is another. A contender's clocks and the
server's are one: that of the machine. What a round may take is bounded, and what was
missing then is told.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

import httpx
import trio

from . import _ours
from ._contender_process import ContenderProcess
from ._load import Load
from ._options import BadOption
from ._peers import Peer, Way
from ._rounds_figures import Waited
from ._servers import Server, serving
from ._submissions import submit

Kind = Literal["default", "tuned", "ours"]

_VIDEO_SIZE = 1000
# Seconds from the order to begin until the jobs do: all have read it by then.
_LEAD = 2.0
# Contenders begin one after the other, by so many seconds a job: some ask for all jobs
# at the beginning, and then in step, and the server takes about as long for that.
_APART = 0.0015
# Seconds that starting a contender may take, beside the others.
_STARTING = 60.0
_ANSWERING = 20.0
_PAUSE = 0.05
# How often jobs are waited for, to learn from, that were missed.
_LESSONS = 3
_PAGE = 200
_MOST_WORKERS = 20_000


@dataclass(frozen=True, slots=True)
class Contender:
    """Who waits: a package as it is set.

    Attributes:
        slug: its name in paths and options.
        name: its package.
        kind: whose settings it has.
        runs_on: trio, asyncio or threads.
        told: what its process is told about it.
        knob: by what the request cost of `Learned` is multiplied.
    """

    slug: str
    name: str
    kind: Kind
    runs_on: str
    told: Mapping[str, Any] = field(repr=False)
    knob: float | None = None

    @property
    def is_ours(self) -> bool:
        """Tell whether it is one of ours."""
        return self.kind == "ours"


def of_peer(peer: Peer, *, for_limit: bool = False) -> list[Contender]:
    """Return a peer with its defaults, and tuned: by the interval, or for the limit."""
    module = getattr(peer, "__name__", "")
    slug = re.sub(r"[^a-z0-9]+", "-", peer.NAME.lower()).strip("-")
    tuned = "tuned for the limit" if for_limit else "tuned"
    kinds: tuple[tuple[Kind, str, str], ...] = (
        ("default", "", "default"),
        ("tuned", "-tuned", tuned),
    )
    return [
        Contender(
            slug=slug + ending,
            name=peer.NAME,
            kind=kind,
            runs_on=peer.RUNS_ON,
            told={"module": module, "way": way},
        )
        for kind, ending, way in kinds
    ]


def of_ours(slug: str, way: Way, knob: float | None = None) -> Contender:
    """Return one of our own ways."""
    own = {"title": way.title, "settings": dict(way.settings)}
    return Contender(
        slug=slug,
        name=_ours.NAME,
        kind="ours",
        runs_on=_ours.RUNS_ON,
        told={"module": _ours.__name__, "way": own},
        knob=knob,
    )


def choose(contenders: Sequence[Contender], names: Sequence[str]) -> list[Contender]:
    """Return those that are named; all for none.

    A name is a slug, or where there is no such slug, the beginning of some.

    Raises:
        BadOption: naming what is not there, and what is.
    """
    slugs = [contender.slug for contender in contenders]
    chosen: set[str] = set()
    for name in names:
        own = {slug for slug in slugs if slug == name}
        own = own or {slug for slug in slugs if slug.startswith(f"{name}-")}
        if not own:
            raise BadOption(
                f"--only {name} is not allowed: must be one of {', '.join(slugs)}"
            )
        chosen |= own
    return [c for c in contenders if not names or c.slug in chosen]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a round is about.

    Attributes:
        durations: how long the jobs of each contender last.
        limit: the seconds that each wait may take.
        grace: seconds beyond the limit after which a contender is ended.
        interval: what the tuned ones ask by.
        outage: the seconds at which nobody is answered any more, and again.
        apart: seconds between the beginnings of two contenders; by default as many
            as the server takes for one request for each job.
    """

    durations: Sequence[float]
    limit: float
    grace: float
    interval: float
    outage: tuple[float, float] | None = None
    apart: float | None = None


class Arena:
    """The server, and the contenders that have been started so far; a block.

    Made by `open_arena`. `busy` tells of the latest round, from its beginning until the
    last contender was through, how busy the server and the machine were, as `Load` does,
    whoever else is on the machine among them.
    """

    def __init__(self, server: Server, folder: Path, seed: int) -> None:
        self._server = server
        self._folder = folder
        self._rng = random.Random(f"arena {seed}")
        self._http = httpx.Client(base_url=server.url, timeout=_ANSWERING)
        self._processes: dict[str, ContenderProcess] = {}
        self._warm: dict[str, str] = {}
        self.busy: dict[str, float] = {}
        self._submitted = 0
        self._submitting = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        for process in self._processes.values():
            process.close()

    @property
    def submission(self) -> float | None:
        """The seconds that one submission took so far, until its job was at the engine.

        None before there was any.
        """
        return self._submitting / self._submitted if self._submitted else None

    def start(self, contenders: Sequence[Contender]) -> None:
        """Start those that do not run, and do not wait until they are ready."""
        missing = [c for c in contenders if not self._runs(c)]
        cold = [c for c in missing if c.slug not in self._warm]
        ids = {c.slug: self._submit(c, 1) for c in cold}
        self._wait_for_jobs(len(cold))
        for slug, own in ids.items():
            self._begin(slug, time.time(), {own[0]: 0.0})
        self._warm |= {slug: self._urls(slug, own)[0] for slug, own in ids.items()}
        for contender in missing:
            told = {**contender.told, "warm_up": self._warm[contender.slug]}
            log = self._folder / f"{contender.slug}.log"
            self._processes[contender.slug] = ContenderProcess(
                contender.slug, told, log
            )

    def round(self, contenders: Sequence[Contender], terms: Terms) -> dict[str, Waited]:
        """Have contenders wait at once, each for jobs of its own that are drawn alike.

        Raises:
            RuntimeError: something was not there in time.
        """
        self.start(contenders)
        by = time.monotonic() + _STARTING
        processes = {c.slug: self._processes[c.slug] for c in contenders}
        for process in processes.values():
            process.await_readiness(by)
        began = time.monotonic()
        ids = {c.slug: self._submit(c, len(terms.durations)) for c in contenders}
        submitted = len(contenders) * len(terms.durations)
        self._wait_for_jobs(submitted)
        self._submitted += submitted
        self._submitting += time.monotonic() - began
        first = time.time() + _LEAD
        apart = terms.apart
        if apart is None:
            apart = _APART * len(terms.durations)
        begins_at = {
            contender.slug: first + turn * apart
            for turn, contender in enumerate(contenders)
        }
        for slug, process in processes.items():
            order = {
                "urls": self._urls(slug, ids[slug]),
                "limit": terms.limit,
                "at": begins_at[slug],
                "grace": terms.grace,
                "interval": terms.interval,
            }
            process.tell(order)
            drawn = list(terms.durations)
            self._rng.shuffle(drawn)
            durations = dict(zip(ids[slug], drawn, strict=True))
            self._begin(slug, begins_at[slug], durations, terms.outage)
        latest = max(begins_at.values(), default=first)
        over_at = latest + terms.limit + terms.grace
        by = time.monotonic() + over_at - time.time() + _ANSWERING
        time.sleep(max(0.0, first - time.time()))
        with Load(self._server.pid) as load:
            told = {slug: process.read(by) for slug, process in processes.items()}
        self.busy = load.busy
        for slug, found in told.items():
            if not found["ended"]:
                self._processes.pop(slug).close()
        asked = self._ask("GET", "counts")
        # Those that gave up all may have done so before the last job has ended.
        time.sleep(max(0.0, latest + max(terms.durations, default=0) - time.time()))
        return {
            slug: Waited(
                begins_at=begins_at[slug],
                ended_at=self._ends(slug, ids[slug]),
                told=found,
                instants=asked.get(slug, []),
            )
            for slug, found in told.items()
        }

    def teach(self, slug: str, history: Path, terms: Terms) -> None:
        """Have `Learned` wait for a few jobs, and write what it has seen to a file.

        For jobs that it has missed it waits again, as long as they last.

        Raises:
            RuntimeError: it did not complete as many jobs, or wrote no file.
        """
        teacher = of_ours(slug, _ours.learning(history))
        left = terms.durations
        for _ in range(_LESSONS):
            found = self.round([teacher], replace(terms, durations=left))[slug]
            left = durations_missed(found)
            if not left:
                break
        if left:
            raise RuntimeError(
                f"Learned has missed {len(left)} of {len(terms.durations)} jobs"
                f" beforehand {found.told['error']}".strip()
            )
        if not history.exists():
            raise RuntimeError("Learned wrote no history beforehand")

    def _runs(self, contender: Contender) -> bool:
        process = self._processes.get(contender.slug)
        return process is not None and process.runs

    def _submit(self, contender: Contender, jobs: int) -> list[str]:
        url = f"{self._server.url}/as/{contender.slug}"
        return trio.run(submit, url, jobs, _VIDEO_SIZE)

    def _urls(self, slug: str, ids: Sequence[str]) -> list[str]:
        below = f"{self._server.url}/as/{slug}/v1/translations"
        return [f"{below}/{job_id}" for job_id in ids]

    def _wait_for_jobs(self, jobs: int) -> None:
        """Return when so many jobs wait at the engine."""
        by = time.monotonic() + _ANSWERING + jobs / 50
        while (waiting := self._ask("GET", "waiting")["waiting"]) < jobs:
            if time.monotonic() > by:
                raise RuntimeError(f"{waiting} of {jobs} jobs wait at the engine")
            time.sleep(_PAUSE)

    def _begin(
        self,
        slug: str,
        at: float,
        durations: Mapping[str, float],
        outage: tuple[float, float] | None = None,
    ) -> None:
        self._ask("POST", "begin", name=slug, at=at, durations=durations, outage=outage)

    def _ends(self, slug: str, ids: Sequence[str]) -> dict[str, float]:
        """Return when jobs ended by the server's own documents."""
        by = time.monotonic() + _ANSWERING
        ends: dict[str, float] = {}
        for first in range(0, len(ids), _PAGE):
            some = ids[first : first + _PAGE]
            while True:
                answer = self._http.get(
                    f"/as/{slug}/v1/translations", params={"ids": ",".join(some)}
                )
                jobs = answer.raise_for_status().json()["translations"]
                if all(job["finished_at"] is not None for job in jobs):
                    break
                if time.monotonic() > by:
                    raise RuntimeError(f"not all jobs of {slug} have ended")
                time.sleep(_PAUSE)
            for job in jobs:
                ended = datetime.fromisoformat(job["finished_at"])
                ends[job["id"]] = ended.timestamp()
        return ends

    def _ask(self, method: str, word: str, **told: object) -> Any:
        answer = self._http.request(method, f"/steer/{word}", json=told)
        if answer.is_error:
            raise RuntimeError(f"{word}: the server answered {answer.text}")
        return answer.json()


def durations_missed(found: Waited) -> list[float]:
    """Return how long those jobs lasted that were not reported as completed."""
    reports = found.told["reports"]
    return [
        ended - found.begins_at
        for job_id, ended in found.ended_at.items()
        if job_id not in reports or reports[job_id][1] != "completed"
    ]


@contextmanager
def open_arena(folder: Path, seed: int) -> Iterator[Arena]:
    """Start the server of the rounds; all that was started ends with the block."""
    server: AbstractContextManager[Server] = serving(
        f"{__package__}._rounds_server",
        *("--", "--data-dir", folder / "data", "--workers", _MOST_WORKERS),
        log=folder / "rounds.log",
    )
    with server as listening, Arena(listening, folder, seed) as arena:
        yield arena
