"""Many videos in one block: submitted, waited for and fetched, and every way out of it."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import trio
from trio.testing import MockClock

from vtrio import (
    BadAnswer,
    Job,
    JobFailed,
    JobStatus,
    NoAnswer,
    Refused,
    ServerBusy,
    Translation,
    Translations,
    Unreachable,
    WaitTimeout,
)
from vtrio._pipeline import MOST_UNFETCHED
from vtrio.testing import (
    Invariants,
    Kind,
    ScriptedServer,
    after,
    busy,
    drawn,
    hang,
    job,
    not_found,
    refused,
    reset,
    respond,
)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """The folder for the results; it is not there yet."""
    return tmp_path / "new" / "out"


def make_videos(folder: Path, number: int) -> list[Path]:
    """Have some videos, each of other bytes: v1.mp4, v2.mp4 and so on."""
    videos = [folder / f"v{n + 1}.mp4" for n in range(number)]
    for video in videos:
        video.write_bytes(f"the bytes of {video.name}".encode())
    return videos


def kinds(server: ScriptedServer, kind: Kind) -> list[float]:
    """Return the instants of all requests of a kind."""
    return [e.at for e in server.exchanges if e.kind is kind]


async def take_all(translations: Translations) -> list[tuple[float, Translation]]:
    """Take all translations, with the instants at which they came."""
    return [(trio.current_time(), t) async for t in translations]


async def test_videos_are_translated_in_the_order_in_which_they_are_whole(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """The folder is made; each result has its name, and its subtitles beside it."""
    server = ScriptedServer()
    for end in (30, 10, 20):
        server.on_submit(job("pending", after(1, "running"), after(end, "completed")))
    videos = make_videos(tmp_path, 3)
    submitted, seen = [], []
    with Invariants(server):
        async with server.client() as client:
            async with client.translate_many(
                videos,
                to="pt",
                into=into,
                uploads_at_once=1,
                on_submit=lambda video, job: submitted.append((video, job.id)),
                on_job=lambda job: seen.append((job.id, job.status)),
            ) as translations:
                assert "0 taken" in repr(translations)
                told = await take_all(translations)
            translations.raise_failures()
            assert translations.token()["jobs"] == []
    assert [(at, t.video) for at, t in told] == [
        (10, videos[1]),
        (20, videos[2]),
        (30, videos[0]),
    ]
    assert submitted == list(zip(videos, ["j1", "j2", "j3"], strict=True))
    assert seen == [
        *((f"j{n}", JobStatus.RUNNING) for n in (1, 2, 3)),
        *((f"j{n}", JobStatus.COMPLETED) for n in (2, 3, 1)),
    ]
    for _, translation in told:
        assert isinstance(translation.video, Path)
        assert translation.exception is None
        assert translation.job is not None
        assert translation.job.target_language == "pt"
        assert translation.receipt is not None
        path = translation.result()
        assert path == into / f"{translation.video.stem}.pt.mp4"
        assert path.read_bytes() == translation.video.read_bytes()
        assert translation.subtitles == path.with_suffix(".vtt")
        assert translation.subtitles.read_text() == "WEBVTT\n"
    assert translations.statistics().completed == 3
    assert "3 completed, 0 failed" in repr(translations)
    assert len(list(into.iterdir())) == 6


async def test_many_videos_are_few_tasks(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """They are taken when their turn comes, and one engine waits for all."""
    number = 150
    server = ScriptedServer()
    server.on_submit(drawn("uniform:5,15"))
    taken = 0
    most_tasks = 0

    def videos() -> Iterator[io.BytesIO]:
        nonlocal taken
        for n in range(number):
            taken += 1
            yield io.BytesIO(b"video %d" % n)

    before = trio.lowlevel.current_statistics().tasks_living
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                videos(), to="pt", into=into, subtitles=False
            ) as translations,
        ):
            assert taken == 0
            async for translation in translations:
                tasks = trio.lowlevel.current_statistics().tasks_living - before
                most_tasks = max(most_tasks, tasks)
                translation.result()
    assert taken == translations.statistics().completed == number
    assert most_tasks < 40
    assert len(list(into.iterdir())) == number


async def test_open_files_are_named_as_they_are_or_numbered(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """By their own names where they have some; they are not closed."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:1"))
    (named,) = make_videos(tmp_path, 1)
    with named.open("rb") as file:
        videos: list[IO[bytes]] = [file, io.BytesIO(b"bare")]
        async with (
            server.client() as client,
            client.translate_many(
                videos, to="pt", into=str(into), subtitles=False
            ) as translations,
        ):
            await take_all(translations)
        assert not file.closed
    names = {path.name: path.read_bytes() for path in into.iterdir()}
    assert names == {"v1.pt.mp4": named.read_bytes(), "video-2.pt.mp4": b"bare"}


