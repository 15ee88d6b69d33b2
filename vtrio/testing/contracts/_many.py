"""What holds for every source that tells of many jobs at once, or of changes."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from ..._errors import CursorExpired, TransientError
from ..._job import FINAL, Job, JobStatus
from ..._source import (
    Answers,
    Capabilities,
    Changes,
    FeedSource,
    ManySource,
    StatusSource,
)
from .._invariants import Invariants
from ._remote import CancelAfter, SourceUnderTest

_HOLD = 1
# A hold that nobody is to wait for; whoever does has waited for longer than `_SOON`.
_LONG_HOLD = 30
_SOON = 10
_STEPS = 12
_LONGEST_FEED = 1000  # answers


class ManyContract:
    """Lists and changes: a part of the contract of sources."""

    async def test_it_keeps_the_protocols_of_what_it_can(
        self, remote: SourceUnderTest
    ) -> None:
        """Who says that it knows lists or a feed has the method that asks for them."""
        source, can = remote.source, remote.source.capabilities
        assert isinstance(can, Capabilities)
        assert can.most_ids >= 1, "a list of none"
        if can.status_of_many:
            assert isinstance(source, ManySource), "no method `status_of_many`"
        if can.change_feed:
            assert isinstance(source, FeedSource), "no method `changes`"
        if can.held_status:
            assert can.status_of_many or can.change_feed, "there is nothing to hold"

    async def test_a_list_tells_what_single_questions_tell(
        self, remote: SourceUnderTest
    ) -> None:
        """Of each job, once, by the id that it was asked with; and what is missing."""
        source = _lists(remote)
        unknown = () if remote.unknown is None else (remote.unknown,)
        told = await source.status_of_many([*remote.jobs.values(), *unknown])
        assert isinstance(told, Answers), f"{told!r} is no Answers"
        assert sorted(answer.job.id for answer in told.answers) == sorted(
            remote.jobs.values()
        ), "it tells of others than it was asked about"
        assert told.missing == unknown, f"missing are {unknown}, told {told.missing}"
        for answer in told.answers:
            single = await source.status(answer.job.id)
            assert _facts(answer.job) == _facts(single.job), "one job, told in two ways"

    async def test_a_list_tells_of_those_alone_that_were_asked_for(
        self, remote: SourceUnderTest
    ) -> None:
        """Of one, or of none that there is."""
        source = _lists(remote)
        for job_id in remote.jobs.values():
            told = await source.status_of_many([job_id])
            assert [answer.job.id for answer in told.answers] == [job_id]
            assert told.missing == ()
        if remote.unknown is not None:
            told = await source.status_of_many([remote.unknown])
            assert (told.answers, told.missing) == ((), (remote.unknown,))

    async def test_a_list_is_one_request(self, remote: SourceUnderTest) -> None:
        """However many jobs are in it."""
        source = _lists(remote)
        if remote.requests is None:
            pytest.skip("its requests are not counted")
        before = remote.requests()
        await source.status_of_many([*remote.jobs.values()])
        count = remote.requests() - before
        assert count == 1, f"a list was {count} requests"

    async def test_a_list_of_none_or_of_too_many_is_misuse(
        self, remote: SourceUnderTest
    ) -> None:
        """What one request may name is said in advance."""
        source = _lists(remote)
        most = source.capabilities.most_ids
        for ids in ([], [f"j{number}" for number in range(most + 1)]):
            with pytest.raises(ValueError):  # noqa: PT011 - the words are the source's
                await source.status_of_many(ids)

    async def test_what_is_counted_of_many_is_a_number_or_unknown(
        self, remote: SourceUnderTest
    ) -> None:
        """Seconds and bytes are finite and 0 or more; what is over asks for no pause."""
        source = _lists(remote)
        told = await source.status_of_many([*remote.jobs.values()])
        for answer in told.answers:
            seconds = (answer.age, answer.hint, answer.ended_ago, answer.run_time)
            for value in (*seconds, told.hint):
                assert value is None or 0 <= value < math.inf, f"{value!r}: {answer}"
        assert told.size >= 0
        over = [job_id for word, job_id in remote.jobs.items() if word in FINAL]
        if over:
            hint = (await source.status_of_many(over)).hint
            assert hint is None, "all are over: nobody has to ask again"

    async def test_a_list_is_held_while_nothing_changes(
        self, remote: SourceUnderTest
    ) -> None:
        """For as long as was asked for, and then told as it stands."""
        source = _lists(remote, held=True)
        running = [job_id for word, job_id in remote.jobs.items() if word not in FINAL]
        if not running:
            pytest.skip("all jobs are over")
        began = trio.current_time()
        with trio.fail_after(_HOLD + _SOON):
            told = await source.status_of_many(running, wait=_HOLD)
        assert told.held, "it was held, and does not say so"
        assert trio.current_time() - began >= 0.9 * _HOLD, "it was not held"
        assert sorted(answer.job.id for answer in told.answers) == sorted(running)

    async def test_what_is_over_is_not_held(self, remote: SourceUnderTest) -> None:
        """One job among them is enough; that it would have been held is told."""
        source = _lists(remote, held=True)
        if not any(word in FINAL for word in remote.jobs):
            pytest.skip("no job is over")
        with trio.fail_after(_SOON):
            told = await source.status_of_many([*remote.jobs.values()], wait=_LONG_HOLD)
        assert told.held, "it can hold, and does not say so"

    async def test_the_feed_leads_from_its_beginning_to_its_end(
        self, remote: SourceUnderTest
    ) -> None:
        """By the cursor of each answer; after the last change there is none."""
        source = _feed(remote)
        end = await end_of(source)
        told = await source.changes(end)
        assert isinstance(told, Changes), f"{told!r} is no Changes"
        assert told.changes == (), "changes come again after their end"

    async def test_the_cursor_of_an_answer_leads_into_the_feed(
        self, remote: SourceUnderTest
    ) -> None:
        """What changes after the answer comes after its cursor."""
        source = _feed(remote)
        job_id = next(iter(remote.jobs.values()))
        cursors = [(await source.status(job_id)).cursor]
        if isinstance(source, ManySource):
            cursors.append((await source.status_of_many([job_id])).cursor)
        changed = None if remote.change is None else await remote.change()
        for cursor in cursors:
            if cursor is not None:
                await _heard(source, cursor, changed)

    async def test_a_change_is_told_by_the_feed(self, remote: SourceUnderTest) -> None:
        """Of whichever job it is."""
        source, change = _feed(remote), _changes(remote)
        end = await end_of(source)
        await _heard(source, end, await change())

    async def test_the_feed_is_held_while_nothing_changes(
        self, remote: SourceUnderTest
    ) -> None:
        """For as long as was asked for, and then there is no change."""
        source = _feed(remote, held=True)
        end, began = await end_of(source), trio.current_time()
        with trio.fail_after(_HOLD + _SOON):
            told = await source.changes(end, wait=_HOLD)
        assert told.held, "it was held, and does not say so"
        assert trio.current_time() - began >= 0.9 * _HOLD, "it was not held"
        assert told.changes == ()

    async def test_a_change_ends_a_hold(self, remote: SourceUnderTest) -> None:
        """At once, and is told."""
        source, change = _feed(remote, held=True), _changes(remote)
        end, heard = await end_of(source), []

        async def follow() -> None:
            with trio.fail_after(_SOON):
                told = await source.changes(end, wait=_LONG_HOLD)
            heard.extend([change.job_id for change in told.changes])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await wait_all_tasks_blocked(0.01)
            changed = await change()
        assert changed in heard, f"{changed!r} changed, heard of were {heard}"

    async def test_a_cursor_of_nowhere_has_expired(
        self, remote: SourceUnderTest
    ) -> None:
        """Whoever comes with one has to look at the jobs, and is told so."""
        source = _feed(remote)
        with pytest.raises(CursorExpired):
            await source.changes("nowhere")

    async def test_a_remote_of_many_that_is_not_there_may_come_back(
        self, remote: SourceUnderTest
    ) -> None:
        """Asking again can help, as with single questions."""
        if remote.unreachable is None:
            pytest.skip("there is none to be asked")
        for ask in _questions(remote, remote.unreachable):
            with pytest.raises(TransientError):
                await ask()

    async def test_asking_for_many_is_a_checkpoint(
        self, remote: SourceUnderTest
    ) -> None:
        """It lets others have a turn, and can be cancelled."""
        for ask in _questions(remote, remote.source):
            with assert_checkpoints():
                await ask()

    async def test_a_question_for_many_that_is_cancelled_leaves_nothing(
        self, remote: SourceUnderTest
    ) -> None:
        """At whatever step: `Cancelled` gets out, no task stays, the next one works."""
        for ask in _questions(remote, remote.source):
            for step in range(_STEPS):
                scope = trio.CancelScope()
                with Invariants(), scope, CancelAfter(step, scope):
                    await ask()
            await ask()

    async def test_a_hold_that_is_cancelled_leaves_nothing(
        self, remote: SourceUnderTest
    ) -> None:
        """Whoever waits no longer is free at once, and can ask again."""
        if not remote.source.capabilities.held_status:
            pytest.skip("it holds nothing")
        for ask in _questions(remote, remote.source, wait=_LONG_HOLD):
            with (
                trio.fail_after(_SOON),
                trio.move_on_after(0.05) as scope,
                Invariants(),
            ):
                await ask()
            assert scope.cancelled_caught, "`Cancelled` did not get out"
        for ask in _questions(remote, remote.source):
            await ask()


def _lists(remote: SourceUnderTest, *, held: bool = False) -> ManySource:
    source, can = remote.source, remote.source.capabilities
    if not can.status_of_many or not isinstance(source, ManySource):
        pytest.skip("it knows no lists")
    if held and not can.held_status:
        pytest.skip("it holds nothing")
    return source


def _feed(remote: SourceUnderTest, *, held: bool = False) -> FeedSource:
    source, can = remote.source, remote.source.capabilities
    if not can.change_feed or not isinstance(source, FeedSource):
        pytest.skip("it has no feed")
    if held and not can.held_status:
        pytest.skip("it holds nothing")
    return source


def _changes(remote: SourceUnderTest) -> Callable[[], Awaitable[str]]:
    if remote.change is None:
        pytest.skip("nothing can be made to change")
    return remote.change


def _questions(
    remote: SourceUnderTest, source: StatusSource, *, wait: float | None = None
) -> list[Callable[[], Awaitable[object]]]:
    """List what can be asked; with a hold, nothing that would be answered at once."""
    asks: list[Callable[[], Awaitable[object]]] = []
    can = remote.source.capabilities
    ids = [job_id for word, job_id in remote.jobs.items() if word not in FINAL]
    if wait is None:
        ids = [*remote.jobs.values()]

    if can.status_of_many and isinstance(source, ManySource) and ids:
        many: ManySource = source

        async def ask_for_a_list() -> object:
            return await many.status_of_many(ids, wait=wait)

        asks.append(ask_for_a_list)

    if can.change_feed and isinstance(source, FeedSource):
        feed: FeedSource = source

        async def ask_for_changes() -> object:
            end = None if wait is None else await end_of(feed)
            return await feed.changes(end, wait=wait)

        asks.append(ask_for_changes)

    if not asks:
        pytest.skip("it knows neither lists nor a feed")
    return asks


def _facts(job: Job) -> tuple[object, ...]:
    """Return what two looks at a job that stays as it is have in common."""
    return job.id, job.status, job.unknown_word, job.error, job.result


async def end_of(source: FeedSource) -> str:
    """Follow a feed to its end, and return the cursor of that."""
    cursor = None
    for _ in range(_LONGEST_FEED):
        told = await source.changes(cursor)
        assert isinstance(told.next, str), f"{told.next!r} is no cursor"
        assert told.next, "an empty cursor leads to the beginning again"
        for change in told.changes:
            assert isinstance(change.status, JobStatus), f"{change}"
        cursor = told.next
        if not told.changes:
            return cursor
    raise AssertionError(f"there are changes after {_LONGEST_FEED} answers still")


async def _heard(source: FeedSource, cursor: str, job_id: str | None) -> None:
    """Follow a feed until it tells of a job; with none, ask once."""
    with trio.fail_after(_SOON):
        while True:
            told = await source.changes(cursor)
            heard = {change.job_id for change in told.changes}
            if job_id is None or job_id in heard:
                return
            cursor = told.next
            await trio.sleep(0.01)
