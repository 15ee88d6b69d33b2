"""What was asked, when, and what came of it; and how that reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .._names import publish

_MOST_LINES = 60
_LONGEST_TARGET = 80
_WORTH_TELLING = 0.001


class Kind(StrEnum):
    """What a request is for."""

    POLL = "poll"
    BATCH = "batch"
    FEED = "feed"
    SUBMISSION = "submission"
    CANCEL = "cancel"
    RESULT = "result"
    OTHER = "other"


@dataclass(slots=True, eq=False)
class Exchange:
    """One request, and what came of it.

    Attributes:
        at: the instant at which it came, on the server's clock.
        method: of HTTP.
        target: the path below the server's address, with the query if there is one;
            the whole address where it is another place's.
        headers: of the request; the names are in lower case.
        body: of the request.
        kind: what it is for.
        job_id: the job that it is about, if it is about one.
        job_ids: the jobs that it names, where it asks for a list.
        outcome: what was answered, in words; None while nothing was.
        status: of HTTP, once the head of an answer has come.
        ended_at: the instant at which the answer was whole, or given up.
        url: the whole address.
    """

    at: float
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")
    kind: Kind = Kind.OTHER
    job_id: str | None = None
    job_ids: tuple[str, ...] = ()
    outcome: str | None = None
    status: int | None = None
    ended_at: float | None = None
    url: str = ""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def __str__(self) -> str:
        came = self.outcome or "given up while it waited"
        took = 0.0 if self.ended_at is None else self.ended_at - self.at
        late = f"  (took {took:.3f} s)" if took >= _WORTH_TELLING else ""
        target = self.target
        if len(target) > _LONGEST_TARGET:  # a list of ids is told by the answer
            target = f"{target[: _LONGEST_TARGET - 1]}…"
        return f"{self.at:12.3f}  {self.method:4} {target}  ->  {came}{late}"


class ScriptNotFollowed(AssertionError):
    """What was scripted and what happened are not the same; the message tells both."""


def render(
    exchanges: Sequence[Exchange], notes: Sequence[tuple[float, str]] = ()
) -> str:
    """Write down what happened, a line each, in the order of time."""
    lines = [(at, f"{at:12.3f}  {note}") for at, note in notes]
    lines += [(exchange.at, str(exchange)) for exchange in exchanges]
    lines.sort(key=lambda line: line[0])
    texts = [text for _, text in lines]
    if len(texts) > _MOST_LINES:
        half = _MOST_LINES // 2
        left_out = f"{'...':>12}  {len(texts) - 2 * half} more"
        texts = [*texts[:half], left_out, *texts[-half:]]
    return "\n".join(["     seconds", *texts]) if texts else "  nothing was asked"


publish(Exchange, Kind, ScriptNotFollowed, by="vtrio.testing")
