"""Statuses and the table of moves."""

from __future__ import annotations

import itertools

import pytest

from vtrio import Job, JobStatus
from vtrio._job import ALLOWED_MOVES, FINAL, IllegalMove, check_move


def test_final_statuses_lead_nowhere() -> None:
    """What is final never changes again, and nothing else is a dead end."""
    assert {status for status, moves in ALLOWED_MOVES.items() if not moves} == FINAL
    assert set(ALLOWED_MOVES) == set(JobStatus)
    assert all(status.is_final == (status in FINAL) for status in JobStatus)


@pytest.mark.parametrize(
    ("current", "following"), list(itertools.product(JobStatus, JobStatus))
)
def test_a_move_is_allowed_exactly_where_the_table_leads(
    current: JobStatus, following: JobStatus
) -> None:
    """An illegal move names the job, where it stands and where it was to go."""
    if following in ALLOWED_MOVES[current]:
        check_move("j1", current, following)
        return
    with pytest.raises(IllegalMove, match=f"'j1' is {current} .* become {following}"):
        check_move("j1", current, following)


def test_a_status_is_the_word_itself() -> None:
    """A program may compare with plain words."""
    word: str = JobStatus.COMPLETED
    assert word == "completed"
    assert f"{JobStatus.ERROR}" == "error"


def test_a_job_speaks_the_servers_word() -> None:
    """The server's own word is kept where it is none of ours."""
    plain = Job(id="j1", status=JobStatus.RUNNING)
    queued = Job(id="j1", status=JobStatus.RUNNING, unknown_word="queued")
    assert (plain.word, queued.word) == ("running", "queued")
    assert not plain.is_final
