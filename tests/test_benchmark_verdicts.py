"""The verdicts on the rounds of the benchmarks, and what is shown of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _readme, peers
from benchmarks._peers_table import print_troubles
from benchmarks._rounds_figures import PERCENTILES
from benchmarks._rounds_verdicts import compare, compare_outage

# --- verdicts -----------------------------------------------------------------------


def row(
    slug: str, requests: float, lag: float, *, knob: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return a contender's row, with what the verdicts read."""
    return {
        "slug": slug,
        "kind": "ours" if slug.startswith("vtrio") else "default",
        "knob": knob,
        "requests_per_job": requests,
        "lag_with_missed": {"mean": lag, "p99": 2 * lag},
        "cpu_per_job": 0.001 * requests,
        "missed": 0,
        "overshoot": 0.0,
        "raised": 0,
        "error": "",
        **more,
    }


def test_a_peer_is_beaten_where_ours_asks_no_more_and_lags_less() -> None:
    """By some value of the knob; the default's point is told too."""
    found = compare(
        10,
        [
            row("vtrio-ladder", 0.5, 0.1),
            row("vtrio-x1", 5, 2, knob=1.0),
            row("vtrio-x4", 3, 4, knob=4.0),
            row("quick", 6, 3),
            row("lazy", 3, 5),
            row("good", 2, 1),
        ],
    )
    knobs = {peer["peer"]: peer["knob"] for peer in found["single_polls"]}
    assert knobs == {"quick": 1.0, "lazy": 4.0, "good": None}
    default = found["single_polls"][1]["default_knob"]
    assert default["requests_per_job"] == {"ours": 5.0, "peer": 3.0}
    assert not default["ahead"]
    ladder = {peer["peer"]: peer for peer in found["ladder"]}
    assert ladder["good"] == {
        "size": 10,
        "peer": "good",
        "requests": True,
        "lag": True,
        "lag_p99": True,
        "cpu": True,
    }


def test_ours_is_not_ahead_where_it_misses_more() -> None:
    """Neither requests nor lag make up for a job that is lost."""
    found = compare(
        10, [row("vtrio-x1", 1, 0.1, knob=1.0, missed=1), row("other", 5, 2)]
    )
    assert found["single_polls"][0]["knob"] is None
    assert found["missed"] == {"vtrio-x1": 1}
    assert not found["kept"]


def test_on_a_peer_whose_process_raised_there_is_no_verdict() -> None:
    """Nobody is ahead of what did not run."""
    rows = [
        row("vtrio-ladder", 0.5, 0.1, requests_in_outage=2),
        row("vtrio-x1", 5, 2, knob=1.0, requests_in_outage=9),
        row("broken", 6, 3, error="OSError()", requests_in_outage=1),
        row("sound", 6, 1, requests_in_outage=5),
    ]
    found = compare(10, rows)
    assert found["broken"] == ["broken"]
    assert [one["peer"] for one in found["single_polls"]] == ["sound"]
    assert [one["peer"] for one in found["ladder"]] == ["sound"]
    assert found["kept"]
    outage = compare_outage(rows)
    assert outage["broken"] == ["broken"]
    names = ["ours", "peer", "lag", "requests", "raised", "missed"]
    assert [[pair[name] for name in names] for pair in outage["pairs"]] == [
        ["vtrio-ladder", "sound", True, True, True, True],
        ["vtrio-x1", "sound", False, False, True, True],
    ]


