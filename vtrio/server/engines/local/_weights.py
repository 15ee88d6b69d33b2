"""The models as they lie in wheels: found without import, joined once, checked.

A wheel may not be larger than an index allows, so large models come in parts. The
whole is written to the cache under a temporary name and moved into place, so that two
attempts at once, or one that is killed, cannot leave half a model.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from .._base import EngineError

_BLOCK = 2**20

# A temporary file of this age belongs to a process that was killed.
_STALE = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A file that has to be whole: its parts as `package/path`, its size and SHA-256.

    `beside` are small files, `package/path` too, that its reader looks for in the same
    folder.
    """

    name: str
    parts: tuple[str, ...]
    size: int
    sha256: str
    beside: tuple[str, ...] = ()

    def is_installed(self) -> bool:
        """Tell whether all the packages that hold parts are there."""
        return all(find_spec(part.partition("/")[0]) for part in self.parts)

    def join(self, cache: Path) -> Path:
        """Return the whole file, written to the cache if it is not there yet.

        Raises:
            EngineError: `bad-model`, the parts are not what they should be; or
                `no-cache`, the whole cannot be written.
        """
        try:
            return self._joined(cache)
        except OSError as error:
            raise EngineError(
                "no-cache",
                "The models cannot be unpacked",
                f"{error.strerror}; set VTRIO_CACHE to a folder with room",
                permanent=False,
            ) from error

    def _joined(self, cache: Path) -> Path:
        # The hash in the folder's name lets another version live beside this one.
        folder = cache / f"{self.name.rpartition('.')[0]}-{self.sha256[:12]}"
        whole = folder / self.name
        # Checked in full when it was written; a later look at the size is enough.
        if whole.is_file() and whole.stat().st_size == self.size:
            return whole
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        # The whole comes last: where it is, the others are.
        for path in map(locate, self.beside):
            with _placed(folder / path.name) as file:
                file.write(path.read_bytes())
        with _placed(whole) as file:
            self._write(file)
        return whole

    def _write(self, whole: BinaryIO) -> None:
        digest = hashlib.sha256()
        size = 0
        for path in map(locate, self.parts):
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    whole.write(block)
                    digest.update(block)
                    size += len(block)
        if (size, digest.hexdigest()) != (self.size, self.sha256):
            packages = " ".join(part.partition("/")[0] for part in self.parts)
            raise EngineError(
                "bad-model",
                "The model is damaged",
                f"{self.name} is {size} bytes with SHA-256 {digest.hexdigest()}, not"
                f" {self.size} with {self.sha256}; reinstall {packages}",
                permanent=True,
            )


def locate(part: str) -> Path:
    """Return the path of a file inside an installed package, without importing it.

    Raises:
        EngineError: `bad-model`, the package or the file is not there.
    """
    package, _, path = part.partition("/")
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        if (found := Path(place) / path).is_file():
            return found
    raise EngineError(
        "bad-model",
        "A model is missing",
        f"{part} is not installed: pip install 'vtrio[local]'",
        permanent=True,
    )


def cache_folder(chosen: str | None) -> Path:
    """Return where joined models are kept: as chosen, else as XDG says."""
    if chosen is not None:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "vtrio"


@contextmanager
def _placed(target: Path) -> Generator[BinaryIO]:
    """Open a temporary file that takes the place of `target` once it is complete."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    for left in folder.glob("*.part"):
        try:
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
        except FileNotFoundError:
            pass  # another attempt swept it first
