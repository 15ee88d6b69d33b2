"""What the server says of itself: ids of requests, its log, its metrics, its health."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock, wait_all_tasks_blocked

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

JOBS = "/v1/translations"


async def test_every_answer_names_its_request(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """By the id that the client gave, if that is a plain word, else by a fresh one."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        tag = {"If-None-Match": (await client.get(path)).headers["ETag"]}
        asked: tuple[tuple[str, dict[str, str], int], ...] = (
            *((path, {}, 200), (path, tag, 304), ("/nowhere", {}, 404)),
            *((f"{path}/video", {}, 409), (f"{JOBS}?ids=a b", {}, 422)),
        )
        for address, headers, status in asked:
            for given in ("a", "A-b_c.9", "x" * 64):
                named = {**headers, "X-Request-Id": given}
                answer = await client.get(address, headers=named)
                assert answer.status_code == status
                assert answer.headers.get_list("X-Request-Id") == [given]
                if status >= 400:
                    assert answer.json()["request_id"] == given
        fresh = set()
        for given in ("", "x" * 65, "a b", "a\tb", "ü", '"a"', "a,b"):
            headers_of_bytes = {b"X-Request-Id": given.encode()}
            answer = await client.get(path, headers=headers_of_bytes)
            assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
            fresh.add(answer.headers["X-Request-Id"])
        assert len(fresh) == 7


