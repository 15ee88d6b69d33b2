"""The program: `python -m benchmarks list | all | NAME [...] [--json FILE] [--quick]`.

A scenario has options of its own, which it takes where it is the only one. Several run
in a process each, and where one fails, the others are run all the same.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from ._ending import ending_within
from ._environment import environment, told_options, write_json
from ._needs import Skipped
from ._options import BadOption
from ._running import read_results, run_each
from ._scenarios import Scenario, find_scenarios

_PROGRAM = "python -m benchmarks"
_RESULTS = Path(__file__).parent / "results"
_QUICK_RESULTS = _RESULTS / "quick"
# Seconds in which any scenario is over, unless it hangs; many have bounds of their own.
_LONGEST = 7200.0
_LONGEST_QUICKLY = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios that are named, print their tables, and write their results.

    Returns:
        0; 1 if a scenario failed. Where the arguments are wrong, the program ends with
        a message and the status 2; where a scenario that runs alone fails, with what it
        raised.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    scenarios = find_scenarios()
    names = list(takewhile(lambda word: not word.startswith("-"), words))
    rest = words[len(names) :]
    if names == ["all"]:
        return _run_all(list(scenarios), rest)
    if names and all(name in scenarios for name in names):
        chosen = list(dict.fromkeys(names))
        if len(chosen) == 1:
            return _run_alone(scenarios[chosen[0]], rest)
        return _run_some(chosen, rest)
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
        type=_results_file,
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


def _results_file(word: str) -> Path:
    """Return where results can be written, with pictures beside them."""
    path = Path(word)
    why = ""
    if path.suffix == ".png":
        why = "must not end in .png, which is a picture's"
    elif not path.parent.is_dir():
        why = f"must be in a folder that there is; there is no {path.parent}"
    elif path.is_dir():
        why = "must be no folder"
    if why:
        raise argparse.ArgumentTypeError(f"{word!r} is not allowed: {why}")
    return path


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
    began = time.monotonic()
    try:
        with ending_within(_LONGEST_QUICKLY if options.quick else _LONGEST):
            found = scenario.run(options)
    except Skipped as reason:
        print(f"\n{scenario.name} is skipped: {reason}")
        return 0
    except BadOption as error:
        parser.error(str(error))
    print(f"\n{scenario.name} took {time.monotonic() - began:.1f} s")
    if options.json is not None:
        asked = {scenario.name: told_options(options)}
        write_json(options.json, where, asked, {scenario.name: found})
        if scenario.draw_pictures is not None:
            scenario.draw_pictures(found, options.json.with_suffix(".png"))
    return 0


def _run_some(names: Sequence[str], words: Sequence[str]) -> int:
    options = _new_parser(" ".join(names)).parse_args(words)
    where = environment(options.seed)
    with tempfile.TemporaryDirectory(prefix="vtrio-benchmark-") as place:
        folder = Path(place)
        ran = run_each(names, folder, seed=options.seed, quick=options.quick)
        if options.json is not None:
            write_json(options.json, where, *read_results(ran.written, folder))
            for picture in folder.glob("*.png"):
                name = f"{options.json.stem}-{picture.name}"
                shutil.copyfile(picture, options.json.with_name(name))
    return ran.status


def _run_all(names: Sequence[str], words: Sequence[str]) -> int:
    options = _new_parser("all").parse_args(words)
    where = environment(options.seed)
    folder = _QUICK_RESULTS if options.quick else _RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    ran = run_each(names, folder, seed=options.seed, quick=options.quick)
    print(f"results: {folder}")
    if options.json is not None:
        write_json(options.json, where, *read_results(ran.written, folder))
    return ran.status


if __name__ == "__main__":
    sys.exit(main())
