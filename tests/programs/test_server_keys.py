"""API keys: who may ask, and that everybody sees his own jobs alone."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from vtrio._job import JobStatus
from vtrio.server import Access, Limits
from vtrio.server.access import new_key
from vtrio.server.store import ApiKeyRecord, Instant

if TYPE_CHECKING:
    from tests.programs.conftest import AppClient, CheckProblem, OpenApp

JOBS = "/v1/translations"
OPEN = ("/status", "/healthz", "/readyz")


class Keyring:
    """Two clients' keys, and how they travel."""

    def __init__(self) -> None:
        now = Instant(0, datetime(2026, 1, 2, 12, tzinfo=UTC))
        self.text, self.record = new_key("ours", now)
        self.other_text, self.other_record = new_key("theirs", now)
        self.ours = {"Authorization": f"Bearer {self.text}"}
        self.theirs = {"Authorization": f"Bearer {self.other_text}"}

    @property
    def records(self) -> list[ApiKeyRecord]:
        """Return what the store has of both."""
        return [self.record, self.other_record]


@pytest.fixture
def keys() -> Keyring:
    """Draw two keys."""
    return Keyring()


async def submit(client: AppClient, headers: dict[str, str], **more: str) -> str:
    """Submit a job with a key; return its id."""
    answer = await client.post(
        JOBS,
        files={"video": ("clip.mp4", b"video")},
        data={"target_language": "pt"},
        headers={**headers, **more},
    )
    assert answer.status_code == 202
    return str(answer.json()["id"])


def requests_about(client: AppClient, job_id: str) -> list[tuple[str, str]]:
    """Return a request to every route of the app, about a job where there is one."""
    found = []
    for rule in client.app.url_map.iter_rules():
        methods = (rule.methods or set()) - {"OPTIONS"}
        found += [(method, rule.rule.replace("<job_id>", job_id)) for method in methods]
    assert len(found) > 15
    return found


async def test_every_route_but_health_needs_a_key(
    open_app: OpenApp,
    check_problem: CheckProblem,
    keys: Keyring,
    autojump_clock: MockClock,
) -> None:
    """Also what is no route, and whatever comes with it; the answer says what to do."""
    async with open_app(keys=keys.records) as client:
        job_id = await submit(client, keys.ours)
        tag = (await client.get(f"{JOBS}/{job_id}", headers=keys.ours)).headers["ETag"]
        for method, path in (
            *requests_about(client, job_id),
            *(("GET", "/nowhere"), ("GET", "//status"), ("GET", "/status/")),
            *(("PATCH", JOBS), ("PUT", f"{JOBS}/{job_id}")),
        ):
            answer = await client.request(method, path, headers={"If-None-Match": tag})
            if path in OPEN:
                assert answer.status_code == 200, path
                continue
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            if method != "HEAD":
                detail = check_problem(answer, 401, "unauthorized")
                assert "Authorization: Bearer" in detail
        answer = await client.get("/nowhere", headers=keys.ours)
        check_problem(answer, 404, None)
        assert client.store.counts[JobStatus.RUNNING] == 1


