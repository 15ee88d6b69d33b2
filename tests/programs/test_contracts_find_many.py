"""The suite of sources over one of a fleet in memory, whole and with each promise broken."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import CursorExpired, Job, JobNotFound, JobStatus, Unreachable
from vtrio.sources import Answer, Answers, Capabilities, Change, Changes, ChangeStream
from vtrio.testing.contracts import SourceContract, SourceUnderTest

ALL = Capabilities(
    status_of_many=True,
    held_status=True,
    change_feed=True,
    event_stream=True,
    most_ids=5,
)


class Fleet:
    """A remote of jobs in memory, and the source of it."""

    capabilities = ALL

    def __init__(self, **jobs: str) -> None:
        self.jobs = {
            job_id: Job(id=job_id, status=JobStatus(word))
            for job_id, word in jobs.items()
        }
        self.log = [Change(job_id=job.id, status=job.status) for job in self.all]
        self.news = trio.Event()
        self.requests = 0
        self.is_there = True

    @property
    def all(self) -> list[Job]:
        """All jobs."""
        return [*self.jobs.values()]

    async def change(self) -> str:
        """Add a job."""
        job = Job(id=f"new{len(self.jobs)}", status=JobStatus.PENDING)
        self.jobs[job.id] = job
        self.log.append(Change(job_id=job.id, status=job.status))
        self.news.set()
        self.news = trio.Event()
        return job.id

    async def hear(self) -> None:
        """Take in a request."""
        self.requests += 1
        await trio.lowlevel.checkpoint()
        if not self.is_there:
            raise Unreachable("nobody is there")

    async def hold(self, wait: float) -> None:
        """Wait for news, so long at most."""
        with trio.move_on_after(wait):
            await self.news.wait()

    async def status(self, job_id: str) -> Answer:
        """Tell of one."""
        await self.hear()
        if job_id not in self.jobs:
            raise JobNotFound("there is no such job")
        return Answer(job=self.jobs[job_id], cursor=str(len(self.log)))

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """Tell of some."""
        if not 1 <= len(job_ids) <= self.capabilities.most_ids:
            raise ValueError("too few or too many")
        await self.hear()
        cursor = str(len(self.log))
        there = [self.jobs[job_id] for job_id in job_ids if job_id in self.jobs]
        if wait is not None and not any(job.is_final for job in there):
            await self.hold(wait)
        return Answers(
            answers=tuple(Answer(job=job) for job in there),
            missing=tuple(job_id for job_id in job_ids if job_id not in self.jobs),
            held=wait is not None,
            cursor=cursor,
        )

    async def changes(self, after: str | None, *, wait: float | None = None) -> Changes:
        """Tell what has changed."""
        await self.hear()
        if after is not None and not after.isdecimal():
            raise CursorExpired("it is no cursor")
        begin = int(after or 0)
        if wait is not None and not self.log[begin:]:
            await self.hold(wait)
        return Changes(
            changes=tuple(self.log[begin:]),
            next=str(len(self.log)),
            held=wait is not None,
        )

    @contextlib.asynccontextmanager
    async def follow(self, after: str, *, wait: float) -> AsyncIterator[ChangeStream]:
        """Tell what changes as it does."""
        await self.hear()
        if not after.isdecimal():
            raise CursorExpired("it is no cursor")
        yield Stream(self, after, wait)


class Stream:
    """Begins at once, and goes on as the feed is held."""

    def __init__(self, fleet: Fleet, after: str, wait: float) -> None:
        self.fleet = fleet
        self.cursor = after
        self.wait = 0.0
        self.heartbeat: float | None = wait

    async def receive(self) -> Changes:
        """Tell what there is, or that there is nothing."""
        told = await Fleet.changes(self.fleet, self.cursor, wait=self.wait)
        self.cursor, self.wait = told.next, self.heartbeat or 0.0
        return told


def under_test(fleet: Any) -> SourceUnderTest:
    """Say what is true of it."""
    down = type(fleet)()
    down.is_there = False
    return SourceUnderTest(
        source=fleet,
        jobs={job.status.value: job.id for job in fleet.all},
        unknown="nobody",
        unreachable=down,
        change=fleet.change,
        requests=lambda: fleet.requests,
    )


PROMISES = sorted(name for name in dir(SourceContract) if name.startswith("test_"))


@pytest.mark.parametrize("promise", PROMISES)
async def test_a_fleet_in_memory_keeps_every_promise(
    promise: str, autojump_clock: MockClock
) -> None:
    """A source of one's own that can do everything; no test is skipped."""
    fleet = Fleet(a="running", b="completed")
    await getattr(SourceContract(), promise)(under_test(fleet))


