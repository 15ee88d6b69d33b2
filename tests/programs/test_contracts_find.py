"""The suites of the kit can fail: each promise has somebody who breaks it."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from vtrio import Answer, Capabilities, Job, JobStatus, Unreachable
from vtrio.schedules import PollState
from vtrio.testing import (
    URL,
    Exchange,
    Fault,
    Reply,
    ScriptedServer,
    ScriptedSource,
    after,
    job,
    respond,
)
from vtrio.testing.contracts import (
    ScheduleContract,
    ServerUnderTest,
    SourceContract,
    SourceUnderTest,
    WireContract,
)


class By:
    """A schedule that does what a function says."""

    def __init__(self, function: Callable[[PollState], float]) -> None:
        self.delay = function


def drawing(state: PollState) -> float:
    """Draw a number without being given one, and hide it."""
    return 1 + 0 * random.random()


def looking_at_a_clock(state: PollState) -> float:
    """Ask what time it is, and hide it."""
    return 1 + 0 * time.monotonic()


COUNTED = itertools.count(1)


@pytest.mark.parametrize(
    ("schedule", "promise"),
    [
        (object(), "it_answers_to_the_protocol"),
        (By(lambda _: -1.0), "every_delay_is_a_time_to_come"),
        (By(lambda state: 2.0**state.answers), "every_delay_is_a_time_to_come"),
        (By(lambda _: math.nan), "every_delay_is_a_time_to_come"),
        (By(lambda _: "1"), "every_delay_is_a_time_to_come"),  # type: ignore[arg-type,return-value]
        (By(lambda _: next(COUNTED)), "the_same_question_has_the_same_answer"),
        (By(drawing), "it_leaves_chance_and_clocks_alone"),
        (By(looking_at_a_clock), "it_leaves_chance_and_clocks_alone"),
        (By(lambda _: 1e-9), "a_wait_comes_to_the_end_of_its_job"),
        (By(lambda _: math.inf), "it_carries_a_real_wait"),
    ],
    ids=itertools.count(),
)
def test_a_schedule_that_breaks_a_promise_is_found(
    schedule: object, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the test of that promise."""
    test = getattr(ScheduleContract(), f"test_{promise}")
    rest: dict[str, tuple[object, ...]] = {
        "it_leaves_chance_and_clocks_alone": (monkeypatch,),
        "a_wait_comes_to_the_end_of_its_job": (3600.0,),
    }
    with pytest.raises((AssertionError, OverflowError, ValueError)):
        test(schedule, *rest.get(promise, ()))


class Answering:
    """A source that answers as a function says."""

    capabilities = Capabilities()

    def __init__(self, function: Callable[[str], Answer]) -> None:
        self._function = function

    async def status(self, job_id: str) -> Answer:
        """Pass a checkpoint first."""
        await trio.lowlevel.checkpoint()
        return self._function(job_id)


def answer(job_id: str, **members: object) -> Answer:
    """Say that a job runs."""
    return Answer(job=Job(id=job_id, status=JobStatus.RUNNING), **members)  # type: ignore[arg-type]


class Sprinting(Answering):
    """Never waits."""

    async def status(self, job_id: str) -> Answer:
        """Answer without a checkpoint."""
        return self._function(job_id)


class Swallowing(Answering):
    """Keeps `Cancelled` to itself, and is of no use afterwards."""

    broken = False

    async def status(self, job_id: str) -> Answer:
        """Break once it was cancelled."""
        if self.broken:
            raise Unreachable("closed")
        try:
            return await super().status(job_id)
        except trio.Cancelled:
            self.broken = True
            raise


class Forgetful(Answering):
    """Remembers the latest question alone."""

    latest = ""

    async def status(self, job_id: str) -> Answer:
        """Answer about whatever was asked last."""
        self.latest = job_id
        await trio.lowlevel.checkpoint()
        return self._function(self.latest)


def by_id(job_id: str) -> Answer:
    """Answer as the id says."""
    return Answer(job=Job(id=job_id, status=JobStatus(job_id)))


@pytest.mark.parametrize(
    ("source", "promise"),
    [
        (object(), "it_answers_to_the_protocol"),
        (Answering(lambda _: answer("another")), "it_tells_how_each_job_stands"),
        (ScriptedSource("pending"), "it_tells_how_each_job_stands"),
        (
            Answering(lambda j: answer(j, age=-1.0)),
            "what_is_counted_is_a_number_or_unknown",
        ),
        (
            Answering(lambda j: answer(j, hint=math.nan)),
            "what_is_counted_is_a_number_or_unknown",
        ),
        (Answering(lambda j: answer(j, ended_ago=1.0)), "only_what_is_over_has_ended"),
        (Answering(answer), "an_unknown_job_is_refused"),
        (Answering(answer), "a_remote_that_is_not_there_may_come_back"),
        (Sprinting(answer), "asking_is_a_checkpoint"),
        (Swallowing(answer), "a_question_that_is_cancelled_leaves_nothing"),
        (
            Forgetful(by_id),
            "questions_side_by_side_are_not_mixed_up",
        ),
        (ScriptedSource("completed"), "a_client_can_wait_with_it"),
    ],
    ids=itertools.count(),
)
async def test_a_source_that_breaks_a_promise_is_found(
    source: object, promise: str
) -> None:
    """By the test of that promise."""
    jobs = {"running": "running", "completed": "completed"}
    if not isinstance(source, Forgetful):
        del jobs["completed"]
    remote = SourceUnderTest(
        source=source,  # type: ignore[arg-type]
        jobs=jobs,
        unknown="nobody",
        unreachable=source,  # type: ignore[arg-type]
    )
    test = getattr(SourceContract(), f"test_{promise}")
    with pytest.raises((AssertionError, Unreachable, pytest.fail.Exception)):
        await test(remote)


