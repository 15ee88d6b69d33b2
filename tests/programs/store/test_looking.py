"""Looking at jobs: the same from memory and from disk, and every one is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vtrio._job import JobStatus
from vtrio.server import Store
from vtrio.server.errors import UnknownJob
from vtrio.server.store import ApiKeyRecord

if TYPE_CHECKING:
    from tests.programs.store.conftest import StoreBench


def ids(records: tuple[object, ...]) -> str:
    """Return the ids of jobs, each of one letter, as one word."""
    return "".join(record.id for record in records)  # type: ignore[attr-defined]


async def end_some(bench: StoreBench, store: Store, names: str) -> None:
    """Submit jobs and complete them at once, at seconds that count up."""
    for second, name in enumerate(names):
        await bench.run(store, name, second)
        await store.move(name, JobStatus.COMPLETED, at=bench.at(second), attempt=1)


@pytest.mark.parametrize("remembered", [1000, 2, 0])
async def test_ended_jobs_are_the_same_from_memory_and_from_disk(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """However few are remembered, each can be had, alone and with others."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_RECORDS", remembered)
    async with bench.opened() as store:
        await end_some(bench, store, "abcd")
        await bench.submit(store, "w")
        assert len(store._ended) == min(remembered, 4)

        found = await store.get_many([*"dcbaw", "nobody"])

        assert set(found) == set("abcdw")
        for name, record in found.items():
            assert record.id == name
            assert await store.get(name) == record
        assert len(store._ended) == min(remembered, 4)
    async with bench.opened() as store:
        assert await store.get_many([*"abcdw", "nobody"]) == found


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
async def test_a_number_is_written_alike_from_memory_and_from_disk(
    bench: StoreBench, progress: float
) -> None:
    """0 equals 0.0 but is not the same text, of which a job's tag is made."""
    async with bench.opened() as store:
        await bench.run(store, "a")
        moved = await store.move(
            "a",
            JobStatus.COMPLETED,
            at=bench.at(1),
            attempt=1,
            progress=progress,
            media_seconds=2.0,
        )
        told = (await store.events("", None, 10)).events[-1]
    async with bench.opened() as store:
        read = await store.get("a")
        event = (await store.events("", None, 10)).events[-1]
    for record in (moved, read):
        assert repr(record.progress) == repr(progress)
        assert repr(record.media_seconds) == "2.0"
    assert repr(told.progress) == repr(event.progress) == repr(progress)


async def test_the_jobs_asked_for_last_are_remembered(
    store: Store, bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking for one keeps it; which others are dropped, the oldest first."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_RECORDS", 2)
    await end_some(bench, store, "ab")
    await store.get("a")
    await end_some(bench, store, "c")

    assert store.remembered("b") is None
    assert store.remembered("a") is not None
    await store.get("b")
    assert store.remembered("c") is None