def test_what_a_contender_should_not_have_done_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line for each fault."""
    good = {"error": "", "not_given_up": 0, "told_before_the_end": 0}
    print_troubles(
        [
            {**good, "slug": "good"},
            {**good, "slug": "bad", "error": "OSError()", "told_before_the_end": 1},
            {**good, "slug": "slow", "not_given_up": 3},
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "bad: its process raised OSError()",
        "bad: 1 ends were told before they came",
        "slow: 3 waits went on for too long",
    ]


# --- what is shown of them ----------------------------------------------------------


def a_row(slug: str, kind: str, knob: float | None = None) -> dict[str, Any]:
    """Make a row as `peers` writes it."""
    lag = {"mean": 1.5, "p50": 1.0, "p95": 2.0, "p99": 2.5, "max": 3.0}
    percentiles = [0.1 * turn for turn in range(len(PERCENTILES))]
    return {
        "slug": slug,
        "name": slug.partition("-")[0],
        "kind": kind,
        "knob": knob,
        "requests_per_job": 4.5,
        "requests_by_bin": "3 0 1 4",
        "lag_with_missed": {**lag, "percentiles": percentiles},
        "cpu_per_job": 0.0025,
        "jobs": 100,
        "saturated": kind == "tuned",
        "missed": 3,
        "raised": 2,
        "overshoot": 1.5,
        "ended": kind != "tuned",
    }


RESULTS = {
    "rounds": [
        {
            "size": 1000,
            "bin": 0.5,
            "contenders": [
                a_row("stamina", "default"),
                a_row("stamina-tuned", "tuned"),
                a_row("vtrio-ladder", "ours"),
                a_row("vtrio-x1", "ours", 1.0),
                a_row("vtrio-x4", "ours", 4.0),
            ],
        }
    ],
    "verdicts": [
        {
            "size": 1000,
            "single_polls": [
                {"peer": "stamina", "knob": None, "default_knob": {"ahead": False}}
            ],
            "broken": ["polling2"],
            "missed": {"vtrio-x4": 3, "vtrio-x1": 0},
            "overshoot": {"vtrio-x4": 0.0, "vtrio-x1": 0.0804},
            "kept": False,
            "ladder": [
                {
                    "peer": "stamina",
                    "requests": True,
                    "lag": True,
                    "lag_p99": True,
                    "cpu": False,
                }
            ],
        }
    ],
    "outage": {
        "size": 100,
        "outage": [17.3, 22.3],
        "contenders": [
            {**a_row("vtrio-ladder", "ours"), "requests_in_outage": 1},
            {**a_row("stamina", "default"), "requests_in_outage": 250},
        ],
        "verdict": {
            "broken": [],
            "pairs": [
                {
                    "ours": "vtrio-ladder",
                    "peer": "stamina",
                    "lag": False,
                    "requests": True,
                    "raised": True,
                    "missed": True,
                }
            ],
        },
    },
}


def test_the_pictures_lie_beside_the_results(tmp_path: Path) -> None:
    """The frontier, lag by percentile, and the herd; nothing of no rounds."""
    peers.draw_pictures({"rounds": []}, tmp_path / "none.png")
    peers.draw_pictures(RESULTS, tmp_path / "peers.png")
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["peers-herd.png", "peers-lag.png", "peers.png"]
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"quick": True}, {"only": ["stamina"]}])
def test_the_readme_takes_no_results_of_a_part(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of a quick run, nor of some contenders."""
    document = {"options": {"peers": options}, "results": {"peers": RESULTS}}
    (tmp_path / "peers.json").write_text(json.dumps(document))
    monkeypatch.setattr(_readme, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match=r"peers.json is of a run with --"):
        _readme.with_tables("")
    document = {"results": {"peers": {**RESULTS, "unfinished": True}}}
    (tmp_path / "peers.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"peers.json is not complete"):
        _readme.with_tables("")


def test_the_readme_tells_of_the_largest_round_and_where_ours_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made from the results, and not typed; who had to be ended is marked."""
    document = {"results": {"peers": RESULTS}}
    (tmp_path / "peers.json").write_text(json.dumps(document))
    monkeypatch.setattr(_readme, "RESULTS", tmp_path)
    marks = "<!-- {0}: begin -->\nold\n<!-- {0}: end -->\n"
    text = _readme.with_tables(
        "".join(map(marks.format, ["peers", "not ahead", "outage"]))
    )
    assert "old" not in text
    lines = text.splitlines()
    assert "| **vtrio** | 4.5 | 1.50 s | 2.50 s | 2.5 ms | 3 | 1,500 ms |" in lines
    assert any("**vtrio**, single polls alone" in line for line in lines)
    assert any("stamina, tuned" in line and "> 1,500 ms" in line for line in lines)
    assert sum("single polls alone |" in line for line in lines) == 1  # one knob only
    assert "the ladder is not ahead in CPU of stamina." in text
    assert "no value of the knob" in text
    assert "queue's as well, in the turns of stamina-tuned." in text
    assert (
        "the default knob is not ahead, in requests and lag both, of stamina." in text
    )
    assert "vtrio-x4 missed 3, vtrio-x1 was 80 ms late." in text
    assert "there is no verdict on polling2: its process raised." in text
    assert "In the outage, vtrio-ladder is not ahead in mean lag of stamina." in text
    assert "| **vtrio** | 0.01 | 2 | 3 | 1.50 s |" in lines
    assert "| stamina, default | 2.50 | 2 | 3 | 1.50 s |" in lines
