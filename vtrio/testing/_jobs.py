"""One job of a scripted server: where it stands, and what the wire says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._job import JobStatus
from .._names import publish
from ..sources._http import quote_id
from . import _wire
from ._faults import Fault
from ._feed import Event, Feed
from ._replies import Reply
from ._scripts import JobScript, Life, What
from ._timeline import Exchange, ScriptNotFollowed

# Ten years, or ten times what a wait of a year asks at most; then somebody has made a
# mistake, and has to be told.
_LONGEST_LIFE = 10 * 365 * 86_400.0
_MOST_POLLS = 100_000


class Record:
    """What the server knows of a job. Instants are the server's own.

    Attributes:
        word: its status word, as of when somebody last looked or the clock moved it.
        due_at: the instant at which the clock will move it next, if it will.
        polls: the questions for its status alone, as far as they are kept.
    """

    # There may be a hundred thousand.
    __slots__ = (
        *("_asked", "_asked_at", "_feed", "_fields", "_life", "_link", "_noted"),
        *("_subtitles", "_video", "_written", "_written_of", "cancelled_at", "due_at"),
        *("id", "optional", "polls", "submitted_at", "word"),
    )

    def __init__(
        self,
        job_id: str,
        script: JobScript,
        *,
        submitted_at: float,
        fields: Mapping[str, Any],
        video: bytes | None,
        subtitles: bytes,
        optional: bool,
        feed: Feed,
    ) -> None:
        self.id = job_id
        self.submitted_at = submitted_at
        self.cancelled_at: float | None = None
        self.due_at: float | None = None
        self.polls: tuple[Exchange, ...] | list[Exchange] = ()
        self.optional = optional
        self.word = ""
        self._asked = 0
        self._asked_at = 0.0
        self._life: Life[What] = Life(script)
        self._feed = feed
        self._noted = 0
        self._fields = fields
        self._video = video
        self._subtitles = subtitles
        self._link = 1
        self._written_of: object = None
        self._written: _wire.Written | None = None
        self.pass_to(submitted_at)

    # --- how it lives -----------------------------------------------------------------

    def pass_to(self, now: float) -> None:
        """Let the job live on to an instant, of which nobody has asked."""
        self.due_at = None
        if self.cancelled_at is None:  # the script of a cancelled job has ended
            self._life.pass_to(self.submitted_at, now)
            self._note()

    def look(self, now: float) -> str:
        """Let it live on likewise, because of a question; return its status word."""
        if self.cancelled_at is None:
            self._life.look(self.submitted_at, now)
            self._note()
        return self.word

    def tell(self, now: float, *, heard: bool) -> Fault | None:
        """Do the same, and count the step as told where the client hears it.

        Returns:
            What the script has wrong with the answer, if anything.
        """
        self._require_an_end(now)
        if self.cancelled_at is not None:
            return None
        look = self._life.tell if heard else self._life.look
        what = look(self.submitted_at, now).what
        self._note()
        return None if isinstance(what, str) else what

    def submitted(self) -> None:
        """Take in that the answer to the submission tells the first step."""
        self.tell(self.submitted_at, heard=True)

    def heard(self, place: int) -> None:
        """Take in that a client knows that the job has come to a step."""
        self._life.heard(place)

    def cancel(self, now: float) -> bool:
        """Cancel it, if it still runs; tell whether it did."""
        if _wire.is_final(self.look(now)):
            return False
        self.cancelled_at = now
        self._say(JobStatus.CANCELLED.value, len(self._life.entered) - 1, now)
        return True

    @property
    def fault(self) -> Fault | None:
        """What the script has wrong with an answer now."""
        what = self._life.step.what
        if self.cancelled_at is not None or isinstance(what, str):
            return None
        return what

    def _note(self) -> None:
        """Take in how far the script has come, and when it will go on."""
        entered = self._life.entered
        while self._noted < len(entered):
            place = self._noted
            self._noted += 1
            what = self._life.script.steps[place].what
            if isinstance(what, str):
                self._say(_wire.status_word(what), place, entered[place])
            elif not self.word:
                self._say(JobStatus.PENDING.value, place, entered[place])
        if self.due_at is None:
            self.due_at = self._life.due_at(self.submitted_at)
            if self.due_at is not None:
                self._feed.expect(self, self.due_at)

    def _say(self, word: str, place: int, at: float) -> None:
        if word != self.word:
            self.word = word
            progress = self._told_members().get("progress")
            self._feed.note(Event(self, place, word, progress, at))

    # --- what was asked ---------------------------------------------------------------

    def asked(self, exchange: Exchange, *, keep: bool) -> None:
        """Take in a question for its status, alone or among others."""
        self._asked += 1
        self._asked_at = exchange.at
        if keep:
            if not isinstance(self.polls, list):
                self.polls = []
            self.polls.append(exchange)

    def missing(self) -> str | None:
        """Say which steps nobody's question has come to, if any.

        Whoever asked has come to the first, even if all was refused.
        """
        unreached = self._life.unreached_when(asked=bool(self._asked))
        if self.optional or self.cancelled_at is not None or not unreached:
            return None
        steps = ", ".join(map(str, unreached))
        last = "nobody asked about it"
        if self._asked:
            last = f"the last question came at {self._asked_at:g} s"
        return f"{steps} of job {self.id}; {last}"

    def turns(self) -> list[tuple[float, str]]:
        """Say when the job came to which step of its script."""
        turns = list(self._life.turns())
        if self.cancelled_at is not None:
            turns.append((self.cancelled_at, JobStatus.CANCELLED.value))
        return [(at, f"     job {self.id} is {what}") for at, what in turns]

    def _require_an_end(self, now: float) -> None:
        """Refuse to be asked for ever: virtual time does not tire, and nobody waits."""
        if not self._life.is_at_its_end or _wire.is_final(self.word):
            return
        too_many = self._asked > _MOST_POLLS
        if too_many or now - self.submitted_at > _LONGEST_LIFE:
            raise ScriptNotFollowed(
                f"job {self.id} stays {self.word!r}: its script has no end, and it"
                f" was asked about {self._asked} times in"
                f" {now - self.submitted_at:g} s; give the script a final step, or the"
                " wait a limit"
            )

    # --- what the wire says -----------------------------------------------------------

    def result(self, exchange: Exchange) -> Reply:
        """Answer with the video, or the subtitles."""
        word = self.look(exchange.at)
        if word != JobStatus.COMPLETED:
            detail = f"job {self.id!r} is {word}"
            return _wire.problem(409, "not-completed", "The job has no result", detail)
        what = exchange.path.rpartition("/")[2]
        if exchange.target != self._links()[f"{what}_url"]:
            return _wire.problem(403, "link-expired", "The link has expired")
        video = self._video
        if video is None:
            video = f"the video of {self.id}".encode()
        return _wire.result(
            video if what == "video" else self._subtitles,
            name=f"{self.id}/{what}",
            kind="video/mp4" if what == "video" else "text/vtt; charset=utf-8",
            asked=exchange.headers,
        )

    def renew_links(self) -> None:
        """Let the links that were given so far lead nowhere."""
        self._link += 1

    def document(
        self,
        manner: _wire.Manner,
        *,
        word: str = "",
        status: int = 200,
        location: bool = False,
    ) -> Reply:
        """Answer with the job's document, as the job was last looked at.

        Args:
            manner: how it is answered.
            word: the status to tell instead.
            status: of HTTP.
            location: whether to say where the job is.
        """
        word, now = word or self.word, manner.now
        started, finished = self._bounds(word, now)
        written = self._write(word, started, finished)
        # A clock that really goes may have moved the job since the request came.
        headers = {
            **manner.headers(runs=finished is None),
            "job-age": _seconds(now - self.submitted_at),
            "etag": written.etag,
        }
        if finished is not None:
            began = finished if started is None else started
            headers["job-run-time"] = _seconds(finished - began)
            headers["job-ended-ago"] = _seconds(now - finished)
        if location:
            headers["location"] = self._path
        return _wire.about_jobs(written.body, headers=headers, told=word, status=status)

    def listed(self, now: float, *, word: str = "") -> bytes:
        """Return the document alone, as one among others."""
        word = word or self.word
        return self._write(word, *self._bounds(word, now)).body

    def _bounds(self, word: str, now: float) -> tuple[float | None, float | None]:
        """Say when it was started and finished, as far as it was."""
        finished = self.cancelled_at
        if finished is None and _wire.is_final(word):
            finished = self._life.since(word)
            finished = now if finished is None else finished
        return self._life.since(JobStatus.RUNNING), finished

    def _write(
        self, word: str, started: float | None, finished: float | None
    ) -> _wire.Written:
        # Most answers of a wait are the same: only what is in the headers changes.
        state = (word, started, finished, self._link, self._noted)
        if self._written is None or self._written_of != state:
            members = self._members(word, started, finished)
            self._written = _wire.Written(word, _wire.dump(members))
            self._written_of = state
        return self._written

    def _members(
        self, word: str, started: float | None, finished: float | None
    ) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": word,
            "progress": None,
            "stage": None,
            "target_language": "pt",
            "source_language": None,
            "media_seconds": None,
            "created_at": _wire.instant_at(self.submitted_at),
            "started_at": _wire.instant_at(started),
            "finished_at": _wire.instant_at(finished),
            "error": _wire.default_error() if word == JobStatus.ERROR else None,
            "result": self._links() if word == JobStatus.COMPLETED else None,
            **self._told_members(word),
        }

    def _told_members(self, word: str = "") -> dict[str, Any]:
        """Return what the submission and the script have said of it."""
        is_completed = (word or self.word) == JobStatus.COMPLETED
        done = {"progress": 1.0} if is_completed else {}
        return {**done, **self._fields, **self._life.told_members()}

    @property
    def _path(self) -> str:
        # Quoted, because an id may be any text.
        return f"{_wire.COLLECTION}/{quote_id(self.id)}"

    def _links(self) -> dict[str, str]:
        path = self._path
        query = "" if self._link == 1 else f"?link={self._link}"
        return {
            f"{what}_url": f"{path}/{what}{query}" for what in ("video", "subtitles")
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


def _seconds(duration: float) -> str:
    return f"{max(duration, 0.0):.3f}"


publish(ScriptedJob, by="vtrio.testing")
