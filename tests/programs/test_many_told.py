"""What a feed tells, tells twice or never, and what is asked because of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Answer, Fixed, Outcome, VideoTranslationClient
from vtrio.sources import Answers, Change, Changes, TranslationsSource
from vtrio.sources._http import HttpEdge
from vtrio.testing import (
    URL,
    Invariants,
    Kind,
    ScriptedServer,
    after,
    job,
    respond,
)


class Twisted:
    """The wire of a server, whose answers are changed on the way.

    Args:
        server: it.
        changes: makes other changes of those of a page.
        many: makes another answer of one about many jobs.
        late: seconds that answers take which are not held.
    """

    def __init__(
        self,
        server: ScriptedServer,
        *,
        changes: Callable[[list[Change]], list[Change]] = list,
        many: Callable[[Answers], Answers] | None = None,
        late: float = 0,
    ) -> None:
        self._source = TranslationsSource(HttpEdge(URL, http=server.http()))
        self._changes = changes
        self._many = many
        self._late = late
        self.capabilities = replace(self._source.capabilities, event_stream=False)
        self.remote = self._source.remote

    async def status(self, job_id: str) -> Answer:
        """Tell how it stood when it was asked."""
        answer = await self._source.status(job_id)
        await trio.sleep(self._late)
        return answer

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """Tell what is made of the answer."""
        answers = await self._source.status_of_many(job_ids, wait=wait)
        if wait is None:
            await trio.sleep(self._late)
        return answers if self._many is None else self._many(answers)

    async def changes(self, after: str | None, *, wait: float | None = None) -> Changes:
        """Tell what is made of the changes."""
        changes = await self._source.changes(after, wait=wait)
        return replace(changes, changes=tuple(self._changes(list(changes.changes))))


async def collect(
    client: VideoTranslationClient, jobs: Any, **settings: Any
) -> list[tuple[float, Outcome]]:
    """Wait for all, and return the outcomes with their instants."""
    async with client.as_completed(jobs, **settings) as outcomes:
        return [(trio.current_time(), outcome) async for outcome in outcomes]


def instants(told: list[tuple[float, Outcome]]) -> list[tuple[float, str]]:
    """Return which ended when, all of them well."""
    assert all(outcome.exception is None for _, outcome in told)
    return [(at, outcome.job_id) for at, outcome in told]


def asked(server: ScriptedServer, *kinds: Kind) -> list[float]:
    """Return the instants of the requests of some kinds."""
    return [e.at for e in server.exchanges if e.kind in kinds]


# --- what is lost ------------------------------------------------------------------------


@pytest.mark.parametrize("number_of_jobs", [1, 50])
async def test_an_end_that_is_never_told_is_found_by_the_sweep(
    autojump_clock: MockClock, number_of_jobs: int
) -> None:
    """Within a minute or so, although the feed works and the schedule would wait longer."""
    server = ScriptedServer()
    ids = [f"j{number}" for number in range(number_of_jobs)]
    for job_id in ids:
        server.add(job("running", after(100, "completed")), id=job_id)

    def drop(changes: list[Change]) -> list[Change]:
        return [c for c in changes if c.job_id != "j0"]

    with Invariants(server):
        async with server.client(
            schedule=Fixed(1000), source=Twisted(server, changes=drop)
        ) as client:
            told = await collect(client, ids)
    *others, (at, last) = told
    assert instants(others) == [(100, job_id) for job_id in ids[1:]]
    assert (last.job_id, last.exception) == ("j0", None)
    assert 100 < at <= 175
    server.check()


@pytest.mark.parametrize("many_times", [2, 5])
async def test_what_is_told_twice_is_one_change(
    autojump_clock: MockClock, many_times: int
) -> None:
    """Of an end and before; nobody is asked twice for it."""
    server = ScriptedServer()
    for number in range(5):
        life = job("pending", after(5, "running"), after(10 + number, "completed"))
        server.add(life, id=f"j{number}")
    source = Twisted(server, changes=lambda changes: changes * many_times)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(100), source=source) as client,
            client.watch([f"j{number}" for number in range(5)]) as updates,
        ):
            told = [
                (trio.current_time(), u.job_id, u.job.word)
                async for u in updates
                if u.job is not None
            ]
    assert sorted(told[:5]) == [(0, f"j{n}", "pending") for n in range(5)]
    assert sorted(told[5:10]) == [(5, f"j{n}", "running") for n in range(5)]
    assert [(name, word) for _, name, word in told[10:]] == [
        (f"j{n}", "completed") for n in range(5)
    ]
    assert len(asked(server, Kind.BATCH, Kind.POLL)) == 1 + 5
    server.check()


async def test_an_end_is_the_end_though_another_change_is_told_after_it(
    autojump_clock: MockClock,
) -> None:
    """A feed that tells out of order."""
    server = ScriptedServer()
    server.add(job("pending", after(5, "running"), after(5, "completed")), id="a")
    server.add(job("running", after(50, "completed")), id="b")
    source = Twisted(server, changes=lambda changes: changes[::-1])
    with Invariants(server):
        async with server.client(schedule=Fixed(100), source=source) as client:
            assert instants(await collect(client, ["a", "b"])) == [(5, "a"), (50, "b")]
    server.check()


# --- others' jobs ------------------------------------------------------------------------


async def test_a_job_that_is_added_after_its_end_was_told_is_looked_at_at_once(
    autojump_clock: MockClock,
) -> None:
    """The feed will not tell it again, and the schedule would wait."""
    server = ScriptedServer()
    server.add(job("running", after(60, "completed")), id="a")
    server.on_submit(job("pending", after(10, "completed")))
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(1000)) as client,
            client.as_completed(["a"]) as outcomes,
        ):
            await trio.sleep(5)
            known = await client.submit(io.BytesIO(b"v"), to="pt")
            await trio.sleep(15)  # its end, at 15, is told of a stranger
            outcomes.add(known)
            told = [(trio.current_time(), o.job_id) async for o in outcomes]
    assert told == [(20, "j2"), (60, "a")]
    server.check()


async def test_a_job_that_is_added_to_a_feed_that_runs_is_followed_by_it(
    autojump_clock: MockClock,
) -> None:
    """From its submission on: no look before its end."""
    server = ScriptedServer()
    server.add(job("running", after(60, "completed")), id="a")
    server.on_submit(job("pending", after(30, "completed")))
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(10)) as client,
            client.as_completed(["a"]) as outcomes,
        ):
            await trio.sleep(5)
            outcomes.add(await client.submit(io.BytesIO(b"v"), to="pt"))
            told = [(trio.current_time(), o.job_id) async for o in outcomes]
    assert told == [(35, "j2"), (60, "a")]
    assert asked(server, Kind.BATCH, Kind.POLL) == [0, 35, 60]
    server.check()


@pytest.mark.parametrize("jobs", [1, 5])
async def test_jobs_that_were_submitted_are_not_looked_at_before_their_end(
    autojump_clock: MockClock, jobs: int
) -> None:
    """The feed goes on from their submission; each end is one look."""
    server = ScriptedServer()
    server.on_submit(
        *(
            job("pending", after(3, "running"), after(40 + n, "completed"))
            for n in range(jobs)
        )
    )
    with Invariants(server):
        async with server.client(schedule=Fixed(2)) as client:
            known = [
                await client.submit(io.BytesIO(b"v"), to="pt") for _ in range(jobs)
            ]
            told = instants(await collect(client, known))
    assert told == [(40 + n, f"j{n + 1}") for n in range(jobs)]
    assert asked(server, Kind.BATCH, Kind.POLL) == [40 + n for n in range(jobs)]
    server.check()


async def test_what_is_submitted_in_an_open_watch_is_followed_too(
    autojump_clock: MockClock,
) -> None:
    """Nobody has asked about any job before, so the first one's cursor is what counts."""
    server = ScriptedServer()
    server.on_submit(*(job("pending", after(40, "completed")) for _ in range(3)))
    told = []
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(2)) as client,
            client.watch(stay_open=True) as updates,
        ):
            for _ in range(3):
                updates.add(await client.submit(io.BytesIO(b"v"), to="pt"))
                await trio.sleep(1)
            updates.close()
            told += [(trio.current_time(), update.job_id) async for update in updates]
    assert told == [(40, "j1"), (41, "j2"), (42, "j3")]
    assert asked(server, Kind.BATCH, Kind.POLL) == [40, 41, 42]
    server.check()


