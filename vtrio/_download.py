"""Fetching a result whole: resumed after a break, checked, renamed when complete."""

from __future__ import annotations

import math
import os
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import trio

from ._errors import BadAnswer, NoAnswer, Refused, TransientError
from ._session import LONGEST_HINT
from .schedules import Exponential, PollState

# A finished video must not be thrown away for a reset or two; a server that brings
# no new byte in so many tries will not bring the rest.
_TRIES_WITHOUT_PROGRESS = 6
_PAUSES = Exponential(initial=0.5, factor=2, cap=20)


class ResultStream(Protocol):
    """A result on its way; see `sources`."""

    @property
    def offset(self) -> int: ...
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
    rng: random.Random,
    max_silence: float = math.inf,
) -> None:
    """Fetch `url` to `path`.

    The bytes go to `path` with `.part` appended, with the validator of what they are
    beside it, so that a later call can go on; the file gets its name when it is
    whole. If cancelled, the part stays.

    Raises:
        TransientError: it broke too often without a new byte.
        NoAnswer: no byte came for `max_silence` seconds.
        Refused: the server will not give it.
        OSError: the file cannot be written.
    """
    with trio.move_on_after(max_silence) as silence:
        await _download(source, url, _Part(path, silence, max_silence), rng)
    if silence.cancelled_caught:
        raise NoAnswer(
            f"{url} has sent nothing for {max_silence:g} s; call again to go on"
        )


async def _download(
    source: ResultSource, url: str, part: _Part, rng: random.Random
) -> None:
    tries = 0
    while True:
        before = await trio.to_thread.run_sync(part.size)
        failure = None
        try:
            await _fetch(source, url, part)
        except TransientError as error:
            failure = error
        if failure is None:
            await trio.to_thread.run_sync(part.finish)
            return
        grown = await trio.to_thread.run_sync(part.size) > before
        tries = 1 if grown else tries + 1
        if tries >= _TRIES_WITHOUT_PROGRESS:
            raise failure
        state = PollState(age=0, answers=tries, roll=rng.random())
        hint = min(failure.hint or 0.0, LONGEST_HINT)
        await trio.sleep(max(_PAUSES.delay(state), hint))


class _Part:
    """The unfinished file and the validator that tells what it is part of."""

    def __init__(
        self, path: Path, silence: trio.CancelScope, max_silence: float
    ) -> None:
        self._silence = silence
        self._max_silence = max_silence
        self.path = path
        self.file = path.with_name(f"{path.name}.part")
        self._validator = path.with_name(f"{path.name}.part.etag")

    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def etag(self) -> str | None:
        if not self._validator.exists():
            return None
        return self._validator.read_text(encoding="latin-1") or None

    def grows(self) -> None:
        """Note that bytes have come: the silence is over."""
        self._silence.deadline = trio.current_time() + self._max_silence

    def begin(self, etag: str | None) -> None:
        """Start from nothing. The old bytes go before the new validator comes."""
        self.file.write_bytes(b"")
        self._validator.write_text(etag or "", encoding="latin-1")

    def drop(self) -> None:
        self.file.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def finish(self) -> None:
        with self.file.open("rb+") as file:
            os.fsync(file.fileno())
        self.file.replace(self.path)
        self._validator.unlink(missing_ok=True)


async def _fetch(source: ResultSource, url: str, part: _Part) -> None:
    """Fetch what is missing, once."""
    etag = await trio.to_thread.run_sync(part.etag)
    have = await trio.to_thread.run_sync(part.size) if etag else 0
    try:
        await _append(source, url, part, have=have, etag=etag)
    except Refused as error:
        # 416: there is nothing behind what we have, so it is not part of this.
        if error.status_code != 416 or not have:
            raise
    else:
        return
    await trio.to_thread.run_sync(part.drop)
    raise BadAnswer("the part that was kept is not of this result")


async def _append(
    source: ResultSource, url: str, part: _Part, *, have: int, etag: str | None
) -> None:
    async with source.open_result(url, offset=have, etag=etag) as stream:
        if stream.offset != have or (have and stream.etag not in {None, etag}):
            if stream.offset:
                raise BadAnswer(
                    f"the server sent the bytes from {stream.offset} on where those"
                    f" from {have} on were asked for"
                )
            have = 0
        if not have:
            await trio.to_thread.run_sync(part.begin, stream.etag)
        async with await trio.open_file(part.file, "ab") as file:
            async for chunk in stream.chunks:
                await file.write(chunk)
                part.grows()
    size = await trio.to_thread.run_sync(part.size)
    if stream.total is not None and size != stream.total:
        if size > stream.total:
            await trio.to_thread.run_sync(part.drop)
        raise BadAnswer(f"{size} bytes came where {stream.total} were announced")
