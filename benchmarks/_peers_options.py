"""The options of the scenario `peers`: who waits, for how many jobs, how long those last."""

from __future__ import annotations

import argparse
from typing import Any

from vtrio._distributions import Durations

from ._options import BadOption

_KNOBS = (1 / 32, 1 / 8, 1 / 2, 1.0, 2.0, 4.0, 16.0)
# The server gave 200 to 350 answers a second with the contenders beside it on two cores.
_MOST_RATE = 300.0
_MOST_JOBS = 2000
_MOST_SECONDS = 600.0
_MOST_NUMBER = 1e6
_SECONDS = ("cut", "limit", "grace", "outage_at", "outage")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add who waits, for how many jobs, and how long those last."""
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[10, 100, 1000],
        metavar="N",
        help="jobs of each contender, a round each; 10 100 1000 if not given",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="these contenders alone, by name, or by the beginning of several",
    )
    parser.add_argument(
        "--durations",
        default="genai",
        metavar="FAMILY",
        help="how long jobs last, such as uniform:2,6; genai if not given",
    )
    seconds: dict[str, Any] = {"type": float, "metavar": "SECONDS"}
    parser.add_argument(
        "--cut",
        default=119.0,
        help="no job lasts longer; 119 if not given",
        **seconds,
    )
    parser.add_argument(
        "--limit", default=120.0, help="of each wait; 120 if not given", **seconds
    )
    parser.add_argument(
        "--grace",
        default=35.0,
        help="after the limit a contender is ended; 35 if not given",
        **seconds,
    )
    parser.add_argument(
        "--knobs",
        type=float,
        nargs="*",
        default=list(_KNOBS),
        metavar="FACTOR",
        help="multiples of the request cost of Learned",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=_MOST_RATE,
        metavar="N",
        help="requests a second that those may ask who wait at once; 300 if not given",
    )
    parser.add_argument(
        "--taught",
        type=int,
        default=30,
        metavar="N",
        help="jobs that Learned has waited for before; 30 if not given",
    )
    parser.add_argument(
        "--outage-jobs",
        type=int,
        default=100,
        metavar="N",
        help="jobs of each contender in an outage; 100 if not given, 0 for none",
    )
    parser.add_argument(
        "--outage-at",
        # Those who double their pauses from 1 s ask in step at 15 s.
        default=17.3,
        help="its beginning; 17.3 if not given",
        **seconds,
    )
    parser.add_argument(
        "--outage", default=5.0, help="its length; 5 if not given", **seconds
    )


def check(options: argparse.Namespace) -> Durations:
    """Return the distribution; refuse options that no round can be made of.

    Raises:
        BadOption: naming the option, the value and what is allowed.
    """
    for name, value, least in (
        *(("sizes", size, 1) for size in options.sizes),
        ("taught", options.taught, 1),
        ("outage_jobs", options.outage_jobs, 0),
    ):
        if not least <= value <= _MOST_JOBS:
            raise BadOption(
                f"{_flag(name)} {value} is not allowed: must be from {least} to"
                f" {_MOST_JOBS:,}"
            )
    for name, value, most in (
        *((name, getattr(options, name), _MOST_SECONDS) for name in _SECONDS),
        ("rate", options.rate, _MOST_NUMBER),
        *(("knobs", knob, _MOST_NUMBER) for knob in options.knobs),
    ):
        if not 0 < value <= most:
            raise BadOption(
                f"{_flag(name)} {value:g} is not allowed: must be above 0, and {most:g}"
                " at most"
            )
    if options.cut >= options.limit:
        raise BadOption(
            f"--cut {options.cut:g} is not allowed: must be below --limit"
            f" {options.limit:g}, so that every job ends in time"
        )
    try:
        return Durations.parse(options.durations)
    except ValueError as error:
        raise BadOption(f"--durations: {error}") from error


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
