"""The job server: how prompt, how quick, how much memory, how hard to hold up.

The real server runs in a process of its own, and so does whoever loads it, by bytes
on bare sockets. Where ends of jobs are measured, an engine of the benchmark's own has
the jobs end at set instants; all else is the command `vtrio serve`. An end is when the
server says it was (the same clock, in milliseconds), told when the last byte is here.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ._feed import follow_feed
from ._figures import judge, lags_in_ms, print_table, spread
from ._held_requests import HOLD, lags_of_held
from ._memory import bytes_a_held_request, forget_peak, peak, resident, upload
from ._needs import need_linux
from ._options import BadOption
from ._rates import paired_rates, ratios
from ._servers import apart, serving_bare, serving_simulated, serving_steered
from ._siege import besiege
from ._submissions import list_jobs, submission_rates, submit
from ._wire import get

SUMMARY = "the job server: promptness, throughput, memory, bad clients"
QUICK = {
    "held": 50,
    "held_within": 1.0,
    "feed_jobs": 200,
    "feed_within": 2.5,
    "connections": 4,
    "pairs": 1,
    "seconds": 0.5,
    "upload_mib": 16,
    "upload_within": 0.5,
    "memory_held": 50,
    "bad": 12,
}

_MIB = 1024**2
# Processes that ran at once of late, above which times are not the server's alone.
_BUSY = 0.5
_TINY = 1000
_VIDEO = 10_000
_GRACE = 5.0  # that of `vtrio serve`, unless told otherwise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to measure, and how much of it."""
    parser.add_argument(
        "--part",
        nargs="+",
        choices=list(_PARTS),
        default=list(_PARTS),
        metavar="PART",
        help=f"measure some of: {', '.join(_PARTS)}",
    )
    for name, (default, told) in _AMOUNTS.items():
        parser.add_argument(
            f"--{name}",
            type=type(default),
            default=default,
            metavar="N",
            help=f"{told}; {default:g} if not given",
        )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all of it, each part with a server of its own."""
    for name in _AMOUNTS:
        if getattr(options, name.replace("-", "_")) <= 0:
            raise BadOption(f"--{name} must be above 0")
    need_linux()
    load, _, _ = os.getloadavg()
    if load > _BUSY:
        print(f"the machine is busy (load {load:.1f}): others' work is in the figures")
    results: dict[str, Any] = {"load_before": load}
    for part in options.part:
        with tempfile.TemporaryDirectory(prefix="vtrio-benchmark-") as folder:
            results[part] = _PARTS[part](options, Path(folder))
    return results


def _promptness(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Hold a request for each job, and see how long after its end it is answered."""
    jobs, within = options.held, options.held_within
    with serving_steered(folder, jobs=jobs, within=within) as server:
        ids = apart(submit, server.url, jobs, _TINY)
        server.read_line()
        lags = apart(lags_of_held, server.url, server.pid, ids)
    found = lags_in_ms(lags)
    print_table(
        f"Milliseconds from the end of a job to the last byte of its answer ({jobs:,}"
        f" requests held at once, the jobs ending within {within:g} s)",
        ["", "p50", "p99", "max"],
        [["held requests", *(f"{value:.1f}" for value in found.values())]],
    )
    return {"held": jobs, "lag_ms": found, **judge(found["p99"], 50, "ms (p99)")}


