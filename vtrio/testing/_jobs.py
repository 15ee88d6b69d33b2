"""One job of a scripted server: where it stands, and what the wire says of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .._job import JobStatus
from .._names import publish
from ..sources._http import quote_id
from . import _wire
from ._faults import Fault
from ._replies import Reply
from ._scripts import JobScript, Life, What
from ._timeline import Exchange, ScriptNotFollowed

# Ten years, or ten times what a wait of a year asks at most; then somebody has made a
# mistake, and has to be told.
_LONGEST_LIFE = 10 * 365 * 86_400.0
_MOST_POLLS = 100_000

DAWN = datetime(2026, 1, 1, tzinfo=UTC)
"""A scripted server's time of day at instant 0."""


class Record:
    """What the server knows of a job. Instants are the server's own."""

    def __init__(
        self,
        job_id: str,
        script: JobScript,
        *,
        submitted_at: float,
        fields: Mapping[str, Any],
        results: Mapping[str, bytes],
        optional: bool,
    ) -> None:
        self.id = job_id
        self.submitted_at = submitted_at
        self.cancelled_at: float | None = None
        self.polls: list[Exchange] = []
        self.optional = optional
        self._life: Life[What] = Life(script)
        self._fields = fields
        self._results = results
        self._link = 1
        self._written: dict[object, _wire.Written] = {}
        # Quoted, because an id may be any text.
        self._path = f"{_wire.COLLECTION}/{quote_id(job_id)}"

    def look(self, now: float) -> str:
        """Let the job live on to an instant, and return its status word then."""
        if self.cancelled_at is None:  # the script of a cancelled job has ended
            self._life.look(self.submitted_at, now)
        return self._word()

    def _word(self) -> str:
        if self.cancelled_at is not None:
            return JobStatus.CANCELLED.value
        return _wire.status_word(self._life.word())

    def missing(self) -> str | None:
        """Say which steps nobody's question has come to, if any.

        Whoever asked has come to the first, even if all was refused.
        """
        unreached = self._life.unreached_when(asked=bool(self.polls))
        if self.optional or self.cancelled_at is not None or not unreached:
            return None
        steps = ", ".join(map(str, unreached))
        last = "nobody asked about it"
        if self.polls:
            last = f"the last question came at {self.polls[-1].at:g} s"
        return f"{steps} of job {self.id}; {last}"

    def submitted(self, *, hint: int | None) -> Reply:
        """Answer the submission, which tells the first step."""
        self._life.tell(self.submitted_at, self.submitted_at)
        return self.document(self.submitted_at, status=202, hint=hint, location=True)

    def turns(self) -> list[tuple[float, str]]:
        """Say when the job came to which step of its script."""
        turns = list(self._life.turns())
        if self.cancelled_at is not None:
            turns.append((self.cancelled_at, JobStatus.CANCELLED.value))
        return [(at, f"     job {self.id} is {what}") for at, what in turns]

    def tell(
        self,
        exchange: Exchange,
        *,
        by_word: bool,
        heard: bool,
        word: str | None,
        hint: int | None,
    ) -> Reply:
        """Answer a question for the status.

        Args:
            exchange: the question.
            by_word: whether it came in the form without ids.
            heard: whether the client hears it, so that the script moves on.
            word: the status to tell instead.
            hint: seconds to ask to wait.
        """
        now = exchange.at
        fault = None
        self._require_an_end(now)
        if self.cancelled_at is None:
            look = self._life.tell if heard else self._life.look
            what = look(self.submitted_at, now).what
            fault = what if isinstance(what, Fault) else None
        # What has just been told stands: looking again would move the script on.
        told = word or (fault.word if fault is not None else None) or self._word()

        def right() -> Reply:
            if by_word:
                return _wire.result_word(told)
            return self.document(now, word=told, hint=hint)

        return right() if fault is None else fault.spoil(right, wall(now))

    def _require_an_end(self, now: float) -> None:
        """Refuse to be asked for ever: virtual time does not tire, and nobody waits."""
        if not self._life.is_at_its_end or _wire.is_final(self._word()):
            return
        too_many = len(self.polls) > _MOST_POLLS
        if too_many or now - self.submitted_at > _LONGEST_LIFE:
            raise ScriptNotFollowed(
                f"job {self.id} stays {self._word()!r}: its script has no end, and it"
                f" was asked about {len(self.polls)} times in"
                f" {now - self.submitted_at:g} s; give the script a final step, or the"
                " wait a limit"
            )

    def cancel(self, now: float, *, hint: int | None) -> Reply:
        """Cancel the job, if it still runs."""
        if _wire.is_final(self.look(now)):
            return self.document(now, hint=hint)
        self.cancelled_at = now
        return self.document(now, status=202, hint=hint)

    def result(self, exchange: Exchange) -> Reply:
        """Answer with the video, or the subtitles."""
        word = self.look(exchange.at)
        if word != JobStatus.COMPLETED:
            detail = f"job {self.id!r} is {word}"
            return _wire.problem(409, "not-completed", "The job has no result", detail)
        what = exchange.path.rpartition("/")[2]
        if exchange.target != self._links()[f"{what}_url"]:
            return _wire.problem(403, "link-expired", "The link has expired")
        return _wire.result(
            self._results[what],
            name=f"{self.id}/{what}",
            kind="video/mp4" if what == "video" else "text/vtt; charset=utf-8",
            asked=exchange.headers,
        )

    def renew_links(self) -> None:
        """Let the links that were given so far lead nowhere."""
        self._link += 1

    def document(
        self,
        now: float,
        *,
        status: int = 200,
        word: str | None = None,
        hint: int | None,
        location: bool = False,
    ) -> Reply:
        """Answer with the job's document, as the job was last looked at."""
        word = word or self._word()
        started = self._life.since(JobStatus.RUNNING)
        finished = self.cancelled_at
        if finished is None and _wire.is_final(word):
            finished = self._life.since(word)
            finished = now if finished is None else finished
        headers = {"job-age": f"{now - self.submitted_at:.3f}"}
        if finished is not None:
            began = finished if started is None else started
            headers["job-run-time"] = f"{finished - began:.3f}"
            headers["job-ended-ago"] = f"{now - finished:.3f}"
        elif hint is not None:
            headers["retry-after"] = str(hint)
        if location:
            headers["location"] = self._path
        # Most answers of a wait are the same: only what is in the headers changes.
        state = (word, started, finished, self._link, len(self._life.entered))
        if state not in self._written:
            members = self._members(word, started, finished)
            self._written = {state: _wire.write(members)}
        written = self._written[state]
        return _wire.document(written, word, headers=headers, status=status)

    def _members(
        self, word: str, started: float | None, finished: float | None
    ) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": word,
            "progress": 1.0 if word == JobStatus.COMPLETED else None,
            "stage": None,
            "target_language": "pt",
            "source_language": None,
            "media_seconds": None,
            "created_at": _instant(self.submitted_at),
            "started_at": _instant(started),
            "finished_at": _instant(finished),
            "error": _wire.default_error() if word == JobStatus.ERROR else None,
            "result": self._links() if word == JobStatus.COMPLETED else None,
            **self._fields,
            **self._life.told_members(),
        }

    def _links(self) -> dict[str, str]:
        query = "" if self._link == 1 else f"?link={self._link}"
        return {
            f"{what}_url": f"{self._path}/{what}{query}"
            for what in ("video", "subtitles")
        }


class ScriptedJob:
    """One job of a scripted server, and what was asked about it.

    Attributes:
        id: what clients call it.
    """

    def __init__(self, record: Record) -> None:
        self.id = record.id
        self._record = record

    def __repr__(self) -> str:
        return f"<ScriptedJob {self.id}: {len(self._record.polls)} polls>"

    @property
    def polls(self) -> tuple[Exchange, ...]:
        """The questions for its status, failed ones too."""
        return tuple(self._record.polls)

    @property
    def asked_at(self) -> list[float]:
        """The instants of these."""
        return [poll.at for poll in self._record.polls]

    @property
    def cancelled_at(self) -> float | None:
        """The instant at which a client cancelled it, if one did."""
        return self._record.cancelled_at


def wall(now: float) -> datetime:
    """Return the time of day at an instant."""
    return DAWN + timedelta(seconds=now)


def _instant(at: float | None) -> str | None:
    return None if at is None else _wire.instant(wall(at))


publish(ScriptedJob, by="vtrio.testing")
