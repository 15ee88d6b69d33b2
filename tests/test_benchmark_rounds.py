"""The rounds of the benchmarks: draws, figures, turns, and one round in earnest."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from benchmarks import _contender, _rounds, deadline, peers
from benchmarks._ending import TookTooLong
from benchmarks._load import is_saturated, sum_up_load
from benchmarks._ours import DEFAULT
from benchmarks._peers import Peer, Way
from benchmarks._peers_options import check
from benchmarks._rounds import Arena, Terms
from benchmarks._rounds_figures import (
    Waited,
    draw,
    groups,
    histogram,
    sum_up,
    tune,
)
from benchmarks._rounds_server import Front, Rounds
from benchmarks._servers import Server
from vtrio._distributions import Durations
from vtrio.server.asgi import Scope, Send
from vtrio.server.gate import Message, Receive

GENAI = Durations.parse("genai")

STAND_IN = '''
"""Asks each job in turn, at even pauses, and writes down how often it has asked."""

import json
import os
import time
import urllib.request

from benchmarks._peers import Way

NAME = "Stand-in"
NEEDS = ()
RUNS_ON = "threads"
DEFAULT = Way("every 0.2 s", {"pause": 0.2})


def tuned(interval):
    return Way(f"every {interval:g} s", {"pause": interval})


def wait_for_all(urls, limit, way, report):
    asked = 0
    left = list(urls)
    while left:
        for url in list(left):
            asked += 1
            with urllib.request.urlopen(url) as answer:
                assert answer.headers["Retry-After"] is None
                assert answer.headers["Job-Age"] is None
                status = json.load(answer)["status"]
            if status == "completed":
                left.remove(url)
                report(url, "completed")
        time.sleep(way.settings["pause"])
    with open(os.environ["STAND_IN_COUNTS"], "a") as file:
        file.write(f"{len(urls)} {way.title} {asked}\\n")
'''


def options_of(scenario: Any, *arguments: object) -> argparse.Namespace:
    """Return a scenario's options as its command line has them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    scenario.add_arguments(parser)
    return parser.parse_args(list(map(str, arguments)))


def waited(
    reports: Mapping[str, tuple[float, str]],
    ended_at: Mapping[str, float],
    **told: Any,
) -> Waited:
    """Return what a contender found in a round that began at 100."""
    found = {
        "reports": {job: [at, outcome, ""] for job, (at, outcome) in reports.items()},
        "twice": 0,
        "cpu": 0.5,
        "ended": True,
        "error": "",
        "way": "as it comes",
        **told,
    }
    return Waited(
        begins_at=100.0, ended_at=ended_at, told=found, instants=[0.1, 0.9, 1.5, 6.0]
    )


# --- draws --------------------------------------------------------------------------


def test_jobs_are_drawn_alike_and_none_is_longer_than_the_cut() -> None:
    """By the seed and the number of jobs alone."""
    drawn = draw(GENAI, 1000, seed=0, cut=119)
    assert drawn == draw(GENAI, 1000, seed=0, cut=119)
    assert drawn != draw(GENAI, 1000, seed=1, cut=119)
    assert max(drawn) == 119
    assert min(drawn) >= 3


def test_the_interval_in_hindsight_is_best_for_just_these_jobs() -> None:
    """One look just after the end, where all jobs are alike."""
    interval = tune([10.0] * 20)
    assert 10 <= interval < 10.7


# --- figures ------------------------------------------------------------------------


def test_a_missed_job_is_counted_and_does_not_flatter_the_lag() -> None:
    """It counts as if it were learned of at the limit."""
    found = sum_up(
        waited(
            {
                "a": (102.5, "completed"),
                "b": (103.5, "completed"),
                "c": (105.0, "timeout"),
            },
            {"a": 102.0, "b": 102.0, "c": 101.0, "d": 104.0},
        ),
        limit=6,
        grace=3,
    )
    percentiles = found["lag"].pop("percentiles")
    assert percentiles == [0.5] * 11 + [1.5] * 10  # 1, 5, 10, ... 50, and up to 99
    assert found["lag"] == {"mean": 1.0, "p50": 0.5, "p95": 1.5, "p99": 1.5, "max": 1.5}
    assert found["missed"] == 2
    assert found["not_given_up"] == 1
    assert found["timeout"] == 1
    assert found["lag_with_missed"]["mean"] == (0.5 + 1.5 + 5.0 + 2.0) / 4
    assert found["lag_with_missed"]["max"] == 5.0
    assert found["requests_per_job"] == 1.0
    assert found["cpu_per_job"] == 0.125


