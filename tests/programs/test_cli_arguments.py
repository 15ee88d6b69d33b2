"""What is typed: checked with one sentence, by flag and then by environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vtrio.cli import main
from vtrio.cli.parser import UsageError, parse

LIMITS = {
    "max-upload": 2**31,
    "min-upload-rate": 1000,
    "max-json": 65_536,
    "max-json-depth": 16,
    "max-ids": 200,
    "max-page": 200,
    "max-held": 1000,
    "max-waiting": 10_000,
}
DURATIONS = {"keep": "7d", "max-run-time": "6h", "grace": "5"}


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`vtrio --version`."""
    from vtrio import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vtrio {__version__}\n"


def test_help_is_told_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With the variable that stands in for each flag."""
    for command in ("serve", "translate", "status", "wait", "cancel", "demo", "keys"):
        assert main([command, "--help"]) == 0
        assert f"usage: vtrio {command}" in capsys.readouterr().out
    for command in ("add", "list", "revoke"):
        assert main(["keys", command, "--help"]) == 0
        assert f"usage: vtrio keys {command}" in capsys.readouterr().out
    assert main(["serve", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for flag, default in (*LIMITS.items(), *DURATIONS.items()):
        variable = "VTRIO_" + flag.upper().replace("-", "_")
        assert f"--{flag} " in told
        assert f"{default} unless given (or {variable})" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "required: COMMAND"),
        ("launch", "invalid choice: 'launch'"),
        ("serve --port x", "port='x' is not allowed: must be a whole number"),
        ("serve --port 70000", "port=70000 is not allowed: .* at most 65535"),
        ("serve --workers 0", "workers=0 is not allowed: .* at least 1"),
        ("serve --keep soon", "keep='soon' is not allowed: must be seconds"),
        ("serve --keep 0d", "keep=0.0 is not allowed: .* above 0"),
        ("serve --keep 7w", "keep='7w' .* a number with one of s, m, h, d behind it"),
        ("serve --max-run-time -1", "max-run-time=-1.0 is not allowed: .* above 0"),
        ("serve --grace -1", "grace=-1.0 is not allowed: .* at least 0"),
        ("serve --grace inf", "grace=inf is not allowed: .* finite"),
        ("serve --max-upload 1.5", "max-upload='1.5' is not allowed: .* whole number"),
        ("serve --max-held 0", "max-held=0 is not allowed: .* at least 1"),
        ("serve --min-upload-rate -1", "min-upload-rate=-1 .* at least 0"),
        ("serve --data-dir=", "data-dir='' is not allowed"),
        ("keys", "required: WHAT"),
        ("keys add", "required: NAME"),
        ("keys revoke", "required: ID"),
        ("keys list --port 0", "--port 0 has no data directory of its own"),
        ("keys list --data-dir=", "data-dir='' is not allowed"),
        ("serve --engine cloud", "engine='cloud' .* one of local, simulated"),
        ("serve --engine simulated --durations uniform:9", "uniform:LOW,HIGH"),
        ("serve --engine simulated --failure-rate 2", "failure-rate=2.0 .* at most 1"),
        ("serve --engine simulated --seed 1.5", "seed='1.5' .* whole number"),
        ("serve --engine local --seed 1", "--seed is for the simulated engine"),
        ("serve --engine simulated --host 192.0.2.1 --port 0", "loopback only"),
        ("translate", "required: FILE, --to"),
        ("translate sense.mp4", "required: --to"),
        ("translate nothing.mp4 --to pt", "FILE='nothing.mp4' .* must be a file"),
        ("wait", "required: ID"),
        ("wait j1 --resume left.json", "ID together with --resume is not allowed"),
        ("wait --resume left.json -o a", "-o together with --resume is not allowed"),
        ("wait j1 --on-exit stay", "on-exit='stay' .* must be leave or cancel"),
        ("wait j1 --max-wait 0", "max-wait=0.0 is not allowed: .* above 0"),
        ("wait j1 --max-wait soon", "max-wait='soon' is not allowed: must be a number"),
        ("wait j1 j2 -o out.mp4", "names one file for 2 results; use --into FOLDER"),
        ("wait j1 -o nowhere/out.mp4", "must be a file in a folder that is there"),
        ("wait j1 -o a --into b", "not allowed with"),
        ("status j1 --base-url localhost", "base_url='localhost' .* http://"),
        ("status j1 --base-url http://h --api-key Ã¼", "api_key of that form"),
        ("status j1 --bas-url http://h", "unrecognized arguments: --bas-url"),
        ("cancel j1 --max-wait x", "max-wait='x' is not allowed: must be a number"),
        ("wait j1 --max-w 3", "unrecognized arguments: --max-w"),
        ("translate x.mp4 --to ../x", "language='../x' .* language tag such as pt"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_status_2(
    line: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It names the value and what is allowed, on standard error."""
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(told, printed.err)
    *log, sentence = printed.err.splitlines()
    assert sentence.startswith("vtrio: ")
    # A server says which engine it has before it is refused an address.
    assert all(json.loads(line)["event"] == "engine-chosen" for line in log)


