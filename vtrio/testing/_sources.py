"""A source that answers from a script, on whatever clock trio runs."""

from __future__ import annotations

import math

import trio

from .._checks import check_number, shorten
from .._errors import RemoteError
from .._job import Job, JobStatus
from .._names import publish
from .._source import Answer, Capabilities
from ._instants import Instants
from ._scripts import Life, Script, Step

SourceStep = JobStatus | str | Job | Answer | RemoteError


class ScriptedSource:
    """A `StatusSource` of one job that lives as a script says; the last step stays.

    `ScriptedSource("pending", after(20, "completed"))` lives by the clock from when it
    is made, `ScriptedSource("running", "completed")` by the questions; see `job`. Each
    answer takes `latency` seconds, and tells what was true when it was asked for; with
    `math.inf` it never comes.

    Args:
        steps: a status or its word, a `Job`, an `Answer`, or an error to raise; or one
            of these from an age on: `after(20, "completed")`.
        latency: see above.

    Attributes:
        asked_at: the instants of all requests.
        in_flight: requests that have not been answered yet.
    """

    capabilities = Capabilities()

    def __init__(
        self, *steps: SourceStep | Step[SourceStep], latency: float = 0.0
    ) -> None:
        if latency != math.inf:
            check_number("latency", latency, least=0)
        self.latency = latency
        self.asked_at: list[float] = []
        self.in_flight = 0
        script: Script[SourceStep] = Script(steps)
        for step in script.steps:
            if not isinstance(step.what, (str, Job, Answer, RemoteError)):
                raise ValueError(
                    f"step {shorten(step.what)} is not allowed: must be a status or its"
                    " word, a Job, an Answer, or a RemoteError; faults are a"
                    " ScriptedServer's"
                )
        self._life: Life[SourceStep] = Life(script)
        self._instants = Instants()
        self._made_at = self._instants.now()

    def __repr__(self) -> str:
        return f"<ScriptedSource {self._life.script}: {len(self.asked_at)} requests>"

    async def status(self, job_id: str) -> Answer:
        """Give the step that is due."""
        now = self._instants.now()
        step = self._life.tell(self._made_at, now)
        self.asked_at.append(now)
        self.in_flight += 1
        try:
            if self.latency == math.inf:
                await trio.sleep_forever()
            await trio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        match step.what:
            case RemoteError():
                raise step.what
            case Answer():
                return step.what
            case Job():
                return Answer(job=step.what)
            case word:
                return Answer(job=_job_of(job_id, word))


def _job_of(job_id: str, word: str) -> Job:
    """Read a word as a source would: one that is none of ours is still running."""
    try:
        return Job(id=job_id, status=JobStatus(word))
    except ValueError:
        return Job(id=job_id, status=JobStatus.RUNNING, unknown_word=word)


publish(ScriptedSource, by="vtrio.testing")
