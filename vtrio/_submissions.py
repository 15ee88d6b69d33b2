"""Submitting one of many videos, however often its answer gets lost."""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable
from typing import Protocol

import trio

from ._errors import NoAnswer, ServerBusy, TransientError
from ._job import Job
from ._session import LONGEST_HINT
from ._translation import Video

# A server that restarts, or a network that drops out, is back within half a minute; what
# fails for so long is the submission's own fault, as far as anybody can tell.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)


class Submit(Protocol):
    """What submits a video once; see `VideoTranslationClient.submit`."""

    def __call__(
        self,
        video: Video,
        to: str,
        *,
        source_language: str | None = None,
        idempotency_key: str | None = None,
    ) -> Awaitable[Job]: ...


class Submissions:
    """Submits videos, and knows how long nothing has answered any of them.

    Args:
        submit: submits a video once.
        to: the target language.
        source_language: what is spoken in them.
        max_silence: seconds without any answer, after which all are given up.
    """

    def __init__(
        self,
        submit: Submit,
        *,
        to: str,
        source_language: str | None,
        max_silence: float | None,
    ) -> None:
        self._submit = submit
        self._to = to
        self._source_language = source_language
        self._max_silence = max_silence
        self._silent_since: float | None = None

    def note_answer(self) -> None:
        """Take in that the server answers."""
        self._silent_since = None

    async def submit(self, video: Video) -> Job:
        """Submit a video, and return the job.

        A submission whose answer was lost, or that failed in passing, is made again with
        the same key, so that it makes one job at most: after 1, 2, 4, 8 and 16 s, and
        no sooner than the server asks for. One that the server puts off with a
        `Retry-After` is made again for as long as it does so.

        Raises:
            TransientError: it failed too often.
            NoAnswer: nothing has answered for `max_silence` seconds.
            Refused: the server will not take it.
            OSError: the file cannot be read.
        """
        key = uuid.uuid4().hex
        pauses = iter(PAUSES)
        while True:
            began_at = trio.current_time()
            failure: TransientError
            try:
                job = await self._submit(
                    video,
                    self._to,
                    source_language=self._source_language,
                    idempotency_key=key,
                )
            except TransientError as error:
                failure = error
            else:
                self.note_answer()
                return job
            give_up_at = self._note(failure, began_at)
            hint = min(failure.hint or 0.0, LONGEST_HINT)
            puts_off = isinstance(failure, ServerBusy) and hint > 0
            pause = PAUSES[0] if puts_off else next(pauses, None)
            if pause is None:
                raise failure
            again_at = trio.current_time() + max(pause, hint)
            await trio.sleep_until(min(again_at, give_up_at))

    def _note(self, failure: TransientError, began_at: float) -> float:
        """Take in a failure; return the instant at which all are given up.

        Raises:
            NoAnswer: it has come.
        """
        if failure.status_code is not None:
            self.note_answer()
        elif self._silent_since is None:
            self._silent_since = began_at
        if self._silent_since is None or self._max_silence is None:
            return math.inf
        give_up_at = self._silent_since + self._max_silence
        if give_up_at <= trio.current_time():
            raise NoAnswer(
                f"nothing has answered for {self._max_silence:g} s; the last error was:"
                f" {failure}"
            ) from failure
        return give_up_at