class Bare:
    """Says that it can, and cannot."""

    capabilities = ALL


class LyingOfStreams(Bare):
    """Has no streams."""

    changes = Fleet.changes
    status_of_many = Fleet.status_of_many


class StreamingNoFeed(Fleet):
    """Streams, and has no feed."""

    capabilities = replace(ALL, change_feed=False)


class LyingOfLists(Bare):
    """Has no lists."""

    changes = Fleet.changes


class LyingOfFeeds(Bare):
    """Has no feed."""

    status_of_many = Fleet.status_of_many


class HoldingNothing(Fleet):
    """Has nothing that it could hold."""

    capabilities = Capabilities(held_status=True)


class OfNone(Fleet):
    """May be asked for no job at all."""

    capabilities = replace(ALL, most_ids=0)


class Listing(Fleet):
    """Bends the answer about many."""

    def bend(self, told: Answers) -> Answers:
        """Make it another."""
        raise NotImplementedError

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """Bend what is right."""
        return self.bend(await super().status_of_many(job_ids, wait=wait))


class LeavingOut(Listing):
    """Leaves one out."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        return replace(told, answers=told.answers[:1])


class TellingTwice(Listing):
    """Tells of each job twice."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        return replace(told, answers=told.answers * 2)


class MissingNobody(Listing):
    """Does not say who is missing."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        return replace(told, missing=())


class AllRunning(Listing):
    """Has another opinion in a list."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        running = [
            replace(answer, job=replace(answer.job, status=JobStatus.RUNNING))
            for answer in told.answers
        ]
        return replace(told, answers=tuple(running))


class Counting(Listing):
    """Gives an age that is none."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        odd = [replace(answer, age=math.nan) for answer in told.answers]
        return replace(told, answers=tuple(odd))


class Hinting(Listing):
    """Asks for a pause whatever is told."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        return replace(told, hint=5.0)


class Modest(Listing):
    """Does not say that it holds."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        return replace(told, held=False)


class ByOne(Listing):
    """Asks for each job by itself as well."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        self.requests += len(told.answers)
        return told


class PageOfAll(Listing):
    """Gives all that there are."""

    def bend(self, told: Answers) -> Answers:
        """See above."""
        return replace(told, answers=tuple(Answer(job=job) for job in self.all))


class TakingAnyNumber(Fleet):
    """Takes lists of none, and of any length."""

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """See above."""
        return Answers(answers=())


class Impatient(Fleet):
    """Holds nothing, and says that it does."""

    async def hold(self, wait: float) -> None:
        """See above."""


class Deaf(Fleet):
    """Holds to the end, whatever happens."""

    async def hold(self, wait: float) -> None:
        """See above."""
        await trio.sleep(wait)


class HoldingAll(Fleet):
    """Holds what is over."""

    async def status_of_many(
        self, job_ids: Sequence[str], *, wait: float | None = None
    ) -> Answers:
        """See above."""
        if wait is not None:
            await trio.sleep(wait)
        return await super().status_of_many(job_ids)


class Feeding(Fleet):
    """Bends the changes."""

    def bend(self, told: Changes) -> Changes:
        """Make them others."""
        raise NotImplementedError

    async def changes(self, after: str | None, *, wait: float | None = None) -> Changes:
        """Bend what is right."""
        return self.bend(await super().changes(after, wait=wait))


class Repeating(Feeding):
    """Tells the same again and again."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, changes=tuple(self.log))


class LeadingBack(Feeding):
    """Gives a cursor that leads to the beginning."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, next="")


class Silent(Feeding):
    """Tells of no change."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, changes=())


class ModestFeed(Feeding):
    """Does not say that it holds."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, held=False)


class AheadOfItself(Fleet):
    """Gives a cursor of after what is still to come."""

    async def status(self, job_id: str) -> Answer:
        """See above."""
        return replace(await super().status(job_id), cursor="1000")


