"""polling2 with requests, in threads.

It has no step of its own. Its documentation looks at what an HTTP answer says once a
second ("Using a custom condition callback function"); other examples there, of waiting
for a machine to come up, say once a minute. As in those, an answer other than 200 is
"not yet", and connection errors are ignored.

https://polling2.readthedocs.io/en/latest/examples.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polling2  # type: ignore[import-untyped]
import requests

from . import Outcome, Report, Way
from ._requests import TIMEOUT, open_session
from ._running import ENDS, wait_in_threads

NAME = "polling2"
NEEDS: Sequence[str] = ("polling2", "requests", "urllib3")
RUNS_ON = "threads"
DEFAULT = Way("step=1: its documentation's example of an HTTP answer", {"step": 1.0})


def tuned(interval: float) -> Way:
    """Return that step."""
    return Way(f"step={interval:g}", {"step": interval})


def wait_for_all(urls: Sequence[str], limit: float, way: Way, report: Report) -> None:
    """Wait in a thread for each; see `Peer`."""
    with open_session() as session:
        wait_in_threads(urls, partial(_wait, session, limit, way), report)


def _wait(session: requests.Session, limit: float, way: Way, url: str) -> Outcome:
    try:
        status = polling2.poll(
            target=_ask,
            args=(session, url),
            check_success=ENDS.__contains__,
            timeout=limit,
            ignore_exceptions=(requests.exceptions.ConnectionError,),
            **way.settings,
        )
    except polling2.TimeoutException:
        return "timeout"
    return ENDS[status]


def _ask(session: requests.Session, url: str) -> str | None:
    response = session.get(url, timeout=TIMEOUT)
    if response.status_code != 200:
        return None
    status: str = response.json()["status"]
    return status
