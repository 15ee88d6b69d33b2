"""The peers of the benchmarks: each waits for a small server's jobs, in its own way."""

from __future__ import annotations

import inspect
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stamina as stamina_itself
from azure.core.polling.base_polling import LROBasePolling
from botocore.loaders import create_loader  # type: ignore[import-untyped]
from google.api_core.future.polling import DEFAULT_POLLING

from benchmarks._peers import Peer, Way, tuned_for_limit
from benchmarks._peers import aiohttp as aiohttp_peer
from benchmarks._peers import azure_core as azure_peer
from benchmarks._peers import botocore as botocore_peer
from benchmarks._peers import google_api_core as google_peer
from benchmarks._peers import polling2 as polling2_peer
from benchmarks._peers import stamina as stamina_peer
from benchmarks._peers import tenacity as tenacity_peer
from benchmarks._peers._finding import MODULES, find_peers
from benchmarks._peers._running import CONNECTIONS

PEERS = {peer.NAME: peer for peer in find_peers()[0]}

ENDS = {
    "good": "completed",
    "bad": "error",
    "withdrawn": "cancelled",
    "unwell": "completed",
}


class Jobs(ThreadingHTTPServer):
    """Jobs by the first word of their name; those that end do so 0.2 s after a look.

    `unwell` answers 503 at first, `hinted` names a pause of a minute.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: Counter[str] = Counter()
        self._first: dict[str, float] = {}
        self._lock = threading.Lock()

    def address(self, name: str) -> str:
        """Return the URL of a job."""
        return f"http://127.0.0.1:{self.server_port}/v1/translations/{name}"

    def answer(self, name: str) -> tuple[int, dict[str, str], dict[str, object]]:
        """Return status, headers and document of the next answer about a job."""
        now = time.monotonic()
        with self._lock:
            self.asked[name] += 1
            asked = self.asked[name]
            first = self._first.setdefault(name, now)
        kind = name.partition("-")[0]
        if kind == "unwell" and asked == 1:
            return 503, {}, {"type": "about:blank", "title": "Busy", "status": 503}
        word = ENDS.get(kind, "running") if now - first > 0.2 else "running"
        headers = {"Retry-After": "60"} if kind == "hinted" else {}
        return 200, headers, {"id": name, "status": word, "error": None}


class _Answering(BaseHTTPRequestHandler):
    server: Jobs
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        code, headers, document = self.server.answer(self.path.rpartition("/")[2])
        content = json.dumps(document).encode()
        self.send_response(code)
        headers["Content-Type"] = "application/json"
        headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """A server of jobs, in a thread of its own."""
    with Jobs() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=list(MODULES))
def peer(request: pytest.FixtureRequest) -> Peer:
    """Each of the peers."""
    return PEERS[request.param]


def wait(peer: Peer, urls: list[str], limit: float, way: Way) -> dict[str, list[str]]:
    """Wait for all, and return each report on each URL."""
    reports: dict[str, list[str]] = {url: [] for url in urls}

    def report(url: str, outcome: str, why: str = "") -> None:
        reports[url].append(f"{outcome} {why}".strip())

    peer.wait_for_all(urls, limit, way, report)
    return reports


# --- Which there are ----------------------------------------------------------------


def test_all_are_found_in_the_order_of_tables() -> None:
    """The extra for tests installs them, so that none of this is left out in CI."""
    found, left_out = find_peers()
    assert [peer.NAME for peer in found] == list(MODULES)
    assert {peer.RUNS_ON for peer in found} == {"trio", "asyncio", "threads"}
    assert all(peer.NEEDS[0] == peer.NAME for peer in found)
    assert left_out == []


@pytest.mark.parametrize(
    ("missing", "name", "line"),
    [
        ("polling2", "polling2", "polling2 is not installed (vtrio[bench]): left out"),
        (
            "google.api_core",
            "google-api-core",
            "google-api-core is not installed (vtrio[bench]): left out",
        ),
        (
            "requests",
            "polling2",
            "requests is not installed (vtrio[bench]): polling2 is left out",
        ),
    ],
)
def test_what_is_missing_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, missing: str, name: str, line: str
) -> None:
    """The others are found all the same."""
    package = find_peers.__module__.rpartition(".")[0]
    for loaded in [MODULES[name], "_requests"]:
        monkeypatch.delitem(sys.modules, f"{package}.{loaded}")
    monkeypatch.setitem(sys.modules, missing, None)
    found, left_out = find_peers()
    assert left_out == [line]
    assert name not in [peer.NAME for peer in found]
    assert len(found) == len(MODULES) - 1


# --- What their waits come to -------------------------------------------------------


def test_each_wait_among_many_is_reported_once(jobs: Jobs, peer: Peer) -> None:
    """More at once than there are connections, so that some wait for their turn."""
    good = [jobs.address(f"good-{number}") for number in range(2 * CONNECTIONS)]
    bad = [jobs.address("bad"), jobs.address("withdrawn")]
    reports = wait(peer, [*good, *bad], 20, peer.tuned(0.1))
    assert [reports[url] for url in good] == [["completed"]] * len(good)
    assert [reports[url] for url in bad] == [["failed"]] * 2


def test_a_job_that_never_ends_is_a_timeout(jobs: Jobs, peer: Peer) -> None:
    """Each has a limit of its own kind."""
    url = jobs.address("never")
    assert wait(peer, [url], 0.3, peer.tuned(0.1)) == {url: ["timeout"]}
    assert jobs.asked["never"] >= 2


def test_an_answer_of_503_ends_no_wait(jobs: Jobs, peer: Peer) -> None:
    """Each asks again, as its documentation has it."""
    url = jobs.address("unwell")
    assert wait(peer, [url], 20, peer.tuned(0.1)) == {url: ["completed"]}


REFUSED: Mapping[str, str] = {
    "tenacity": "timeout",
    "stamina": "raised ConnectError",  # it lets the last error through
    "aiohttp": "timeout",
    "google-api-core": "timeout",  # what it retries with gives up with the same error
    "polling2": "timeout",
    "azure-core": "timeout",  # its retry policy goes on for longer
    "botocore": "raised EndpointConnectionError",  # a waiter alone does not try again
}


def test_where_nobody_listens_each_ends_in_its_way(peer: Peer) -> None:
    """Nobody hangs; what they say differs."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1/translations/x"
        reports = wait(peer, [url], 0.3, peer.tuned(0.1))
    assert reports == {url: [REFUSED[peer.NAME]]}


