"""The command line: argument parsing and drawing, and no rules of waiting."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from .parser import UsageError, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status.

    0 completed (`status`: answered), 1 a job ended badly, 2 usage, 3 the server
    refused or nothing answered, 4 the wait timed out, 130 interrupted; of several
    jobs the worst.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What cannot be written in the terminal's encoding is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        if options is None:
            return 0
        # Only now is it known what is needed: asking for the version needs nothing.
        from .dispatch import run

        return run(options)
    except UsageError as error:
        print(f"vtrio: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vtrio: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain once more at exit.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115, PTH123 - for the exit
        return 141
