"""One contender in a process of its own: it waits for the jobs of round after round.

What it is, it is told as its argument. It imports what it needs and waits once for a
job that is over, prints `ready`, and then reads rounds, one a line: the addresses of the
jobs, the limit, the instant at which they begin, the interval of who is tuned, and the
grace, after which it tells what it has and ends. For each round it prints what it found.
Its clocks run from the beginning of the jobs to its last report.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, cast

from ._peers import Outcome, Peer, Way, tuned_for_limit

_WARM_UP_LIMIT = 20.0
_WARM_UP_INTERVAL = 0.2


class _Ledger:
    """What was reported, with the instant and the CPU time of each report."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float, str, Outcome, str]] = []
        self._cpu = 0.0

    def begin(self) -> None:
        """Count what is used from now on."""
        self._cpu = time.process_time()

    def __call__(self, url: str, outcome: Outcome, why: str = "") -> None:
        """Take in a report, from any thread."""
        self._rows.append((time.time(), time.process_time(), url, outcome, why[:200]))

    def figures(self) -> dict[str, Any]:
        """Return all that was reported: of each job its first report."""
        rows = list(self._rows)
        first: dict[str, list[Any]] = {}
        for at, _, url, outcome, why in rows:
            first.setdefault(url.rpartition("/")[2], [at, outcome, why])
        return {
            "reports": first,
            "twice": len(rows) - len(first),
            "cpu": max((row[1] for row in rows), default=time.process_time())
            - self._cpu,
        }


def _find(told: Mapping[str, Any]) -> Peer:
    return cast("Peer", importlib.import_module(told["module"]))


def _way(peer: Peer, told: Mapping[str, Any], order: Mapping[str, Any]) -> Way:
    match told["way"]:
        case "default":
            return peer.DEFAULT
        case "tuned":
            return peer.tuned(order["interval"])
        case "tuned for the limit":
            return tuned_for_limit(peer, order["limit"])
        case own:
            return Way(**own)


def _wait(peer: Peer, way: Way, told: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for one round; when its grace is over, tell what there is and end.

    Raises:
        RuntimeError: the jobs have begun already.
    """
    ledger = _Ledger()
    over = threading.Lock()
    error = ""

    def found() -> dict[str, Any]:
        return {**ledger.figures(), "way": way.title, "error": error}

    def end() -> None:
        if over.acquire(blocking=False):
            _tell({**found(), "ended": False})
            os._exit(0)

    begins_at = float(told["at"])
    if (late := time.time() - begins_at) > 0:
        raise RuntimeError(f"the order came {late:.3f} s after the jobs had begun")
    patience = begins_at + told["limit"] + told["grace"] - time.time()
    timer = threading.Timer(patience, end)
    timer.daemon = True
    timer.start()
    time.sleep(max(0.0, begins_at - time.time()))
    ledger.begin()
    try:
        peer.wait_for_all(told["urls"], told["limit"], way, ledger)
    except Exception as raised:  # noqa: BLE001 - it must not have raised, and is told of
        error = repr(raised)[:500]
    if not over.acquire(blocking=False):
        threading.Event().wait()  # until the other thread has ended the process
    timer.cancel()
    return {**found(), "ended": True}


def _tell(found: Mapping[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def _ignore(url: str, outcome: Outcome, why: str = "") -> None:
    if outcome != "completed":
        print(f"warming up: {outcome} {why}", file=sys.stderr, flush=True)


def main() -> None:
    """Wait as told until there are no more rounds."""
    # Nobody reads what the packages log of each request.
    logging.disable(logging.CRITICAL)
    told = json.loads(sys.argv[1])
    peer = _find(told)
    warm = peer.tuned(_WARM_UP_INTERVAL)
    peer.wait_for_all([told["warm_up"]], _WARM_UP_LIMIT, warm, _ignore)
    gc.collect()
    print("ready", flush=True)
    for line in sys.stdin:
        this = json.loads(line)
        _tell(_wait(peer, _way(peer, told, this), this))


if __name__ == "__main__":
    main()
