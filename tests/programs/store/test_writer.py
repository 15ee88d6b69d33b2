"""The writer: changes that come together are committed together, in their order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from sqlalchemy import (
    Connection,
    PoolProxiedConnection,
    create_engine,
    event,
    insert,
    text,
)
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from vtrio._job import IllegalMove, JobProblem, JobStatus
from vtrio.server import Store
from vtrio.server.errors import UnknownJob
from vtrio.server.store import IdempotencyKey, JobRecord, StoreFailed
from vtrio.server.store.changing import Changed
from vtrio.server.store.tables import FACTS

if TYPE_CHECKING:
    from tests.programs.conftest import Until
    from tests.programs.store.conftest import StoreBench

NAMES = [f"j{number}" for number in range(100)]


@contextmanager
def transactions(store: Store) -> Iterator[list[int]]:
    """Count the transactions that begin in a block."""
    begun: list[int] = []

    def count(connection: Connection) -> None:
        begun.append(len(begun))

    event.listen(store._writer._engine, "begin", count)
    try:
        yield begun
    finally:
        event.remove(store._writer._engine, "begin", count)


class HeldUp:
    """A change that takes until it is released, as on a slow disk."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()

    def __call__(self, connection: Connection) -> Changed[None]:
        """Wait in the writer's thread."""
        self.began.set()
        assert self.release.wait(10)
        return Changed(None)


async def test_changes_that_come_together_share_a_transaction(
    store: Store, bench: StoreBench
) -> None:
    """A hundred submissions at once cost one, and are told in their order."""
    with transactions(store) as begun:
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(bench.submit, store, name)

    assert len(begun) == 1
    told = await store.events("", None, 1000)
    assert {told_of.job_id for told_of in told.events} == set(NAMES)
    numbers = [(await store.get(told_of.job_id)).number for told_of in told.events]
    assert numbers == sorted(numbers)


async def test_changes_that_come_during_a_commit_wait_for_the_next(
    store: Store, bench: StoreBench, until: Until
) -> None:
    """However many they are, there are two transactions."""
    held_up = HeldUp()
    with transactions(store) as begun:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store._writer.write, held_up)
            await until(held_up.began.is_set)
            for name in NAMES:
                nursery.start_soon(bench.submit, store, name)
            await wait_all_tasks_blocked()
            held_up.release.set()

    assert len(begun) == 2


