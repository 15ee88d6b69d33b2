"""The benchmarks' program: it finds its scenarios and writes what it found."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def run(
    *arguments: object, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, from the top of the tree."""
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def benchmarks(*arguments: object, path: Path | None = None) -> str:
    """Run a scenario that succeeds, and return what it prints."""
    done = run(*arguments, path=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_scenarios_are_listed() -> None:
    """By name, with what each is about."""
    listed = benchmarks()
    assert "wait" in listed
    assert "schedules" in listed
    assert "testkit" in listed
    assert "server" in listed
    assert "crash" in listed
    assert "fleet" in listed


def test_a_scenario_writes_its_results_and_where_they_are_from(tmp_path: Path) -> None:
    """Versions, seed, machine and commit beside the figures."""
    file = tmp_path / "wait.json"
    few = ["--polls", "20", "--runs", "1", "--starts", "1", "--deadline", "0.05"]
    table = benchmarks("wait", *few, "--json", str(file))
    assert "CPU of one poll" in table
    document = json.loads(file.read_text())
    assert set(document) == {"environment", "results"}
    assert {"versions", "seed", "machine", "commit"} <= set(document["environment"])
    assert {"vtrio", "trio", "httpx"} <= set(document["environment"]["versions"])
    found = document["results"]["wait"]
    assert found["overhead"]["httpx"]["polls"] == 20
    overshoots = [row["overshoot_ms"]["min"] for row in found["deadline"].values()]
    assert len(overshoots) == 5
    assert min(overshoots) >= 0  # never early


# --- schedules ----------------------------------------------------------------------

MARKS = [0, 10, 30, 100, 300]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file of durations, one in seconds a line."""
    rng = random.Random(1)
    path = tmp_path / "clips.txt"
    lines = [f"{60 * math.exp(rng.gauss(0, 0.5)):.3f}\n" for _ in range(1500)]
    path.write_text("".join(lines) + "\n")
    return path


def check_workload(workload: dict[str, Any]) -> None:
    """Assert what holds for every workload, whatever its durations."""
    assert set(workload) == {
        *("name", "jobs", "mean_duration", "request_cost", "optimal", "schedules")
    }
    assert workload["request_cost"] == pytest.approx(0.02 * workload["mean_duration"])
    optimal = workload["optimal"]
    assert optimal["cost"] == pytest.approx(
        workload["request_cost"] * optimal["requests"] + optimal["lag"]
    )
    learned = []
    for row in workload["schedules"]:
        assert set(row) == {
            *("name", "observed", "requests", "lag", "lag_p95", "cost", "ratio")
        }
        assert math.isfinite(row["cost"])
        # The best looks for a distribution need not be the best for a few draws of it.
        assert row["ratio"] > 0.8 or row["name"] == "Learned, media length known"
        if row["name"] == "Learned":
            learned.append(row["observed"])
    assert learned == MARKS


@pytest.mark.slow
def test_a_trace_is_the_only_workload(trace: Path, tmp_path: Path) -> None:
    """Its mean is that of the file; the picture lies beside the results."""
    file = tmp_path / "found.json"
    table = benchmarks(
        *("schedules", "--durations", trace, "--jobs", 300, "--seeds", 2),
        *("--json", file),
    )
    (workload,) = json.loads(file.read_text())["results"]["schedules"]["workloads"]
    check_workload(workload)
    durations = [float(line) for line in trace.read_text().split()]
    assert workload["name"] == "clips"
    assert workload["jobs"] == 300
    assert workload["mean_duration"] == pytest.approx(sum(durations) / len(durations))
    ratios = {
        (row["name"], row["observed"]): row["ratio"] for row in workload["schedules"]
    }
    assert ratios["Learned", 300] < 1.15
    assert ratios["Learned", 300] < ratios["Fixed, the best in hindsight", None]
    assert ratios["Exponential(1, 2)", None] > 2.5
    assert "Learned" in table
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_seed_finds_the_same(trace: Path, tmp_path: Path) -> None:
    """And another one something else."""
    found = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        file = tmp_path / f"{name}.json"
        benchmarks(
            *("schedules", "--durations", trace, "--jobs", 50, "--seeds", 1),
            *("--seed", seed, "--json", file),
        )
        found.append(json.loads(file.read_text())["results"])
    assert found[0] == found[1] != found[2]


@pytest.mark.slow
def test_without_matplotlib_the_picture_is_skipped(trace: Path, tmp_path: Path) -> None:
    """And everything else is done, with a line that says so."""
    without = tmp_path / "without"
    without.mkdir()
    (without / "matplotlib.py").write_text(
        "raise ModuleNotFoundError('it is not there', name='matplotlib')"
    )
    file = tmp_path / "found.json"
    table = benchmarks(
        *("schedules", "--durations", trace, "--jobs", 20, "--seeds", 1),
        *("--json", file),
        path=without,
    )
    assert "picture: skipped, matplotlib is not installed (vtrio[bench])" in table
    assert file.exists()
    assert not file.with_suffix(".png").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("60\n-3\n", "line 2: '-3' is not a duration: must be a number of seconds"),
        ("60\nsoon\n", "line 2: 'soon' is not a duration"),
        ("nan\n", "line 1: 'nan' is not a duration"),
        ("", "there must be a duration above 0 in it"),
        ("0\n0\n", "there must be a duration above 0 in it"),
        (None, "No such file"),
    ],
)
def test_a_bad_trace_is_told_in_one_sentence(
    text: str | None, told: str, tmp_path: Path
) -> None:
    """Which line, what stands there, and what is allowed; exit status 2."""
    path = tmp_path / "bad.txt"
    if text is not None:
        path.write_text(text)
    done = run("schedules", "--durations", path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_one_job_of_a_month_holds_nothing_up(tmp_path: Path) -> None:
    """And the picture of somebody's trace is not the one of the README."""
    path = tmp_path / "month.txt"
    path.write_text("\n".join(["60", "70", "80"] * 50 + ["3000000"]))
    picture = ROOT / "benchmarks" / "results" / "schedules.png"
    before = picture.read_bytes()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "schedules"),
            *("--durations", str(path), "--jobs", "300", "--seeds", "2"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "picture: month-frontier.png" in done.stdout
    assert (tmp_path / "month-frontier.png").exists()
    assert picture.read_bytes() == before


def test_no_jobs_are_too_few() -> None:
    """There must be somebody to judge by."""
    done = run("schedules", "--jobs", 0)
    assert done.returncode == 2
    assert "--jobs must be at least 1" in done.stderr


@pytest.mark.slow
def test_every_workload_is_measured(tmp_path: Path) -> None:
    """With few seeds, and so with room around the figures that are to be reached."""
    file = tmp_path / "found.json"
    benchmarks("schedules", "--jobs", 300, "--seeds", 3, "--json", file)
    found = json.loads(file.read_text())["results"]["schedules"]
    assert len(found["workloads"]) == 11
    for workload in found["workloads"]:
        check_workload(workload)
        rows = {
            (row["name"], row["observed"]): row["ratio"]
            for row in workload["schedules"]
        }
        seed = rows["Exponential(1, 2)", None]
        assert rows["Learned", 0] <= seed
        assert rows["Learned", 10] <= 1.5
        assert rows["Learned", 100] <= 1.2
        if workload["mean_duration"] >= 60:
            assert rows["Retry-After alone, from a server that learns", 100] <= 1.25
    names = {row["name"] for row in found["workloads"][8]["schedules"]}
    assert {
        "Learned, 40 jobs after growing",
        "Learned, 40 jobs after shrinking",
    } < names
    for check in found["checks"]["workloads"]:
        assert check["worst_of_any_40_jobs_to_the_seed"] < 1
    assert found["checks"]["workloads"][-1]["media_known_to_unknown"] <= 0.57
    assert found["checks"]["spreading"]["peak"]["max"] <= 3
    assert found["checks"]["spreading"]["cost"]["median"] <= 1.05


# --- testkit ------------------------------------------------------------------------


@pytest.mark.slow
def test_an_hour_is_measured_beside_an_empty_test(tmp_path: Path) -> None:
    """Both run in a pytest of their own, in turns."""
    file = tmp_path / "found.json"
    table = benchmarks(
        *("testkit", "--only", "hour", "--runs", 1, "--turns", 1, "--json", file)
    )
    assert "the hour, over an empty test" in table
    found = json.loads(file.read_text())["results"]["testkit"]
    assert set(found) == {"hour"}
    hour = found["hour"]
    assert hour["hour_ms"]["median"] > hour["empty_ms"]["median"] > 0
    assert hour["promise"] == 120


def test_no_turns_are_too_few() -> None:
    """There must be something to take the median of."""
    done = run("testkit", "--turns", 0)
    assert done.returncode == 2
    assert "--turns must be at least 1" in done.stderr


@pytest.mark.slow
def test_the_plugin_brings_no_library_into_a_run_without_use_of_it(
    tmp_path: Path,
) -> None:
    """And pytest starts with it and without it."""
    file = tmp_path / "found.json"
    table = benchmarks("testkit", "--only", "start", "--starts", 1, "--json", file)
    assert "with it, over without" in table
    start = json.loads(file.read_text())["results"]["testkit"]["start"]
    assert "vtrio.testing.plugin" in start["imports"]
    assert start["foreign_imports"] == []
    assert start["promise"] == 30


@pytest.mark.slow
def test_every_job_of_a_day_is_asked_about_five_times(tmp_path: Path) -> None:
    """Through the kit and without it; nothing is promised of few jobs."""
    file = tmp_path / "found.json"
    benchmarks(*("testkit", "--only", "day", "--runs", 1, "--jobs", 20, "--json", file))
    day = json.loads(file.read_text())["results"]["testkit"]["day"]
    assert (day["jobs"], day["polls"]) == (20, 100)
    assert day["seconds"]["median"] > 0
    assert "promise" not in day


# --- server -------------------------------------------------------------------------

FEW = {
    "held": 10,
    "held-within": 0.3,
    "feed-jobs": 40,
    "feed-within": 2.5,
    "connections": 2,
    "pairs": 1,
    "seconds": 0.3,
    "upload-mib": 4,
    "upload-within": 0.5,
    "memory-held": 20,
    "bad": 6,
}


@pytest.mark.slow
def test_every_part_of_the_server_is_measured(tmp_path: Path) -> None:
    """With few of everything; what does not hang on speed holds for few too."""
    file = tmp_path / "found.json"
    few = [word for name, number in FEW.items() for word in (f"--{name}", number)]
    table = benchmarks("server", *few, "--json", file)
    assert "promised" in table
    found = json.loads(file.read_text())["results"]["server"]
    assert list(found) == [
        *("load_before", "promptness", "feed", "throughput", "submissions"),
        *("upload", "memory", "clients"),
    ]
    assert found["promptness"]["lag_ms"]["p50"] > 0
    feed = found["feed"]
    assert (feed["lost"], feed["doubled"], feed["out_of_order"]) == (0, 0, 0)
    assert feed["breaks"] >= 2
    assert found["throughput"]["ratio"]["median"] > 0
    submissions = found["submissions"]
    assert submissions["after_sigkill"] == submissions["answered_202"] > 0
    assert found["upload"]["seconds"] >= 0.45
    assert found["memory"]["held"] == 20
    assert found["clients"]["standing"] == 6
    assert found["clients"]["stop"]["kept"]


def test_a_part_of_the_server_is_known_by_name() -> None:
    """Whoever asks for another is told which there are."""
    done = run("server", "--part", "looks")
    assert done.returncode == 2
    assert "promptness" in done.stderr


def test_nothing_held_is_too_little() -> None:
    """There must be something to measure."""
    done = run("server", "--held", 0)
    assert done.returncode == 2
    assert "--held must be above 0" in done.stderr


# --- crash --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_server_is_looked_at_for_every_fault(tmp_path: Path) -> None:
    """Two kills are few, and there is one figure for each way to go wrong."""
    file = tmp_path / "found.json"
    table = benchmarks("crash", "--kills", 2, "--jobs", 10, "--json", file)
    assert "promised: all jobs completed, once: kept" in table
    found = json.loads(file.read_text())["results"]["crash"]
    assert (found["kills"], found["jobs"], found["completed"]) == (2, 10, 10)
    assert found["kept"]


def test_no_kills_are_too_few() -> None:
    """A server that nobody kills loses nothing."""
    done = run("crash", "--kills", 0)
    assert done.returncode == 2
    assert "--kills, --jobs and --tasks must be at least 1" in done.stderr


# --- fleet --------------------------------------------------------------------------

FLEET = [
    *("jobs", "over", "transport", "requests", "requests_per_job"),
    *("lag_p50", "lag_p99", "lag_max"),
    *("client_cpu_per_job", "client_rss_per_job", "server_cpu_per_job"),
    *("lost", "duplicated", "wall"),
]


def fleet(tmp_path: Path, *options: object) -> dict[str, Any]:
    """Wait for a fleet that is told of whole, and return what that took."""
    file = tmp_path / "found.json"
    table = benchmarks("fleet", *options, "--json", file)
    assert "told more than once" in table
    found: dict[str, Any] = json.loads(file.read_text())["results"]["fleet"]
    assert list(found) == FLEET
    assert (found["lost"], found["duplicated"]) == (0, 0)
    assert found["requests_per_job"] == found["requests"] / found["jobs"] > 0
    assert found["lag_p50"] <= found["lag_p99"] <= found["lag_max"]
    return found


def test_a_fleet_is_waited_for_in_virtual_time(tmp_path: Path) -> None:
    """The server has no process of its own there, and answers at exact instants."""
    found = fleet(tmp_path, "--virtual", "--jobs", 200, "--over", 1)
    assert (found["jobs"], found["over"], found["transport"]) == (200, 1, "auto")
    assert found["server_cpu_per_job"] is None
    assert found["client_rss_per_job"] > 0
    # The last job ends at 0.5 s and 199 of 200 parts of the second.
    assert 1.495 < found["wall"] <= 1.495 + found["lag_max"]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["feed", "batch", "single"])
