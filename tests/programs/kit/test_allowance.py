"""A server that answers so many questions a second, and refuses what is beyond."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from vtrio.testing import Kind, ScriptedServer, job, refused

JOBS = "/v1/translations"


async def ask(server: ScriptedServer, times: int, path: str = f"{JOBS}/j1") -> int:
    """Ask so many times at once; return how many answers were good."""
    before = len(server.exchanges)
    http = server.http()
    for _ in range(times):
        await http.get(path)
    statuses = [exchange.status for exchange in server.exchanges[before:]]
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


async def test_a_burst_is_answered_and_then_the_rate(autojump_clock: MockClock) -> None:
    """To the token: what has come since is what is answered."""
    server = ScriptedServer()
    server.add(job("running"))
    server.allowance(rate=50, burst=10)
    assert await ask(server, 30) == 10
    for pause, good in ((0.02, 1), (0.01, 0), (0.01, 1), (0.1, 5), (7, 10)):
        await trio.sleep(pause)
        assert await ask(server, 12) == good
    last = server.timeline().splitlines()[-1]
    assert last == f"       7.140  GET  {JOBS}/j1  ->  429"


async def test_the_rate_is_kept_to_in_the_long_run(autojump_clock: MockClock) -> None:
    """However its instants are rounded."""
    server = ScriptedServer()
    server.add(job("running"))
    server.allowance(rate=10, burst=1)
    good = 0
    for _ in range(300):
        good += await ask(server, 1)
        await trio.sleep(0.1)
    assert good == 300
    assert await ask(server, 2) == 1


async def test_it_is_one_allowance_for_all_that_asks_for_a_status(
    autojump_clock: MockClock,
) -> None:
    """Other requests are not counted, nor those that a fault strikes."""
    server = ScriptedServer()
    server.add(job("running"), video=b"video")
    server.allowance(burst=5)
    server.fault(refused(), to="poll", at=1, lasting=1)
    paths = [f"{JOBS}/j1", f"{JOBS}?ids=j1", "/v1/events", "/status"]
    assert [await ask(server, 1, path) for path in paths] == [1, 1, 1, 1]
    answer = await server.http().post(f"{JOBS}/j1/cancel")
    assert answer.status_code == 202
    assert [await ask(server, 1, path) for path in paths] == [1, 0, 0, 0]
    assert server.requests == {
        Kind.POLL: 4,
        Kind.BATCH: 2,
        Kind.FEED: 2,
        Kind.CANCEL: 1,
    }


async def test_it_gives_no_hint_unless_told_to(autojump_clock: MockClock) -> None:
    """And one that is set anew goes on with what is left of the one before."""
    server = ScriptedServer()
    server.add(job("running"))
    http = server.http()
    server.allowance(rate=1, burst=10)
    assert await ask(server, 7) == 7
    server.allowance(rate=1, burst=5, retry_after=4)
    assert await ask(server, 7) == 3
    assert (await http.get(f"{JOBS}/j1")).headers["Retry-After"] == "4"
    server.allowance(rate=2, burst=1)
    assert "Retry-After" not in (await http.get(f"{JOBS}/j1")).headers
    await trio.sleep(0.5)
    assert await ask(server, 3) == 1


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"rate": -1.0}, {"burst": 0.5}, {"retry_after": -1}], ids=str
)
def test_what_is_no_allowance_is_refused(wrong: dict[str, float]) -> None:
    """By its name."""
    with pytest.raises(
        ValueError, match=f"{next(iter(wrong))}=.* is not allowed: must"
    ):
        ScriptedServer().allowance(**wrong)
