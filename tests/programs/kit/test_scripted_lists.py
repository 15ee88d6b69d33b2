"""Many jobs in one request: what scripts say there, and what is written down."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from vtrio.testing import (
    Kind,
    ScriptedServer,
    ScriptNotFollowed,
    after,
    busy,
    hang,
    job,
    not_found,
    refused,
    says,
    truncated,
)

JOBS = "/v1/translations"


async def ask(server: ScriptedServer, *ids: str, wait: int | None = None) -> Any:
    """Ask for several jobs."""
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    return await server.http().get(f"{JOBS}?ids={','.join(ids)}", headers=headers)


def told(answer: Any) -> dict[str, str]:
    """Return the status of each job that an answer tells of."""
    return {one["id"]: one["status"] for one in answer.json()["translations"]}


async def test_a_list_is_a_question_about_each_job_in_it(
    autojump_clock: MockClock,
) -> None:
    """It moves scripts on that go by questions, and counts for what was reached."""
    server = ScriptedServer()
    server.add(job("pending", "running", after(9, "completed")))
    server.add(job("pending", after(5, "error")))
    assert told(await ask(server, "j1", "j2")) == {"j1": "pending", "j2": "pending"}
    assert told(await ask(server, "j1")) == {"j1": "running"}
    await trio.sleep(10)
    with pytest.raises(ScriptNotFollowed) as caught:
        server.check()
    assert "after(9, 'completed') of job j1; the last question came at 0 s" in str(
        caught.value
    )
    assert told(await ask(server, "j1", "j2")) == {"j1": "completed", "j2": "error"}
    server.check()
    assert server.polls == ()
    assert [e.kind for e in server.exchanges] == [Kind.BATCH] * 3
    assert [e.job_ids for e in server.exchanges] == [
        *(("j1", "j2"), ("j1",), ("j1", "j2"))
    ]
    assert {e.job_id for e in server.exchanges} == {None}


async def test_a_timeline_tells_of_lists(autojump_clock: MockClock) -> None:
    """How many jobs an answer told of; a long list of ids is cut."""
    server = ScriptedServer(max_ids=30)
    server.add(job("completed"))
    await ask(server, "j1")
    await ask(server, "nobody", "j1", *(f"other{number}" for number in range(20)))
    await server.http().post(f"{JOBS}/cancel", json={"ids": ["j1", "j2", "j2"]})
    ids = "nobody,j1,other0,other1,other2,other3,other4,other5,other6"
    assert server.timeline() == (
        "     seconds\n"
        f"       0.000  GET  {JOBS}?ids=j1  ->  200 1 job\n"
        f"       0.000  GET  {JOBS}?ids={ids}…  ->  200 1 job, 21 missing\n"
        f"       0.000  POST {JOBS}/cancel  ->  200 1 job, 1 missing"
    )
    assert server.exchanges[2].kind is Kind.CANCEL
    assert server.exchanges[2].job_ids == ("j1", "j2")
    assert [e.status for e in server.exchanges] == [200, 200, 200]


async def test_a_fault_in_the_script_of_one_job_spoils_the_list(
    autojump_clock: MockClock,
) -> None:
    """As a question about it would be; another word, or 404, is of that job alone."""
    server = ScriptedServer()
    server.add(job("running"), id="well")
    for name, fault in (
        *(("odd", says("asleep")), ("gone", not_found())),
        *(("busy", busy(retry_after=7)), ("cut", refused())),
    ):
        server.add(job(fault), id=name)
    answer = await ask(server, "well", "odd", "gone")
    assert told(answer) == {"well": "running", "odd": "asleep"}
    assert answer.json()["missing"] == ["gone"]
    answer = await ask(server, "well", "busy", "cut")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    with pytest.raises(httpx.ConnectError):
        await ask(server, "well", "cut", "busy")
    assert [e.status for e in server.exchanges] == [200, 503, None]
    server.check()


async def test_faults_strike_lists_by_their_kind_and_by_the_jobs_in_them(
    autojump_clock: MockClock,
) -> None:
    """What a client does not hear moves no script on."""
    server = ScriptedServer()
    one = server.add(job("pending", "completed"))
    server.add(job("running"))
    server.fault(truncated(), to="batch", times=1)
    server.fault(says("asleep"), to=Kind.BATCH, times=1)
    server.fault(busy(), about=one)
    half = await ask(server, "j1", "j2")
    assert half.status_code == 200
    with pytest.raises(ValueError, match="Unterminated|Expecting|delimiter"):
        half.json()
    assert told(await ask(server, "j1", "j2")) == {"j1": "asleep", "j2": "asleep"}
    assert (await ask(server, "j2", "j1")).status_code == 503
    assert told(await ask(server, "j2")) == {"j2": "running"}
    poll = await server.http().get(f"{JOBS}/j1")
    assert poll.status_code == 503


async def test_a_list_of_endless_jobs_is_not_asked_for_for_ever(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with questions about one."""
    monkeypatch.setattr("vtrio.testing._jobs._MOST_POLLS", 50)
    server = ScriptedServer()
    server.add(job("running"))
    for _ in range(50):
        await ask(server, "j1")
        await trio.sleep(1)
    with pytest.raises(ScriptNotFollowed, match="asked about 51 times in 50 s"):
        await ask(server, "j1")


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        ("?ids=a,b,c,d", 422, "there are 4 ids, and one request may name 1 to 3"),
        ("?ids=", 422, "ids has an empty one"),
        ("?ids=a&ids=b", 422, "ids was given 2 times: give it once"),
        ("?ids=a&status=running", 422, "status is for pages: leave it out beside ids"),
    ],
)
async def test_a_list_that_cannot_be_told_is_refused(
    request_: str, status: int, detail: str, autojump_clock: MockClock
) -> None:
    """That is no slip of the script."""
    server = ScriptedServer(max_ids=3)
    answer = await server.http().get(f"{JOBS}{request_}")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    server.check()


