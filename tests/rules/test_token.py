"""Tokens: what is left of a wait, as plain JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from vtrio._token import Left, LeftJob, make_token, read_token

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOBS = (LeftJob(id="a", age=12.5, status="running"), LeftJob(id="b"))


def token(**members: Any) -> dict[str, Any]:
    """Make a good token with some members replaced."""
    made = make_token(JOBS, base_url="http://host", saved_at=NOON, cursor="s.7")
    return {**made, **members}


def test_a_token_survives_json() -> None:
    """What was written is read, through a file or not."""
    left = Left(base_url="http://host", saved_at=NOON, cursor="s.7", jobs=JOBS)
    assert read_token(json.loads(json.dumps(token()))) == left
    assert read_token(token(more=[1], jobs=[{"id": "a", "output": "x"}])).jobs == (
        LeftJob(id="a"),
    )


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"version": 2}, r"version=2 is not allowed: must be 1"),
        ({"version": None}, r"version=None"),
        ({"base_url": 7}, r"base_url=7 is not allowed: must be an address"),
        ({"cursor": 7}, r"cursor=7"),
        ({"saved_at": "yesterday"}, r"saved_at='yesterday' .* an instant"),
        ({"saved_at": "2026-01-01T12:00:00"}, r"with its offset from UTC"),
        ({"saved_at": None}, r"saved_at=None"),
        ({"jobs": {}}, r"jobs=\{\} is not allowed: must be a list"),
        ({"jobs": ["a"]}, r"jobs='a' .* must be objects that have an id"),
        ({"jobs": [{"id": ""}]}, r"must be objects that have an id"),
        ({"jobs": [{"id": "a", "age": -1}]}, r"age=-1 is not allowed"),
        ({"jobs": [{"id": "a", "age": True}]}, r"age=True"),
        ({"jobs": [{"id": "a", "age": float("inf")}]}, r"age=inf"),
        ({"jobs": [{"id": "a", "status": 3}]}, r"status=3"),
    ],
)
def test_a_bad_token_is_refused_in_one_sentence(
    members: dict[str, Any], told: str
) -> None:
    """It names the member, the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        read_token(token(**members))