class BeginningAnew(Fleet):
    """Takes a cursor of nowhere for the beginning."""

    async def changes(self, after: str | None, *, wait: float | None = None) -> Changes:
        """See above."""
        known = after is not None and after.isdecimal()
        return await super().changes(after if known else None, wait=wait)


class FeedAlone(Fleet):
    """Has a feed into which no answer leads, and no lists."""

    capabilities = replace(ALL, status_of_many=False)
    status_of_many = None  # type: ignore[assignment]

    async def status(self, job_id: str) -> Answer:
        """See above."""
        return replace(await super().status(job_id), cursor=None)


class Sprinting(Fleet):
    """Never waits."""

    async def hear(self) -> None:
        """See above."""


class Swallowing(Fleet):
    """Is of no use once it was cancelled."""

    async def hear(self) -> None:
        """See above."""
        try:
            await super().hear()
        except trio.Cancelled:
            self.is_there = False
            raise


class Streaming(Fleet):
    """Bends what is streamed."""

    def bend(self, told: Changes) -> Changes:
        """Make it another."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def follow(self, after: str, *, wait: float) -> AsyncIterator[ChangeStream]:
        """Bend what is right."""
        bend = self.bend

        class Bent(Stream):
            async def receive(self) -> Changes:
                return bend(await super().receive())

        yield Bent(self, after, wait)


class StreamingNothing(Streaming):
    """Lives, and tells nothing."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, changes=())