async def test_without_a_folder_results_lie_beside_their_videos(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A video that lies nowhere is refused then."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:1"))
    videos = make_videos(tmp_path, 1)
    async with server.client() as client:
        async with client.translate_many(videos, to="pt", into=None) as translations:
            ((_, translation),) = await take_all(translations)
        assert translation.path == tmp_path / "v1.pt.mp4"
        with pytest.raises(ValueError, match="into=None is not allowed with video"):
            async with client.translate_many([io.BytesIO()], to="pt", into=None):
                raise AssertionError("it was entered")


async def test_two_videos_for_one_place_are_refused_before_anything_is_sent(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """Where they can be looked at ahead; else when the second one's turn comes."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:1"))
    (tmp_path / "a").mkdir()
    videos = [*make_videos(tmp_path, 1), *make_videos(tmp_path / "a", 1)]
    async with server.client() as client:
        with pytest.raises(ValueError, match=r"^video=.*v1\.pt\.mp4' is another"):
            async with client.translate_many(videos, to="pt", into=into):
                raise AssertionError("it was entered")
        assert not server.exchanges
        assert not into.exists()
        with pytest.raises(ValueError, match="is another file's"), Invariants(server):
            async with client.translate_many(
                iter(videos), to="pt", into=into
            ) as translations:
                await take_all(translations)
        overwritten = [tmp_path / "v1.pt.mp4", tmp_path / "v1.mp4"]
        with pytest.raises(ValueError, match=r"v1\.pt\.mp4' is another file's"):
            async with client.translate_many(overwritten, to="pt", into=None):
                raise AssertionError("it was entered")
        overwritten.reverse()
        with pytest.raises(ValueError, match=r"v1\.pt\.mp4' is another file's"):
            async with client.translate_many(overwritten, to="pt", into=None):
                raise AssertionError("it was entered")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"videos": "talk.mp4"}, "videos='talk.mp4' is not allowed: must be many"),
        ({"videos": io.BytesIO()}, "must be many, such as a list of paths"),
        ({"to": ""}, "to='' is not allowed"),
        (
            {"to": "../x"},
            "to='../x' is not allowed: must be fit for the name of a file",
        ),
        ({"source_language": ""}, "source_language='' is not allowed"),
        ({"uploads_at_once": 0}, "uploads_at_once=0 is not allowed"),
        ({"downloads_at_once": 1.5}, "downloads_at_once=1.5 is not allowed"),
        ({"max_total_time": 0}, "max_total_time=0 is not allowed"),
        ({"on_exit": "stay"}, "on_exit='stay' is not allowed"),
    ],
)
def test_what_cannot_work_is_refused_at_once(given: dict[str, Any], told: str) -> None:
    """Without entering the block; the parameter, the value and what is allowed."""
    client = ScriptedServer().client()
    arguments = {"videos": [], "to": "pt", "into": None, **given}
    with pytest.raises(ValueError, match=re.escape(told)):
        client.translate_many(arguments.pop("videos"), **arguments)


async def test_a_folder_that_cannot_be_made_is_an_error_of_its_own(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nothing was sent."""
    server = ScriptedServer()
    (video,) = make_videos(tmp_path, 1)
    async with server.client() as client:
        with pytest.raises(FileExistsError):
            async with client.translate_many([video], to="pt", into=video):
                raise AssertionError("it was entered")
    assert not server.exchanges


async def test_no_videos_are_no_translations(
    into: Path, autojump_clock: MockClock
) -> None:
    """The iteration ends at once."""
    client = ScriptedServer().client()
    async with client.translate_many([], to="pt", into=into) as translations:
        assert await take_all(translations) == []


async def test_what_goes_wrong_with_one_video_is_its_own(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """A submission, a job and a download that fail; the others go on."""
    server = ScriptedServer()
    server.on_submit(
        job("pending", after(5, "completed")),
        job("pending", after(5, "error")),
        job("pending", after(5, "completed")),
        job("pending", after(9, "completed")),
    )
    videos = [*make_videos(tmp_path, 4), tmp_path / "nowhere.mp4"]
    server.fault(not_found(), to="result", about="j3")
    with Invariants(server):
        async with server.client() as client:
            async with client.translate_many(
                videos, to="pt", into=into, uploads_at_once=1
            ) as translations:
                told = dict[Any, Translation]()
                async for translation in translations:
                    told[translation.video] = translation
            with pytest.raises(ExceptionGroup) as caught:
                translations.raise_failures()
    assert [told[v].exception is None for v in videos] == [
        True,
        False,
        False,
        True,
        False,
    ]
    failed, unfetched, missing = (told[videos[n]] for n in (1, 2, 4))
    assert isinstance(failed.exception, JobFailed)
    assert (failed.job and failed.job.status, failed.path) == ("error", None)
    assert isinstance(unfetched.exception, Refused)
    assert unfetched.job is not None
    assert unfetched.receipt is not None
    assert isinstance(missing.exception, FileNotFoundError)
    assert (missing.job, missing.receipt) == (None, None)
    with pytest.raises(FileNotFoundError):
        missing.result()
    assert len(caught.value.exceptions) == 3
    notes = [note for error in caught.value.exceptions for note in error.__notes__]
    assert sorted(notes) == [
        "while nowhere.mp4 was translated",
        "while v2.mp4 was translated",
        "while v3.mp4 was translated",
    ]
    stood = translations.statistics()
    assert (stood.taken, stood.completed, stood.failed) == (5, 2, 3)
    assert translations.token()["jobs"] == []


async def test_the_first_failure_may_end_the_iteration(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """As the exception that it is, in no group; the jobs are left."""
    server = ScriptedServer()
    server.on_submit(
        job("pending", after(5, "error")), job("pending", after(60, "completed"))
    )
    with Invariants(server):
        async with server.client() as client:
            with pytest.raises(JobFailed, match="j1"):
                async with client.translate_many(
                    make_videos(tmp_path, 2),
                    to="pt",
                    into=into,
                    uploads_at_once=1,
                    stop_on_failure=True,
                ) as translations:
                    await take_all(translations)
            assert trio.current_time() == 5
            assert [job["id"] for job in translations.token()["jobs"]] == ["j2"]


# --- submissions -------------------------------------------------------------------


async def test_a_submission_whose_answer_is_lost_makes_one_job(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """It is made again with the same key, after 1 and then 2 s."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(10, "completed")))
    server.fault(reset(after_bytes=0), to="submission", times=2)
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                make_videos(tmp_path, 1), to="pt", into=into
            ) as translations,
        ):
            ((_, translation),) = await take_all(translations)
    assert translation.exception is None
    assert kinds(server, Kind.SUBMISSION) == [0, 1, 3]
    assert len(server.jobs()) == 1


async def test_a_submission_that_fails_for_half_a_minute_has_failed(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """The outcome is the last error; nothing of it is in the token."""
    server = ScriptedServer()
    server.fault(refused(), to="submission")
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                make_videos(tmp_path, 1), to="pt", into=into
            ) as translations,
        ):
            ((at, translation),) = await take_all(translations)
    assert (at, type(translation.exception)) == (31, Unreachable)
    assert kinds(server, Kind.SUBMISSION) == [0, 1, 3, 7, 15, 31]
    assert translations.token()["jobs"] == []


async def test_a_submission_that_is_put_off_waits_for_its_turn(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """As often as the server asks for it, and no sooner; errors in between count."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:1"))
    server.fault(busy(retry_after=20), to="submission", times=8)
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                make_videos(tmp_path, 1), to="pt", into=into, max_silence=30
            ) as translations,
        ):
            ((at, translation),) = await take_all(translations)
    assert translation.exception is None
    assert at == 161
    assert kinds(server, Kind.SUBMISSION) == [20 * n for n in range(9)]