def _feed(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Follow the feed, and see how long after each end it tells of it."""
    jobs, within = options.feed_jobs, options.feed_within
    with serving_steered(folder, jobs=jobs, within=within) as server:
        apart(submit, server.url, jobs, _TINY)
        server.read_line()
        told = apart(follow_feed, server.url, server.pid, jobs, within)
    found = lags_in_ms(told.pop("lags"))
    print_table(
        f"Milliseconds from the end of a job to the last byte that tells of it ({jobs:,}"
        f" jobs ending within {within:g} s, one held feed, broken off once a second)",
        ["", "p50", "p99", "max", "answers", "breaks", "lost", "doubled", "disorder"],
        [
            [
                "feed",
                *(f"{value:.1f}" for value in found.values()),
                *(f"{value:,}" for value in told.values()),
            ]
        ],
    )
    whole = not (told["lost"] or told["doubled"] or told["out_of_order"])
    verdict = judge(found["p99"], 150, "ms (p99), none lost, none doubled")
    kept = bool(verdict["kept"]) and whole
    return {"jobs": jobs, "lag_ms": found, **told, **verdict, "kept": kept}


def _throughput(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare a status that has not changed with a bare route."""
    pairs, seconds = options.pairs, options.seconds
    with serving_steered(folder, jobs=1) as server, serving_bare(folder) as bare:
        (job_id,) = apart(submit, server.url, 1, _TINY)
        server.read_line()
        places = server.url, server.pid, job_id, bare.url, bare.pid
        rates = apart(paired_rates, *places, options.connections, pairs, seconds)
    found = {
        "not_changed": spread(rates["ours"]),
        "bare_route": spread(rates["bare"]),
        "ratio": spread(ratios(rates["ours"], rates["bare"])),
        "not_changed_cpu_us": spread([1e6 * cpu for cpu in rates["cpu"]]),
        "bare_cpu_us": spread([1e6 * cpu for cpu in rates["bare_cpu"]]),
        "generator_share_of_a_core": spread(rates["generator"]),
    }
    print_table(
        f"Requests a second ({options.connections} connections in a closed loop,"
        f" {pairs} pairs of {seconds:g} s)",
        ["what", "median", "spread"],
        [
            _row("status not changed, 304", found["not_changed"], 0),
            _row("bare quart-trio route", found["bare_route"], 0),
            _row("ratio", found["ratio"], 2),
            _row(
                "of the processor, microseconds a 304", found["not_changed_cpu_us"], 0
            ),
            _row("likewise, the bare route", found["bare_cpu_us"], 0),
            _row("generator, share of a core", found["generator_share_of_a_core"], 2),
        ],
    )
    median = found["ratio"]["median"]
    return {**found, **judge(median, 0.7, "of the bare route", least=True)}


def _submissions(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Submit as fast as it goes, kill the server, and see what it has kept."""
    windows, seconds = options.pairs, options.seconds
    with serving_simulated(folder) as server:
        how = options.connections, windows, seconds
        rates, taken = apart(submission_rates, server.url, _VIDEO, *how)
    with serving_simulated(folder) as server:
        kept = len(apart(list_jobs, server.url))
    found = spread(rates)
    print_table(
        f"Submissions of 10 kB a second ({options.connections} connections in a closed"
        f" loop, {windows} windows of {seconds:g} s)",
        ["what", "median", "spread"],
        [_row("submissions taken", found, 0)],
    )
    print(f"answered 202: {taken:,}; there after SIGKILL and a new start: {kept:,}")
    verdict = judge(found["median"], 150, "a second", least=True)
    durable = {"answered_202": taken, "after_sigkill": kept}
    return {"a_second": found, **durable, **verdict}


def _upload(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Upload to a slow disk, and see by how much the server grows."""
    size = int(options.upload_mib * _MIB)
    slow = ["--disk-rate", size / options.upload_within]
    with serving_steered(folder, *slow, jobs=2) as server:
        apart(submit, server.url, 1, _TINY)  # warms up
        forget_peak(server.pid)
        before = resident(server.pid)
        took = apart(upload, server.url, size)
        grown = (peak(server.pid) - before) / _MIB
    if took < 0.9 * options.upload_within:
        raise RuntimeError("the disk was not slow: the upload took another way")
    print(
        f"\nAn upload of {options.upload_mib:g} MiB to a disk that took {took:.1f} s:"
        f" the server grew by {grown:.1f} MiB at most"
    )
    return {"seconds": took, "grown_mib": grown, **judge(grown, 64, "MiB")}


def _memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Hold many requests, and see by how much each has the server grow."""
    held = options.memory_held
    flags = f"--max-held {2 * held}"
    with serving_steered(folder, jobs=1, flags=flags) as server:
        (job_id,) = apart(submit, server.url, 1, _TINY)
        server.read_line()
        request = get(f"/v1/translations/{job_id}", HOLD)
        ours = apart(bytes_a_held_request, server.url, server.pid, request, held)
    with serving_bare(folder) as bare:
        least = apart(bytes_a_held_request, bare.url, bare.pid, get("/hold"), held)
    print_table(
        f"Bytes that a held request has the server grow ({held:,} held)",
        ["what", "kB"],
        [
            ["held status", f"{ours / 1000:.1f}"],
            ["bare quart-trio route", f"{least / 1000:.1f}"],
        ],
    )
    found = {"held": held, "bytes_each": ours, "bare_bytes_each": least}
    return {**found, **judge(ours / 1000, 48, "kB")}


def _clients(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Besiege the server, and see what a healthy client notices; then stop it."""
    # A percentile near the end wants many polls: twice as long a run, all together.
    number, pairs, seconds = options.bad, options.pairs, 2 * options.seconds
    with serving_simulated(folder, "--durations fixed:0.1") as server:
        found = besiege(server, folder, number=number, pairs=pairs, seconds=seconds)
    alone, besieged = found["alone_ms"], found["besieged_ms"]
    print_table(
        f"Milliseconds of a healthy client's poll, p99 ({number} bad clients,"
        f" {pairs} pairs of {seconds:g} s)",
        ["", "all runs", "each run"],
        [
            _row("alone", alone, 1, middle="all"),
            _row("beside bad clients", besieged, 1, middle="all"),
        ],
    )
    ratio = besieged["all"] / alone["all"]
    print(f"ratio: {ratio:.2f}")
    calm = judge(ratio, 2, "times")
    stopped = found["seconds_to_stop"]
    print(f"seconds to stop, with {found['standing']} bad clients: {stopped:.2f}")
    ended = judge(stopped, _GRACE + 2, "s (the grace and 2 s)")
    return {**found, "ratio": ratio, "p99": calm, "stop": ended}


def _row(
    told: str, found: dict[str, float], digits: int, *, middle: str = "median"
) -> Sequence[str]:
    low, mid, high = (f"{found[k]:,.{digits}f}" for k in ("min", middle, "max"))
    return [told, mid, f"{low} to {high}"]


_PARTS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "promptness": _promptness,
    "feed": _feed,
    "throughput": _throughput,
    "submissions": _submissions,
    "upload": _upload,
    "memory": _memory,
    "clients": _clients,
}

_AMOUNTS: dict[str, tuple[float, str]] = {
    "held": (1000, "promptness: requests held at once"),
    "held-within": (10.0, "promptness: seconds within which their jobs end"),
    "feed-jobs": (10_000, "feed: jobs"),
    "feed-within": (20.0, "feed: seconds within which they end"),
    "connections": (16, "throughput and submissions: connections"),
    "pairs": (5, "throughput, submissions, clients: pairs of runs"),
    "seconds": (2.0, "likewise: seconds of each run"),
    "upload-mib": (1024, "upload: MiB"),
    "upload-within": (10.0, "upload: seconds that the slow disk takes for it"),
    "memory-held": (5000, "memory: requests held at once"),
    "bad": (200, "clients: bad clients"),
}
