"""Other packages that wait for a remote job: each with its own code, none re-typed.

A peer is a module here that offers what `Peer` says. All wait for the same kind of job:
a GET of its URL answers a document whose `status` is `completed` or `error` at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Outcome: TypeAlias = Literal["completed", "failed", "timeout", "raised"]
"""What a wait came to: `raised` is an error of its own, with the job's end unknown."""


class Report(Protocol):
    """Takes in what a wait came to, at the instant at which it is known.

    It may be called from any thread.
    """

    def __call__(self, url: str, outcome: Outcome, why: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer is set.

    Attributes:
        title: the settings in its own words, and where they are from.
        settings: what its module makes of them.
    """

    title: str
    settings: Mapping[str, Any]


LAST_LOOK = 0.05
"""The look of who is tuned for a limit, in seconds before it."""


class Peer(Protocol):
    """What a peer's module offers.

    It may offer a function more, `tuned_for_limit`: see the function of that name here.

    Attributes:
        NAME: what it is called in tables.
        NEEDS: the distributions that must be installed, itself first.
        RUNS_ON: trio, asyncio or threads.
        DEFAULT: its own settings, or those of its documentation's example.
    """

    NAME: str
    NEEDS: Sequence[str]
    RUNS_ON: str
    DEFAULT: Way

    def tuned(self, interval: float) -> Way:
        """Return its settings for the fixed interval that is best in hindsight."""
        ...

    def wait_for_all(
        self, urls: Sequence[str], limit: float, way: Way, report: Report
    ) -> None:
        """Begin a wait for each job at once, and return when all have been reported.

        Each wait has its own `limit` in seconds, set in the peer's own way. What it
        raises is reported, and ends no other wait.
        """
        ...


def tuned_for_limit(peer: Peer, limit: float) -> Way:
    """Return a peer's settings for a job that ends just before the limit.

    They are the peer's own `tuned_for_limit(limit)`, if it has one. Otherwise it asks
    once, just before the limit.
    """
    own: Callable[[float], Way] | None = getattr(peer, "tuned_for_limit", None)
    return peer.tuned(limit - LAST_LOOK) if own is None else own(limit)