async def test_a_busy_server_that_names_no_time_is_asked_six_times(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """An answer is an answer: it is no silence."""
    server = ScriptedServer()
    server.fault(busy(), to="submission")
    async with (
        server.client() as client,
        client.translate_many(
            make_videos(tmp_path, 1), to="pt", into=into, max_silence=5
        ) as translations,
    ):
        ((at, translation),) = await take_all(translations)
    assert (at, type(translation.exception)) == (31, ServerBusy)


async def test_a_server_that_is_not_there_is_given_up_once_for_all(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """After the silence that was allowed the rest is tried once each, and told at once."""
    server = ScriptedServer()
    server.fault(refused())
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                make_videos(tmp_path, 20),
                to="pt",
                into=into,
                max_silence=10,
                uploads_at_once=2,
            ) as translations,
        ):
            told = await take_all(translations)
    assert {(at, type(t.exception)) for at, t in told} == {(10, NoAnswer)}
    assert len(told) == 20
    assert kinds(server, Kind.SUBMISSION) == [
        *(at for at in (0, 1, 3, 7) for _ in range(2)),
        *([10] * 20),
    ]
    assert "the last error was" in str(told[0][1].exception)


async def test_an_outage_of_half_a_minute_costs_no_video(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """Submissions, waits and downloads go on after it."""
    server = ScriptedServer()
    server.on_submit(drawn("uniform:1,60"))
    server.fault(refused(), at=20, lasting=29.5)
    videos = (io.BytesIO(b"video %d" % n) for n in range(60))
    server.latency = 0.5
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(videos, to="pt", into=into) as translations,
        ):
            async for translation in translations:
                translation.result()
    assert translations.statistics().completed == 60


