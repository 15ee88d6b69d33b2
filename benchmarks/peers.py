"""Others' packages and ours, waiting for jobs drawn alike on one server, in real time.

Each contender is a process of its own, and the server is `vtrio serve`. All jobs of a
round begin at one instant, and so do all waits for them; a contender's k-th job lasts as
long as any other's, but for their order. Lag is from the server's own instant of
completion to the report in the contender's process, by one clock. Every request is
counted at the server. What our server would tell of when to ask and how long a job took
is left out for all alike: most servers do not tell it.

A peer comes with its defaults, or those of its documentation's example, and with the
fixed interval that costs least in hindsight for just these jobs, at 2 % of their mean
duration for a request. Ours come with the ladder of transports, and with `Learned` on
single polls, after it has waited for some jobs as those are: its history is then in a
file, which is read at the beginning of each round and never written. The knob of
`Learned` is turned by multiples of the request cost that is its default. Where there are
more jobs than all contenders could wait for at once on one machine, they take turns.

    {"durations", "limit", "cut", "left_out", "taught",
     "rounds": [{"size", "interval", "mean_duration",
                 "turns": [{"contenders": [SLUG, ...],
                            "busy": {"server", "machine",
                                     "server_busiest", "machine_busiest"}}],
                 "bin": seconds, "contenders": [CONTENDER, ...]}, ...],
     "outage": null or the same with "outage": [beginning, end] and
               "verdict": {"broken", "pairs": [{"ours", "peer", ...}]},
     "verdicts": [{"size", "single_polls": [...], "ladder": [...], "broken", "missed",
                   "overshoot", "kept"}, ...],
     "unfinished": whether the time was over before all rounds were complete}

`busy` is the share of a core that the server took, and that of all cores which anybody
did, whoever else is on the machine among them: of the whole turn, and in its busiest
5 s. A CONTENDER has its `slug`, `name`, `kind` (default, tuned or ours), `way`, `runs_on`
and `knob` (null where there is none); `saturated`, true where the server or the machine
was busy for more than 0.9 of those 5 s, so that lag and misses are their queue's as well;
`requests`, `requests_per_job` and `requests_by_bin`, a text of as many numbers as there
are bins up to the last request; `lag` of what was reported as completed and
`lag_with_missed`, each with mean, p50, p95, p99, max and the percentiles of
`PERCENTILES` in `_rounds_figures`, in seconds; counts of outcomes
and of jobs `missed`, which ended before the limit and were not reported as completed;
`overshoot`, `wall` and `cpu_per_job` in seconds; `gave_up_after_deadline`, less than 0
where it gave up before; the commonest `reasons`. In an outage there are also
`requests_in_outage` and `requests_before`, in as many seconds just before it. Of a peer
whose process has raised there is no verdict: it is named in `broken`.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vtrio._distributions import Durations

from . import _ours
from ._ending import TookTooLong, ending_within
from ._load import BUSIEST, MOST_BUSY, is_saturated
from ._needs import need_linux
from ._peers import Peer
from ._peers._finding import find_peers
from ._peers_options import add_arguments, check
from ._peers_pictures import draw_peers
from ._peers_table import print_outage_verdict, print_round, print_verdicts
from ._rounds import Arena, Contender, Terms, choose, of_ours, of_peer, open_arena
from ._rounds_figures import draw, groups, histogram, sum_up, tune
from ._rounds_verdicts import compare, compare_outage

__all__ = ["QUICK", "SUMMARY", "add_arguments", "draw_pictures", "run"]

SUMMARY = "other packages that wait, and ours, for the same jobs"

QUICK: dict[str, Any] = {
    "sizes": [10, 100],
    "durations": "uniform:2,6",
    "cut": 6.0,
    "limit": 7.0,
    "grace": 1.0,
    "knobs": [1.0, 2.0, 8.0],
    "outage_jobs": 10,
    "outage_at": 2.0,
    "outage": 2.0,
    "rate": 800.0,
}

_MOST_GROUPS = 10
_MOST_TOGETHER = 4000
# Requests a job of a contender of which nothing is known yet.
_GUESS = 5.0
# As many requests take the server as long as the end of a job does.
_AN_END = 2.0
# Seconds for everything, and of those for what is planned: of that, for one submission
# as long as none was measured, and for what is between two turns, some of which overshoot.
_LONGEST = 2400.0
_PLANNED = 2280.0
_SUBMISSION = 0.014
_BETWEEN = 20.0
# Seconds that requests are counted by, for a picture of them.
_BIN, _LARGEST_BIN, _OUTAGE_BIN = 1.0, 0.1, 0.5
_TEACHER = "vtrio-teacher"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds, print their tables, and return what was found.

    What is complete when the time is over is returned with `unfinished`.

    Raises:
        BadOption: no round can be made of the options.
        Skipped: this is not Linux.
        TookTooLong: the time is over, and nothing is complete.
    """
    durations = check(options)
    need_linux()
    peers, left_out = find_peers()
    for line in left_out:
        print(line)
    outage: dict[str, Any] | None = None
    found: list[dict[str, Any]] = []
    unfinished = False
    try:
        with (
            tempfile.TemporaryDirectory(prefix="vtrio-benchmark-") as folder,
            ending_within(_longest(options)),
            open_arena(Path(folder), options.seed) as arena,
        ):
            history = Path(folder) / "history.json"
            contenders = _contenders(peers, options.knobs, history)
            contenders = choose(contenders, options.only)
            rounds = _Rounds(arena, options, durations, contenders)
            if any(contender.knob is not None for contender in contenders):
                rounds.teach(history)
            if options.outage_jobs:
                outage = rounds.with_outage()
            # The largest last: it has what time is left.
            for size in sorted(set(options.sizes)):
                found.append(rounds.of_size(size))  # noqa: PERF401 - kept one by one
    except TookTooLong as late:
        if not found and outage is None:
            raise
        unfinished = True
        print(f"\nUNFINISHED: {late}; what was not complete is left out.")
    verdicts = [compare(one["size"], one["contenders"]) for one in found]
    print_verdicts(verdicts)
    if outage is not None:
        outage["verdict"] = compare_outage(outage["contenders"])
        print_outage_verdict(outage["verdict"])
    return {
        "durations": str(durations),
        "limit": options.limit,
        "cut": options.cut,
        "left_out": left_out,
        "taught": options.taught,
        "rounds": found,
        "outage": outage,
        "verdicts": verdicts,
        "unfinished": unfinished,
    }


