"""Downloads, without sockets: whole files, parts of them, and neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

VIDEO = bytes(range(256)) * 40
FORM = {"target_language": "pt"}
# Blanks have no place in it.
LOOSE = ("bytes = 0-0", "bytes=0 -0", "bytes= 0-0")
HUGE = "9" * 20


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=10230-", slice(10230, None)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=-99999", slice(None)),
        ("bytes=10000-99999", slice(10000, None)),
        ("BYTES=10000-10239", slice(10000, None)),
        (f"bytes=10000-{HUGE}", slice(10000, None)),
        (f"bytes=-{HUGE}", slice(None)),
        ("bytes=" + "0" * 30 + "-9", slice(0, 10)),
    ],
)
async def test_a_part_of_the_result_can_be_had(
    asked: str, part: slice, open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """One range of bytes is a 206 that says which bytes it has."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)

        answer = await client.get(f"{path}/video", headers={"Range": asked})

        wanted = VIDEO[part]
        first = VIDEO.rindex(wanted) if not asked.endswith("-9") else 0
        assert answer.status_code == 206
        assert answer.content == wanted
        last = first + len(wanted) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(VIDEO)}"


async def test_the_whole_result_can_be_had(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Without a range, or with one that is not understood, everything comes."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)

        for asked in (
            "",
            "bytes=5-2",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=-",
            "x",
            *LOOSE,
        ):
            answer = await client.get(f"{path}/video", headers={"Range": asked})
            assert (answer.status_code, answer.content) == (200, VIDEO), asked
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["Content-Type"] == "video/mp4"
        head = await client.head(f"{path}/video")
        assert head.headers["Content-Length"] == str(len(VIDEO))
        subtitles = await client.get(f"{path}/subtitles")
        assert subtitles.headers["Content-Type"] == "text/vtt; charset=utf-8"
        assert subtitles.text.startswith("WEBVTT")
        assert subtitles.headers["ETag"] != answer.headers["ETag"]


BEYOND = (f"bytes={HUGE}-", f"bytes={HUGE}-{HUGE}", "bytes=" + "9" * 5000 + "-")


@pytest.mark.parametrize(
    "asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0", *BEYOND]
)
async def test_a_range_outside_the_file_says_how_long_it_is(
    asked: str,
    open_app: OpenApp,
    check_problem: CheckProblem,
    autojump_clock: MockClock,
) -> None:
    """A 416 carries the length, so that the client can ask rightly."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        answer = await client.get(f"{path}/video", headers={"Range": asked})
        check_problem(answer, 416, "bad-range")
        assert answer.headers["Content-Range"] == f"bytes */{len(VIDEO)}"


async def test_a_download_is_taken_up_where_the_file_is_the_same(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """If-Range with the tag gives the part, with another everything."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        tag = (await client.get(f"{path}/video")).headers["ETag"]
        statuses = []
        for given in (tag, '"stale"', f"W/{tag}", "Fri, 02 Jan 2026 12:00:00 GMT"):
            headers = {"Range": "bytes=1-", "If-Range": given}
            answer = await client.get(f"{path}/video", headers=headers)
            statuses.append(answer.status_code)
        assert statuses == [206, 200, 200, 200]


async def test_a_result_is_not_to_be_had_before_its_time(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """While the job runs its files are a 409, not half a video."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        for name in ("video", "subtitles"):
            answer = await client.get(f"{path}/{name}")
            check_problem(answer, 409, "not-completed")


async def test_head_is_get_without_a_body(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """The headers are the same, whichever the route."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        for tail in ("", "/video", "/subtitles"):
            named = {"X-Request-Id": "r"}
            get = await client.get(path + tail, headers=named)
            head = await client.head(path + tail, headers=named)
            assert dict(head.headers) == dict(get.headers)


async def test_head_knows_no_range(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """It tells what a GET of the whole would, whatever part was asked for."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        for asked in ("bytes=0-9", "bytes=99999-"):
            head = await client.head(f"{path}/video", headers={"Range": asked})
            assert head.status_code == 200
            assert head.headers["Content-Length"] == str(len(VIDEO))


async def test_a_result_that_is_there_already_is_not_sent_again(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """If-None-Match with its tag, or with any, is a 304; with another it is sent."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        for name in ("video", "subtitles"):
            tag = (await client.get(f"{path}/{name}")).headers["ETag"]
            for given, status in (
                *((tag, 304), (f'"a", {tag}', 304), (f"W/{tag}", 304), ("*", 304)),
                *(('"stale"', 200), ("nonsense", 200), ("", 200)),
            ):
                headers = {"If-None-Match": given, "Range": "bytes=99999-, x"}
                answer = await client.get(f"{path}/{name}", headers=headers)
                assert answer.status_code == status, given
                assert answer.headers["ETag"] == tag
                if status == 304:
                    assert answer.content == b""
                    assert not {"content-length", "content-type"} & set(answer.headers)


async def test_what_has_begun_to_be_sent_is_sent_whole(
    open_app: OpenApp, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The file is open before the answer begins: its name may go, and it is closed."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        before = set(Path("/proc/self/fd").iterdir())
        body = b""

        async def send(message: dict[str, Any]) -> None:
            nonlocal body
            await trio.lowlevel.checkpoint()
            if message["type"] == "http.response.start":
                for file in tmp_path.rglob("translated*"):
                    file.unlink()
            body += message.get("body", b"")

        await ask(client, f"{path}/video", send)
        assert body == VIDEO
        assert set(Path("/proc/self/fd").iterdir()) == before


async def test_a_download_cut_off_at_any_step_leaves_no_file_open(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """After any number of checkpoints, also between the route and the answer."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(11)
        before = set(Path("/proc/self/fd").iterdir())
        sent: list[str] = []

        async def send(message: dict[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message["type"])

        for steps in range(12):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, steps, scope)
                    await ask(client, f"{path}/video", send)
            assert set(Path("/proc/self/fd").iterdir()) == before
        assert "http.response.body" in sent


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def ask(
    client: AppClient, path: str, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Ask the app for a path, and hand its answer on as it comes."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
    }
    await client.app(scope, trio.sleep_forever, send)  # type: ignore[arg-type]


async def test_an_uploaded_page_is_not_served_as_one(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """What is no video is given back as bytes that no browser shows."""
    async with open_app() as client:
        answer = await client.post(
            "/v1/translations", files={"video": ("page.html", b"<b>hi")}, data=FORM
        )
        await trio.sleep(11)
        result = await client.get(answer.headers["Location"] + "/video")
        assert result.headers["Content-Type"] == "application/octet-stream"
        assert result.headers["X-Content-Type-Options"] == "nosniff"
