"""A conftest.py that runs tests in turns, and writes down what each took.

Copied like the tests. Taken is the time of the whole protocol: setup, call, teardown,
and whatever plugins do around them.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

_seconds: defaultdict[str, list[float]] = defaultdict(list)


def _turn_of(item: pytest.Item) -> int:
    """Read it from the name, such as `test_empty[3]`."""
    return int(item.name.partition("[")[2].rstrip("]"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests alternate, the same one always first."""
    items.sort(key=lambda item: (_turn_of(item), item.name))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take the time of one test."""
    started = time.perf_counter()
    try:
        return (yield)
    finally:
        name = item.name.partition("[")[0]
        _seconds[name].append(time.perf_counter() - started)


def pytest_sessionfinish() -> None:
    """Write it all down, in the order of the turns."""
    Path("seconds.json").write_text(json.dumps(_seconds), encoding="utf-8")
