"""`vtrio keys`: what it prints, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vtrio.cli import main


def keys(folder: Path, *arguments: str) -> int:
    """Run the command on a data directory; return its exit status."""
    return main(["keys", *arguments, "--data-dir", str(folder)])


def test_a_key_is_revoked_by_its_id_or_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is printed when it is made, and never again."""
    for name in ("by id", "whole"):
        assert keys(tmp_path, "add", name) == 0
        key = capsys.readouterr().out.strip()
        key_id = key.split("_")[1]
        given = key_id if name == "by id" else key

        # With a letter too many it is no key, but nearly all of one.
        for wrong in (f"{key}x", key[:-1]):
            assert keys(tmp_path, "revoke", wrong) == 2
            told = capsys.readouterr()
            assert "there is no valid key of that id" in told.err
            assert key[-20:-1] not in told.out + told.err
        assert keys(tmp_path, "revoke", given, "--json") == 0
        told = capsys.readouterr()
        assert json.loads(told.out) == {"event": "revoked", "id": key_id}

        assert keys(tmp_path, "revoke", given) == 2
        assert key[-20:] not in capsys.readouterr().err


def test_keys_are_listed_without_their_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has a line, with its id, its state and whose it is."""
    assert keys(tmp_path, "add", "the team") == 0
    key = capsys.readouterr().out.strip()
    assert keys(tmp_path, "list") == 0
    told = capsys.readouterr().out
    assert told.startswith(key.split("_")[1])
    assert told.endswith("  valid  the team\n")
    assert key[-43:] not in told
