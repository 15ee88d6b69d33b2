"""The feed: every end told over one held request, although its connection breaks.

Whoever follows breaks the connection off once a second, wherever it is, and asks again
with the cursor of the last answer that it has read whole.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import trio

from ._held_requests import HOLD, wall
from ._wire import Connection, get

_BETWEEN_BREAKS = 1.0
# What has not been told this long after the last end is lost.
_PATIENCE = 15.0
_LIFE = ("pending", "running", "completed")


@dataclass
class _Follower:
    """What was told, and where to go on."""

    after: str | None = None
    cursors: Counter[str] = field(default_factory=Counter)
    told: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lags: list[float] = field(default_factory=list)
    answers: int = 0
    breaks: int = 0

    @property
    def ended(self) -> int:
        """How many ends were told."""
        return len(self.lags)

    async def ask(self, connection: Connection, *, hold: bool) -> int:
        """Ask for what came after, and return how many events that were."""
        after = "" if self.after is None else f"?after={self.after}"
        request = get(f"/v1/events{after}", HOLD if hold else None)
        answer = (await connection.ask(request)).expect(200)
        page = answer.json()
        for event in page["events"]:
            self.cursors[event["cursor"]] += 1
            self.told[event["id"]].append(event["status"])
            if event["status"] == _LIFE[-1]:
                self.lags.append(answer.at - wall(event["at"]))
        self.after = page["next"]
        self.answers += 1
        return len(page["events"])

    async def follow(self, url: str, jobs: int) -> None:
        """Follow until as many jobs have ended, breaking off once a second."""
        while self.ended < jobs:
            connection = await Connection.open(url)
            with trio.move_on_after(_BETWEEN_BREAKS):
                while self.ended < jobs:
                    await self.ask(connection, hold=True)
            connection.break_off()
            self.breaks += 1


async def follow_feed(url: str, pid: int, jobs: int, within: float) -> dict[str, Any]:
    """Read what is there, have the jobs end, and return how that was told."""
    follower = _Follower()
    with await Connection.open(url) as connection:
        while await follower.ask(connection, hold=False):
            pass
    os.kill(pid, signal.SIGUSR1)
    with trio.move_on_after(within + _PATIENCE):
        await follower.follow(url, jobs)
    lives = follower.told.values()
    return {
        "lags": follower.lags,
        "answers": follower.answers,
        "breaks": follower.breaks,
        "lost": jobs - sum(_LIFE[-1] in life for life in lives),
        "doubled": sum(number - 1 for number in follower.cursors.values())
        + sum(life.count(_LIFE[-1]) > 1 for life in lives),
        "out_of_order": sum(tuple(life) != _LIFE for life in lives),
    }