def test_who_gives_up_early_and_who_late_is_told() -> None:
    """Overshoot is of the latest report, whatever it says."""
    early = sum_up(waited({"a": (103.0, "timeout")}, {"a": 105.0}), limit=6, grace=3)
    assert early["overshoot"] == 0
    assert early["gave_up_after_deadline"] == {"min": -3.0, "median": -3.0, "max": -3.0}
    late = sum_up(waited({"a": (106.5, "completed")}, {"a": 105.0}), limit=6, grace=3)
    assert late["overshoot"] == 0.5
    assert late["missed"] == 0
    assert late["gave_up_after_deadline"] is None


def test_who_had_to_be_ended_is_late_by_the_grace() -> None:
    """In truth by more."""
    found = sum_up(waited({}, {"a": 105.0}, ended=False), limit=6, grace=3)
    assert found["overshoot"] == 3
    assert not found["ended"]
    assert found["not_given_up"] == 1
    assert found["lag"] is None


def test_a_job_that_ends_after_the_limit_is_not_missed() -> None:
    """Nobody could have reported it."""
    found = sum_up(waited({"a": (106.0, "timeout")}, {"a": 106.5}), limit=6, grace=3)
    assert found["missed"] == 0
    assert found["lag_with_missed"]["max"] == 0


def test_requests_are_counted_by_bins() -> None:
    """Up to that of the last one."""
    assert histogram([0.0, 0.5, 1.0, 3.9], 1.0) == [2, 1, 0, 1]
    assert histogram([], 1.0) == []


# --- groups -------------------------------------------------------------------------


def test_who_asks_little_waits_together_and_who_asks_much_alone() -> None:
    """Within so many requests a second, and so many at once."""
    rates = {"much": 900.0, "some": 200.0, "more": 350.0, "little": 10.0, "less": 5.0}
    found = groups(rates, most=4, rate=400, most_groups=9)
    assert found == [["less", "little", "some"], ["more"], ["much"]]
    pairs = groups(rates, most=2, rate=400, most_groups=9)
    assert pairs == [["less", "little"], ["some"], ["more"], ["much"]]


def test_more_is_asked_at_once_where_there_would_be_too_many_groups() -> None:
    """The time is bounded, and so is their number."""
    rates = {str(number): 100.0 for number in range(8)}
    assert len(groups(rates, most=1, rate=50, most_groups=2)) == 2


# --- load ---------------------------------------------------------------------------


def test_the_busiest_seconds_are_told_beside_the_whole() -> None:
    """A burst is not lost in the mean; of a short time, the whole is the busiest."""
    server = [0.0, 0.1, 1.1, 2.1, 3.1, 4.1, 5.1, 5.2, 5.3, 5.4, 5.5]
    readings = [(float(at), cpu, 1.5 * at) for at, cpu in enumerate(server)]
    found = sum_up_load(readings, 2)
    assert found == pytest.approx(
        {
            "server": 0.55,
            "machine": 0.25,
            "server_busiest": 1.0,
            "machine_busiest": 0.25,
        }
    )
    assert is_saturated(found)
    assert not is_saturated(sum_up_load(readings[6:], 2))


# --- what a round rests on ---------------------------------------------------------


def test_a_teacher_has_completed_all_jobs_and_kept_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what is said to have learned has not; what it misses it tries again."""
    history = tmp_path / "history.json"
    asked: list[Sequence[float]] = []
    completes = 1

    def wait_for_some(_: object, terms: Terms) -> dict[str, Waited]:
        asked.append(terms.durations)
        ends = {str(turn): 100.0 + age for turn, age in enumerate(terms.durations)}
        seen = dict(list(ends.items())[:completes])
        reports = {job: (end + 0.1, "completed") for job, end in seen.items()}
        return {"teacher": waited(reports, ends)}

    terms = Terms(durations=[1.0, 2.0], limit=6, grace=1, interval=1)
    with Arena(Server("http://127.0.0.1", cast("Any", None)), tmp_path, 0) as arena:
        monkeypatch.setattr(arena, "round", wait_for_some)
        with pytest.raises(RuntimeError, match="wrote no history"):
            arena.teach("teacher", history, terms)
        assert asked == [[1.0, 2.0], [2.0]]
        history.write_text("{}")
        arena.teach("teacher", history, terms)
        completes = 0
        with pytest.raises(RuntimeError, match="has missed 2 of 2 jobs"):
            arena.teach("teacher", history, terms)


def test_an_order_that_comes_late_is_refused() -> None:
    """Its jobs would have been alive for a while."""
    way = Way("any", {})
    told = {"at": time.time() - 1, "limit": 5, "grace": 1}
    with pytest.raises(RuntimeError, match=r"s after the jobs had begun"):
        _contender._wait(cast("Peer", None), way, told)


# --- options ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--sizes", 0], "--sizes 0 is not allowed: must be from 1 to 2,000"),
        (["--taught", 5000], "--taught 5000 is not allowed"),
        (["--outage-jobs", -1], "--outage-jobs -1 is not allowed: must be from 0"),
        (["--cut", 120], "--cut 120 is not allowed: must be below --limit 120"),
        (["--limit", 900], "--limit 900 is not allowed: must be above 0, and 600"),
        (["--knobs", 0], "--knobs 0 is not allowed: must be above 0"),
        (["--rate", "nan"], "--rate nan is not allowed"),
        (["--outage-at", 0], "--outage-at 0 is not allowed"),
        (["--durations", "gamma:1"], "the family must be one of"),
    ],
)
def test_options_that_no_round_can_be_made_of_are_refused(
    arguments: list[object], told: str
) -> None:
    """Each by its name, with the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        check(options_of(peers, *arguments))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--waits", 0], "--waits 0 is not allowed: must be from 1 to 200"),
        (["--rounds", 99], "--rounds 99 is not allowed"),
        (["--limit", 0], "--limit 0 is not allowed"),
        (["--grace", 0], "--grace 0 is not allowed"),
    ],
)
def test_options_of_the_deadline_are_refused_likewise(
    arguments: list[object], told: str
) -> None:
    """Each by its name, with the value and what is allowed."""
    with pytest.raises(ValueError, match=told):
        deadline.check(options_of(deadline, *arguments))