def draw_pictures(results: dict[str, Any], path: Path) -> None:
    """Draw what was found, if anything was."""
    draw_peers(results, path)


def _contenders(
    peers: Sequence[Peer], knobs: Sequence[float], history: Path
) -> list[Contender]:
    """Return all that may take part."""
    return [
        *(contender for peer in peers for contender in of_peer(peer)),
        of_ours("vtrio-ladder", _ours.DEFAULT),
        *(
            of_ours(f"vtrio-x{_fraction(knob)}", _ours.learned(knob, history), knob)
            for knob in sorted(set(knobs))
        ),
    ]


def _fraction(knob: float) -> str:
    return f"{knob:g}" if knob >= 1 else f"1-{1 / knob:g}"


def _longest(options: argparse.Namespace) -> float:
    """Return after how many seconds all of it is given up, as when nothing moves."""
    each = options.limit + options.grace + 60
    turns = _MOST_GROUPS * len(options.sizes) + 2
    return float(min(_LONGEST, 120 + turns * each))


def _warn(turns: Iterable[Mapping[str, float]]) -> None:
    """Say where the machine, and not the contenders, was measured."""
    told = list(turns)
    for who in ("server", "machine"):
        busiest = max(busy[f"{who}_busiest"] for busy in told)
        if busiest > MOST_BUSY:
            print(
                f"In its busiest {BUSIEST} s the {who} was busy for {busiest:.0%} of them:"
                " lag and misses are its queue's as well."
            )