def test_two_results_cannot_share_a_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of one name, from two folders into one."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp4").touch()
    files = [str(tmp_path / folder / "talk.mp4") for folder in ("a", "b")]
    assert main(["translate", *files, "--to", "pt", "--into", str(tmp_path)]) == 2
    assert "two files would be in one place" in capsys.readouterr().err
    (tmp_path / "a" / "talk.mov").touch()
    both = [files[0], str(tmp_path / "a" / "talk.mov")]  # one name for the subtitles
    assert main(["translate", *both, "--to", "pt"]) == 2
    assert "talk.pt.vtt" in capsys.readouterr().err
    assert main(["translate", files[0], "--to", "pt", "-o", files[0]]) == 2
    assert "talk.mp4" in capsys.readouterr().err
    assert main(["wait", "j1", "-o", str(tmp_path / "out.vtt")]) == 2
    assert "out.vtt" in capsys.readouterr().err
    assert main(["wait", "a/b", "--into", str(tmp_path)]) == 2
    assert "ID='a/b' is not allowed with --into" in capsys.readouterr().err
    assert main(["wait", "j1", "--into", files[0]]) == 2
    assert "must be a folder" in capsys.readouterr().err


def test_the_environment_stands_in_for_flags() -> None:
    """A flag beats it, nothing is as good as unset, and it is checked alike."""
    environment = {
        "VTRIO_BASE_URL": "http://there:1",
        "VTRIO_API_KEY": "secret",
        "VTRIO_MAX_WAIT": "7",
        "VTRIO_PORT": "",
        "VTRIO_DATA_DIR": "/data",
    }
    options = parse(["wait", "j1"], environment)
    assert options is not None
    assert (options.base_url, options.api_key) == ("http://there:1", "secret")
    assert options.max_wait == 7.0
    options = parse(["wait", "j1", "--base-url", "http://here/"], environment)
    assert options is not None
    assert options.base_url == "http://here"
    options = parse(["serve"], environment)
    assert options is not None
    assert (options.port, options.data_dir) == (5000, "/data")
    with pytest.raises(
        UsageError, match=r"max-wait='x'.*\(it came from VTRIO_MAX_WAIT"
    ):
        parse(["wait", "j1"], {"VTRIO_MAX_WAIT": "x"})


def test_the_limits_of_a_server_can_be_set() -> None:
    """Each by a flag and by a variable; unless given they are as the limits have them."""
    options = vars(parse(["serve"], {}))
    assert {flag: options[flag.replace("-", "_")] for flag in LIMITS} == LIMITS
    flags = [word for flag in LIMITS for word in (f"--{flag}", "7")]
    environment = {f"VTRIO_{flag}".upper().replace("-", "_"): "8" for flag in LIMITS}
    for told, number in (
        (parse(["serve", *flags], {}), 7),
        (parse(["serve"], environment), 8),
    ):
        assert {vars(told)[flag.replace("-", "_")] for flag in LIMITS} == {number}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("1.5m", 90), ("12h", 43_200), ("7d", 604_800)],
)
def test_a_duration_may_have_a_unit(text: str, seconds: float) -> None:
    """Seconds, minutes, hours or days; a plain number is seconds."""
    options = parse(
        ["serve", "--keep", text, "--max-run-time", text, "--grace", text], {}
    )
    assert options is not None
    told = (options.keep, options.max_run_time, options.grace)
    assert told == (seconds, seconds, seconds)