@pytest.mark.parametrize(
    ("scenario", "check_them"), [(peers, check), (deadline, deadline.check)]
)
def test_the_quick_run_sets_options_that_there_are(
    scenario: Any, check_them: Callable[[argparse.Namespace], object]
) -> None:
    """And that are allowed."""
    options = options_of(scenario)
    assert set(scenario.QUICK) <= set(vars(options))
    check_them(argparse.Namespace(**{**vars(options), **scenario.QUICK}))


def test_contenders_are_chosen_by_the_beginning_of_their_names() -> None:
    """A whole name goes before; one that is not there is refused, with those that are."""
    contenders = [_rounds.of_ours(f"vtrio-{name}", DEFAULT) for name in ("x1", "x1-4")]
    assert _rounds.choose(contenders, ["vtrio-x1"]) == contenders[:1]
    assert _rounds.choose(contenders, []) == contenders
    assert _rounds.choose(contenders, ["vtrio"]) == contenders
    assert _rounds.choose(contenders, ["vtrio-x1-4"]) == contenders[1:]
    with pytest.raises(ValueError, match="--only trio is not allowed: must be one of"):
        _rounds.choose(contenders, ["trio"])


# --- the outage ---------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.parametrize(
    ("path", "statuses", "bodies"),
    [
        ("held", [503], [False]),
        ("begun", [200], [True, False]),
        ("stream", [200], [True, False]),
        ("over", [200], [False]),
    ],
)
async def test_an_outage_cuts_no_answer(
    path: str, statuses: list[int], bodies: list[bool], autojump_clock: MockClock
) -> None:
    """What is held gets a 503, what has begun is finished, and a stream is ended."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kind = "text/event-stream" if path == "stream" else "application/json"
        headers = [(b"Content-Type", kind.encode())]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        body = {"type": "http.response.body", "body": b"x", "more_body": True}
        if path == "held":
            await trio.sleep(60)
        await send(start)
        if path != "over":
            await send(body)
        if path == "stream":
            await send(body)  # by now the outage has begun
            await trio.sleep(60)
        await send({**body, "more_body": False})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        await trio.sleep(0.8)  # longer than until the outage
        sent.append(message)

    steered = Rounds()
    steered.begin("x", time.time(), {}, (0.9, 20.0))
    scope = {"type": "http", "path": f"/as/x/{path}"}
    await Front(app, steered)(scope, receive, send)
    assert [one["status"] for one in sent if "status" in one] == statuses
    ends = [one.get("more_body", False) for one in sent if "status" not in one]
    assert ends == bodies


# --- the time there is -------------------------------------------------------------


class SlowRounds:
    """Rounds of which the second takes longer than there is time."""

    def __init__(self, *_: object) -> None:
        pass

    def teach(self, history: Path) -> None:
        """Take no time."""

    def of_size(self, size: int) -> dict[str, Any]:
        """Be done with the first size at once."""
        if size > 1:
            time.sleep(30)
        return {"size": size, "contenders": []}


def test_what_is_complete_when_the_time_is_over_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is told that the rest is missing; where nothing is complete, it is raised."""
    monkeypatch.setattr(peers, "find_peers", lambda: ([], []))
    monkeypatch.setattr(peers, "open_arena", lambda *_: nullcontext())
    monkeypatch.setattr(peers, "_Rounds", SlowRounds)
    monkeypatch.setattr(peers, "_longest", lambda _: 0.2)
    found = peers.run(options_of(peers, "--sizes", 1, 2, "--outage-jobs", 0))
    assert [one["size"] for one in found["rounds"]] == [1]
    assert found["unfinished"]
    assert "UNFINISHED: it was not over after 0 s" in capsys.readouterr().out
    with pytest.raises(TookTooLong):
        peers.run(options_of(peers, "--sizes", 2, "--outage-jobs", 0))


