"""Each fault through the client: the error that it is, and when it asks again."""

from __future__ import annotations

import io
import tracemalloc
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Fixed,
    JobFailed,
    JobNotFound,
    NoAnswer,
    Refused,
    RemoteError,
    RequestTimedOut,
    ServerBusy,
    Unauthorized,
    Unreachable,
    VideoTranslationClient,
    WaitTimeout,
)
from vtrio.testing import (
    Fault,
    ScriptedServer,
    after,
    asks_to_wait,
    buffering,
    busy,
    drip,
    expired_link,
    gzip_bomb,
    hang,
    html,
    hung_up,
    job,
    not_found,
    refused,
    reset,
    says,
    server_error,
    too_many,
    truncated,
    wrong_length,
)

LENGTH = 275  # bytes of the document of `job("running")`


TRANSIENT: list[tuple[Fault, type[RemoteError], float, str]] = [
    (refused(), Unreachable, 10, "connection refused"),
    (reset(), Unreachable, 10, "connection reset"),
    (reset(after_bytes=0), Unreachable, 10, "200 running, then reset"),
    (reset(after_bytes=9), Unreachable, 10, "200 running, then reset"),
    (hung_up(), Unreachable, 10, "hung up"),
    (hang(), RequestTimedOut, 14, "no answer"),
    (hang(after_bytes=9), RequestTimedOut, 14, "200 running, then hang"),
    (drip(), RequestTimedOut, 14, "200 running, dripping"),
    (too_many(), ServerBusy, 10, "429"),
    (too_many(retry_after=5), ServerBusy, 10, "429 Retry-After: 5"),
    (too_many(retry_after=30), ServerBusy, 30, "429 Retry-After: 30"),
    (busy(), ServerBusy, 10, "503"),
    (busy(retry_after=29.5), ServerBusy, 30, "503 Retry-After: 30"),
    (busy(retry_after=10**9), ServerBusy, 300, "503 Retry-After: 1000000000"),
    (
        too_many(retry_after=30, as_date=True),
        ServerBusy,
        30,
        "429 Retry-After: Thu, 01 Jan 2026 00:00:30 GMT",
    ),
    (
        busy(retry_after=90, as_date=True),
        ServerBusy,
        90,
        "503 Retry-After: Thu, 01 Jan 2026 00:01:30 GMT",
    ),
    (server_error(), ServerBusy, 10, "500 HTML"),
    (server_error(599), ServerBusy, 10, "599 HTML"),
    (html(), BadAnswer, 10, "200 HTML"),
    (html(429), ServerBusy, 10, "429 HTML"),
    (truncated(), BadAnswer, 10, "200 running, cut in half"),
    (wrong_length(by=7), Unreachable, 10, f"200 running, told as {LENGTH + 7} B"),
    (wrong_length(by=-6), BadAnswer, 10, f"200 running, told as {LENGTH - 6} B"),
    (wrong_length(by=-10_000), BadAnswer, 10, "200 running, told as 0 B"),
    (gzip_bomb(megabytes=2), BadAnswer, 10, "200 gzip bomb"),
]


FINAL: list[tuple[Fault, type[RemoteError], str]] = [
    (not_found(), JobNotFound, "404"),
    (html(403), Unauthorized, "403 HTML"),
    (html(400), Refused, "400 HTML"),
]


each_transient = pytest.mark.parametrize(
    ("fault", "error", "again", "told"), TRANSIENT, ids=[repr(t[0]) for t in TRANSIENT]
)


each_final = pytest.mark.parametrize(
    ("fault", "error", "told"), FINAL, ids=[repr(f[0]) for f in FINAL]
)


def patient(
    server: ScriptedServer, library: ModuleType | None = None, **settings: Any
) -> VideoTranslationClient:
    """Make a client that asks ten seconds after every answer."""
    given = {"schedule": Fixed(10), "request_timeout": 4, **settings}
    return server.client(library=library, **given)


