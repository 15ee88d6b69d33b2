"""When to ask: requests and lag of every schedule, over many distributions.

By direct simulation, without a clock: a schedule is arithmetic. `Learned` learns from
its own polls, one job after the other, and is judged on fresh jobs, which it never
learned from. Cost is request_cost * requests + lag, with request_cost = 2 % of the mean
duration; ratios are to the best schedule for the very distribution. In the change of
regime, a row that was observed up to a job of the grown regime is judged in that, with
its request_cost and its optimum: 300 observed, and 40 jobs after growing.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from ._figures import print_table
from ._frontier import draw_frontiers
from ._judging import Judged
from ._learning_runs import (
    SETTLED,
    Plan,
    RowName,
    SeedResult,
    run_seed,
    tune,
)
from ._options import BadOption
from ._schedule_checks import check_speed, check_spreading
from ._workloads import (
    GROWS_AFTER,
    SHRINKS_AFTER,
    WORKLOADS,
    Workload,
    best_looks,
    mean_of,
    read_trace,
)

SUMMARY = "schedules: requests and lag, ours and the others', beside the optimum"

QUICK = {"jobs": 200, "seeds": 1}

_SEEDS = 30
_REQUEST_SHARE = 0.02
_SEED_ROW = "Exponential(1, 2)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to wait for, and how much of it."""
    parser.add_argument(
        "--durations",
        metavar="FILE",
        type=Path,
        help="take this trace instead of the workloads: a duration in seconds a line",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        default=2000,
        help="fresh jobs on which everything is judged, for each seed; 2000 if not given",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=int,
        default=_SEEDS,
        help="seeds to average over, from --seed on; 30 if not given",
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        type=Path,
        help="draw the frontier there; it is drawn beside the JSON file in any case",
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all of it."""
    for name in ("jobs", "seeds"):
        if getattr(options, name) < 1:
            raise BadOption(f"--{name} must be at least 1")
    trace = options.durations
    workloads = WORKLOADS if trace is None else (read_trace(trace),)
    results, checks = [], []
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        seeds = range(options.seed, options.seed + options.seeds)
        plans = (_plan(workload, options.jobs) for workload in workloads)
        # All are begun at once, so that no processor waits for the last seed of one.
        begun = [
            (plan, processes.map(run_seed, [plan] * len(seeds), seeds))
            for plan in plans
        ]
        for plan, running in begun:
            found = list(running)
            results.append(_summarize(plan, found))
            checks.append(_check(plan, found, results[-1]))
            _print_workload(results[-1], checks[-1])
    if (picture := _picture_of(options)) is not None:
        draw_frontiers(results, picture)
    if trace is not None:
        return {"workloads": results}
    more = {
        "spreading": check_spreading(options.seed, options.seeds),
        "speed": check_speed(options.seed),
    }
    return {"workloads": results, "checks": {"workloads": checks, **more}}


def draw_pictures(results: dict[str, Any], path: Path) -> None:
    """Draw the frontier of some workloads, or of the only one."""
    draw_frontiers(results["workloads"], path)


def _picture_of(options: argparse.Namespace) -> Path | None:
    """Return where a picture goes that is not beside the results."""
    if options.picture is not None:
        return Path(options.picture)
    if options.durations is not None and options.json is None:
        return Path(f"{options.durations.stem}-frontier.png")
    return None


def _plan(workload: Workload, jobs: int) -> Plan:
    costs = tuple(_REQUEST_SHARE * mean_of(regime) for _, regime in workload.regimes)
    first = workload.regimes[0][1]
    best_interval, best_backoff = tune(first.points(), first.horizon, costs[0])
    return Plan(
        workload=workload,
        jobs=jobs,
        costs=costs,
        optimal=tuple(
            best_looks(regime, cost)
            for (_, regime), cost in zip(workload.regimes, costs, strict=True)
        ),
        best_interval=best_interval,
        best_backoff=best_backoff,
    )


def _summarize(plan: Plan, found: Sequence[SeedResult]) -> dict[str, Any]:
    """Average the seeds: one row a schedule, and for each number of jobs observed."""
    request_cost = plan.costs[0]
    optimal = _mean([result.optimal["", None] for result in found])
    rows = []
    for name, observed in found[0].rows:
        judged = _mean([result.rows[name, observed] for result in found])
        best, cost = _rival_of(plan, found, name, observed)
        rows.append(
            {
                "name": name,
                "observed": observed,
                "requests": judged.requests,
                "lag": judged.lag,
                "lag_p95": judged.lag_p95,
                "cost": judged.cost(cost),
                "ratio": judged.cost(cost) / best.cost(cost),
            }
        )
    return {
        "name": plan.workload.name,
        "jobs": plan.jobs,
        "mean_duration": request_cost / _REQUEST_SHARE,
        "request_cost": request_cost,
        "optimal": {
            "requests": optimal.requests,
            "lag": optimal.lag,
            "cost": optimal.cost(request_cost),
        },
        "schedules": sorted(rows, key=lambda row: (row["name"], row["observed"] or 0)),
    }


def _rival_of(
    plan: Plan, found: Sequence[SeedResult], name: str, observed: int | None
) -> tuple[Judged, float]:
    """Return the best looks and the request cost of the regime a row is judged in."""
    place = plan.workload.regime(max((observed or 0) - 1, 0))
    row: RowName = (name, observed)
    key: RowName = row if row in found[0].optimal else ("", None)
    return _mean([result.optimal[key] for result in found]), plan.costs[place]


def _mean(judged: Sequence[Judged]) -> Judged:
    count = len(judged)
    return Judged(
        requests=math.fsum(one.requests for one in judged) / count,
        lag=math.fsum(one.lag for one in judged) / count,
        lag_p95=math.fsum(one.lag_p95 for one in judged) / count,
    )


def _check(
    plan: Plan, found: Sequence[SeedResult], result: dict[str, Any]
) -> dict[str, Any]:
    """Say what learning costs while it goes on, beside the seed's schedule."""
    ours = [math.fsum(pair[0] for pair in job) for job in _jobs_of(found)]
    seeds = [math.fsum(pair[1] for pair in job) for job in _jobs_of(found)]

    def over(first: int) -> float:
        window = slice(first, first + SETTLED)
        return math.fsum(ours[window]) / math.fsum(seeds[window])

    check: dict[str, Any] = {
        "name": plan.workload.name,
        "worst_of_any_40_jobs_to_the_seed": max(
            map(over, range(len(ours) - SETTLED + 1))
        ),
    }
    if len(plan.workload.regimes) > 1:
        check["40_jobs_after_growing_to_the_seed"] = over(GROWS_AFTER)
        check["40_jobs_after_shrinking_to_the_seed"] = over(SHRINKS_AFTER)
    costs = {(row["name"], row["observed"]): row["cost"] for row in result["schedules"]}
    known = costs.get(("Learned, media length known", 100))
    if known is not None:
        check["media_known_to_unknown"] = known / costs["Learned", 100]
    return check


def _jobs_of(found: Sequence[SeedResult]) -> Iterator[tuple[tuple[float, float], ...]]:
    """Yield, for each job of the stream, its costs with every seed."""
    return zip(*(result.online for result in found), strict=True)


def _print_workload(result: dict[str, Any], check: dict[str, Any]) -> None:
    optimal = result["optimal"]
    rows = [
        [
            "the optimum",
            "",
            f"{optimal['requests']:.2f}",
            f"{optimal['lag']:.2f}",
            "",
            f"{optimal['cost']:.2f}",
            "1.00",
        ]
    ]
    for row in result["schedules"]:
        observed = "" if row["observed"] is None else str(row["observed"])
        rows.append(
            [
                row["name"],
                observed,
                f"{row['requests']:.2f}",
                f"{row['lag']:.2f}",
                f"{row['lag_p95']:.2f}",
                f"{row['cost']:.2f}",
                f"{row['ratio']:.3f}",
            ]
        )
    print_table(
        f"{result['name']} (mean {result['mean_duration']:.4g} s, a request is worth"
        f" {result['request_cost']:.3g} s of lag)",
        ["schedule", "after jobs", "requests", "lag", "p95", "cost", "to optimum"],
        rows,
    )
    for name, value in check.items():
        if name != "name":
            print(f"{name.replace('_', ' ')}: {value:.3f}")