async def test_ids_may_be_quoted_as_a_library_does(autojump_clock: MockClock) -> None:
    """The commas too."""
    server = ScriptedServer()
    server.add(job("running"), id="a b")
    server.add(job("running"), id="é")
    answer = await server.http().get(JOBS, params={"ids": "a b,é"})
    assert told(answer) == {"a b": "running", "é": "running"}


async def test_a_key_is_asked_for_by_all_that_tells_of_many(
    autojump_clock: MockClock,
) -> None:
    """A list, the feed, the end of several."""
    server = ScriptedServer(api_key="k")
    http = server.http()
    for method, path in (
        *(("GET", f"{JOBS}?ids=a"), ("GET", "/v1/events")),
        ("POST", f"{JOBS}/cancel"),
    ):
        assert (await http.request(method, path)).status_code == 401
        answer = await http.request(
            method, path, headers={"Authorization": "Bearer k"}, json={"ids": ["a"]}
        )
        assert answer.status_code == 200


async def test_a_server_may_know_no_lists(autojump_clock: MockClock) -> None:
    """Then it has no such place, and no end of several either; one job goes on."""
    server = ScriptedServer(lists=False)
    server.add(job("running"), id="cancel")
    http = server.http()
    for answer in (
        await ask(server, "cancel", wait=30),
        await http.post(f"{JOBS}/cancel", json={"ids": ["cancel"]}),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:vtrio:problem:no-such-place"
    assert (await http.get(f"{JOBS}/cancel")).json()["status"] == "running"
    assert (await http.get(JOBS)).status_code == 404
    assert [e.kind for e in server.exchanges] == [
        *(Kind.BATCH, Kind.CANCEL, Kind.POLL, Kind.OTHER)
    ]
    with pytest.raises(
        ScriptNotFollowed, match=f"nothing was scripted.*\n  GET {JOBS} at"
    ):
        server.check()


async def test_a_server_may_only_count(autojump_clock: MockClock) -> None:
    """Requests are not kept then; what was scripted is compared all the same."""
    server = ScriptedServer(record=False)
    talk = server.add(job("pending", after(5, "completed")))
    server.fault(hang(), at=100, to="batch", optional=True)
    await ask(server, talk.id)
    await server.http().get(f"{JOBS}/{talk.id}")
    await server.http().get(f"{JOBS}/{talk.id}")
    assert (server.exchanges, server.polls, talk.polls) == ((), (), ())
    assert server.requests == {Kind.POLL: 2, Kind.BATCH: 1}
    assert repr(server) == "<ScriptedServer http://vtrio.test: 1 jobs, 3 requests>"
    with pytest.raises(ScriptNotFollowed, match="the last question came at 0 s"):
        server.check()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, server, talk.id)
        await trio.sleep(5)
    assert server.in_flight == 0
    await ask(server, talk.id)
    server.check()


@pytest.mark.parametrize("settings", [{"max_ids": 0}, {"keep_events": -1}])
def test_limits_that_are_none_are_refused(settings: dict[str, int]) -> None:
    """By their names."""
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.* is not allowed"):
        ScriptedServer(**settings)  # type: ignore[arg-type]
