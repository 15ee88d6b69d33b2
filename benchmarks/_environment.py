"""What a figure was measured on: it means nothing without."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    *("vtrio", "trio", "httpx", "httpx2", "hypercorn", "quart", "quart-trio"),
    # Those that are measured beside it.
    *("tenacity", "stamina", "aiohttp", "google-api-core", "requests", "polling2"),
    *("azure-core", "botocore"),
)


def environment(seed: int) -> dict[str, Any]:
    """Describe versions, seed, machine and commit."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "seed": seed,
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "commit": _commit(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Name the commit, with a plus sign where the tree has been changed since.

    Results are no change: they are not what is measured.
    """
    here = Path(__file__).parent
    try:
        head = _git(here, "rev-parse", "HEAD")
        changes = _git(
            *(here, "status", "--porcelain", "--"),
            *(":/", ":(exclude,top)benchmarks/results"),
        )
        return head + ("+" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(here: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(here), *words],  # noqa: S607 - whichever git there is
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def told_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a scenario was asked for; not where to write, which is nobody's."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name != "json"
    }


def write_json(
    path: Path,
    where: Mapping[str, Any],
    options: Mapping[str, Any],
    results: Mapping[str, Any],
) -> None:
    """Write what was found, whole or not at all; options and results by scenario."""
    unfinished = path.with_name(f"{path.name}.part")
    document = {"environment": where, "options": options, "results": results}
    unfinished.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