# --- answers that cross -------------------------------------------------------------------


async def test_an_end_that_is_told_while_a_look_is_under_way_is_looked_at_again(
    autojump_clock: MockClock,
) -> None:
    """That one was asked too early to know it, and the schedule would wait."""
    server = ScriptedServer()
    server.add(job("running", after(67, "completed")), id="a")
    server.add(job("running", after(300, "completed")), id="b")
    source = Twisted(server, late=4)
    with Invariants(server):
        async with server.client(schedule=Fixed(58), source=source) as client:
            told = await collect(client, ["a", "b"])
    looks = asked(server, Kind.BATCH, Kind.POLL)
    assert any(62 < at < 67 for at in looks), "no look was under way"
    (at, first), _ = told
    assert first.job_id == "a"
    assert at == 67 + 1 + 4
    server.check()


async def test_a_slow_answer_does_not_take_back_what_was_told(
    autojump_clock: MockClock,
) -> None:
    """It was asked before the change."""
    server = ScriptedServer()
    server.add(job("pending", after(67, "running"), after(200, "completed")), id="a")
    source = Twisted(server, late=4)
    with Invariants(server):
        async with (
            server.client(schedule=Fixed(58), source=source) as client,
            client.watch(["a"]) as updates,
        ):
            words = [u.job.word async for u in updates if u.job is not None]
    assert any(62 < at < 67 for at in asked(server, Kind.BATCH)), "none was under way"
    assert words == ["pending", "running", "completed"]
    server.check()


