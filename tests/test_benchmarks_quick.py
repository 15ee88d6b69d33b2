"""All benchmarks, quickly: what holds for few of everything, and on any machine.

The run is made here, unless `BENCHMARKS_RESULTS` names a folder with the results of
`python -m benchmarks all --quick`, as `.ci/run` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the results of a quick run are."""
    given = os.environ.get("BENCHMARKS_RESULTS")
    if given is not None:
        return ROOT / given
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "all", "--quick"], cwd=ROOT, check=True
    )
    return ROOT / "benchmarks" / "results" / "quick"


def results(folder: Path, name: str) -> dict[str, Any]:
    """Read what a scenario has found."""
    document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert {"versions", "seed", "machine", "commit"} <= set(document["environment"])
    found: dict[str, Any] = document["results"][name]
    return found


@pytest.mark.parametrize(
    "name", ["peers", "peers-herd", "peers-lag", "scale", "schedules"]
)
def test_a_picture_lies_beside_the_results(name: str, folder: Path) -> None:
    """Of what there is to see."""
    picture = (folder / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_every_workload_is_measured(folder: Path) -> None:
    """With one seed, and so with room around the figures that are to be reached."""
    found = results(folder, "schedules")
    assert len(found["workloads"]) == 11
    for workload in found["workloads"]:
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
        assert check["worst_of_any_40_jobs_to_the_seed"] < 1.25
    assert found["checks"]["workloads"][-1]["media_known_to_unknown"] <= 0.57
    assert found["checks"]["spreading"]["peak"]["max"] <= 3
    assert found["checks"]["spreading"]["cost"]["median"] <= 1.05


def test_an_hour_and_a_day_are_measured_beside_as_little_as_can_be(
    folder: Path,
) -> None:
    """An hour takes more than nothing, and each job of a day is asked about five times."""
    found = results(folder, "testkit")
    hour, day = found["hour"], found["day"]
    assert hour["hour_ms"]["median"] > hour["empty_ms"]["median"] > 0
    assert hour["promise"] == 120
    assert day["polls"] == 5 * day["jobs"] > 0
    assert "promise" not in day  # of so few


def test_every_part_of_the_server_is_measured(folder: Path) -> None:
    """What does not hang on speed holds for few too."""
    found = results(folder, "server")
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
    assert found["memory"]["held"] > 0
    assert found["clients"]["standing"] > 0
    assert found["clients"]["stop"]["kept"]


def test_a_killed_server_loses_nothing(folder: Path) -> None:
    """Two kills are few, and there is one figure for each way to go wrong."""
    found = results(folder, "crash")
    assert (found["kills"], found["completed"]) == (2, found["jobs"])
    assert found["kept"]


def test_a_block_of_waits_leaves_nothing_behind(folder: Path) -> None:
    """No task, whichever way it waits."""
    found = results(folder, "leaving")
    del found["promised"]
    assert {told["tasks"] for told in found.values()} == {0}


def test_every_point_of_the_scale_is_told_of_whole(folder: Path) -> None:
    """Over sockets and in virtual time, by what is best; and by single polls."""
    points = results(folder, "scale")["points"]
    kinds = {(point["virtual"], point["transport"]) for point in points}
    assert kinds == {(False, "auto"), (False, "single"), (True, "auto")}
    for point in points:
        assert (point["lost"], point["duplicated"]) == (0, 0)
        assert point["requests_per_job"] == point["requests"] / point["jobs"] > 0
        assert 0 <= point["lag_p50"] <= point["lag_p99"] <= point["lag_max"]
        assert point["client_cpu_per_job"] > 0
        assert (point["server_cpu_per_job"] is None) == point["virtual"]


def test_overhead_is_told_beside_what_cannot_be_spared(folder: Path) -> None:
    """Of a poll with each library, and of a parked wait in each way."""
    found = results(folder, "overhead")
    assert set(found["poll"]) == {"httpx", "httpx2"}
    for poll in found["poll"].values():
        assert poll["bare_us"]["median"] > 0
        assert poll["ratio"]["median"] > 0
    parked = found["parked"]
    for way in ("as_completed", "wait"):
        for name, bare in parked["bare"].items():
            assert bare["min"] > 0
            assert parked[way][name]["each"]["min"] > 0
    # Memory does not hang on speed: one block for all takes less than their tasks.
    assert parked["as_completed"]["bytes"]["ratio"]["median"] < 2
    assert parked["wait"]["bytes"]["ratio"]["median"] < 10


PEERS = {
    *("tenacity", "stamina", "aiohttp", "google-api-core", "polling2", "azure-core"),
    "botocore",
}


def test_every_peer_takes_part(folder: Path) -> None:
    """With its defaults and tuned, beside ours; and what it came to is all told."""
    found = results(folder, "peers")
    assert found["left_out"] == []
    for one in [*found["rounds"], found["outage"]]:
        rows = {row["slug"]: row for row in one["contenders"]}
        assert set(rows) >= {*PEERS, *(f"{peer}-tuned" for peer in PEERS)}
        for row in rows.values():
            came = row["completed"] + row["failed"] + row["timeout"] + row["raised"]
            assert came + row["not_given_up"] == row["jobs"] == one["size"]
            assert row["told_before_the_end"] == row["told_twice"] == 0
        # On any machine: whoever is told does not ask.
        ladder = rows["vtrio-ladder"]
        asked = [rows[peer]["requests"] for peer in PEERS if not rows[peer]["missed"]]
        if one is not found["outage"]:
            assert all(ladder["requests"] < requests for requests in asked)


def test_every_peer_has_a_deadline(folder: Path) -> None:
    """What was reported is never more than there was to be reported."""
    found = results(folder, "deadline")
    rows = {row["slug"]: row for row in found["contenders"]}
    assert set(rows) >= {*PEERS, *(f"{peer}-tuned" for peer in PEERS), "vtrio-ladder"}
    assert all(0 <= row["reported"] <= row["waits"] for row in rows.values())