@each_transient
async def test_a_wait_survives_it_and_asks_again_when_due(
    fault: Fault,
    error: type[RemoteError],
    again: float,
    told: str,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """A transient fault costs one poll; a hint of the server's lengthens the pause."""
    server = ScriptedServer()
    talk = server.add(job("running", after(7, "completed")))
    server.fault(fault, times=1)
    done = await patient(server, library).wait(talk.id)
    assert talk.asked_at == [0.0, again]
    assert [poll.outcome for poll in talk.polls] == [told, "200 completed"]
    assert done.receipt is not None
    assert (done.receipt.polls, done.receipt.failures) == (2, 1)
    assert server.in_flight == 0
    server.check()


@each_transient
async def test_asked_once_it_is_an_error_of_ours(
    fault: Fault,
    error: type[RemoteError],
    again: float,
    told: str,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """`get_job` and `cancel` raise it; nothing is left in flight."""
    server = ScriptedServer()
    talk = server.add(job("running"))
    server.fault(fault)
    client = patient(server, library)
    for ask in (client.get_job, client.cancel):
        with pytest.raises(error) as caught:
            await ask(talk.id)
        assert type(caught.value) is error
        assert caught.value.job_id == talk.id
    assert server.in_flight == 0
    assert [e.ended_at is not None for e in server.exchanges] == [True, True]


@each_final
async def test_what_asking_again_cannot_help_ends_a_wait(
    fault: Fault,
    error: type[RemoteError],
    told: str,
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """A refusal is raised at once, by a wait and by one question alike."""
    server = ScriptedServer()
    talk = server.add(job("running"))
    server.fault(fault)
    client = patient(server, library)
    for ask in (client.wait, client.get_status, client.get_job, client.cancel):
        with pytest.raises(error):
            await ask(talk.id)
    assert talk.asked_at == [0.0, 0.0, 0.0]
    assert {exchange.outcome for exchange in server.exchanges} == {told}
    assert trio.current_time() == 0.0


@pytest.mark.parametrize(
    ("fault", "error"),
    [(fault, error) for fault, error, *_ in TRANSIENT if fault != drip()],
    ids=repr,
)
async def test_a_submission_that_fails_can_be_made_again(
    fault: Fault, error: type[RemoteError], autojump_clock: MockClock
) -> None:
    """The error carries the key, and with it there is one job in the end."""
    server = ScriptedServer()
    server.on_submit(job("running"))
    server.fault(fault, to="submission", times=1)
    client = patient(server)
    with pytest.raises(error) as caught:
        await client.submit(io.BytesIO(b"video"), "pt")
    assert trio.current_time() == (30.0 if error is RequestTimedOut else 0.0)
    submitted = await client.submit(
        io.BytesIO(b"video"), "pt", idempotency_key=caught.value.idempotency_key
    )
    assert [(one.id, one.asked_at) for one in server.jobs()] == [(submitted.id, [])]
    server.check()


HINTS = [too_many(retry_after=30), busy(retry_after=30), asks_to_wait(30)]


DATES = [
    too_many(retry_after=30, as_date=True),
    busy(retry_after=30, as_date=True),
    asks_to_wait(30, as_date=True),
]


@pytest.mark.parametrize("fault", HINTS + DATES, ids=repr)
async def test_a_hint_counts_from_when_it_was_heard(
    fault: Fault, library: ModuleType, autojump_clock: MockClock
) -> None:
    """In seconds or as a date, at an odd instant, after an answer that took its time."""
    server = ScriptedServer(latency=0.5)
    talk = server.add(job("running", after(20, "completed")))
    server.fault(fault, times=1)
    await trio.sleep(0.25)
    await patient(server, library).wait(talk.id)
    assert talk.asked_at == [0.25, 30.75]
    assert trio.current_time() == 31.25


async def test_a_hint_of_no_time_hints_at_nothing(autojump_clock: MockClock) -> None:
    """The schedule is what is left."""
    server = ScriptedServer()
    talk = server.add(
        job("running", asks_to_wait(0), asks_to_wait(0, as_date=True), "completed")
    )
    await patient(server).wait(talk.id)
    assert talk.asked_at == [0.0, 10.0, 20.0, 30.0]
    assert [poll.outcome for poll in talk.polls] == [
        "200 running",
        "304 running, Retry-After: 0",
        "304 running, Retry-After: Thu, 01 Jan 2026 00:00:20 GMT",
        "200 completed",
    ]


async def test_every_answer_can_ask_to_wait(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """`retry_after` of the server holds while the job runs."""
    server = ScriptedServer(retry_after=17)
    talk = server.add(job("pending", after(40, "completed")))
    await patient(server, library).wait(talk.id)
    assert talk.asked_at == [0.0, 17.0, 34.0, 51.0]


async def test_a_hung_poll_is_given_up_and_the_wait_goes_on(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Each takes `request_timeout`, and the pause counts from there."""
    server = ScriptedServer()
    talk = server.add(job("running", after(40, "completed")))
    server.fault(hang(), lasting=20)
    await patient(server, library, request_timeout=2.5).wait(talk.id)
    assert talk.asked_at == [0.0, 12.5, 25.0, 35.0, 45.0]
    assert [poll.ended_at for poll in talk.polls] == [2.5, 15.0, 25.0, 35.0, 45.0]
    assert server.open_exchanges == ()


async def test_silence_for_too_long_ends_a_wait(autojump_clock: MockClock) -> None:
    """A server that hangs for ever is one that does not answer."""
    server = ScriptedServer()
    talk = server.add(job("running"))
    server.fault(hang(), at=5)
    with pytest.raises(NoAnswer):
        await patient(server).wait(talk.id, max_silence=21)
    assert talk.asked_at == [0.0, 10.0, 24.0]
    assert trio.current_time() == 31.0


async def test_a_drip_comes_a_byte_at_a_time(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """The first byte after one interval, and it is heard where there is time."""
    server = ScriptedServer(status_path="/{id}")
    talk = server.add(job("pending", "completed"))
    server.fault(drip(interval=0.25), times=1)
    async with server.http(library).stream("GET", f"/{talk.id}") as answer:
        arrived = [(trio.current_time(), data) async for data in answer.aiter_raw()]
    assert arrived[:2] == [(0.25, b"{"), (0.5, b'"')]
    assert b"".join(data for _, data in arrived) == b'{"result": "pending"}'
    assert trio.current_time() == 0.25 * 21
    assert talk.polls[0].ended_at == 5.25
    # It was heard, so the script has moved on.
    client = server.client(library=library, status_path="/{id}")
    assert await client.get_status(talk.id) == "completed"
    assert talk.asked_at == [0.0, 5.25]


async def test_a_drip_within_the_request_timeout_is_an_answer(
    autojump_clock: MockClock,
) -> None:
    """As steps of a script: the second comes after the first has been told."""
    server = ScriptedServer(status_path="/{id}")
    talk = server.add(job("pending", drip(interval=0.1), "completed"))
    assert await patient(server, status_path="/{id}").get_status(talk.id) == "completed"
    assert talk.asked_at == pytest.approx([0.0, 10.0, 22.1], abs=1e-9)


async def test_a_gzip_bomb_stays_small(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """512 MiB of zeros cost a wait a poll and some MiB, and it goes on."""
    server = ScriptedServer()
    talk = server.add(job("running", after(7, "completed")))
    server.fault(gzip_bomb(), times=1)
    client = patient(server, library)
    tracemalloc.start()
    try:
        await client.wait(talk.id)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert talk.asked_at == [0.0, 10.0]
    assert peak < 16 * 2**20


async def test_a_gzip_bomb_is_sound(
    library: ModuleType, autojump_clock: MockClock
) -> None:
    """Whoever unpacks it gets what was promised, and no error."""
    server = ScriptedServer()
    server.add(job("running"))
    server.fault(gzip_bomb(megabytes=3))
    answer = await server.http(library).get("/status")
    assert answer.content == bytes(3 * 2**20)
    assert int(answer.headers["content-length"]) < 2**14


@pytest.mark.parametrize("word", ["asleep", "pending", "queued"])
async def test_another_word_is_told_and_the_job_runs_on(
    word: str, library: ModuleType, autojump_clock: MockClock
) -> None:
    """An unknown status, or one of before, is still running to a wait."""
    server = ScriptedServer()
    talk = server.add(job("running", after(15, "completed")))
    server.fault(says(word), times=1, skip=1)
    heard: list[str] = []
    await patient(server, library).wait(talk.id, on_update=heard.append)
    assert heard == ["running", word, "completed"]
    assert talk.asked_at == [0.0, 10.0, 20.0]


async def test_a_status_may_go_backwards(autojump_clock: MockClock) -> None:
    """By a script of its own, as where an attempt was lost."""
    server = ScriptedServer()
    talk = server.add(
        job("pending", after(5, "running"), after(15, "pending"), after(25, "error"))
    )
    heard: list[str] = []
    with pytest.raises(JobFailed, match="The job failed, as its script says"):
        await patient(server).wait(talk.id, on_update=heard.append)
    assert heard == ["pending", "running", "pending", "error"]


async def test_a_word_in_a_script_is_not_that_of_the_job(
    autojump_clock: MockClock,
) -> None:
    """`says` lies once; the job stands where it stood."""
    server = ScriptedServer()
    talk = server.add(job("running", says("completed"), "running"))
    client = patient(server)
    words = [(await client.get_job(talk.id)).word for _ in range(3)]
    assert words == ["running", "completed", "running"]


async def test_a_job_may_never_end(autojump_clock: MockClock) -> None:
    """The last step stays, for hours."""
    server = ScriptedServer()
    talk = server.add(job("running"))
    with pytest.raises(WaitTimeout):
        await patient(server, schedule=Fixed(600)).wait(talk.id, max_wait_time=86_400)
    assert talk.asked_at == [*(600.0 * n for n in range(144)), 86_399.96]
    server.check()


@pytest.mark.parametrize(
    ("pause", "asked_at"),
    [(1, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), (5, [5.0, 10.0])],
)
async def test_a_job_may_be_unknown_just_after_its_submission(
    pause: float,
    asked_at: list[float],
    library: ModuleType,
    autojump_clock: MockClock,
) -> None:
    """A wait survives that for some seconds, and only there."""
    server = ScriptedServer()
    server.on_submit(job("running", after(8, "completed")))
    server.fault(not_found(), to="poll", lasting=5.5)
    client = patient(server, library, schedule=Fixed(pause))
    submitted = await client.submit(io.BytesIO(b"video"), "pt")
    await client.wait(submitted)
    (talk,) = server.jobs()
    assert talk.asked_at == asked_at
    server.check()


async def test_a_job_that_stays_unknown_is_not_there(
    autojump_clock: MockClock,
) -> None:
    """The grace is over after five seconds."""
    server = ScriptedServer()
    server.on_submit(job("running"))
    server.fault(not_found(), to="poll")
    client = patient(server, schedule=Fixed(2))
    submitted = await client.submit(io.BytesIO(b"video"), "pt")
    with pytest.raises(JobNotFound):
        await client.wait(submitted)
    assert server.asked_at == [2.0, 4.0, 6.0]


def test_faults_read_as_they_are_written() -> None:
    """What a failed test shows can be copied into one."""
    faults = {
        "refused()": refused(),
        "reset()": reset(),
        "reset(after_bytes=0)": reset(after_bytes=0),
        "hung_up()": hung_up(),
        "hang(after_bytes=9)": hang(after_bytes=9),
        "drip(interval=1)": drip(),
        "too_many()": too_many(),
        "too_many(retry_after=3)": too_many(retry_after=3),
        "busy(retry_after=3, as_date=True)": busy(retry_after=3, as_date=True),
        "server_error(500)": server_error(),
        "html(200)": html(),
        "not_found()": not_found(),
        "truncated()": truncated(),
        "wrong_length(by=10)": wrong_length(),
        "gzip_bomb(megabytes=512)": gzip_bomb(),
        "says('asleep')": says("asleep"),
        "asks_to_wait(5)": asks_to_wait(5),
        "asks_to_wait(5, as_date=True)": asks_to_wait(5, as_date=True),
        "expired_link()": expired_link(),
        "buffering()": buffering(),
    }
    assert {repr(fault): fault for fault in faults.values()} == faults
    assert {text: eval(text) for text in faults} == faults  # noqa: S307