async def test_a_server_that_gives_one_job_to_two_videos_is_found_out(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """The second video has an exception; nobody waits for ever."""
    server = ScriptedServer()
    talk = server.add(job("pending", after(5, "completed")), id="j1")
    document = {"id": talk.id, "status": "pending"}
    server.route(
        respond(202, json=document), method="POST", path="/v1/translations", times=2
    )
    async with (
        server.client() as client,
        client.translate_many(
            make_videos(tmp_path, 2), to="pt", into=into, uploads_at_once=1
        ) as translations,
    ):
        told = await take_all(translations)
    assert isinstance(told[0][1].exception, BadAnswer)
    assert told[1][1].exception is None


# --- time --------------------------------------------------------------------------


async def test_the_time_for_all_ends_every_phase(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """Uploads, waits and downloads end in `WaitTimeout`, and so do those not begun."""
    server = ScriptedServer()
    server.on_submit(
        job("pending", after(1, "completed")),
        job("pending", after(60, "completed")),
        optional=True,
    )
    server.fault(hang(), to="result")
    server.fault(hang(), to="submission", skip=2)
    videos = make_videos(tmp_path, 5)
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                videos, to="pt", into=into, max_total_time=10, uploads_at_once=1
            ) as translations,
        ):
            told = await take_all(translations)
    assert {(at, type(t.exception)) for at, t in told} == {(10, WaitTimeout)}
    errors = {t.video: str(t.exception) for _, t in told}
    assert "result of job 'j1' was not fetched within" in errors[videos[0]]
    assert "j2" in errors[videos[1]]
    for video in videos[2:]:
        assert f"{Path(video).name} was not submitted within" in errors[video]
    assert len(kinds(server, Kind.SUBMISSION)) == 3
    assert [j["id"] for j in translations.token()["jobs"]] == ["j1", "j2"]


