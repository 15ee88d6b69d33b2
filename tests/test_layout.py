"""The rings: imports point inwards only, and the rules stay pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "vtrio"
RINGS = ("rules", "engine", "edges", "programs")
HOMES = {
    "rules": (
        *("_allowance", "_arguments", "_checks", "_counts", "_distributions"),
        *(
            "_endings",
            "_errors",
            "_job",
            "_ladder",
            "_limits",
            "_lazy",
            "_names",
            "_outage",
            "_outcomes",
        ),
        *("_pace", "_phases", "_receipt", "_session", "_source", "_stalls", "_streams"),
        "_token",
        *("_translation", "_version", "schedules"),
    ),
    "engine": (
        *(
            "_bell",
            "_callbacks",
            "_deadlines",
            "_entry",
            "_fleet",
            "_governor",
            "_hearing",
            "_lines",
        ),
        *(
            "_cancelling",
            "_listening",
            "_poller",
            "_runs",
            "_scopes",
            "_threads",
            "_turns",
        ),
        *("_watch", "_watching"),
    ),
    "edges": ("_download", "_history_file", "_places", "_videos", "sources"),
    "programs": (
        *("__main__", "_connections", "_learning", "_many", "_pipeline"),
        *("_submissions", "_translate_many", "cli", "client", "server"),
        "testing",  # its server makes clients, as a program does
    ),
}
RING_OF = {home: ring for ring, homes in HOMES.items() for home in homes}
IMPURE = {"asyncio", "logging", "random", "secrets", "socket", "threading", "time"}
HTTP_LIBRARIES = {"aiohttp", "httpcore", "httpx", "httpx2", "requests", "urllib3"}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def name_of(path: Path) -> str:
    """Return a module's home: the first part of its name below the package."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Yield the absolute names of all modules that a module imports, when it does."""
    package = ("vtrio", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_inwards(path: Path) -> None:
    """A module imports from its own ring and from those further in."""
    ring = RINGS.index(RING_OF[name_of(path)])
    for imported in imports_of(path):
        parts = imported.split(".")
        if parts[0] != "vtrio" or len(parts) == 1 or parts[1] not in RING_OF:
            continue
        assert RINGS.index(RING_OF[parts[1]]) <= ring, f"{path} imports {imported}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if RING_OF[name_of(path)] == "rules"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_rules_are_pure(path: Path) -> None:
    """No rule waits, reads a clock, draws, logs, or knows trio or HTTP."""
    roots = {imported.split(".")[0] for imported in imports_of(path)}
    assert not roots & (IMPURE | HTTP_LIBRARIES | {"trio"})
    # A protocol may name an async method; a rule may not be one.
    bodies = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith))
    ]
    assert not bodies


def test_only_the_edges_know_http() -> None:
    """An HTTP library is imported in `sources/` and `testing/` alone."""
    knowing = {
        name_of(path)
        for path in MODULES
        if HTTP_LIBRARIES & {imported.split(".")[0] for imported in imports_of(path)}
    }
    assert knowing <= {"sources", "testing"}


def test_one_place_sleeps_in_the_loop() -> None:
    """The loop of a wait has exactly one sleep, and it sleeps until, not for."""
    sleeps = [
        node.attr
        for home in ("_poller.py", "_hearing.py")
        for node in ast.walk(ast.parse((ROOT / home).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("sleep")
    ]
    assert sleeps == ["sleep_until"]


def test_every_module_has_a_ring() -> None:
    """A new file must say where it belongs."""
    assert {name_of(path) for path in MODULES} <= set(RING_OF)


def test_the_reader_of_imports_sees_an_arrow_outwards(tmp_path: Path) -> None:
    """The guard itself works: it names relative imports by their absolute names."""
    module = ROOT / "schedules" / "_fixed.py"
    assert "vtrio._checks" in set(imports_of(module))
    assert "vtrio.schedules._base" in set(imports_of(module))
