"""The benchmarks' program: it finds its scenarios and writes what it found."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import wait
from benchmarks.__main__ import main
from benchmarks._running import replace_results, run_each

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


# --- the program --------------------------------------------------------------------

SCENARIOS = [
    *("crash", "fleet", "leaving", "overhead", "scale", "schedules", "server"),
    *("testkit", "wait"),
]


def test_the_scenarios_are_listed() -> None:
    """By name, with what each is about."""
    listed = [line.split(maxsplit=1) for line in benchmarks("list").splitlines()]
    assert {name for name, _ in listed} >= set(SCENARIOS)
    assert all(len(summary) > 20 for _, summary in listed)


def test_without_a_name_the_program_says_how_it_is_used() -> None:
    """The usage, and the list."""
    told = benchmarks()
    assert "list | all | NAME [...] [--json FILE]" in told
    assert benchmarks("list") in told


@pytest.mark.parametrize("names", [["looks"], ["wait", "all"]])
def test_an_unknown_scenario_is_told_in_one_sentence(names: list[str]) -> None:
    """Which word it was, and which are allowed; exit status 2."""
    done = run(*names)
    assert done.returncode == 2
    assert f"NAME {names[-1]!r} is not allowed: must be one of crash, " in done.stderr


def test_several_scenarios_take_no_options_of_one_of_them() -> None:
    """They may mean something else for the others."""
    done = run("fleet", "crash", "--kills", 1)
    assert done.returncode == 2
    assert "--kills" in done.stderr


def test_the_quick_defaults_are_of_options_that_there_are() -> None:
    """A misspelt one would have a scenario take its time."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK_QUICK_DEFAULTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


CHECK_QUICK_DEFAULTS = """
import argparse
from benchmarks._scenarios import find_scenarios

for name, scenario in find_scenarios().items():
    parser = argparse.ArgumentParser()
    scenario.add_arguments(parser)
    known = vars(parser.parse_args([]))
    assert scenario.quick.keys() <= known.keys(), (name, scenario.quick)
    assert scenario.quick, name
"""


def test_what_is_given_goes_before_the_quick_default(tmp_path: Path) -> None:
    """And the rest is quick."""
    file = tmp_path / "found.json"
    benchmarks("fleet", "--quick", "--jobs", 20, "--json", file)
    found = json.loads(file.read_text())["results"]["fleet"]
    assert (found["jobs"], found["over"]) == (20, 2)


@pytest.mark.slow
def test_a_scenario_that_fails_keeps_no_other_back(tmp_path: Path) -> None:
    """The last line says which it was, and the exit status is 1."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_ONE_THAT_FAILS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "failed: looks"
    assert (tmp_path / "fleet.json").exists()


RUN_ONE_THAT_FAILS = """
import sys
from pathlib import Path
from benchmarks._running import run_each

folder = Path(sys.argv[1])
sys.exit(run_each(["looks", "fleet"], folder, seed=0, quick=True).status)
"""


def test_new_results_take_the_place_of_a_scenarios_former_ones(tmp_path: Path) -> None:
    """Its pictures too, and nothing of the others."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, names in (
        (old, ["peers.json", "peers.png", "peers-gone.png", "fleet.json"]),
        (new, ["peers.json", "peers.png", "peers-lag.png"]),
    ):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(folder.name)
    replace_results("peers", new, old)
    assert {path.name: path.read_text() for path in old.iterdir()} == {
        "peers.json": "new",
        "peers.png": "new",
        "peers-lag.png": "new",
        "fleet.json": "old",
    }


def test_a_scenario_that_fails_leaves_the_former_results(tmp_path: Path) -> None:
    """Nothing else is left in the folder."""
    (tmp_path / "looks.json").write_text("old")
    ran = run_each(["looks"], tmp_path, seed=0, quick=True)
    assert (ran.status, ran.written) == (1, [])
    assert [path.name for path in tmp_path.iterdir()] == ["looks.json"]
    assert (tmp_path / "looks.json").read_text() == "old"


