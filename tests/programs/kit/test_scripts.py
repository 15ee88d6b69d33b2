"""Scripts of jobs: steps by age and by question, lives by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import Fixed, Job, JobFailed, JobStatus
from vtrio._distributions import Durations
from vtrio.testing import (
    Cut,
    Invariants,
    Pause,
    Reply,
    ScriptedServer,
    ScriptedSource,
    after,
    asks_to_wait,
    busy,
    drawn,
    drip,
    expired_link,
    gzip_bomb,
    hang,
    html,
    job,
    refused,
    reset,
    respond,
    says,
    server_error,
    too_many,
    wrong_length,
)


@pytest.mark.parametrize("step", [expired_link(), after(5, expired_link())])
def test_a_fault_of_downloads_is_no_step_of_a_job(step: object) -> None:
    """It would answer questions for the status with 403."""
    with pytest.raises(ValueError, match=r"step expired_link\(\) is not allowed: must"):
        job("pending", step)  # type: ignore[arg-type]


def test_the_first_step_has_no_age() -> None:
    """It holds from the submission on, and the message says so."""
    with pytest.raises(ValueError, match=r"first=after\(3, 'running'\) is not allowed"):
        job(after(3, "running"), "completed")  # type: ignore[arg-type]


@pytest.mark.parametrize("by", [0, 1.5, "5", True])
def test_a_wrong_length_is_wrong_by_a_whole_number(by: object) -> None:
    """One that is too small is allowed, and none is not."""
    with pytest.raises(ValueError, match=r"by=.* is not allowed: must be a whole numb"):
        wrong_length(by=by)  # type: ignore[arg-type]


def test_another_word_must_be_one() -> None:
    """Whatever else would be sent as JSON."""
    with pytest.raises(ValueError, match="word=5 is not allowed: must be a status wor"):
        says(5)  # type: ignore[arg-type]


def test_the_kind_of_a_fault_is_checked() -> None:
    """The message says which there are."""
    kinds = "to='polls' is not allowed: must be one of poll, batch, feed, submiss"
    with pytest.raises(ValueError, match=kinds):
        ScriptedServer().fault(refused(), to="polls")


async def test_the_first_question_is_told_the_first_step(
    autojump_clock: MockClock,
) -> None:
    """A bare step takes over with the question after the one that was told it."""
    server = ScriptedServer()
    talk = server.add(job("pending", "running", "completed"))
    heard: list[str] = []
    await server.client().wait(talk.id, on_update=heard.append)
    assert heard == ["pending", "running", "completed"]
    assert [poll.outcome for poll in talk.polls] == [
        "200 pending",
        "200 running",
        "200 completed",
    ]


# --- steps ----------------------------------------------------------------------


async def words_at(*instants: float, script: object, **settings: object) -> list[str]:
    """Ask about one job at these instants, and return the words that were told."""
    server = ScriptedServer()
    talk = server.add(script, **settings)  # type: ignore[arg-type]
    words = []
    for instant in instants:
        await trio.sleep_until(instant)
        words.append((await server.client().get_job(talk.id)).word)
    return words


@pytest.mark.parametrize(
    ("script", "instants", "words"),
    [
        (
            job("queued", after(5, "running"), after(60, "completed")),
            (0, 4.999, 5, 59.999, 60, 1e6),
            ["queued", "queued", "running", "running", "completed", "completed"],
        ),
        (
            job("pending", "running", "completed"),
            (100, 200, 300, 400),
            ["pending", "running", "completed", "completed"],
        ),
        # A bare step waits for the one before to be told, and is told once itself,
        # however old the job is.
        (
            job("pending", "running", after(60, "completed")),
            (100, 110, 120),
            ["pending", "running", "completed"],
        ),
        (
            job("pending", "running", after(60, "completed")),
            (1, 2, 59, 60),
            ["pending", "running", "running", "completed"],
        ),
        # An age that was passed by is not told: the next one holds.
        (
            job("pending", after(5, "running"), after(60, "error")),
            (0, 61),
            ["pending", "error"],
        ),
        (
            job("pending", after(5, "running"), "error"),
            (0, 1, 6, 7),
            ["pending", "pending", "running", "error"],
        ),
        (job("pending", after(0, "running")), (0,), ["running"]),
        (job("cancelled"), (0,), ["cancelled"]),
        (job(JobStatus.PENDING, JobStatus.ERROR), (0, 1), ["pending", "error"]),
        (job(says("asleep"), "completed"), (0, 1), ["asleep", "completed"]),
    ],
    ids=str,
)
async def test_a_job_lives_as_its_script_says(
    script: object,
    instants: tuple[float, ...],
    words: list[str],
    autojump_clock: MockClock,
) -> None:
    """By its age, by the questions, or by both in turn."""
    assert await words_at(*instants, script=script) == words


async def test_a_job_may_be_older_than_the_test(autojump_clock: MockClock) -> None:
    """Its ages count from when it was submitted."""
    script = job("pending", after(5, "running"), after(60, "completed"))
    assert await words_at(0, 29, 30, script=script, age=30) == [
        *("running", "running", "completed")
    ]


async def test_steps_say_more_of_a_job(autojump_clock: MockClock) -> None:
    """What a step says stays until another says otherwise."""
    server = ScriptedServer()
    error = {"type": "urn:x", "title": "No voice", "detail": "the track is silent"}
    talk = server.add(
        job(
            "pending",
            after(5, "running", stage="listening", progress=0.25),
            after(9, "running", progress=0.5),
            after(20, "error", error=error),
            media_seconds=21.5,
        )
    )
    client = server.client(schedule=Fixed(5))
    seen: list[Job] = []
    with pytest.raises(JobFailed, match="No voice: the track is silent"):
        await client.wait(talk.id, on_job=seen.append)
    assert [(one.stage, one.progress) for one in seen] == [
        (None, None),
        ("listening", 0.25),
        ("listening", 0.5),
        ("listening", 0.5),
        ("listening", 0.5),
    ]
    assert {one.media_seconds for one in seen} == {21.5}
    began, ended = seen[-1].started_at, seen[-1].finished_at
    assert began is not None
    assert ended is not None
    assert (ended - began).total_seconds() == 15.0


async def test_the_headers_tell_the_job_apart_from_the_question(
    autojump_clock: MockClock,
) -> None:
    """How old the job is, how long it was worked on, how long it has been over."""
    server = ScriptedServer()
    talk = server.add(
        job("pending", after(5, "running"), after(60, "completed")), age=2
    )
    path = f"/v1/translations/{talk.id}"
    told = {"job-age", "job-run-time", "job-ended-ago", "retry-after"}
    seen = []
    for instant in (1, 10, 100):
        await trio.sleep_until(instant)
        headers = (await server.http().get(path)).headers
        seen.append({name: headers[name] for name in told if name in headers})
    assert seen == [
        {"job-age": "3.000"},
        {"job-age": "12.000"},
        {"job-age": "102.000", "job-run-time": "55.000", "job-ended-ago": "42.000"},
    ]


async def test_a_wait_knows_how_late_it_was(autojump_clock: MockClock) -> None:
    """The kit tells what a receipt's lag is made of."""
    server = ScriptedServer()
    talk = server.add(job("running", after(12, "completed")))
    done = await server.client(schedule=Fixed(5)).wait(talk.id)
    assert done.receipt is not None
    assert (done.receipt.lag, done.receipt.lag_bounds) == (3.0, (0.0, 5.0))