def test_a_fleet_is_waited_for_by_each_transport(
    transport: str, tmp_path: Path
) -> None:
    """Each one tells of all jobs, sooner or later."""
    options = ("--virtual", "--jobs", 10, "--over", 1, "--transport", transport)
    assert fleet(tmp_path, *options)["transport"] == transport


@pytest.mark.slow
def test_a_fleet_is_waited_for_at_the_real_server(tmp_path: Path) -> None:
    """Requests are those that it has seen, and its own time is measured."""
    found = fleet(tmp_path, "--jobs", 20, "--over", 1)
    assert (found["jobs"], found["over"], found["transport"]) == (20, 1, "auto")
    assert found["server_cpu_per_job"] > 0
    assert found["client_cpu_per_job"] > 0
    assert found["wall"] > 0.95


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--jobs", 0], "--jobs 0 is not allowed: must be from 1 to 1,000,000"),
        (["--jobs", 1_000_001], "--jobs 1000001 is not allowed"),
        (["--over", 0], "--over 0 is not allowed: must be above 0, and 3600 s at most"),
        (["--over", "nan"], "--over nan is not allowed"),
        (["--over", 3601], "--over 3601 is not allowed"),
        (["--transport", "pigeon"], "choose from 'auto', 'feed', 'batch', 'single'"),
    ],
)
def test_a_fleet_that_cannot_be_is_told_in_one_sentence(
    options: list[object], told: str
) -> None:
    """What was given, and what is allowed; exit status 2."""
    done = run("fleet", *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
