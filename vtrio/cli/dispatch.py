"""Which command does what; each is imported when it is the one."""

from __future__ import annotations

import argparse


def run(options: argparse.Namespace) -> int:
    """Run a parsed command."""
    match options.command:
        case "serve":
            from .serving import run_serve

            return run_serve(options)
        case "keys":
            from .keys import run_keys

            return run_keys(options)
        case "demo":
            from .demo import run_demo

            return run_demo(options)
        case "translate":
            from .commands import run_translate

            return run_translate(options)
        case "wait":
            from .commands import run_wait

            return run_wait(options)
        case "status":
            from .commands import run_status

            return run_status(options)
        case _:
            from .commands import run_cancel

            return run_cancel(options)