class StreamingAlways(Streaming):
    """Tells a change where there is none."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, changes=tuple(self.log))


class StandingStill(Streaming):
    """Has a cursor that does not go on."""

    def bend(self, told: Changes) -> Changes:
        """See above."""
        return replace(told, next="0")


class StreamingFromNowhere(Streaming):
    """Takes any cursor."""

    @contextlib.asynccontextmanager
    async def follow(self, after: str, *, wait: float) -> AsyncIterator[ChangeStream]:
        """See above."""
        yield Stream(self, after if after.isdecimal() else "0", wait)


class StreamingOn(Fleet):
    """Cannot be cancelled while it streams."""

    @contextlib.asynccontextmanager
    async def follow(self, after: str, *, wait: float) -> AsyncIterator[ChangeStream]:
        """See above."""
        with trio.CancelScope(shield=True):
            yield Stream(self, after, wait)


class HoldingOn(Fleet):
    """Cannot be cancelled while it holds."""

    async def hold(self, wait: float) -> None:
        """See above."""
        with trio.CancelScope(shield=True):
            await trio.sleep(wait)


BROKEN: list[tuple[type[Any], str]] = [
    (LyingOfLists, "it_keeps_the_protocols_of_what_it_can"),
    (LyingOfFeeds, "it_keeps_the_protocols_of_what_it_can"),
    (HoldingNothing, "it_keeps_the_protocols_of_what_it_can"),
    (OfNone, "it_keeps_the_protocols_of_what_it_can"),
    (LeavingOut, "a_list_tells_what_single_questions_tell"),
    (TellingTwice, "a_list_tells_what_single_questions_tell"),
    (MissingNobody, "a_list_tells_what_single_questions_tell"),
    (AllRunning, "a_list_tells_what_single_questions_tell"),
    (PageOfAll, "a_list_tells_of_those_alone_that_were_asked_for"),
    (MissingNobody, "a_list_tells_of_those_alone_that_were_asked_for"),
    (ByOne, "a_list_is_one_request"),
    (TakingAnyNumber, "a_list_of_none_or_of_too_many_is_misuse"),
    (Counting, "what_is_counted_of_many_is_a_number_or_unknown"),
    (Hinting, "what_is_counted_of_many_is_a_number_or_unknown"),
    (Impatient, "a_list_is_held_while_nothing_changes"),
    (Modest, "a_list_is_held_while_nothing_changes"),
    (HoldingAll, "what_is_over_is_not_held"),
    (Modest, "what_is_over_is_not_held"),
    (Repeating, "the_feed_leads_from_its_beginning_to_its_end"),
    (LeadingBack, "the_feed_leads_from_its_beginning_to_its_end"),
    (AheadOfItself, "the_cursor_of_an_answer_leads_into_the_feed"),
    (Silent, "a_change_is_told_by_the_feed"),
    (Impatient, "the_feed_is_held_while_nothing_changes"),
    (ModestFeed, "the_feed_is_held_while_nothing_changes"),
    (Deaf, "a_change_ends_a_hold"),
    (BeginningAnew, "a_cursor_of_nowhere_has_expired"),
    (Sprinting, "a_remote_of_many_that_is_not_there_may_come_back"),
    (Sprinting, "asking_for_many_is_a_checkpoint"),
    (Swallowing, "a_question_for_many_that_is_cancelled_leaves_nothing"),
    (HoldingOn, "a_hold_that_is_cancelled_leaves_nothing"),
    (LyingOfStreams, "who_says_that_it_streams_has_the_method"),
    (StreamingNoFeed, "who_says_that_it_streams_has_the_method"),
    (StreamingAlways, "a_stream_lives_while_nothing_changes"),
    (StandingStill, "a_stream_lives_while_nothing_changes"),
    (StreamingNothing, "a_stream_tells_a_change_as_it_comes"),
    (StandingStill, "a_stream_tells_a_change_as_it_comes"),
    (StreamingNothing, "a_stream_goes_on_behind_a_cursor"),
    (StreamingFromNowhere, "a_stream_behind_a_cursor_of_nowhere_has_expired"),
    (Swallowing, "a_stream_that_is_cancelled_leaves_nothing"),
    (StreamingOn, "a_stream_that_is_cancelled_leaves_nothing"),
]


@pytest.mark.parametrize(("kind", "promise"), BROKEN, ids=itertools.count())
async def test_a_source_of_many_that_breaks_a_promise_is_found(
    kind: type[Any], promise: str, autojump_clock: MockClock
) -> None:
    """By the test of that promise."""
    if issubclass(kind, Bare):
        remote = SourceUnderTest(source=kind(), jobs={"running": "a"})  # type: ignore[arg-type]
    else:
        remote = under_test(kind(a="running", b="completed"))
    test = getattr(SourceContract(), f"test_{promise}")
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it fails with
        await test(remote)
    assert not isinstance(caught.value, pytest.skip.Exception)


LESSER = {
    "nothing else": Capabilities(),
    "lists": replace(ALL, held_status=False, change_feed=False, event_stream=False),
    "a feed": replace(ALL, held_status=False, status_of_many=False, event_stream=False),
    "lists that are held": replace(ALL, change_feed=False, event_stream=False),
    "a feed that is held": replace(ALL, status_of_many=False, event_stream=False),
    "a feed that is streamed": replace(ALL, status_of_many=False, held_status=False),
}


@pytest.mark.parametrize("can", LESSER.values(), ids=LESSER)
@pytest.mark.parametrize("promise", PROMISES)
async def test_what_a_source_cannot_do_is_not_asked_of_it(
    promise: str, can: Capabilities, autojump_clock: MockClock
) -> None:
    """It passes, or the test is skipped."""
    fleet = Fleet(a="running", b="completed")
    fleet.capabilities = can
    with contextlib.suppress(pytest.skip.Exception):
        await getattr(SourceContract(), promise)(under_test(fleet))


@pytest.mark.parametrize("promise", PROMISES)
async def test_a_feed_alone_is_enough(promise: str, autojump_clock: MockClock) -> None:
    """Nobody has to have lists as well, or to say where the feed goes on."""
    fleet = FeedAlone(a="running", b="completed")
    with contextlib.suppress(pytest.skip.Exception):
        await getattr(SourceContract(), promise)(under_test(fleet))


@pytest.mark.parametrize("jobs", [{"a": "running"}, {"b": "completed"}])
@pytest.mark.parametrize("promise", PROMISES)
async def test_what_is_not_known_of_a_remote_is_left_out(
    promise: str, jobs: dict[str, str], autojump_clock: MockClock
) -> None:
    """Its requests, an unknown id, a remote that is not there, jobs of each kind."""
    fleet = Fleet(**jobs)
    known = {job.status.value: job.id for job in fleet.all}
    with contextlib.suppress(pytest.skip.Exception):
        remote = SourceUnderTest(source=fleet, jobs=known)
        await getattr(SourceContract(), promise)(remote)
