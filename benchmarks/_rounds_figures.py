"""What a round comes to: draws, figures of each contender, and who waits with whom.

Nothing here reads a clock or a socket.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vtrio._distributions import Durations

from ._figures import percentile, spread
from ._learning_runs import best_interval
from ._workloads import Job

REQUEST_SHARE = 0.02
"""What a request costs, as a share of the mean duration, to tune by."""

# A report may come before the server's own end by what the wire's milliseconds hide.
PERCENTILES = (1, *range(5, 100, 5), 99)
_ROUNDING = 0.005
_MOST_REASONS = 5


@dataclass(frozen=True, slots=True)
class Waited:
    """One contender in one round, as it was found; instants are of the wall clock.

    Attributes:
        begins_at: when the jobs and the waits began.
        ended_at: when each job ended, as the server says.
        told: what the contender's process found.
        instants: of its requests, in seconds from the beginning.
    """

    begins_at: float
    ended_at: Mapping[str, float]
    told: Mapping[str, Any]
    instants: Sequence[float]


def draw(durations: Durations, jobs: int, *, seed: int, cut: float) -> list[float]:
    """Draw how long jobs last, none of them longer than the cut."""
    rng = random.Random(f"durations {seed} {jobs}")
    return [min(durations.at(rng.random()), cut) for _ in range(jobs)]


def tune(durations: Sequence[float]) -> float:
    """Return the fixed interval that would have cost least for just these jobs."""
    jobs = [Job(duration) for duration in durations]
    mean = math.fsum(durations) / len(durations)
    return best_interval(jobs, mean, math.inf, REQUEST_SHARE * mean)


def sum_up(waited: Waited, limit: float, grace: float) -> dict[str, Any]:
    """Return the figures of one contender in one round.

    Lag is from the server's instant of completion to the report. A job that was not
    reported as completed is missed; in `lag_with_missed` it counts as if it were
    learned of when the limit was reached. The overshoot is by how much the last report,
    whatever it says, came after the limit; of a contender that had to be ended, it is
    the grace, and in truth it is more.
    """
    jobs = len(waited.ended_at)
    deadline = waited.begins_at + limit
    reports: Mapping[str, Sequence[Any]] = waited.told["reports"]
    completed = {
        job_id: at
        for job_id, (at, outcome, _) in reports.items()
        if outcome == "completed"
    }
    lags = {job_id: at - waited.ended_at[job_id] for job_id, at in completed.items()}
    missed = [end for job_id, end in waited.ended_at.items() if job_id not in lags]
    outcomes = Counter(outcome for _, outcome, _ in reports.values())
    gave_up = [at for at, outcome, _ in reports.values() if outcome != "completed"]
    latest = max((at for at, _, _ in reports.values()), default=waited.begins_at)
    if not waited.told["ended"]:
        latest = deadline + grace
    reasons = Counter(why for _, outcome, why in reports.values() if why)
    requests = len(waited.instants)
    return {
        "way": waited.told["way"],
        "jobs": jobs,
        "requests": requests,
        "requests_per_job": requests / jobs,
        **{
            word: outcomes[word]
            for word in ("completed", "failed", "timeout", "raised")
        },
        "not_given_up": jobs - len(reports),
        "missed": sum(end < deadline for end in missed),
        "told_before_the_end": sum(lag < -_ROUNDING for lag in lags.values()),
        "told_twice": waited.told["twice"],
        "lag": _spread_of_lags([max(0.0, lag) for lag in lags.values()]),
        "lag_with_missed": _spread_of_lags(
            [
                *(max(0.0, lag) for lag in lags.values()),
                *(max(0.0, deadline - end) for end in missed),
            ]
        ),
        "cpu_per_job": waited.told["cpu"] / jobs,
        "wall": latest - waited.begins_at,
        "overshoot": max(0.0, latest - deadline),
        "ended": waited.told["ended"],
        "gave_up_after_deadline": (
            spread([at - deadline for at in gave_up]) if gave_up else None
        ),
        "reasons": dict(reasons.most_common(_MOST_REASONS)),
        "error": waited.told["error"],
    }


def _spread_of_lags(lags: Sequence[float]) -> dict[str, Any] | None:
    if not lags:
        return None
    return {
        "mean": math.fsum(lags) / len(lags),
        **{f"p{percent}": percentile(lags, percent) for percent in (50, 95, 99)},
        "max": max(lags),
        "percentiles": [round(percentile(lags, percent), 4) for percent in PERCENTILES],
    }


def histogram(instants: Sequence[float], bin_width: float) -> list[int]:
    """Count requests by bins of so many seconds, from the beginning."""
    counts = Counter(int(instant / bin_width) for instant in instants)
    return [counts[place] for place in range(max(counts, default=-1) + 1)]


def groups(
    rates: Mapping[str, float], *, most: int, rate: float, most_groups: int
) -> list[list[str]]:
    """Share contenders out to groups which ask no more than some requests a second.

    A contender's rate is that of the early phase, in which all of its jobs are alive:
    requests of a job over the mean duration, times the jobs. Those that ask little are
    together, and who alone asks more is alone. Where that would be too many groups, more
    is asked at once.
    """
    ranked = sorted(rates, key=lambda name: rates[name])
    while True:
        found: list[list[str]] = []
        for name in ranked:
            last = found[-1] if found else []
            asked = sum(rates[other] for other in last) + rates[name]
            if last and len(last) < most and asked <= rate:
                last.append(name)
            else:
                found.append([name])
        if len(found) <= most_groups:
            return found
        most, rate = most + 1, rate * 1.15
