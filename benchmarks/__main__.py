"""`python -m benchmarks NAME [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ._environment import environment, write_json
from ._scenarios import find_scenarios


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one scenario, print its table, and write its results."""
    scenarios = find_scenarios()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", metavar="NAME")
    for name, scenario in scenarios.items():
        command = names.add_parser(name, help=scenario.SUMMARY)
        command.add_argument("--json", metavar="FILE", type=Path)
        command.add_argument("--seed", metavar="N", type=int, default=0)
        scenario.add_arguments(command)
    options = parser.parse_args(arguments)
    if options.name is None:
        for name, scenario in scenarios.items():
            print(f"{name:12} {scenario.SUMMARY}")
        return 0
    try:
        results = scenarios[options.name].run(options)
    except (ValueError, OSError) as error:
        names.choices[options.name].error(str(error))
    if options.json is not None:
        write_json(options.json, environment(options.seed), {options.name: results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