async def test_a_transaction_has_a_bounded_number_of_changes(
    store: Store, bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a long queue does not hold up what became of its beginning."""
    monkeypatch.setattr("vtrio.server.store.writer._MOST_AT_ONCE", 30)
    with transactions(store) as begun:
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(bench.submit, store, name)

    assert len(begun) == 4


async def test_one_alone_waits_for_nobody(store: Store, bench: StoreBench) -> None:
    """Each change that comes by itself is committed by itself, at once."""
    with transactions(store) as begun:
        for name in "abc":
            await bench.submit(store, name)

    assert len(begun) == 3


async def together(*calls: Callable[[], Any]) -> list[object]:
    """Make calls at once; return what each gave or raised."""
    results: list[object] = [None] * len(calls)

    async def make(place: int, call: Callable[[], Any]) -> None:
        try:
            results[place] = await call()
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            results[place] = error

    async with trio.open_nursery() as nursery:
        for place, call in enumerate(calls):
            nursery.start_soon(make, place, call)
    return results


async def test_a_refused_change_does_not_hurt_the_others(
    store: Store, bench: StoreBench
) -> None:
    """It is refused on its own, inside the same transaction."""
    await bench.submit(store, "old")
    await store.move("old", JobStatus.CANCELLED, at=bench.at(1))
    with transactions(store) as begun:
        results = await together(
            lambda: bench.submit(store, "a"),
            lambda: store.move("nobody", JobStatus.CANCELLED, at=bench.at(1)),
            lambda: store.move("old", JobStatus.COMPLETED, at=bench.at(1)),
            lambda: bench.submit(store, "b"),
        )

    assert len(begun) == 1
    kinds = {type(result) for result in results if isinstance(result, Exception)}
    assert kinds == {UnknownJob, IllegalMove}
    assert store.counts[JobStatus.PENDING] == 2


async def test_a_change_that_the_database_refuses_does_not_hurt_the_others(
    store: Store, bench: StoreBench
) -> None:
    """Each is tried again by itself; none happens twice."""
    await bench.submit(store, "old")

    results = await together(
        lambda: bench.submit(store, "a"),
        lambda: bench.submit(store, "old"),
        lambda: bench.submit(store, "b"),
    )

    (failed,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(failed, StoreFailed)
    assert sorted(await bench.told(store)) == [
        (name, JobStatus.PENDING) for name in ("a", "b", "old")
    ]


async def test_what_may_have_been_committed_is_not_made_again(
    bench: StoreBench,
) -> None:
    """Where the database is lost in between, an end is not refused as overtaken."""

    def commit_and_be_lost(connection: PoolProxiedConnection) -> None:
        connection.commit()
        assert connection.dbapi_connection is not None
        connection.dbapi_connection.close()
        connection.commit()

    async with bench.opened() as store:
        for name in "ab":
            await bench.run(store, name)

        async def end(name: str) -> JobRecord:
            at = bench.at(1)
            return await store.move(name, JobStatus.COMPLETED, at=at, attempt=1)

        with transactions(store) as begun, pytest.MonkeyPatch.context() as patched:
            dialect = store._writer._engine.dialect
            patched.setattr(dialect, "do_commit", commit_and_be_lost)
            results = await together(partial(end, "a"), partial(end, "b"))

    assert len(begun) == 1
    assert [type(result) for result in results] == [StoreFailed, StoreFailed]
    async with bench.opened() as store:
        assert store.counts[JobStatus.COMPLETED] == 2


async def test_a_change_that_fails_halfway_leaves_nothing(
    store: Store, bench: StoreBench
) -> None:
    """Whatever it raises, what it has written is taken back, and its error is told."""

    def break_down(connection: Connection) -> Changed[None]:
        connection.execute(insert(FACTS), {"name": "half", "value": "written"})
        raise RuntimeError("broken")

    def look(connection: Connection) -> Changed[list[str]]:
        return Changed(list(connection.execute(FACTS.select()).scalars()))

    submitted, failed, found = await together(
        lambda: bench.submit(store),
        lambda: store._writer.write(break_down),
        lambda: store._writer.write(look),
    )

    assert isinstance(failed, RuntimeError)
    assert isinstance(found, list)
    assert "half" not in found
    assert not isinstance(submitted, Exception)
    assert await bench.told(store) == [("j1", JobStatus.PENDING)]


@pytest.mark.slow
async def test_postgresql_lets_one_store_write_at_a_time(
    server_bench: StoreBench, until: Until
) -> None:
    """A second one waits for its turn, as it does with SQLite; looks do not wait."""
    held_up = HeldUp()
    watching = create_engine(server_bench.url, isolation_level="AUTOCOMMIT")
    waits = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    )

    async with server_bench.opened() as one, server_bench.opened() as other:
        with trio.fail_after(10), watching.connect() as connection:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one._writer.write, held_up)
                await until(held_up.began.is_set)
                nursery.start_soon(server_bench.submit, other)
                await until(lambda: connection.scalar(waits) == 1)
                assert await one.page("", status=None, before=None, size=1) == ()
                held_up.release.set()
        assert await server_bench.told(other) == [("j1", JobStatus.PENDING)]
    watching.dispose()


async def test_listeners_are_told_before_the_caller(
    store: Store, bench: StoreBench
) -> None:
    """Who has its answer finds everybody else informed."""
    heard: list[tuple[list[JobStatus], list[str]]] = []
    store.listeners.append(
        lambda events, gone: heard.append(
            ([event.status for event in events], list(gone))
        )
    )

    await bench.submit(store)
    assert heard == [([JobStatus.PENDING], [])]
    await store.claim(bench.at(1))
    assert len(heard) == 2
    await store.remove("j1", bench.at(2))
    assert heard[2:] == [([JobStatus.CANCELLED], ["j1"])]


async def test_nothing_is_told_where_nothing_changed(
    store: Store, bench: StoreBench
) -> None:
    """A claim of nothing and a submission that came before wake nobody."""
    key = IdempotencyKey("k", "payload")
    await bench.submit(store, key=key)
    await store.claim(bench.at(1))
    heard: list[object] = []
    store.listeners.append(lambda *told: heard.append(told))

    await store.claim(bench.at(2))
    await bench.submit(store, "again", key=key)
    with pytest.raises(UnknownJob):
        await store.remove("nobody", bench.at(2))

    assert heard == []


async def test_a_listener_that_breaks_leaves_nobody_waiting(bench: StoreBench) -> None:
    """It is a mistake of ours: it ends the store, and whoever waits has an answer."""

    def break_down(*told: object) -> None:
        raise RuntimeError("broken")

    answers: list[object] = []
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="broken")):
        async with bench.opened() as store:
            store.listeners.append(break_down)
            with trio.CancelScope(shield=True):
                answers += await together(
                    lambda: bench.submit(store, "a"), lambda: bench.submit(store, "b")
                )
            await trio.lowlevel.checkpoint()

    assert len(answers) == 2
    async with bench.opened() as store:
        assert store.counts[JobStatus.PENDING] == 2


async def test_every_method_is_a_checkpoint_and_cancelled_does_nothing(
    store: Store, bench: StoreBench
) -> None:
    """Cancelled before it is handed over, none has an effect, whichever it is."""
    await bench.run(store, "running")
    with assert_checkpoints():
        await bench.submit(store, "waiting")
    with assert_checkpoints():
        await store.get("waiting")
    with assert_checkpoints():
        await store.events("", None, 5)
    before = await bench.told(store)
    at = bench.at(2)
    problem = JobProblem(type="t", title="t", detail="d")

    for call in (
        lambda: bench.submit(store, "new", key=IdempotencyKey("k", "payload")),
        lambda: store.claim(at),
        lambda: store.move("running", JobStatus.COMPLETED, at=at, attempt=1),
        lambda: store.take_up(at, most_deaths=1, too_deadly=problem),
        lambda: store.remove("running", at),
        lambda: store.forget(at, at),
        lambda: store.revoke_api_key("k", at),
        lambda: store.get("running"),
        lambda: store.get("nobody"),
        lambda: store.get_many([]),
        lambda: store.page("", status=None, before=None, size=1),
        lambda: store.events("", None, 1),
        store.api_keys,
    ):
        with trio.CancelScope() as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught

    assert await bench.told(store) == before
    assert (await bench.submit(store, "new", key=IdempotencyKey("k", "other"))).created


async def test_cancelled_after_it_was_handed_over_it_takes_effect(
    store: Store, bench: StoreBench, until: Until
) -> None:
    """Then nobody could tell; so it is not cancelled, and returns what it did."""
    held_up = HeldUp()
    submitted = []

    async def submit() -> None:
        submitted.append(await bench.submit(store))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store._writer.write, held_up)
        await until(held_up.began.is_set)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(submit)
                await wait_all_tasks_blocked()
                scope.cancel()
                held_up.release.set()

    assert [submission.created for submission in submitted] == [True]
    assert await bench.told(store) == [("j1", JobStatus.PENDING)]


async def test_a_closed_store_takes_no_changes(bench: StoreBench) -> None:
    """It says so, and has written nothing."""
    async with bench.opened() as store:
        pass
    with pytest.raises(trio.ClosedResourceError, match="is closed"):
        await bench.submit(store)

    async with bench.opened() as store:
        assert await bench.told(store) == []


async def test_closing_commits_what_has_begun_and_refuses_the_rest(
    bench: StoreBench, until: Until
) -> None:
    """Whoever waits is told which; nobody is left waiting."""
    held_up = HeldUp()
    close = trio.Event()
    results: dict[str, object] = {}

    async def keep_open(*, task_status: trio.TaskStatus[Store]) -> None:
        async with bench.opened() as opened:
            task_status.started(opened)
            await close.wait()

    async def submit(name: str) -> None:
        try:
            results[name] = await bench.submit(store, name)
        except trio.ClosedResourceError as error:
            results[name] = error

    async with trio.open_nursery() as nursery:
        store = await nursery.start(keep_open)
        nursery.start_soon(store._writer.write, held_up)
        nursery.start_soon(submit, "in time")
        await until(held_up.began.is_set)
        nursery.start_soon(submit, "late")
        await wait_all_tasks_blocked()
        close.set()
        await wait_all_tasks_blocked()
        held_up.release.set()

    assert not isinstance(results["in time"], Exception)
    assert isinstance(results["late"], trio.ClosedResourceError)
    async with bench.opened() as store:
        assert await bench.told(store) == [("in time", JobStatus.PENDING)]