def without(header: str) -> Callable[[Reply], Reply]:
    """Leave a header out."""
    return lambda reply: replace(
        reply, headers={k: v for k, v in reply.headers.items() if k != header}
    )


def saying(status: int) -> Callable[[Reply], Reply]:
    """Give another status."""
    return lambda reply: replace(reply, status=status)


def with_header(name: str, value: str) -> Callable[[Reply], Reply]:
    """Put another value into a header."""
    return lambda reply: replace(reply, headers={**reply.headers, name: value})


class Bent(ScriptedServer):
    """Answers a little differently from what the wire says."""

    bend: Callable[[Reply], Reply]

    async def answer(self, exchange: Exchange, fault: Fault | None) -> Reply:
        """Bend the right answer."""
        return self.bend(await super().answer(exchange, fault))


@pytest.mark.parametrize(
    ("bend", "promise"),
    [
        (
            lambda _: respond(json={"result": "fine"}),
            "the_form_without_ids_is_one_word",
        ),
        (saying(200), "a_submission_is_accepted_with_its_document"),
        (without("location"), "a_submission_is_accepted_with_its_document"),
        (without("retry-after"), "a_submission_is_accepted_with_its_document"),
        (saying(202), "the_same_key_makes_one_job"),
        (saying(202), "half_a_submission_is_refused"),
        (with_header("retry-after", "0"), "a_job_that_runs_has_no_end"),
        (with_header("job-ended-ago", "1"), "a_job_that_runs_has_no_end"),
        (without("job-run-time"), "a_job_that_is_over_says_since_when"),
        (with_header("retry-after", "9"), "a_job_that_is_over_says_since_when"),
        (without("etag"), "the_same_document_has_the_same_etag"),
        (with_header("etag", '"one"'), "the_same_document_has_the_same_etag"),
        (with_header("content-type", "text/html"), "what_is_not_there_is_a_problem"),
        (saying(200), "a_job_is_cancelled_once"),
        (saying(409), "what_is_over_is_not_cancelled"),
        (saying(404), "only_a_completed_job_has_a_result"),
        (without("accept-ranges"), "a_result_comes_whole"),
        (with_header("etag", 'W/"weak"'), "a_result_comes_whole"),
        (without("content-range"), "a_result_comes_in_parts"),
        (saying(200), "a_result_comes_in_parts"),
        (saying(200), "a_result_that_is_known_is_not_sent_again"),
        (with_header("content-length", "5"), "our_client_goes_all_the_way"),
        (without("events-cursor"), "several_jobs_are_told_in_one_answer"),
        (without("retry-after"), "several_jobs_are_told_in_one_answer"),
        (with_header("retry-after", "5"), "a_list_of_what_is_over_asks_for_no_pause"),
        (saying(200), "a_list_has_so_many_ids_and_no_more"),
        (saying(200), "several_jobs_are_cancelled_at_once"),
        (saying(422), "what_names_no_jobs_cancels_none"),
        (
            lambda _: respond(json={"events": [], "next": "x"}),
            "the_feed_tells_how_jobs_came_to_be_what_they_are",
        ),
        (lambda _: respond(json={"events": []}), "the_feed_is_read_in_parts"),
        (saying(410), "what_is_no_cursor_is_told"),
        (
            without("events-cursor"),
            "no_change_is_lost_between_an_answer_and_the_feed",
        ),
        (without("events-cursor"), "a_cancel_is_told_by_the_feed"),
        (saying(200), "a_document_that_is_known_is_not_sent_again"),
        (with_header("etag", '"one"'), "a_document_that_is_known_is_not_sent_again"),
        (without("preference-applied"), "an_answer_is_held_as_long_as_was_asked"),
        (with_header("retry-after", "5"), "an_answer_is_held_as_long_as_was_asked"),
        (without("preference-applied"), "an_answer_is_held_until_there_is_news"),
        (without("preference-applied"), "what_is_news_already_is_not_held"),
        (
            with_header("preference-applied", "wait=90"),
            "a_minute_is_the_longest_hold",
        ),
    ],
    ids=itertools.count(),
)
def test_a_server_that_breaks_a_promise_is_found(
    bend: Callable[[Reply], Reply], promise: str, tmp_path: Path
) -> None:
    """By the test of that promise, which the same server passes unbent."""

    async def run(bent: bool) -> None:
        server = Bent(retry_after=1)
        server.bend = bend if bent else lambda reply: reply
        server.on_submit(*[job("pending", after(0.05, "completed"))] * 9)
        jobs = {
            "running": server.add(job("pending", after(0, "running"))).id,
            "completed": server.add(job("running", after(3, "completed")), age=9).id,
            "error": server.add(job("running", after(3, "error")), age=9).id,
        }
        under_test = ServerUnderTest(url=URL, http=server.http(), jobs=jobs)
        test = getattr(WireContract(), f"test_{promise}")
        if promise == "our_client_goes_all_the_way":
            await test(under_test, tmp_path)
        else:
            await test(under_test)

    clock = MockClock(autojump_threshold=0)
    trio.run(run, False, clock=clock)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it fails with
        trio.run(run, True, clock=MockClock(autojump_threshold=0))


def test_what_is_to_be_tested_must_be_enough() -> None:
    """A suite over nothing would pass."""
    with pytest.raises(ValueError, match="must have at least one job"):
        SourceUnderTest(source=ScriptedSource("pending"))
    with pytest.raises(ValueError, match="must have completed, error"):
        ServerUnderTest(url=URL, http=None, jobs={"running": "j1"})