async def test_each_job_may_have_a_time_of_its_own(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """From its submission; what was given up is in the token, and can be taken up."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(60, "completed")))
    async with server.client() as client:
        async with client.translate_many(
            make_videos(tmp_path, 1), to="pt", into=into, max_wait_time=7
        ) as translations:
            ((at, translation),) = await take_all(translations)
        assert (at, type(translation.exception)) == (7, WaitTimeout)
        token = json.loads(json.dumps(translations.token()))
        (left,) = token["jobs"]
        assert (left["id"], left["video"]) == ("j1", "v1.mp4")
        assert left["output"] == str(into / "v1.pt.mp4")
        async with client.as_completed(token) as outcomes:
            assert [outcome.result().id async for outcome in outcomes] == ["j1"]


# --- leaving -----------------------------------------------------------------------


def phases() -> dict[str, float]:
    """Return instants at which a translation is being cut off, by phase."""
    return {"upload": 0.5, "wait": 5, "download": 12.5, "subtitles": 13.5}


@pytest.mark.parametrize("phase", phases())
@pytest.mark.parametrize("how", ["cancelled", "failed", "left"])
@pytest.mark.parametrize("on_exit", ["leave", "cancel"])
async def test_leaving_at_any_phase_leaves_nothing_behind(
    tmp_path: Path,
    into: Path,
    phase: str,
    how: str,
    on_exit: Any,
    autojump_clock: MockClock,
) -> None:
    """At once, with the body's own exception; jobs are in the token, or cancelled."""
    server = ScriptedServer(latency=1.0)
    server.on_submit(job("pending", after(10.5, "completed")), optional=True)
    cut_at = phases()[phase]
    with Invariants(server):
        async with server.client() as client:
            with trio.move_on_at(cut_at if how == "cancelled" else math.inf) as scope:
                try:
                    async with client.translate_many(
                        make_videos(tmp_path, 1), to="pt", into=into, on_exit=on_exit
                    ) as translations:
                        if how == "cancelled":
                            await take_all(translations)
                        await trio.sleep_until(cut_at)
                        if how == "failed":
                            raise KeyError("the body's own")
                except KeyError:
                    assert how == "failed"
            assert scope.cancelled_caught == (how == "cancelled")
    is_cancelled = on_exit == "cancel" and phase == "wait"
    assert trio.current_time() == cut_at + (1 if is_cancelled else 0)
    assert len(kinds(server, Kind.CANCEL)) == is_cancelled
    left = [job["id"] for job in translations.token()["jobs"]]
    assert left == ([] if phase == "upload" or is_cancelled else ["j1"])
    assert not list(into.glob("*.vtt"))


async def test_a_job_that_was_submitted_a_moment_ago_is_cancelled_too(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """In one request with the others, within 5 s."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:60"), optional=True)
    with Invariants(server):
        async with server.client() as client:
            with trio.CancelScope() as scope:

                def leave(video: object, job: Job) -> None:
                    if job.id == "j9":
                        scope.cancel()

                async with client.translate_many(
                    make_videos(tmp_path, 9),
                    to="pt",
                    into=into,
                    on_submit=leave,
                    on_exit="cancel",
                ) as translations:
                    await take_all(translations)
    (cancel,) = [e for e in server.exchanges if e.kind is Kind.CANCEL]
    assert len(cancel.job_ids) == 9
    assert trio.current_time() == 0
    assert translations.token()["jobs"] == []


async def test_the_body_is_cancelled_before_what_runs_for_it(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """What it does on its way out can still take a translation."""
    server = ScriptedServer()
    server.on_submit(job("pending", after(5, "completed")))
    taken: list[tuple[float, Translation]] = []
    async with server.client() as client:
        with trio.move_on_after(3):
            async with client.translate_many(
                make_videos(tmp_path, 1), to="pt", into=into
            ) as translations:
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.move_on_after(10, shield=True):
                        taken += await take_all(translations)
    ((at, translation),) = taken
    assert (at, translation.result()) == (5, into / "v1.pt.mp4")


@pytest.mark.parametrize("callback", ["on_submit", "on_job", "on_stall"])
async def test_what_a_callback_raises_ends_the_block(
    tmp_path: Path, into: Path, callback: str, autojump_clock: MockClock
) -> None:
    """As itself, even if it is an error that a video could have had."""
    server = ScriptedServer()
    script = job("pending", after(2, "running"), after(60, "completed"))
    server.on_submit(script, optional=True)

    async def fail(*_: object) -> None:
        await trio.sleep(1)
        raise OSError("the callback's own")

    callbacks: dict[str, Any] = {callback: fail}
    with Invariants(server):
        async with server.client() as client:
            with pytest.raises(OSError, match="the callback's own"):
                async with client.translate_many(
                    make_videos(tmp_path, 1),
                    to="pt",
                    into=into,
                    max_run_time=5,
                    **callbacks,
                ) as translations:
                    await take_all(translations)
    assert trio.current_time() == {"on_submit": 1, "on_job": 3, "on_stall": 8}[callback]


async def test_what_the_videos_raise_ends_the_block(
    into: Path, autojump_clock: MockClock
) -> None:
    """As itself."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:60"), optional=True)

    def videos() -> Iterator[io.BytesIO]:
        yield io.BytesIO(b"one")
        raise LookupError("no more")

    with Invariants(server):
        async with server.client() as client:
            with pytest.raises(LookupError, match="no more"):
                async with client.translate_many(
                    videos(), to="pt", into=into
                ) as translations:
                    await take_all(translations)


async def test_while_nobody_takes_translations_little_is_submitted(
    into: Path, autojump_clock: MockClock
) -> None:
    """Results pile up to a limit; then everything rests until one is taken."""
    server = ScriptedServer(latency=0.1)
    server.on_submit(drawn("fixed:1"))
    videos = (io.BytesIO(b"video %d" % n) for n in range(300))
    with Invariants(server):
        async with (
            server.client() as client,
            client.translate_many(
                videos, to="pt", into=into, subtitles=False
            ) as translations,
        ):
            await trio.sleep(100)
            stood = translations.statistics()
            await trio.sleep(1000)
            assert translations.statistics().taken == stood.taken
            assert stood.completed == 4
            assert MOST_UNFETCHED < stood.taken < MOST_UNFETCHED + 100
            async for translation in translations:
                translation.result()
    assert translations.statistics().completed == 300


async def test_a_translation_nobody_took_is_in_the_token(
    tmp_path: Path, into: Path, autojump_clock: MockClock
) -> None:
    """Whoever takes it up learns of it."""
    server = ScriptedServer()
    server.on_submit(drawn("fixed:1"))
    async with server.client() as client:
        async with client.translate_many(
            make_videos(tmp_path, 3), to="pt", into=into
        ) as translations:
            async for _ in translations:
                break
        assert len(translations.token()["jobs"]) == 2
        assert "1 taken" not in repr(translations)
