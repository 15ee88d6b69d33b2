"""Fetching a result whole: resumed after a break, checked, renamed when complete."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import trio

from ._errors import BadAnswer, NoAnswer, Refused, TransientError
from ._session import LONGEST_HINT
from ._threads import in_thread
from .schedules import Exponential, PollState

# A finished video must not be thrown away for a reset or two; a server that brings
# no new byte in so many tries, which is half a minute, will not bring the rest.
_TRIES_WITHOUT_PROGRESS = 7
_PAUSES = Exponential(initial=0.5, factor=2, cap=20)


class ResultStream(Protocol):
    """A result on its way; see `sources`."""

    @property
    def offset(self) -> int: ...
    @property
    def end(self) -> int | None: ...
    @property
    def total(self) -> int | None: ...
    @property
    def etag(self) -> str | None: ...
    @property
    def chunks(self) -> AsyncIterator[bytes]: ...


class ResultSource(Protocol):
    """Whatever results can be fetched from."""

    def open_result(
        self, url: str, *, offset: int, etag: str | None
    ) -> AbstractAsyncContextManager[ResultStream]:
        """Open a result from `offset` on, if it is still the one of that `etag`."""
        ...


async def download(
    source: ResultSource,
    url: str,
    path: Path,
    *,
    result: str,
    rng: random.Random,
    max_silence: float = math.inf,
) -> None:
    """Fetch `url` to `path`.

    The bytes go to `path` with `.part` appended, with a note beside it of what they
    are, so that a later call for the same `result` can go on; the file gets its name
    when it is whole. If cancelled, the part stays.

    Raises:
        TransientError: it broke too often without a new byte.
        NoAnswer: no byte came for `max_silence` seconds.
        Refused: the server will not give it.
        OSError: the file cannot be written.
    """
    with trio.move_on_after(max_silence) as silence:
        await _download(source, url, _Part(path, result, silence, max_silence), rng)
    if silence.cancelled_caught:
        raise NoAnswer(
            f"{url.partition('?')[0]} has sent nothing for {max_silence:g} s; call"
            " again to go on"
        )


async def _download(
    source: ResultSource, url: str, part: _Part, rng: random.Random
) -> None:
    tries = 0
    furthest = await in_thread(part.size)
    while True:
        failure = None
        try:
            await _fetch(source, url, part)
        except TransientError as error:
            failure = error
        if failure is None:
            await in_thread(part.finish)
            return
        # Bytes that replace what had to be dropped are no progress, or a server that
        # always sends the wrong ones would be asked for ever.
        size = await in_thread(part.size)
        tries = 1 if size > furthest else tries + 1
        furthest = max(furthest, size)
        if tries >= _TRIES_WITHOUT_PROGRESS:
            raise failure
        state = PollState(age=0, answers=tries, roll=rng.random())
        hint = min(failure.hint or 0.0, LONGEST_HINT)
        await trio.sleep(max(_PAUSES.delay(state), hint))


@dataclass(frozen=True, slots=True)
class _Note:
    """What the bytes of a part are: of which result, validator and length.

    A validator is a server's word about one resource, so it does not tell two results
    apart.
    """

    result: str
    etag: str
    total: int | None


class _Part:
    """The unfinished file, and the note beside it."""

    def __init__(
        self, path: Path, result: str, silence: trio.CancelScope, max_silence: float
    ) -> None:
        self._silence = silence
        self._max_silence = max_silence
        self._result = result
        self.path = path
        self.file = path.with_name(f"{path.name}.part")
        self._noted = path.with_name(f"{path.name}.part.json")

    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def note(self) -> _Note | None:
        """Read what the bytes are; None if they are nothing that can be gone on with."""
        try:
            note = _Note(**json.loads(self._noted.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return note if note.result == self._result and note.etag else None

    def grows(self) -> None:
        """Note that bytes have come: the silence is over."""
        self._silence.deadline = trio.current_time() + self._max_silence

    def begin(self, etag: str | None, total: int | None) -> None:
        """Start from nothing. The old bytes go before the new note comes."""
        self.file.write_bytes(b"")
        note = _Note(self._result, etag or "", total)
        self._noted.write_text(json.dumps(asdict(note)), encoding="utf-8")

    def append(self, chunk: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(chunk)

    def drop(self) -> None:
        self.file.unlink(missing_ok=True)
        self._noted.unlink(missing_ok=True)

    def finish(self) -> None:
        with self.file.open("rb+") as file:
            os.fsync(file.fileno())
        self.file.replace(self.path)
        self._noted.unlink(missing_ok=True)


async def _fetch(source: ResultSource, url: str, part: _Part) -> None:
    """Fetch what is missing, once."""
    note = await in_thread(part.note)
    have = await in_thread(part.size) if note is not None else 0
    if note is not None and note.total is not None and have == note.total:
        return  # the last byte had come before the file could get its name
    try:
        async with source.open_result(
            url, offset=have, etag=note.etag if note is not None else None
        ) as stream:
            await _append(stream, part, note, have)
    except Refused as error:
        # 416: there is nothing behind what we have, so it is not part of this.
        if error.status_code != 416 or not have:
            raise
    else:
        return
    await in_thread(part.drop)
    raise BadAnswer("the part that was kept is not of this result")


async def _append(
    stream: ResultStream, part: _Part, note: _Note | None, have: int
) -> None:
    """Put the bytes where they belong, and check that nothing is missing then."""
    total, end = stream.total, stream.end
    if stream.offset == 0:
        await in_thread(part.begin, stream.etag, stream.total)
    elif note is None or stream.etag not in {None, note.etag}:
        await in_thread(part.drop)
        raise BadAnswer("the server sent a part of something else than before")
    elif stream.offset != have:
        raise BadAnswer(
            f"the server sent the bytes from {stream.offset} on where those from"
            f" {have} on were asked for"
        )
    else:
        total = stream.total if note.total is None else note.total
    # No handle is kept between two chunks: opening is cheap beside a chunk's way here,
    # and what is cancelled in between leaves nothing to close.
    async for chunk in stream.chunks:
        await in_thread(part.append, chunk)
        part.grows()
    size = await in_thread(part.size)
    expected = total if total is not None else end
    if expected is not None and size != expected:
        if size > expected:
            await in_thread(part.drop)
        raise BadAnswer(f"{size} bytes came where {expected} were announced")