async def test_only_a_key_that_is_known_opens(
    open_app: OpenApp,
    check_problem: CheckProblem,
    keys: Keyring,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    """In the one form; what was sent is in no answer and no line of the log."""
    caplog.set_level("DEBUG", "vtrio")
    key, secret = keys.text, keys.text.rpartition("_")[2]
    key_id = keys.record.id
    other_id = keys.other_record.id
    wrong = [
        *("", "Bearer", "Bearer ", key, f"Basic {key}", f"Token {key}"),
        *(f"Bearer {key}x", f"Bearer {key[:-1]}", f"Bearer {key} x", f"Bearer{key}"),
        *(f"Bearer {key},", f'Bearer "{key}"', f"Bearer {key.upper()}"),
        f"Bearer vtrio_{key_id}_{secrets.token_urlsafe(32)}",
        f"Bearer vtrio_{other_id}_{secret}",
        f"Bearer vtrio_{'0' * 12}_{secret}",
        *(f"Bearer {key_id}", f"Bearer {secret}", f"Bearer {keys.record.digest.hex()}"),
    ]
    async with open_app(keys=keys.records) as client:
        for text in wrong:
            answer = await client.get(JOBS, headers={"Authorization": text})
            check_problem(answer, 401, "unauthorized")
            assert secret not in answer.text
        for lines in (
            [(b"Authorization", b"Bearer \xff\xfe")],
            [(b"Authorization", f"Bearer {key}".encode())] * 2,
            [(b"X-Api-Key", key.encode())],
        ):
            answer = await client.get(JOBS, headers=lines)
            check_problem(answer, 401, "unauthorized")
        assert (await client.get(JOBS, params={"key": "x"})).status_code == 401
        for text in (f"bearer {key}", f"BEARER   {key}", f" Bearer {key} "):
            answer = await client.get(JOBS, headers={"Authorization": text})
            assert answer.status_code == 200
        access = Access(client.store)
        await access.refresh()
        assert access.needs_keys
        assert secret not in repr([access, client.store, keys.record, client.service])
    said = [*map(str, (record.__dict__ for record in caplog.records)), caplog.text]
    assert said[:-1]
    assert not [line for line in said if secret in line]
    assert {
        record.__dict__["client"]
        for record in caplog.records
        if record.message == "request"
    } == {key_id, None}


async def test_a_job_of_another_key_is_no_job(
    open_app: OpenApp,
    check_problem: CheckProblem,
    keys: Keyring,
    autojump_clock: MockClock,
) -> None:
    """On every route that takes an id, whatever the job's status; nothing happens to it."""
    async with open_app(keys=keys.records) as client:
        job_id = await submit(client, keys.ours)
        for second in (1.0, 11.0):
            await trio.sleep_until(second)
            mine = await client.get(f"{JOBS}/{job_id}", headers=keys.ours)
            routes = [
                (method, path)
                for method, path in requests_about(client, job_id)
                if job_id in path and method != "HEAD"
            ]
            assert len(routes) == 5
            for method, path in routes:
                for more in ({}, {"If-None-Match": mine.headers["ETag"]}):
                    headers = {**keys.theirs, **more}
                    answer = await client.request(method, path, headers=headers)
                    check_problem(answer, 404, "unknown-job")
                    nobody = await client.request(
                        method, path.replace(job_id, "nobody"), headers=headers
                    )
                    assert answer.json()["title"] == nobody.json()["title"]
            again = await client.get(f"{JOBS}/{job_id}", headers=keys.ours)
            assert again.content == mine.content
        held = {**keys.theirs, "Prefer": "wait=60"}
        check_problem(
            await client.get(f"{JOBS}/{job_id}", headers=held), 404, "unknown-job"
        )
        assert trio.current_time() == 11


async def test_lists_and_feeds_are_of_the_owners_jobs_alone(
    open_app: OpenApp, keys: Keyring, autojump_clock: MockClock
) -> None:
    """Pages, named jobs, several that are cancelled, events: as if there were no other."""
    async with open_app(keys=keys.records) as client:
        ours = await submit(client, keys.ours)
        theirs = await submit(client, keys.theirs)
        both = {"ids": f"{ours},{theirs}"}
        await trio.sleep(1)
        for headers, mine, other in (
            (keys.ours, ours, theirs),
            (keys.theirs, theirs, ours),
        ):
            page = (await client.get(JOBS, headers=headers)).json()
            assert [job["id"] for job in page["translations"]] == [mine]
            named = (await client.get(JOBS, params=both, headers=headers)).json()
            assert [job["id"] for job in named["translations"]] == [mine]
            assert named["missing"] == [other]
            feed = (await client.get("/v1/events", headers=headers)).json()
            assert {event["id"] for event in feed["events"]} == {mine}

        body = {"ids": [ours, theirs]}
        answer = await client.post(f"{JOBS}/cancel", json=body, headers=keys.theirs)
        assert answer.status_code == 202
        assert answer.json()["missing"] == [ours]
        answer = await client.get(f"{JOBS}/{ours}", headers=keys.ours)
        assert answer.json()["status"] == "running"


async def test_a_held_feed_is_not_told_of_others(
    open_app: OpenApp, keys: Keyring, autojump_clock: MockClock
) -> None:
    """Their changes do not end the wait; the cursor goes beyond them all the same."""
    async with open_app(keys=keys.records) as client:
        found: list[httpx.Response] = []

        async def hold() -> None:
            headers = {**keys.ours, "Prefer": "wait=20"}
            found.append(await client.get("/v1/events", headers=headers))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await trio.sleep(1)
            await submit(client, keys.theirs)
        assert trio.current_time() == 20
        document: dict[str, Any] = found[0].json()
        cursor = f"{client.store.id}.{client.store.cursor}"
        assert document == {"events": [], "next": cursor}


async def test_an_idempotency_key_is_its_owners(
    open_app: OpenApp, keys: Keyring, autojump_clock: MockClock
) -> None:
    """Two clients that take the same one have two jobs."""
    async with open_app(keys=keys.records) as client:
        named = {"Idempotency-Key": "k"}
        ours = await submit(client, keys.ours, **named)
        theirs = await submit(client, keys.theirs, **named)
        assert ours != theirs
        assert await submit(client, keys.theirs, **named) == theirs


async def test_a_key_that_is_revoked_opens_for_no_more_than_a_second(
    open_app: OpenApp,
    check_problem: CheckProblem,
    keys: Keyring,
    autojump_clock: MockClock,
) -> None:
    """By whichever process it was revoked; one that was added opens as soon."""
    async with open_app(keys=[keys.record]) as client:
        job_id = await submit(client, keys.ours)
        tag = (await client.get(f"{JOBS}/{job_id}", headers=keys.ours)).headers["ETag"]
        now = client.service.now()
        assert await client.store.revoke_api_key(keys.record.id, now)
        await client.store.add_api_key(keys.other_record)
        await trio.sleep_until(0.999)
        assert (await client.get(JOBS, headers=keys.ours)).status_code == 200
        await trio.sleep_until(1)
        for path in (JOBS, f"{JOBS}/{job_id}"):
            headers = {**keys.ours, "If-None-Match": tag}
            answer = await client.get(path, headers=headers)
            assert "revoked" in check_problem(answer, 401, "unauthorized")
        assert (await client.get(JOBS, headers=keys.theirs)).status_code == 200

        # Without a valid key it is closed, not open to everybody.
        assert await client.store.revoke_api_key(keys.other_record.id, now)
        await trio.sleep(1)
        for headers in ({}, keys.ours, keys.theirs):
            answer = await client.get(JOBS, headers=headers)
            check_problem(answer, 401, "unauthorized")
        for path in OPEN:
            assert (await client.get(path)).status_code == 200


async def test_the_first_key_closes_what_was_open(
    open_app: OpenApp, keys: Keyring, autojump_clock: MockClock
) -> None:
    """Jobs from before have no owner, so no key sees them."""
    async with open_app() as client:
        job_id = await submit(client, {})
        await client.store.add_api_key(keys.record)
        await trio.sleep(1)
        path = f"{JOBS}/{job_id}"
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=keys.ours)).status_code == 404


async def test_held_requests_are_counted_by_key(
    open_app: OpenApp, keys: Keyring, autojump_clock: MockClock
) -> None:
    """One client that holds all that it may takes no place from another."""
    async with open_app(keys=keys.records, limits=Limits(held=1)) as client:
        held = {"Prefer": "wait=2"}
        async with trio.open_nursery() as nursery:
            for headers in (keys.ours, keys.theirs):
                asking = {**headers, **held}
                nursery.start_soon(_expect, client, asking, 200)
                await wait_all_tasks_blocked()
                await _expect(client, asking, 429)
        assert trio.current_time() == 2


async def _expect(client: AppClient, headers: dict[str, str], status: int) -> None:
    answer = await client.get("/v1/events", headers=headers)
    assert answer.status_code == status