def test_a_script_reads_as_it_is_written() -> None:
    """What a failed test shows can be copied into one."""
    script = job("queued", refused(), after(5, "running"), after(60.5, html()))
    text = "job('queued', refused(), after(5, 'running'), after(60.5, html(200)))"
    assert str(script) == repr(script) == text


# --- chance ---------------------------------------------------------------------


def test_the_same_seed_gives_the_same_jobs() -> None:
    """In the same order, and another seed gives others."""

    def lives(seed: int) -> list[str]:
        scripts = drawn(
            "lognormal:60,0.5", queued="uniform:1,9", failure_rate=0.3, seed=seed
        )
        return [str(scripts.draw()) for _ in range(50)]

    assert lives(7) == lives(7)
    assert len({*lives(7), *lives(8)}) == 100


@pytest.mark.parametrize("family", ["lognormal:60,0.5", "uniform:5,15", "genai"])
def test_lives_are_drawn_as_the_distribution_says(family: str) -> None:
    """Each tenth of the distribution gets about a tenth of the jobs."""
    scripts = drawn(family, queued="fixed:4", seed=1)
    durations = Durations.parse(family)
    tenths = Counter[int]()
    for _ in range(2000):
        first, running, ending = scripts.draw().steps
        assert (first.what, first.age) == ("pending", None)
        assert (running.what, running.age) == ("running", 4.0)
        assert ending.what == "completed"
        assert ending.age is not None
        tenths[sum(ending.age - 4 > durations.at(n / 10) for n in range(1, 10))] += 1
    assert sorted(tenths) == list(range(10))
    # Four standard deviations of a count of 200 around it.
    assert all(abs(count - 200) < 4 * 13.5 for count in tenths.values())


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_a_share_of_the_jobs_fails_on_the_way(rate: float) -> None:
    """Nobody fails later than he would have completed."""
    scripts = drawn("fixed:100", queued="fixed:10", failure_rate=rate, seed=3)
    endings = [scripts.draw().steps[-1] for _ in range(1000)]
    failed = [step for step in endings if step.what == "error"]
    assert abs(len(failed) - 1000 * rate) <= 4 * (1000 * rate * (1 - rate)) ** 0.5
    assert all(step.age is not None and 10 <= step.age <= 110 for step in failed)