def test_azure_core_waits_as_the_server_says(jobs: Jobs) -> None:
    """`Retry-After` overrides the interval, so that tuning it changes nothing."""
    url = jobs.address("hinted")
    reports = wait(azure_peer, [url], 0.4, azure_peer.tuned(0.01))
    assert reports == {url: ["timeout"]}
    assert jobs.asked["hinted"] == 1  # as polling begins


@pytest.mark.parametrize(
    ("peer", "settings"),
    [
        (aiohttp_peer, {**aiohttp_peer.DEFAULT.settings, "initial": 0.0, "jitter": 0}),
        (stamina_peer, {"wait_initial": 0.0, "wait_max": 0.0, "wait_jitter": 0.0}),
    ],
    ids=["aiohttp", "stamina"],
)
def test_ten_attempts_are_all(
    jobs: Jobs, peer: Peer, settings: Mapping[str, float]
) -> None:
    """By default both give up after them, with time left."""
    url = jobs.address("never")
    assert wait(peer, [url], 20, Way("at once", settings)) == {url: ["timeout"]}
    assert jobs.asked["never"] == 10


# --- What they are set to -----------------------------------------------------------


def test_the_defaults_are_what_their_titles_say() -> None:
    """They are asked of the packages, wherever these have some."""
    stamina_has = inspect.signature(stamina_itself.AsyncRetryingCaller).parameters
    assert stamina_peer.DEFAULT.settings == {}
    assert stamina_peer.DEFAULT.title == (
        "its own: {} s x {} up to {:g} s, plus up to {:g} s of jitter, {} attempts"
    ).format(
        *(
            stamina_has[name].default
            for name in (
                "wait_initial",
                "wait_exp_base",
                "wait_max",
                "wait_jitter",
                "attempts",
            )
        )
    )

    assert google_peer.retries(google_peer.DEFAULT, 60)[0] is DEFAULT_POLLING
    polling = DEFAULT_POLLING
    assert (polling._initial, polling._multiplier, polling._maximum) == (1, 1.5, 20)

    assert azure_peer.DEFAULT.settings == {}
    assert LROBasePolling()._timeout == 30

    model = create_loader().load_service_model("transcribe", "waiters-2")
    waiter = model["waiters"]["TranscriptionJobCompleted"]
    assert botocore_peer.DEFAULT.settings == {"Delay": waiter["delay"]}


def test_the_defaults_of_documentation_stay_as_they_were_read() -> None:
    """These packages have none of their own."""
    assert tenacity_peer.DEFAULT.settings["wait_fixed"] == 2
    assert polling2_peer.DEFAULT.settings == {"step": 1}


def test_a_tuned_way_says_its_interval(peer: Peer) -> None:
    """In the settings of the package itself."""
    way = peer.tuned(1.25)
    assert "1.25" in way.title
    assert {1.25, 2.5} & set(way.settings.values())  # twice where it is a mean


def test_who_is_tuned_for_a_limit_looks_just_before_it(peer: Peer) -> None:
    """Or often enough, where its pauses are drawn from 0 on; the title says so."""
    way = tuned_for_limit(peer, 6.0)
    if peer.NAME == "google-api-core":
        assert way.settings["maximum"] == 0.1
        assert "many requests" in way.title
    else:
        assert way == peer.tuned(5.95)


def test_a_waiter_knows_its_limit_as_attempts() -> None:
    """As many as begin within it, and never none."""
    assert botocore_peer.attempts(60, botocore_peer.DEFAULT) == 7
    assert botocore_peer.attempts(59, botocore_peer.DEFAULT) == 6
    assert botocore_peer.attempts(61, botocore_peer.DEFAULT) == 7
    assert botocore_peer.attempts(0.1, botocore_peer.DEFAULT) == 1