async def test_many_jobs_can_be_asked_for_at_once(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a database takes in one statement are asked for in several."""
    monkeypatch.setattr("vtrio.server.store.reading._AT_ONCE", 2)
    async with bench.opened() as store:
        await end_some(bench, store, "abcde")
    async with bench.opened() as store:
        assert set(await store.get_many("abcdexyz")) == set("abcde")
        assert await store.get_many([]) == {}


async def test_pages_are_newest_first(store: Store, bench: StoreBench) -> None:
    """One leads to the next by the number of its last job."""
    for name in "abcde":
        await bench.submit(store, name)

    first = await store.page("", status=None, before=None, size=2)
    second = await store.page("", status=None, before=first[-1].number, size=2)
    third = await store.page("", status=None, before=second[-1].number, size=2)

    assert [ids(first), ids(second), ids(third)] == ["ed", "cb", "a"]


async def test_a_page_stays_true_while_jobs_come_and_go(
    store: Store, bench: StoreBench
) -> None:
    """New jobs and removed ones shift nothing, and no number is given twice."""
    for name in "abcd":
        await bench.submit(store, name)
    first = await store.page("", status=None, before=None, size=2)

    await store.remove("d", bench.at(1))
    await bench.submit(store, "e")

    second = await store.page("", status=None, before=first[-1].number, size=5)
    assert ids(second) == "ba"
    assert (await store.get("e")).number > first[0].number


async def test_pages_are_of_one_owner_and_one_status(
    store: Store, bench: StoreBench
) -> None:
    """Nobody sees another's jobs, and a status leaves out the others."""
    for name, owner in zip("abcd", ["ann", "bob", "ann", "ann"], strict=True):
        await bench.submit(store, name, owner=owner)
    await store.move("c", JobStatus.CANCELLED, at=bench.at(1))

    async def page(owner: str, status: JobStatus | None) -> str:
        return ids(await store.page(owner, status=status, before=None, size=10))

    assert await page("ann", None) == "dca"
    assert await page("bob", None) == "b"
    assert await page("", None) == ""
    assert await page("ann", JobStatus.PENDING) == "da"
    assert await page("ann", JobStatus.CANCELLED) == "c"
    assert await page("ann", JobStatus.ERROR) == ""


async def test_every_job_is_counted_where_it_is(bench: StoreBench) -> None:
    """Through all changes, and the same after a restart."""

    def counts(store: Store) -> list[int]:
        assert list(store.counts) == list(JobStatus)
        return list(store.counts.values())

    async with bench.opened() as store:
        assert counts(store) == [0, 0, 0, 0, 0]
        await end_some(bench, store, "ab")
        await bench.run(store, "c")
        for name in "de":
            await bench.submit(store, name)
        assert counts(store) == [2, 1, 2, 0, 0]
        await store.move("d", JobStatus.CANCELLED, at=bench.at(5))
        await store.move("c", JobStatus.ERROR, at=bench.at(5), attempt=1)
        assert counts(store) == [1, 0, 2, 1, 1]
        await store.remove("e", bench.at(5))
        await store.remove("d", bench.at(5))
        assert counts(store) == [0, 0, 2, 1, 0]
        await store.forget(ended_before=bench.at(1), keys_before=bench.at(0))
        assert counts(store) == [0, 0, 1, 1, 0]
    async with bench.opened() as store:
        assert counts(store) == [0, 0, 1, 1, 0]


async def test_a_job_that_is_removed_is_gone(bench: StoreBench) -> None:
    """One that runs is cancelled first, and told of; one that ended is not told of."""
    async with bench.opened() as store:
        await end_some(bench, store, "a")
        await bench.run(store, "b", 1)

        ended = await store.remove("a", bench.at(2))
        cancelled = await store.remove("b", bench.at(2))

        assert ended.status is JobStatus.COMPLETED
        assert cancelled.status is JobStatus.CANCELLED
        assert cancelled.finished == bench.at(2)
        assert (await bench.told(store))[3:] == [
            ("b", JobStatus.PENDING),
            ("b", JobStatus.RUNNING),
            ("b", JobStatus.CANCELLED),
        ]
        for name in "ab":
            with pytest.raises(UnknownJob, match=repr(name)):
                await store.get(name)
        assert await store.get_many("ab") == {}
    async with bench.opened() as store:
        assert await store.get_many("ab") == {}


async def test_what_ended_too_long_ago_is_forgotten(
    store: Store, bench: StoreBench
) -> None:
    """Those that ended later, or not at all, stay; listeners are told which are gone."""
    await end_some(bench, store, "abc")
    await bench.submit(store, "w")
    gone: list[str] = []
    store.listeners.append(lambda _, ids: gone.extend(ids))

    forgotten = await store.forget(ended_before=bench.at(2), keys_before=bench.at(0))

    assert sorted(forgotten) == sorted(gone) == ["a", "b"]
    assert set(await store.get_many("abcw")) == {"c", "w"}
    assert await store.forget(ended_before=bench.at(2), keys_before=bench.at(0)) == []


async def test_a_job_read_while_it_is_removed_is_not_remembered(
    store: Store, bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before a commit may be untrue after it, and is not kept."""
    monkeypatch.setattr("vtrio.server.store.store._MOST_RECORDS", 0)
    await end_some(bench, store, "a")
    monkeypatch.setattr("vtrio.server.store.store._MOST_RECORDS", 5)
    look = store._look

    async def look_slowly(*arguments: Any) -> object:
        found: object = await look(*arguments)
        await store.remove("a", bench.at(2))
        return found

    with monkeypatch.context() as slow:
        slow.setattr(store, "_look", look_slowly)
        assert (await store.get("a")).id == "a"

    with pytest.raises(UnknownJob):
        await store.get("a")


async def test_api_keys_are_kept_and_revoked(bench: StoreBench) -> None:
    """A revoked one stays in the list; its revocation counts once."""
    first = ApiKeyRecord(id="k1", name="ann", digest=b"1" * 32, created=bench.at(1))
    second = ApiKeyRecord(id="k2", name="bob", digest=b"2" * 32, created=bench.at(2))
    async with bench.opened() as store:
        assert await store.api_keys() == ()
        for key in (second, first):
            await store.add_api_key(key)
        assert await store.api_keys() == (first, second)

        assert await store.revoke_api_key("k1", bench.at(3))
        assert not await store.revoke_api_key("k1", bench.at(4))
        assert not await store.revoke_api_key("k3", bench.at(4))

    async with bench.opened() as store:
        revoked, valid = await store.api_keys()
        assert revoked.revoked == bench.at(3)
        assert valid == second
        assert repr(revoked) == "<ApiKeyRecord k1 'ann' revoked>"
        assert repr(valid) == "<ApiKeyRecord k2 'bob' valid>"


async def test_another_process_adds_a_key_while_the_server_runs(
    bench: StoreBench,
) -> None:
    """`vtrio keys` opens the same store; neither disturbs the other."""
    key = ApiKeyRecord(id="k1", name="ann", digest=b"1" * 32, created=bench.at(1))
    async with bench.opened() as server, bench.opened() as keys:
        await bench.submit(server, "a")
        await keys.add_api_key(key)
        await bench.submit(server, "b")

        assert await server.api_keys() == (key,)
        assert [name for name, _ in await bench.told(server)] == ["a", "b"]
