"""What the server takes at most: each limit can be set, and each is told as a problem.

The defaults are for a team's server: one client may hold a thousand requests.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .._checks import check_count, check_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        upload: bytes of the largest video that is taken.
        upload_rate: bytes a second that an upload has to bring, judged over a minute;
            0 asks only that something comes.
        json: bytes of the largest JSON body.
        json_depth: how deep arrays and objects may lie in one another there.
        ids: ids that one request may name.
        page: jobs that one page may list.
        held: requests that one client may hold: whoever has one API key, or one
            address where there are no keys.
        waiting: jobs that may wait for a worker.
    """

    upload: int = 2 * 1024**3
    upload_rate: int = 1000
    json: int = 64 * 1024
    json_depth: int = 16
    ids: int = 200
    page: int = 200
    held: int = 1000
    waiting: int = 10_000

    def __post_init__(self) -> None:
        for limit in fields(self):
            name, value = limit.name, getattr(self, limit.name)
            if name == "upload_rate":
                check_number(name, value, least=0)
            else:
                check_count(name, value)