class _Rounds:
    """The rounds of one run, each with what has been learned in those before it."""

    def __init__(
        self,
        arena: Arena,
        options: argparse.Namespace,
        durations: Durations,
        contenders: Sequence[Contender],
    ) -> None:
        self._arena = arena
        self._options = options
        self._durations = durations
        self._contenders = contenders
        self._asked: dict[str, float] = {}  # of one job, in a second of its life
        self._began = time.monotonic()

    def teach(self, history: Path) -> None:
        """Let `Learned` wait for a few jobs on single polls, and write its history."""
        self._say(f"Learned waits for {self._options.taught} jobs beforehand")
        self._arena.start(self._contenders)
        terms = self._terms(self._draw(self._options.taught))
        self._arena.teach(_TEACHER, history, terms)

    def of_size(self, size: int) -> dict[str, Any]:
        """Run one size, all contenders at once or in turns, and print its table."""
        drawn = self._draw(size)
        terms = self._terms(drawn)
        by_slug = {contender.slug: contender for contender in self._contenders}
        mean = math.fsum(drawn) / size
        # While all jobs are alive more is asked than in the mean of the round. How much a
        # job is asked about was seen with an earlier size.
        guess = (_GUESS + _AN_END) / mean
        rates = {slug: self._asked.get(slug, guess) * size for slug in by_slug}
        turns = groups(
            rates,
            most=math.ceil(_MOST_TOGETHER / size),
            rate=self._options.rate,
            most_groups=self._turns_left(size),
        )
        rows: list[dict[str, Any]] = []
        told: list[dict[str, Any]] = []
        bin_width = _LARGEST_BIN if size == max(self._options.sizes) else _BIN
        for turn, slugs in enumerate(turns, 1):
            self._say(
                f"{size:,} jobs each, turn {turn} of {len(turns)}: {', '.join(slugs)}"
            )
            group = [by_slug[slug] for slug in slugs]
            rows += self._round(group, terms, bin_width)
            told.append({"contenders": slugs, "busy": self._arena.busy})
        self._asked |= {
            row["slug"]: (row["requests_per_job"] + _AN_END) / mean for row in rows
        }
        print_round(
            f"{size:,} jobs of each contender, {self._durations}, {terms.limit:g} s at"
            " most",
            rows,
        )
        _warn(turn["busy"] for turn in told)
        return {
            **self._told(terms),
            "turns": told,
            "bin": bin_width,
            "contenders": rows,
        }

    def _turns_left(self, size: int) -> int:
        """Return how many turns there is time for, if each takes as long as it may."""
        left = _PLANNED - (time.monotonic() - self._began)
        left -= size * len(self._contenders) * (self._arena.submission or _SUBMISSION)
        each = self._options.limit + _BETWEEN
        return max(1, min(_MOST_GROUPS, int(left / each)))

    def with_outage(self) -> dict[str, Any]:
        """Run all contenders at once on a server that is out for a few seconds."""
        options = self._options
        begins, ends = options.outage_at, options.outage_at + options.outage
        terms = self._terms(self._draw(options.outage_jobs), outage=(begins, ends))
        self._say(
            f"{options.outage_jobs:,} jobs each, an outage of {options.outage:g} s"
        )
        rows = self._round(self._contenders, terms, _OUTAGE_BIN)
        slugs = [contender.slug for contender in self._contenders]
        print_round(
            f"{options.outage_jobs:,} jobs of each contender; from {begins:g} to {ends:g}"
            " s every answer is 503",
            rows,
        )
        _warn([self._arena.busy])
        return {
            **self._told(terms),
            "outage": [begins, ends],
            "turns": [{"contenders": slugs, "busy": self._arena.busy}],
            "bin": _OUTAGE_BIN,
            "contenders": rows,
        }

    def _round(
        self, contenders: Sequence[Contender], terms: Terms, bin_width: float
    ) -> list[dict[str, Any]]:
        found = self._arena.round(contenders, terms)
        rows = []
        for contender in contenders:
            waited = found[contender.slug]
            row = {
                "slug": contender.slug,
                "name": contender.name,
                "kind": contender.kind,
                "runs_on": contender.runs_on,
                "knob": contender.knob,
                "saturated": is_saturated(self._arena.busy),
                **sum_up(waited, terms.limit, terms.grace),
                "requests_by_bin": " ".join(
                    map(str, histogram(waited.instants, bin_width))
                ),
            }
            if terms.outage is not None:
                begins, ends = terms.outage
                length = ends - begins
                asked = waited.instants
                row["requests_in_outage"] = sum(begins <= at < ends for at in asked)
                row["requests_before"] = sum(
                    begins - length <= at < begins for at in asked
                )
            rows.append(row)
        return rows

    def _draw(self, jobs: int) -> list[float]:
        options = self._options
        return draw(self._durations, jobs, seed=options.seed, cut=options.cut)

    def _terms(
        self, drawn: Sequence[float], outage: tuple[float, float] | None = None
    ) -> Terms:
        return Terms(
            durations=drawn,
            limit=self._options.limit,
            grace=self._options.grace,
            interval=tune(drawn),
            outage=outage,
        )

    def _told(self, terms: Terms) -> dict[str, Any]:
        jobs = len(terms.durations)
        return {
            "size": jobs,
            "interval": terms.interval,
            "mean_duration": math.fsum(terms.durations) / jobs,
        }

    def _say(self, what: str) -> None:
        print(
            f"[{time.monotonic() - self._began:5.0f} s] {what}",
            file=sys.stderr,
            flush=True,
        )