# --- in earnest ---------------------------------------------------------------------


@pytest.fixture
def stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Make a peer of a loop that counts what it asks, and nothing else of others."""
    (tmp_path / "stand_in_peer.py").write_text(STAND_IN, encoding="utf-8")
    counts = tmp_path / "counts"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STAND_IN_COUNTS", str(counts))
    import stand_in_peer  # type: ignore[import-not-found]

    found = [stand_in_peer], ["polling3 is not installed (vtrio[bench]): left out"]
    for scenario in (peers, deadline):
        monkeypatch.setattr(scenario, "find_peers", lambda: found)
    return lambda: counts.read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_the_server_counts_what_a_contender_asks(
    stand_in: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A round, an outage that is survived, and what they are summed up to."""
    options = options_of(
        peers,
        *("--sizes", 3, "--durations", "uniform:0.5,1.5", "--cut", 1.6),
        *("--limit", 20, "--grace", 2, "--outage-jobs", 0, "--taught", 2),
        *("--knobs", 1),
    )
    found = peers.run(options)
    json.dumps(found)
    (only,) = found["rounds"]
    rows = {row["slug"]: row for row in only["contenders"]}
    assert set(rows) == {"stand-in", "stand-in-tuned", "vtrio-ladder", "vtrio-x1"}
    asked = {
        way.rpartition(" ")[0]: int(way.rpartition(" ")[2])
        for way in stand_in()
        if way.startswith("3 ")
    }
    assert rows["stand-in"]["requests"] == asked["3 every 0.2 s"]
    assert (
        rows["stand-in-tuned"]["requests"]
        == asked[f"3 {rows['stand-in-tuned']['way']}"]
    )
    for told in rows.values():
        assert told["completed"] == told["jobs"] == 3
        assert told["missed"] == told["raised"] == told["told_twice"] == 0
        assert sum(map(int, told["requests_by_bin"].split())) == told["requests"]
        assert not told["error"]
    assert found["left_out"] == ["polling3 is not installed (vtrio[bench]): left out"]
    printed = capsys.readouterr().out
    assert "polling3 is not installed" in printed
    assert "vtrio-ladder *" in printed
    assert "missed by ours: 0" in printed


@pytest.mark.slow
def test_an_outage_answers_nobody(stand_in: Callable[[], list[str]]) -> None:
    """Who raises then is told of, and ours goes on."""
    options = options_of(
        peers,
        *("--sizes", 1, "--durations", "uniform:2.2,2.4", "--cut", 2.5),
        *("--limit", 20, "--grace", 2, "--only", "stand-in", "vtrio-ladder"),
        *("--outage-jobs", 2, "--outage-at", 0.5, "--outage", 1),
    )
    outage = peers.run(options)["outage"]
    rows = {row["slug"]: row for row in outage["contenders"]}
    assert "503" in rows["stand-in"]["error"]
    assert rows["stand-in"]["missed"] == 2
    assert rows["stand-in"]["requests_in_outage"] == 1
    assert rows["stand-in"]["requests_before"] >= 1
    assert rows["vtrio-ladder"]["missed"] == 0
    assert rows["vtrio-ladder"]["requests_in_outage"] >= 1


@pytest.mark.slow
def test_the_limit_is_told_of_each(
    stand_in: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """One row a contender over all rounds, and the verdict on ours."""
    options = options_of(
        deadline,
        *("--limit", 3, "--waits", 2, "--rounds", 1, "--taught", 2, "--grace", 5),
        *("--only", "stand-in", "vtrio-exponential"),
    )
    found = deadline.run(options)
    json.dumps(found)
    rows = {row["slug"]: row for row in found["contenders"]}
    assert rows["stand-in"]["reported"] == rows["stand-in"]["waits"] == 2
    assert rows["vtrio-exponential"]["waits"] == 2
    assert found["verdict"]["promise"] == {"missed": 0, "overshoot": 0.05}
    assert "promised: 0 and 50 ms" in capsys.readouterr().out