def events_of(
    caplog: pytest.LogCaptureFixture, *words: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return what was logged under these words, with its fields."""
    return [
        (record.message, record.__dict__)
        for record in caplog.records
        if record.message in words
    ]


async def test_every_request_has_one_line_in_the_log(
    open_app: OpenApp, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """It says what was asked and answered, in how many seconds, and names the request."""
    caplog.set_level("INFO", "vtrio")
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        tag = (await client.get(path)).headers["ETag"]
        caplog.clear()
        for number, (method, address, headers, status, seconds) in enumerate(
            (
                ("GET", path, {}, 200, 0),
                ("GET", path, {"If-None-Match": tag}, 304, 0),
                ("GET", path, {"Prefer": "wait=2"}, 200, 2),
                ("GET", "/nowhere?query=1", {}, 404, 0),
                ("POST", f"{path}/cancel", {}, 202, 0),
                ("DELETE", path, {}, 204, 0),
                ("GET", "/healthz", {}, 200, 0),
            )
        ):
            named = {**headers, "X-Request-Id": f"r{number}"}
            await client.request(method, address, headers=named)
            ((_, line),) = events_of(caplog, "request")
            assert line["method"] == method
            assert line["path"] == address.partition("?")[0]
            assert line["status"] == status
            assert line["seconds"] == seconds
            assert line["request_id"] == f"r{number}"
            assert line["levelno"] == logging.INFO
            caplog.clear()


async def test_a_request_whose_client_leaves_has_its_line_too(
    open_app: OpenApp, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """Without a status, because there was no answer."""
    caplog.set_level("INFO", "vtrio")
    async with open_app() as client:
        with trio.move_on_after(3):
            await client.get("/v1/events", headers={"Prefer": "wait=60"})
        ((_, line),) = events_of(caplog, "request")
        assert (line["status"], line["seconds"]) == (None, 3)
        assert (await metrics(client))["vtrio_held_requests"] == 0


async def test_every_change_of_a_job_has_one_line_in_the_log(
    open_app: OpenApp, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """What a request did names it; what the server did by itself names the job alone."""
    caplog.set_level("INFO", "vtrio")
    async with open_app(workers=1) as client:
        ids = [(await client.submit(key=key)).json()["id"] for key in "abc"]
        await client.submit(key="a")
        await trio.sleep(10.5)
        await client.post(f"{JOBS}/{ids[1]}/cancel", headers={"X-Request-Id": "r"})
        await trio.sleep(1)
        await client.delete(f"{JOBS}/{ids[0]}")

        words = ("accepted", "accepted-before", "cancelled", "removed", "forgotten")
        lines = events_of(
            caplog,
            *(f"job-{word}" for word in words),
            *("attempt-started", "attempt-ended"),
        )
        told = {
            job_id: [word for word, line in lines if line["id"] == job_id]
            for job_id in ids
        }
        begun = ["job-accepted", "attempt-started"]
        assert list(told.values()) == [
            [*begun, "job-accepted-before", "attempt-ended", "job-removed"],
            [*begun, "job-cancelled", "attempt-ended"],
            begun,
        ]
        for word, line in lines:
            assert ("request_id" in line) == word.startswith("job-")
        (cancelled,) = [line for word, line in lines if word == "job-cancelled"]
        assert cancelled["request_id"] == "r"
        ended = {
            line["id"]: line["status"]
            for word, line in lines
            if word == "attempt-ended"
        }
        assert ended == {ids[0]: "completed", ids[1]: "overtaken"}


async def metrics(client: AppClient) -> dict[str, float]:
    """Return the samples, by name and labels as they are written."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_the_metrics_tell_of_jobs(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """How many there are in each status, how long they waited, and how long they ran."""
    async with open_app(workers=1) as client:
        ids = [(await client.submit()).json()["id"] for _ in range(4)]
        await trio.sleep(15)
        await client.post(f"{JOBS}/{ids[1]}/cancel")
        await trio.sleep(1)

        found = await metrics(client)
        counts = {
            "pending": 1,
            "running": 1,
            "completed": 1,
            "cancelled": 1,
            "error": 0,
        }
        for status, count in counts.items():
            assert found[f"vtrio_jobs status={status}"] == count
        # Waits of 0, 10 and 15 s; runs of 10 and 5 s.
        assert found["vtrio_queue_wait_seconds_count"] == 3
        assert found["vtrio_queue_wait_seconds_sum"] == 25
        assert found["vtrio_queue_wait_seconds_bucket le=10.0"] == 2
        assert found["vtrio_run_seconds_count"] == 2
        assert found["vtrio_run_seconds_sum"] == 15
        await client.delete(f"{JOBS}/{ids[0]}")
        assert (await metrics(client))["vtrio_jobs status=completed"] == 0


async def test_the_metrics_tell_of_questions(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """Polls by what was answered, requests by their route, and those that are held."""
    async with open_app() as client:
        path = (await client.submit()).headers["Location"]
        await trio.sleep(1)
        tag = (await client.get(path)).headers["ETag"]
        seen, held = {"If-None-Match": tag}, {"Prefer": "wait=20"}
        await client.get(path, headers=seen)
        await client.get(path, headers={**seen, "Prefer": "handling=strict"})
        await client.get(JOBS, params={"ids": "a"})
        for _ in range(3):
            await client.get(f"{JOBS}/nobody")
        await client.get(f"{JOBS}/nobody", headers=held)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(_get, client, path, held)
            await wait_all_tasks_blocked()
            assert (await metrics(client))["vtrio_held_requests"] == 2
        await client.get("/nowhere")

        found = await metrics(client)
        assert found["vtrio_held_requests"] == 0
        polls = {
            name: value for name, value in found.items() if "vtrio_polls_total" in name
        }
        assert polls == {
            "vtrio_polls_total answer=200 held=no": 2,
            "vtrio_polls_total answer=304 held=no": 2,
            "vtrio_polls_total answer=404 held=no": 3,
            "vtrio_polls_total answer=404 held=yes": 1,
            "vtrio_polls_total answer=200 held=yes": 2,
        }
        one = "/v1/translations/<job_id>"
        for method, route, status, count in (
            *(("POST", JOBS, 202, 1), ("GET", JOBS, 200, 1)),
            *(("GET", one, 200, 3), ("GET", one, 304, 2), ("GET", one, 404, 4)),
            *(("GET", "none", 404, 1), ("GET", "/metrics", 200, 1)),
        ):
            name = f"vtrio_requests_total method={method} route={route} status={status}"
            assert found[name] == count, name


async def _get(client: AppClient, path: str, headers: dict[str, str]) -> None:
    await client.get(path, headers=headers)


async def test_the_metrics_tell_how_late_an_end_was_told(
    open_app: OpenApp, autojump_clock: MockClock
) -> None:
    """From the end of a job to the first answer that has it, by whichever way."""
    async with open_app() as client:
        paths = [(await client.submit()).headers["Location"] for _ in range(3)]
        await client.get(paths[0], headers={"Prefer": "wait=60"})
        found = await metrics(client)
        assert found["vtrio_told_seconds_count"] == 1
        assert found["vtrio_told_seconds_sum"] == 0

        await trio.sleep(2)
        first = await client.get(paths[1])
        tag = {"If-None-Match": first.headers["ETag"]}
        await client.get(paths[1], headers=tag)
        await client.get(paths[1])
        await trio.sleep(3)
        for _ in range(2):
            await client.get("/v1/events")
        found = await metrics(client)
        assert found["vtrio_told_seconds_count"] == 3
        assert found["vtrio_told_seconds_sum"] == 2 + 5


async def test_readiness_ends_when_the_server_stops(
    open_app: OpenApp, check_problem: CheckProblem, autojump_clock: MockClock
) -> None:
    """Ready while jobs are taken and worked on; alive for as long as it answers."""
    async with open_app() as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert answer.headers["Cache-Control"] == "no-store"
        client.service.refuse_work()
        answer = await client.get("/readyz")
        check_problem(answer, 503, "not-ready")
        assert answer.headers["Retry-After"] == "5"
        assert (await client.get("/healthz")).status_code == 200
