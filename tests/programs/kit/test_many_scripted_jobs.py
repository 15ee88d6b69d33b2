"""A scripted server of very many jobs: a request costs what it asks about, no more."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from vtrio.testing import ScriptedServer, after, job

JOBS = "/v1/translations"


async def follow_all(server: ScriptedServer, number: int) -> dict[str, float]:
    """Follow the feed and lists until all jobs are over; return when each was seen."""
    http = server.http()
    seen: dict[str, float] = {}
    cursor = ""
    while len(seen) < number:
        answer = await http.get(
            f"/v1/events?after={cursor}", headers={"Prefer": "wait=30"}
        )
        document = answer.json()
        cursor = document["next"]
        over = [e["id"] for e in document["events"] if e["status"] == "completed"]
        for start in range(0, len(over), 200):
            part = over[start : start + 200]
            answer = await http.get(f"{JOBS}?ids={','.join(part)}")
            for one in answer.json()["translations"]:
                assert one["status"] == "completed"
                assert one["id"] not in seen
                seen[one["id"]] = trio.current_time()
        if len(document["events"]) < 1000:
            await trio.sleep(0.25)
    return seen


async def test_ten_thousand_jobs_are_followed_with_a_few_hundred_requests(
    autojump_clock: MockClock,
) -> None:
    """None is lost, none is told twice, and none is seen later than the next look."""
    server = ScriptedServer(record=False)
    number = 10_000
    ends = {
        server.add(job("pending", after(20 * (n + 1) / number, "completed"))).id: (
            20 * (n + 1) / number
        )
        for n in range(number)
    }
    seen = await follow_all(server, number)
    assert seen.keys() == ends.keys()
    assert max(seen[job_id] - end for job_id, end in ends.items()) <= 0.25 + 1e-9
    assert server.requests.total() <= 250
    server.check()