def test_several_scenarios_end_when_they_are_told_to() -> None:
    """The one that runs too: nobody holds the output open any more."""
    command = [sys.executable, "-m", "benchmarks", "schedules", "wait"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        while "=== schedules" not in program.stdout.readline():
            assert program.poll() is None
        program.terminate()
        rest = program.stdout.read()
    assert program.returncode == 128 + signal.SIGTERM
    assert "=== wait" not in rest


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("missing/found.json", "must be in a folder that there is"),
        ("found.png", "must not end in .png"),
        (".", "must be no folder"),
    ],
)
@pytest.mark.parametrize("names", [["wait"], ["wait", "fleet"], ["all"]])
def test_a_file_that_cannot_be_written_is_refused_at_once(
    names: list[str], path: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after an hour."""
    with pytest.raises(SystemExit, match="2"):
        main([*names, "--json", path])
    assert told in capsys.readouterr().err


def test_a_failure_is_no_fault_of_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes out as it is, with its traceback."""

    def fail(options: object) -> dict[str, Any]:
        raise ValueError("it broke")

    monkeypatch.setattr(wait, "run", fail)
    with pytest.raises(ValueError, match="it broke"):
        main(["wait"])


def test_a_bound_holds_for_the_bounded_blocks_in_it() -> None:
    """The inner one has no more time than the outer, a nursery in it or not."""
    done = subprocess.run(
        [sys.executable, "-c", OVERRUN_IN_AN_INNER_BLOCK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1].endswith(
        "TookTooLong: it was not over after 0 s"
    )
    assert done.stdout == "the inner block is left\n"


OVERRUN_IN_AN_INNER_BLOCK = """
import time

import trio

from benchmarks._ending import TookTooLong, ending_within


async def oversleep():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, time.sleep, 0.05)
        time.sleep(5)


with ending_within(0.1):
    try:
        with ending_within(60):
            trio.run(oversleep)
    except TookTooLong:
        print("the inner block is left")
        raise
"""


def test_a_scenario_writes_its_results_and_where_they_are_from(tmp_path: Path) -> None:
    """Versions, seed, machine and commit beside the figures."""
    file = tmp_path / "wait.json"
    few = ["--runs", "1", "--starts", "1", "--deadline", "0.05"]
    table = benchmarks("wait", *few, "--json", str(file))
    assert "Milliseconds after a deadline of 0.05 s" in table
    document = json.loads(file.read_text())
    assert set(document) == {"environment", "options", "results"}
    assert document["options"]["wait"]["deadline"] == 0.05
    assert not document["options"]["wait"]["quick"]
    assert (
        "json" not in document["options"]["wait"]
    )  # whose folder is nobody's business
    assert {"versions", "seed", "machine", "commit"} <= set(document["environment"])
    assert {"vtrio", "trio", "httpx"} <= set(document["environment"]["versions"])
    found = document["results"]["wait"]["deadline"]
    overshoots = [row["overshoot_ms"]["min"] for row in found.values()]
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


# --- testkit ------------------------------------------------------------------------


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


# --- server -------------------------------------------------------------------------


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


def test_no_kills_are_too_few() -> None:
    """A server that nobody kills loses nothing."""
    done = run("crash", "--kills", 0)
    assert done.returncode == 2
    assert "--kills, --jobs and --tasks must be at least 1" in done.stderr


# --- overhead, scale ----------------------------------------------------------------


def test_no_polls_are_too_few() -> None:
    """There must be something to take the median of."""
    done = run("overhead", "--polls", 0)
    assert done.returncode == 2
    assert "--polls must be at least 1" in done.stderr


def test_a_scale_of_no_jobs_is_none() -> None:
    """Every point is of some jobs."""
    done = run("scale", "--sockets", 0, "--virtual")
    assert done.returncode == 2
    assert "--sockets must be numbers of at least 1" in done.stderr


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
