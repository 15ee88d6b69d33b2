"""The limit of a wait: when each package gives up, and what it reports by then.

All waits of a contender begin at once, on the server of the scenario `peers`, and have
the same limit D. Half of the jobs end at D - 0.3 s, the others at D - 0.1 s: all are
over in time, and whoever has not reported one by then was not asking. One contender
begins a moment after another, so that their jobs do not all end together. Peers have
their defaults, and an interval whose look comes 50 ms before the limit; or, where their
pauses are drawn by chance, others by which they look then. Ours poll with
`Learned`, cold and after some jobs of this kind, and with the backoff of `get_status`;
and they listen, with the ladder.

    {"limit", "ends": [seconds before the limit], "waits", "left_out",
     "rounds": [{"busy": {...}, "contenders": [CONTENDER, ...]}, ...],
     "contenders": [{"slug", "name", "kind", "way", "waits", "reported", "missed",
                     "raised", "after": {"min", "median", "max"}, "not_given_up",
                     "told_before_the_end", "error"}, ...],
     "verdict": {"missed", "overshoot", "promise", "kept"}}

What is of a round is as in `peers`. Of those of all rounds together, `after` is by
how many seconds a wait ended after its limit, below 0 where it was over before, whether
it reported the job's end or gave up; `reported_after` and `gave_up_after` are the same
of the two apart, null where there was none. Waits that went on for longer than the
grace are counted in `not_given_up`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from . import _ours
from ._ending import ending_within
from ._figures import print_table, spread
from ._needs import need_linux
from ._options import BadOption
from ._peers import Peer
from ._peers._finding import find_peers
from ._peers_table import named, print_troubles, shortened
from ._rounds import Contender, Terms, choose, of_ours, of_peer, open_arena
from ._rounds_figures import Waited, sum_up
from ._rounds_verdicts import MOST_OVERSHOOT

SUMMARY = "when each package gives up, and what it has reported by then"

QUICK: dict[str, Any] = {"rounds": 1, "grace": 1.5}

_ENDS = (0.3, 0.1)
# Seconds between the beginnings of two contenders: the server ends a dozen jobs.
_APART = 0.4
_MOST_WAITS = 200
_MOST_ROUNDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many waits, how long, and whose."""
    seconds: dict[str, Any] = {"type": float, "metavar": "SECONDS"}
    parser.add_argument(
        "--limit", default=6.0, help="of each wait; 6 if not given", **seconds
    )
    parser.add_argument(
        "--grace",
        default=35.0,
        help="after the limit a contender is ended; 35 if not given",
        **seconds,
    )
    parser.add_argument(
        "--waits",
        type=int,
        default=4,
        metavar="N",
        help="of each contender at once; 4 if not given",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="5 if not given"
    )
    parser.add_argument(
        "--taught",
        type=int,
        default=30,
        metavar="N",
        help="jobs that Learned has waited for before; 30 if not given",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="these contenders alone, by name, or by the beginning of several",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the rounds, print when each wait was over, and return that."""
    check(options)
    need_linux()
    peers, left_out = find_peers()
    for line in left_out:
        print(line)
    rounds: list[dict[str, Waited]] = []
    busy: list[dict[str, float]] = []
    with (
        tempfile.TemporaryDirectory(prefix="vtrio-benchmark-") as folder,
        ending_within(_longest(options)),
        open_arena(Path(folder), options.seed) as arena,
    ):
        history = Path(folder) / "history.json"
        contenders = choose(_contenders(peers, history), options.only)
        _say(f"Learned waits for {options.taught} such jobs beforehand")
        arena.start(contenders)
        # Who learns has time to see the end of each.
        lesson = replace(_terms(options, options.taught), limit=2 * options.limit)
        arena.teach("vtrio-teacher", history, lesson)
        for turn in range(options.rounds):
            _say(f"round {turn + 1} of {options.rounds}")
            rounds.append(arena.round(contenders, _terms(options, options.waits)))
            busy.append(arena.busy)
    rows = [
        _row(contender, [found[contender.slug] for found in rounds], options)
        for contender in contenders
    ]
    _print(rows, options)
    return {
        "limit": options.limit,
        "ends": list(_ENDS),
        "waits": options.waits,
        "left_out": left_out,
        "rounds": [
            {
                "busy": own,
                "contenders": [
                    {
                        **_named(contender),
                        **sum_up(found[contender.slug], options.limit, options.grace),
                    }
                    for contender in contenders
                ],
            }
            for found, own in zip(rounds, busy, strict=True)
        ],
        "contenders": rows,
        "verdict": verdict_on(rows),
    }


def check(options: argparse.Namespace) -> None:
    """Refuse options that no round can be made of.

    Raises:
        BadOption: naming the option, the value and what is allowed.
    """
    for name, value, most in (
        ("waits", options.waits, _MOST_WAITS),
        ("taught", options.taught, _MOST_WAITS),
        ("rounds", options.rounds, _MOST_ROUNDS),
    ):
        if not 1 <= value <= most:
            raise BadOption(
                f"--{name} {value} is not allowed: must be from 1 to {most}"
            )
    if not 1 <= options.limit <= 600:
        raise BadOption(
            f"--limit {options.limit:g} is not allowed: must be from 1 to 600 s"
        )
    if not 0 < options.grace <= 600:
        raise BadOption(
            f"--grace {options.grace:g} is not allowed: must be above 0, and 600 s at most"
        )


def _contenders(peers: Sequence[Peer], history: Path) -> list[Contender]:
    """Return all that may take part."""
    return [
        *(contender for peer in peers for contender in of_peer(peer, for_limit=True)),
        of_ours("vtrio-ladder", _ours.DEFAULT),
        of_ours("vtrio-learned", _ours.learned(1, history), 1),
        of_ours("vtrio-cold", _ours.LEARNED_COLD),
        of_ours("vtrio-exponential", _ours.SEEDS),
    ]


def _terms(options: argparse.Namespace, jobs: int) -> Terms:
    ends = [options.limit - before for before in _ENDS]
    return Terms(
        durations=list(islice(cycle(ends), jobs)),
        limit=options.limit,
        grace=options.grace,
        interval=options.limit,  # nobody is tuned by it
        apart=_APART,
    )


def _longest(options: argparse.Namespace) -> float:
    """Return after how many seconds all of it is given up, as when nothing moves."""
    return float(120 + (options.rounds + 1) * (options.limit + options.grace + 30))


def _named(contender: Contender) -> dict[str, Any]:
    return {
        "slug": contender.slug,
        "name": contender.name,
        "kind": contender.kind,
        "runs_on": contender.runs_on,
    }


def _row(
    contender: Contender, rounds: Sequence[Waited], options: argparse.Namespace
) -> dict[str, Any]:
    """Sum up all rounds of one contender."""
    after: dict[str, list[float]] = {"reported": [], "gave_up": []}
    for waited in rounds:
        deadline = waited.begins_at + options.limit
        for at, outcome, _ in waited.told["reports"].values():
            kind = "reported" if outcome == "completed" else "gave_up"
            after[kind].append(at - deadline)
    figures = [sum_up(waited, options.limit, options.grace) for waited in rounds]
    both = [*after["reported"], *after["gave_up"]]
    return {
        **_named(contender),
        "way": figures[0]["way"],
        "waits": sum(figure["jobs"] for figure in figures),
        "reported": len(after["reported"]),
        "missed": sum(figure["missed"] for figure in figures),
        "raised": sum(figure["raised"] for figure in figures),
        "not_given_up": sum(figure["not_given_up"] for figure in figures),
        "told_before_the_end": sum(f["told_before_the_end"] for f in figures),
        "error": next((f["error"] for f in figures if f["error"]), ""),
        "requests": sum(figure["requests"] for figure in figures),
        "after": spread(both) if both else None,
        "reported_after": spread(after["reported"]) if after["reported"] else None,
        "gave_up_after": spread(after["gave_up"]) if after["gave_up"] else None,
        "overshoot": max(figure["overshoot"] for figure in figures),
        "ended": all(figure["ended"] for figure in figures),
        "reasons": figures[0]["reasons"],
    }


def verdict_on(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say whether ours reported all, and were late by no more than is promised."""
    ours = [row for row in rows if row["kind"] == "ours"]
    missed = sum(row["missed"] for row in ours)
    overshoot = max((row["overshoot"] for row in ours), default=0.0)
    return {
        "missed": missed,
        "overshoot": overshoot,
        "promise": {"missed": 0, "overshoot": MOST_OVERSHOOT},
        "kept": missed == 0
        and overshoot <= MOST_OVERSHOOT
        and not any(row["error"] for row in ours),
    }


def _print(rows: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> None:
    ranked = sorted(rows, key=lambda row: (row["missed"], row["overshoot"]))
    print_table(
        f"{rows[0]['waits'] if rows else 0} waits of each contender,"
        f" {options.limit:g} s at most; jobs end {_ENDS[0]:g} and {_ENDS[1]:g} s before",
        [
            *("contender", "settings", "reported", "missed", "gave up, ms after"),
            *("over last, ms after", "requests a job"),
        ],
        [_cells(row) for row in ranked],
    )
    print("* ours. The limit is 0 ms; what is below 0 came before it.")
    print_troubles(ranked)
    verdict = verdict_on(rows)
    print(
        f"ours: {verdict['missed']} missed, {verdict['overshoot'] * 1e3:.0f} ms late at"
        f" most (promised: 0 and {MOST_OVERSHOOT * 1e3:.0f} ms:"
        f" {'kept' if verdict['kept'] else 'NOT KEPT'})"
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    gave_up, after = row["gave_up_after"], row["after"]
    last = "-" if after is None else f"{after['max'] * 1e3:.0f}"
    return [
        named(row),
        shortened(row["way"]),
        f"{row['reported']} of {row['waits']}",
        str(row["missed"]),
        "-"
        if gave_up is None
        else f"{gave_up['min'] * 1e3:.0f} to {gave_up['max'] * 1e3:.0f}",
        last if row["ended"] else f"> {row['overshoot'] * 1e3:.0f}",
        f"{row['requests'] / row['waits']:.2f}",
    ]


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
