"""What the client is given: checked when it is built, with one sentence each."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from vtrio import Exponential, Fixed, VideoTranslationClient
from vtrio.testing import ScriptedSource

URL = "http://127.0.0.1:5000"


def test_the_seeds_parameters_and_their_defaults_stay() -> None:
    """Positional, in the seed's order, with the seed's values."""
    parameters = inspect.signature(VideoTranslationClient).parameters
    first = [(p.name, p.default) for p in list(parameters.values())[1:6]]
    assert first == [
        ("max_attempts", 10),
        ("max_wait_time", 60),
        ("initial_wait_time", 1.0),
        ("backoff_factor", 2.0),
        ("jitter", 0.5),
    ]
    VideoTranslationClient(URL, 5, 30, 0.5, 1.5, 0.1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"base_url": "localhost:5000"}, "base_url='localhost:5000' .* http://"),
        ({"base_url": "ftp://host"}, "base_url='ftp://host'"),
        ({"base_url": "http://"}, "with a host"),
        ({"base_url": "http://host:99999"}, "base_url='http://host:99999'"),
        ({"base_url": "http://h/?q=1"}, "without query or fragment"),
        ({"base_url": "http://h o st/"}, "base_url"),
        ({"base_url": None}, "base_url=None"),
        ({"max_attempts": 0}, "max_attempts=0 .* whole number of at least 1"),
        ({"max_attempts": "3"}, "max_attempts='3'"),
        ({"max_attempts": True}, "max_attempts=True"),
        ({"max_wait_time": 0}, "max_wait_time=0 .* above 0"),
        ({"max_wait_time": math.nan}, "max_wait_time=nan"),
        ({"initial_wait_time": -1}, "initial_wait_time=-1 .* at least 0"),
        ({"backoff_factor": 0.5}, "backoff_factor=0.5 .* at least 1"),
        ({"jitter": math.inf}, "jitter=inf"),
        ({"request_timeout": 0}, "request_timeout=0 .* above 0"),
        ({"status_path": "/jobs/status"}, r"status_path='/jobs/status' .* \{id\}"),
        ({"status_path": 7}, "status_path=7"),
        ({"schedule": 5}, "schedule=5 .* `delay"),
        ({"http": object()}, "http=<object .* httpx.AsyncClient"),
        ({"source": object()}, "source=<object .* `capabilities`"),
        ({"source": ScriptedSource}, "source=<class .* `capabilities`"),
        ({"schedule": Fixed}, "schedule=<class .* `delay"),
        ({"history": object()}, "history=<object .* `observe"),
        ({"rng": 5}, "rng=5 .* random.Random"),
        ({"max_wait_time": 10**400}, "max_wait_time=10+"),
        ({"initial_wait_time": 10**400}, "initial_wait_time=10+"),
        ({"base_url": "http://999.1.1.1"}, "base_url='http://999.1.1.1'"),
        ({"base_url": "http://[v1.a]"}, "base_url"),
        ({"base_url": f"http://h/{'x' * 70_000}"}, "base_url"),
        ({"base_url": "http://xn--a"}, "base_url"),
        ({"status_path": "//h/{id}"}, "status_path"),
        ({"status_path": "/x#{id}"}, "status_path"),
        (
            {"status_path": "/{id}", "source": ScriptedSource("pending")},
            "together with a source",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    given: dict[str, object], told: str
) -> None:
    """One sentence: the parameter, the value, what would work."""
    with pytest.raises(ValueError, match=told) as caught:
        VideoTranslationClient(**{"base_url": URL, **given})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{"jitter": 0.1}, {"backoff_factor": 2.0}, {"initial_wait_time": 1}],
)
def test_a_schedule_stands_alone(given: dict[str, Any]) -> None:
    """Beside a backoff parameter it is an error, even at the default's value."""
    with pytest.raises(ValueError, match=f"together with {next(iter(given))}="):
        VideoTranslationClient(URL, schedule=Fixed(1), **given)
    VideoTranslationClient(URL, schedule=Exponential(), max_attempts=3)


@pytest.mark.parametrize("secret", ["sesame\n", "with space", "", "schlüssel"])
def test_a_bad_key_is_refused_without_being_told(secret: str) -> None:
    """No message and no `repr` holds it."""
    with pytest.raises(ValueError, match="api_key of that form") as caught:
        VideoTranslationClient(URL, api_key=secret)
    assert not secret or secret not in str(caught.value)
    with pytest.raises(ValueError, match="user or a password") as caught:
        VideoTranslationClient("http://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_no_limit_may_be_said_with_none() -> None:
    """Both limits of the seed may be lifted."""
    VideoTranslationClient(URL, max_attempts=None, max_wait_time=None)
    VideoTranslationClient(URL, max_wait_time=math.inf)


async def test_a_client_shows_where_it_goes_and_whether_it_is_open() -> None:
    """And its key never."""
    client = VideoTranslationClient(f"{URL}/", api_key="secret")
    assert repr(client) == f"<VideoTranslationClient {URL} (bare)>"
    async with client:
        assert repr(client) == f"<VideoTranslationClient {URL} (open)>"
        with pytest.raises(RuntimeError, match="open already"):
            await client.__aenter__()
    assert "bare" in repr(client)


async def test_a_bad_id_is_named() -> None:
    """Before anything is asked."""
    source = ScriptedSource("completed")
    client = VideoTranslationClient(URL, source=source)
    for bad in ("", 7, "x" * 2000, "\ud800"):
        with pytest.raises(ValueError, match="job=.* must be a Job or its id"):
            await client.wait(bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="job=.* must be a Job or its id"):
            await client.get_status(bad)  # type: ignore[arg-type]
    assert source.asked_at == []


def test_a_script_needs_a_step() -> None:
    """The test kit checks what it is given too."""
    with pytest.raises(ValueError, match="at least one"):
        ScriptedSource()
