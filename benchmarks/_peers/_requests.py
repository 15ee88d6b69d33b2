"""The session of those peers whose documentation asks with requests."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter

from ._running import CONNECTIONS

TIMEOUT = 60
"""Seconds that connecting, or an answer, may take: requests itself has no limit."""


def open_session() -> requests.Session:
    """Return a session that many threads share, as these packages do themselves."""
    session = requests.Session()
    session.trust_env = False  # a proxy of the machine is not what is measured
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, pool_block=True)
    session.mount("http://", adapter)
    return session