# --- servers that misbehave -------------------------------------------------------------------


@pytest.mark.parametrize("is_same_page", [False, True], ids=["empty", "same page"])
async def test_a_feed_that_answers_at_once_for_ever_is_left(
    autojump_clock: MockClock, is_same_page: Any
) -> None:
    """It says that it holds, and does not, or tells the same again and again."""
    server = ScriptedServer()
    for number in range(3):
        end = 100 + number
        server.add(job("running", after(end, "completed")), id=f"j{number}")
    event = {"cursor": "00000001.3", "id": "j0", "status": "running", "at": None}
    server.route(
        respond(
            json={"events": [event] if is_same_page else [], "next": "00000001.3"},
            headers={"preference-applied": "wait=5"},
        ),
        path="/v1/events",
    )
    with Invariants(server):
        async with server.client(schedule=Fixed(10)) as client:
            told = await collect(client, [f"j{number}" for number in range(3)])
    assert instants(told) == [(100 + n, f"j{n}") for n in range(3)], "held lists tell"
    assert len(asked(server, Kind.FEED)) <= 10
    server.check()


@pytest.mark.parametrize("transport", ["auto", "batch"])
async def test_a_job_that_lists_leave_out_is_asked_about_alone(
    autojump_clock: MockClock, transport: Any
) -> None:
    """At once; the others are not touched by it."""
    server = ScriptedServer()
    for number in range(3):
        server.add(job("running", after(50, "completed")), id=f"j{number}")

    def leave_out(answers: Answers) -> Answers:
        kept = tuple(a for a in answers.answers if a.job.id != "j1")
        return replace(answers, answers=kept)

    source = Twisted(server, many=leave_out)
    with Invariants(server):
        async with server.client(schedule=Fixed(10), source=source) as client:
            told = await collect(
                client, [f"j{number}" for number in range(3)], transport=transport
            )
    assert sorted(instants(told), key=lambda t: t[1]) == [
        (50, "j0"),
        (pytest.approx(50, abs=10), "j1"),
        (50, "j2"),
    ]
    assert {poll.job_id for poll in server.polls} == {"j1"}
    server.check()


@pytest.mark.parametrize("most", [150, 60, 30])
async def test_a_list_that_is_too_long_is_cut_in_halves(
    autojump_clock: MockClock, most: int
) -> None:
    """Until it is not, however many were under way; no end is late for that."""
    server = ScriptedServer(feed=False, holds=False, max_ids=most)
    ids = [f"j{number}" for number in range(900)]
    for job_id in ids:
        server.add(job("running", after(15, "completed")), id=job_id)
    with Invariants(server):
        async with server.client(schedule=Fixed(10)) as client:
            told = await collect(client, ids)
    assert {at for at, _ in instants(told)} <= {15, 20}
    sizes = {len(e.job_ids) for e in server.exchanges if e.kind is Kind.BATCH}
    taken = [size for size in sizes if size <= most]
    assert max(taken) > most // 2, "cut more often than was needed"
    assert asked(server, Kind.POLL) == []
    server.check()
