"""What the plugin of pytest costs where it is not used: the whole of its entry point.

pytest imports the plugin, and marks every file in the RECORD of its distribution for
the rewriting of assertions. Both are gone without the entry point, and nothing else is
to be. So there are two folders with links to all that is installed, and with a copy of
our own metadata, which lacks the entry point in one of them. RECORD is as in a wheel,
with a line for each of our files, even where an editable install has none of these.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import vtrio

_GROUP = "pytest11"
_PLUGIN = "vtrio.testing.plugin"
_TRIVIAL = "def test_nothing() -> None:\n    pass\n"
_TELLING = """
import json
import sys
from pathlib import Path

def test_nothing() -> None:
    Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
"""


class PluginStart:
    """Two ways to start pytest, which differ in the entry point alone.

    Args:
        folder: an empty one, for everything that this needs.

    Raises:
        LookupError: the package is not installed in a way that has an entry point.
    """

    def __init__(self, folder: Path) -> None:
        ours = _metadata_folder()
        self._sites = {True: folder / "with", False: folder / "without"}
        for has_plugin, site in self._sites.items():
            _make_site(site, ours, has_plugin=has_plugin)
        self._empty = folder / "empty"
        self._telling = folder / "telling"
        for place, test in ((self._empty, _TRIVIAL), (self._telling, _TELLING)):
            place.mkdir()
            (place / "test_nothing.py").write_text(test)

    def seconds(self, *, has_plugin: bool) -> tuple[float, float]:
        """Run one test that does nothing; return wall and processor time of it."""
        started, used = time.perf_counter(), _cpu_of_children()
        self._run(self._empty, has_plugin=has_plugin)
        return time.perf_counter() - started, _cpu_of_children() - used

    def check_difference(self) -> None:
        """Require that pytest loads the plugin with the entry point, and only then.

        Otherwise two equal things would be compared, and found to be equal.
        """
        for has_plugin in self._sites:
            self._run(self._telling, has_plugin=has_plugin)
            if (_PLUGIN in self._told_modules()) is not has_plugin:
                told = "without" if has_plugin else "with"
                raise RuntimeError(f"pytest ran {told} the plugin, unlike planned")

    def imports(self) -> list[str]:
        """Name the modules that the plugin alone brings into a run without use of it.

        Without the plugins of others, because some of them import trio themselves.
        """
        alone = self._modules()
        return sorted(self._modules("-p", _PLUGIN) - alone)

    def _modules(self, *arguments: str) -> set[str]:
        self._run(self._telling, *arguments, has_plugin=True, only_named=True)
        return self._told_modules()

    def _told_modules(self) -> set[str]:
        return set(json.loads((self._telling / "modules.json").read_text()))

    def _run(
        self,
        place: Path,
        *arguments: str,
        has_plugin: bool,
        only_named: bool = False,
    ) -> None:
        # Settings of whoever runs the benchmark would be settings of what is measured.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "COVERAGE_"))
        }
        environment["PYTHONPATH"] = str(self._sites[has_plugin])
        if only_named:
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        # Without `site`: the folders that really hold the packages stay out of it.
        done = subprocess.run(
            [sys.executable, "-S", "-m", "pytest", "-q", *arguments],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"pytest did not pass:\n{done.stdout}{done.stderr}")


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _metadata_folder() -> Path:
    """Find the folder with the metadata of our installed distribution."""
    try:
        distribution = metadata.distribution("vtrio")
    except metadata.PackageNotFoundError:
        raise LookupError("vtrio is not installed") from None
    for file in distribution.files or ():
        if file.name == "METADATA":
            folder = Path(str(distribution.locate_file(file))).parent
            if _GROUP in _entry_points(folder):
                return folder
    raise LookupError(f"vtrio is installed without its entry point {_GROUP}")


def _make_site(site: Path, ours: Path, *, has_plugin: bool) -> None:
    """Link all that is installed, and copy our own metadata."""
    site.mkdir()
    package = Path(vtrio.__file__).parent
    (site / package.name).symlink_to(package)
    for entry in _installed():
        place = site / entry.name
        # The first one found is the one that is imported.
        if entry != ours and not place.is_symlink():
            place.symlink_to(entry)
    copied = site / ours.name
    shutil.copytree(ours, copied)
    if not has_plugin:
        parser = _entry_points(ours)
        parser.remove_section(_GROUP)
        with (copied / "entry_points.txt").open("w") as stream:
            parser.write(stream)
    records = [f"{name},,\n" for name in (*_files(package), *_files(copied))]
    (copied / "RECORD").write_text("".join(records))


def _files(folder: Path) -> list[str]:
    """Name the files of a folder as RECORD does: from the folder around it on."""
    return [
        path.relative_to(folder.parent).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def _installed() -> list[Path]:
    """Return what lies in the folders in which distributions are installed."""
    return [
        entry
        for place in map(Path, filter(None, sys.path))
        if any(place.glob("*.dist-info"))
        for entry in sorted(place.iterdir())
        if entry.name != "__pycache__"
    ]


def _entry_points(folder: Path) -> ConfigParser:
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(folder / "entry_points.txt")
    return parser
