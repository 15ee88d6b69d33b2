"""Submissions: as many as are wanted, or as many as go into some seconds."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import trio

from ._wire import Connection, get, post

_CONNECTIONS = 16
_PAGE = 200


async def submit(url: str, jobs: int, size: int) -> list[str]:
    """Submit jobs with videos of a size, and return their ids."""
    ids: list[str] = []
    turns = iter(range(jobs))
    below = urlsplit(url).path

    async def submit_some() -> None:
        with await Connection.open(url) as connection:
            for _ in turns:
                key = secrets.token_hex(16)
                request = post(random.randbytes(size), key=key, below=below)
                answer = (await connection.ask(request)).expect(202)
                ids.append(answer.json()["id"])

    async with trio.open_nursery() as nursery:
        for _ in range(min(_CONNECTIONS, jobs)):
            nursery.start_soon(submit_some)
    return ids


async def submission_rates(
    url: str, size: int, connections: int, windows: int, seconds: float
) -> tuple[list[float], int]:
    """Submit in a closed loop; return how many a second were taken, and all of them.

    Each window has a rate of its own. Every key is another, and every video. A 202
    counts where its last byte came in.
    """
    taken: list[float] = []
    contents = [random.randbytes(size) for _ in range(64)]
    keys = count()

    async def submit_on(until: float) -> None:
        with await Connection.open(url) as connection:
            while time.time() < until:
                turn = next(keys)
                # Its number makes a video of its own of one that was drawn.
                video = turn.to_bytes(8) + contents[turn % len(contents)][8:]
                request = post(video, key=f"benchmark-{turn}")
                taken.append((await connection.ask(request)).expect(202).at)

    begin = time.time()
    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(submit_on, begin + windows * seconds)
    by_window = Counter(int((at - begin) / seconds) for at in taken)
    return [by_window[window] / seconds for window in range(windows)], len(taken)


async def list_jobs(url: str) -> list[dict[str, Any]]:
    """Return all jobs, page by page."""
    found: list[dict[str, Any]] = []
    token = ""
    with await Connection.open(url) as connection:
        while token is not None:
            path = f"/v1/translations?page_size={_PAGE}&page_token={token}"
            page = (await connection.ask(get(path))).expect(200).json()
            found += page["translations"]
            token = page["next_page_token"]
    return found