async def test_lives_serve_submissions_and_jobs_that_are_there(
    autojump_clock: MockClock,
) -> None:
    """One after the other, each by the next draw."""
    server, same = ScriptedServer(), drawn("uniform:5,15", seed=2)
    lives = drawn("uniform:5,15", seed=2)
    jobs = [server.add(lives) for _ in range(3)]
    client = server.client(schedule=Fixed(0.125))
    async with trio.open_nursery() as nursery:
        for one in jobs:
            nursery.start_soon(client.wait, one.id)
    for one in jobs:
        ends_at = same.draw().steps[-1].age
        assert ends_at is not None
        assert 0 <= one.asked_at[-1] - ends_at < 0.125
    server.check()


# --- what is refused ------------------------------------------------------------


def server() -> ScriptedServer:
    """Make a server to try wrong arguments on."""
    return ScriptedServer()


WORD: Any = "x"  # where no word is allowed
NUMBER: Any = 1.5  # where no such number is


MEMBERS = "error, media_seconds, progress, result, source_language, stage, target_lang"


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: job("pending", speed=1), f"speed=1 is .*document: {MEMBERS}"),
    (lambda: after(5, "x", speed=1), "speed=1 is not allowed: must be a member"),
    (
        lambda: job("pending", NUMBER),
        "step 1.5 is not allowed: must be a status word or",
    ),
    (lambda: after(-1, "x"), "age=-1 is not allowed: must be .* at least 0"),
    (
        lambda: job("a", after(5, "b"), "c", after(3, "d")),
        r"steps=\[5.0, 3.0\] is not allowed: must be in the order of their ages",
    ),
    (ScriptedSource, r"steps=\(\) is not allowed: must be at least one"),
    (
        lambda: ScriptedSource(after(3, "pending")),
        r"the first is after\(3, 'pending'\) and is not allowed: must hold from",
    ),
    (lambda: ScriptedSource("a", latency=-1), "latency=-1 is not allowed"),
    (lambda: drawn("often:1"), "'often:1': the family must be|'often'.*must be on"),
    (
        lambda: drawn("fixed:1", queued="x"),
        "queued='x' is not allowed: .*'x': the family must be one of",
    ),
    (lambda: drawn("fixed:1", failure_rate=2), "failure_rate=2 is .* at most 1"),
    (lambda: reset(after_bytes=-1), "after_bytes=-1 is not allowed: must be a wh"),
    (lambda: hang(after_bytes=NUMBER), "after_bytes=1.5 is not allowed: must be a w"),
    (lambda: drip(interval=0), "interval=0 is not allowed: must be .* above 0"),
    (lambda: too_many(as_date=True), "as_date=True without retry_after is not a"),
    (lambda: busy(retry_after=-1), "retry_after=-1 is not allowed"),
    (lambda: busy(retry_after=2e9), "retry_after=2000000000.0 is not allowed"),
    (lambda: server_error(404), "status=404 is not allowed: .* at least 500"),
    (lambda: html(199), "status=199 is not allowed: must be .* at least 200"),
    (lambda: gzip_bomb(megabytes=0), "megabytes=0 is not allowed: must be a who"),
    (lambda: asks_to_wait(-1), "seconds=-1 is not allowed: must be a whole numb"),
    (lambda: asks_to_wait(10**10), "seconds=10000000000 is not allowed: .* most"),
    (lambda: respond(99), "status=99 is not allowed: must be .* at least 100"),
    (lambda: respond(600), "status=600 is not allowed: must be .* at most 599"),
    (
        lambda: respond(body=NUMBER),
        "body=1.5 is not allowed: must be bytes, text or pi",
    ),
    (lambda: ScriptedServer(latency=-1), "latency=-1 is not allowed"),
    (lambda: ScriptedServer(retry_after=0), "retry_after=0 is not allowed"),
    (lambda: server().add(WORD), r"script='x' is not allowed: must be job\(...\)"),
    (lambda: server().add(job("x"), id=""), "id='' is not allowed: must be a new"),
    (lambda: server().add(job("x"), age=-1), "age=-1 is not allowed"),
    (lambda: server().on_submit(WORD), r"script='x' is .* or drawn\(...\)"),
    (
        lambda: server().on_submit(drawn("fixed:1"), job("x")),
        r"script=job\('x'\) is not allowed: must come before drawn\(...\)",
    ),
    (lambda: server().fault(WORD), "fault='x' is not allowed: must be one of vtr"),
    (lambda: server().fault(refused(), at=-1), "at=-1 is not allowed"),
    (lambda: server().fault(refused(), lasting=0), "lasting=0 is not allowed"),
    (lambda: server().fault(refused(), times=0), "times=0 is not allowed"),
    (lambda: server().fault(refused(), skip=-1), "skip=-1 is not allowed"),
    (lambda: job("pending", refused), r"must be a status .*; call it: refused\(\)"),  # type: ignore[arg-type]
    (lambda: drawn(NUMBER), "durations=1.5 is not allowed: must be text such as"),
    (lambda: drawn("fixed:1", seed=-1), "seed=-1 is not allowed: must be a whole"),
    (lambda: drip(size=0), "size=0 is not allowed: must be a whole number"),
    (lambda: server().on_submit(), r"scripts=\(\) is not allowed: must be at least"),
    (lambda: server().add(job("x"), video=WORD), "video='x' is not allowed: must be b"),
    (
        lambda: server().fault(refused(), about=NUMBER),
        "about=1.5 is not allowed: must be a job, or its id",
    ),
    (lambda: server().route(NUMBER), "answer=1.5 is not allowed: must be what respon"),
    (
        lambda: server().route(refused(), path="x"),
        "path='x' is not allowed: must begin with a slash, or",
    ),
    (
        lambda: respond(body=iter([b"x"])),
        "is not allowed: must be bytes, text or pieces that can be gone through again",
    ),
    (lambda: Invariants(tick=-1), "tick=-1 is not allowed: must be .* at least 0"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=range(len(WRONG)))
def test_what_is_not_allowed_is_refused(wrong: Callable[[], object], told: str) -> None:
    """The message names the parameter, the value, and what is allowed."""
    with pytest.raises(ValueError, match=told):
        wrong()


def test_an_id_is_given_once() -> None:
    """Two jobs of one id could not be told apart."""
    server = ScriptedServer()
    server.add(job("running"), id="talk")
    with pytest.raises(ValueError, match="id='talk' is not allowed: must be a new one"):
        server.add(job("running"), id="talk")


def test_replies_say_what_they_are() -> None:
    """In the words of the timeline."""
    assert str(respond(204)) == "204"
    assert str(respond(json={"a": 1})) == "200"
    assert str(Reply(before=(Pause(1), Cut.RESET))) == "connection reset"
    assert respond(json=[1]).headers == {
        "content-type": "application/json",
        "content-length": "3",
    }
    assert respond(body="x", headers={"Content-Type": "a/b"}).headers == {
        "content-type": "a/b",
        "content-length": "1",
    }
    assert respond(204).headers == respond(304).headers == {}
