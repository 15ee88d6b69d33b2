"""The program: `python -m benchmarks list | all | NAME [...] [--json FILE] [--quick]`.

Each scenario runs alone, and has options of its own, which it takes where it is the only
one. Where one of several fails, the others are run all the same.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from ._ending import ending_within
from ._environment import environment, write_json
from ._needs import Skipped
from ._scenarios import Scenario, find_scenarios

_PROGRAM = "python -m benchmarks"
_RESULTS = Path(__file__).parent / "results"
_QUICK_RESULTS = _RESULTS / "quick"
# Seconds in which any scenario is over, unless it hangs.
_LONGEST = 3600.0
_LONGEST_QUICKLY = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios that are named, print their tables, and write their results.

    Returns:
        0; 1 if a scenario failed. Where the arguments are wrong, the program ends with
        a message and the status 2.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    scenarios = find_scenarios()
    names = list(takewhile(lambda word: not word.startswith("-"), words))
    rest = words[len(names) :]
    if names == ["all"]:
        return _run_all(scenarios, rest)
    if names and all(name in scenarios for name in names):
        chosen = [scenarios[name] for name in dict.fromkeys(names)]
        return _run_alone(chosen[0], rest) if len(chosen) == 1 else _run(chosen, rest)
    parser = _describe(scenarios)
    if names and names != ["list"]:
        wrong = next(name for name in names if name not in scenarios)
        parser.error(
            f"NAME {wrong!r} is not allowed: must be one of {', '.join(scenarios)},"
            " or list or all alone"
        )
    parser.parse_args(rest)
    if names:
        print(_listed(scenarios))
    else:
        parser.print_help()
    return 0


# --- what is asked for --------------------------------------------------------------


def _describe(scenarios: Mapping[str, Scenario]) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} list | all | NAME [...] [--json FILE] [--seed N] [--quick]",
        description=(
            "Measure what waiting costs, over loopback only. `all` writes what it finds,"
            " with pictures, to benchmarks/results/, with --quick to"
            " benchmarks/results/quick/."
        ),
        epilog=f"scenarios; NAME --help tells each one's options:\n{_listed(scenarios)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _listed(scenarios: Mapping[str, Scenario]) -> str:
    return "\n".join(f"{name:10} {each.summary}" for name, each in scenarios.items())


def _new_parser(names: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every scenario has."""
    parser = argparse.ArgumentParser(prog=f"{_PROGRAM} {names}")
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="write what was found there, and pictures of it beside it",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="0 if not given"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few seconds a scenario: to see that it runs, not for the figures",
    )
    return parser


def _parse_own(
    scenario: Scenario, words: Sequence[str]
) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Parse a scenario's own options and the common ones; what is given goes first."""
    parser = _new_parser(scenario.name)
    parser.description = scenario.summary
    scenario.add_arguments(parser)
    options = parser.parse_args(words)
    if options.quick:
        parser.set_defaults(**scenario.quick)
        options = parser.parse_args(words)
    return parser, options


# --- running it ---------------------------------------------------------------------


def _run_alone(scenario: Scenario, words: Sequence[str]) -> int:
    parser, options = _parse_own(scenario, words)
    where = environment(options.seed)
    runs = _Runs()
    try:
        runs.run(scenario, options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if options.json is not None and runs.results:
        write_json(options.json, where, runs.results)
        runs.draw(scenario, options.json.with_suffix(".png"))
    return runs.tell()


def _run(chosen: Sequence[Scenario], words: Sequence[str]) -> int:
    options = _new_parser(" ".join(each.name for each in chosen)).parse_args(words)
    where = environment(options.seed)
    runs = _Runs()
    for scenario in chosen:
        runs.attempt(scenario, words)
    if options.json is not None:
        write_json(options.json, where, runs.results)
        for scenario in chosen:
            stem = f"{options.json.stem}-{scenario.name}"
            runs.draw(scenario, options.json.with_name(f"{stem}.png"))
    return runs.tell()


def _run_all(scenarios: Mapping[str, Scenario], words: Sequence[str]) -> int:
    options = _new_parser("all").parse_args(words)
    folder = _QUICK_RESULTS if options.quick else _RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    # Before anything is written, because that changes the tree.
    where = environment(options.seed)
    runs = _Runs()
    for name, scenario in scenarios.items():
        runs.attempt(scenario, words)
        if name in runs.results:
            found = {name: runs.results[name]}
            write_json(folder / f"{name}.json", where, found)
            runs.draw(scenario, folder / f"{name}.png")
    if options.json is not None:
        write_json(options.json, where, runs.results)
    return runs.tell()


class _Runs:
    """Runs scenarios, and keeps what came of each."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self._lines: list[str] = []
        self._failed: list[str] = []

    def attempt(self, scenario: Scenario, words: Sequence[str]) -> None:
        """Run one of several; whatever it raises is shown, and keeps no other back."""
        print(f"\n=== {scenario.name}: {scenario.summary}", flush=True)
        _, options = _parse_own(scenario, words)
        try:
            self.run(scenario, options)
        except Exception as error:  # noqa: BLE001 - one failure is not the others'
            self._fail(scenario, "failed", error)

    def run(self, scenario: Scenario, options: argparse.Namespace) -> None:
        """Run a scenario, keep what it found, and note the seconds it took."""
        began = time.monotonic()
        longest = _LONGEST_QUICKLY if options.quick else _LONGEST
        try:
            with ending_within(longest):
                self.results[scenario.name] = scenario.run(options)
        except Skipped as reason:
            self._lines.append(f"{scenario.name:10} skipped: {reason}")
        else:
            took = time.monotonic() - began
            self._lines.append(f"{scenario.name:10} {took:.1f} s")
        sys.stdout.flush()

    def draw(self, scenario: Scenario, path: Path) -> None:
        """Draw what a scenario found, if it was run and has a picture."""
        found = self.results.get(scenario.name)
        if found is None or scenario.draw is None:
            return
        try:
            scenario.draw(found, path)
        except Exception as error:  # noqa: BLE001 - the results are worth more
            self._fail(scenario, "has no picture", error)

    def tell(self) -> int:
        """Print what became of each, the failed ones last, and return the status."""
        print("\n" + "\n".join(self._lines))
        if self._failed:
            print(f"failed: {', '.join(dict.fromkeys(self._failed))}")
        return 1 if self._failed else 0

    def _fail(self, scenario: Scenario, what: str, error: Exception) -> None:
        traceback.print_exception(error)
        sys.stderr.flush()
        self._failed.append(scenario.name)
        self._lines.append(
            f"{scenario.name:10} {what}: {type(error).__name__}: {error}"
        )


if __name__ == "__main__":
    sys.exit(main())
