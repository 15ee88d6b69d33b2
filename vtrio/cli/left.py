"""What a command leaves: a token in a file, which `vtrio wait --resume` takes up."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._arguments import check_base_url, id_of
from .._checks import shorten
from .._token import WaitToken, read_token
from .parser import UsageError

_NAME = "vtrio-left"


class Left:
    """The file for what is left: named when it is first written, then replaced.

    Args:
        folder: where a new one goes; where that cannot be written in, it is the current
            folder, or that for temporary files.
        file: one that is there, to be replaced.
        history: the file of durations that the command was given.
    """

    def __init__(
        self, folder: Path, *, file: Path | None = None, history: str | None = None
    ) -> None:
        self._folders = (folder, Path(), Path(tempfile.gettempdir()))
        self._file = file
        self._history = history
        self.again: str | None = None
        """The command that takes up what was written last."""

    def write(self, token: WaitToken) -> str:
        """Write a token, whole or not at all; return the command that takes it up.

        Raises:
            OSError: it can be written nowhere.
        """
        text = json.dumps(token, ensure_ascii=True) + "\n"
        if self._file is None:
            self._file = _write_new(self._folders, text)
        else:
            part = self._file.with_name(f"{self._file.name}.part")
            _replace(part, self._file, text)
        words = ["vtrio", "wait", "--resume", str(self._file)]
        if self._history is not None:
            words += ["--history", self._history]
        self.again = shlex.join(words)
        return self.again


def _write_new(folders: tuple[Path, ...], text: str) -> Path:
    failure: OSError | None = None
    for folder in folders:
        try:
            return _write_in(folder, text)
        except OSError as error:
            failure = failure or error
    assert failure is not None  # noqa: S101 - there is at least one folder
    raise failure


def _write_in(folder: Path, text: str) -> Path:
    for file in _names(folder):
        # Whoever holds the part has the name as well, if nobody has had it before.
        part = file.with_name(f"{file.name}.part")
        try:
            part.open("x").close()
        except FileExistsError:
            continue
        if file.exists():
            part.unlink()
            continue
        _replace(part, file, text)
        return file
    raise AssertionError("there is always one more name")


def _names(folder: Path) -> Iterator[Path]:
    yield folder / f"{_NAME}.json"
    number = 1
    while True:
        number += 1
        yield folder / f"{_NAME}-{number}.json"


def _replace(part: Path, file: Path, text: str) -> None:
    try:
        part.write_text(text, encoding="ascii")
        part.replace(file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def read_left(file: str) -> WaitToken:
    """Read a token from a file, or from standard input where that is `-`.

    Raises:
        UsageError: there is none, or it is not what was written.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"--resume {file} is not allowed: must be a file that can be read"
            f" ({error.strerror})"
        ) from None
    except UnicodeDecodeError:
        text = ""
    try:
        token = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"--resume {file} cannot be used: it is not JSON") from None
    if not isinstance(token, dict):
        raise UsageError(
            f"--resume {file} cannot be used: it is {shorten(token)}, and no token of"
            " waits"
        )
    try:
        read_token(token)
        check_base_url(token["base_url"])
        for job in token["jobs"]:
            _check_job(job)
    except ValueError as error:
        raise UsageError(f"--resume {file} cannot be used: {error}") from None
    return token


def _check_job(job: Mapping[str, Any]) -> None:
    id_of(job["id"])
    for member in ("video", "output"):
        value = job.get(member)
        if value is not None and (
            not isinstance(value, str) or not value or "\0" in value
        ):
            raise ValueError(
                f"the token's {member}={shorten(value)} is not allowed: must be the"
                " name of a file, or left out"
            )
