"""What holds for every source."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import assert_checkpoints

from ..._errors import Refused, TransientError
from ..._job import JobStatus
from ..._source import Answer, Capabilities, StatusSource
from ...client import VideoTranslationClient
from .._invariants import Invariants
from .._server import URL
from ._many import ManyContract
from ._remote import CancelAfter, SourceUnderTest
from ._streams import StreamContract

_SIDE_BY_SIDE = 20
_STEPS = 12


class SourceContract(ManyContract, StreamContract):
    """A source translates, and does nothing else. Define the fixture `remote`.

    It may be async, and gives a `SourceUnderTest`. What a source says that it cannot do
    is not asked of it.
    """

    pytestmark = pytest.mark.trio

    @pytest.fixture
    def remote(self) -> SourceUnderTest:
        """Make the source, and the jobs behind it."""
        raise NotImplementedError("define the fixture `remote` in your class")

    async def test_it_answers_to_the_protocol(self, remote: SourceUnderTest) -> None:
        """It has a method to ask with, and says what else it can."""
        assert isinstance(remote.source, StatusSource), "`status` or `capabilities`"
        assert isinstance(remote.source.capabilities, Capabilities)

    async def test_it_tells_how_each_job_stands(self, remote: SourceUnderTest) -> None:
        """By the id that it was asked with, in our statuses."""
        for word, job_id in remote.jobs.items():
            answer = await remote.source.status(job_id)
            assert isinstance(answer, Answer), f"{answer!r} is no Answer"
            assert answer.job.id == job_id, "asked by one id, answered by another"
            told = answer.job.status
            assert told is JobStatus(word), f"job {job_id!r} is {word}, told as {told}"

    async def test_what_is_counted_is_a_number_or_unknown(
        self, remote: SourceUnderTest
    ) -> None:
        """Seconds and bytes are finite and 0 or more; None is not known."""
        for job_id in remote.jobs.values():
            answer = await remote.source.status(job_id)
            seconds = (answer.age, answer.hint, answer.ended_ago, answer.run_time)
            for value in seconds:
                assert value is None or 0 <= value < math.inf, f"{value!r}: {answer}"
            assert answer.size >= 0

    async def test_only_what_is_over_has_ended(self, remote: SourceUnderTest) -> None:
        """A job that runs has no end, and one that is over asks for no pause."""
        for job_id in remote.jobs.values():
            answer = await remote.source.status(job_id)
            if answer.job.is_final:
                assert answer.hint is None, "it is over: nobody has to ask again"
                known = answer.age is not None and answer.ended_ago is not None
                assert not known or answer.ended_ago <= answer.age, f"{answer}"  # type: ignore[operator]
            else:
                assert answer.ended_ago is None, "it runs and has ended"
                assert answer.run_time is None, "it runs, and how long is not known"

    async def test_an_unknown_job_is_refused(self, remote: SourceUnderTest) -> None:
        """Asking again will not help, and the error says so by its kind."""
        if remote.unknown is None:
            pytest.skip("it knows just one job")
        with pytest.raises(Refused):
            await remote.source.status(remote.unknown)

    async def test_a_remote_that_is_not_there_may_come_back(
        self, remote: SourceUnderTest
    ) -> None:
        """Asking again can help: the error is one that waits survive."""
        if remote.unreachable is None:
            pytest.skip("there is none to be asked")
        with pytest.raises(TransientError):
            await remote.unreachable.status(next(iter(remote.jobs.values())))

    async def test_asking_is_a_checkpoint(self, remote: SourceUnderTest) -> None:
        """It lets others have a turn, and can be cancelled."""
        with assert_checkpoints():
            await remote.source.status(next(iter(remote.jobs.values())))

    async def test_a_question_that_is_cancelled_leaves_nothing(
        self, remote: SourceUnderTest
    ) -> None:
        """At whatever step: `Cancelled` gets out, no task stays, and the next one works."""
        job_id = next(iter(remote.jobs.values()))
        for step in range(_STEPS):
            scope = trio.CancelScope()
            with Invariants(), scope, CancelAfter(step, scope):
                await remote.source.status(job_id)
        answer = await remote.source.status(job_id)
        assert answer.job.id == job_id

    async def test_questions_side_by_side_are_not_mixed_up(
        self, remote: SourceUnderTest
    ) -> None:
        """Each gets the answer about its own job."""
        told: list[tuple[str, str]] = []

        async def ask(word: str, job_id: str) -> None:
            answer = await remote.source.status(job_id)
            told.append((word, answer.job.status.value))

        async with trio.open_nursery() as nursery:
            for word, job_id in [*remote.jobs.items()] * _SIDE_BY_SIDE:
                nursery.start_soon(ask, word, job_id)
        assert len(told) == _SIDE_BY_SIDE * len(remote.jobs)
        assert all(word == status for word, status in told), f"{told}"

    async def test_a_client_can_wait_with_it(self, remote: SourceUnderTest) -> None:
        """A job that is over ends the wait; one that runs does not."""
        client = VideoTranslationClient(URL, source=remote.source, max_attempts=1)
        endings = {"completed": "completed", "error": "error", "cancelled": "error"}
        with Invariants():
            for word, job_id in remote.jobs.items():
                told = await client.get_status(job_id)
                assert told == endings.get(word, "timeout"), f"{word}: {told}"
