"""What a test has planned for some requests: faults, and answers of its own."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ._faults import Fault
from ._replies import Reply
from ._timeline import Exchange, Kind

Answer = Reply | Fault | Callable[[Exchange], Reply | Fault | Awaitable[Reply | Fault]]


@dataclass(slots=True)
class Planned:
    """A fault, where and how often it strikes."""

    fault: Fault
    at: float
    until: float
    times: int | None
    skip: int
    kind: Kind | None
    job_id: str | None
    optional: bool
    hits: int = 0

    def strikes(self, exchange: Exchange) -> bool:
        """Tell whether a request meets it, and count that."""
        if not self.at <= exchange.at < self.until:
            return False
        if self.kind is not None and exchange.kind is not self.kind:
            return False
        if self.fault.of_results_only and exchange.kind is not Kind.RESULT:
            return False
        if self.job_id is not None and not self._is_about(exchange, self.job_id):
            return False
        if self.hits == self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    @staticmethod
    def _is_about(exchange: Exchange, job_id: str) -> bool:
        return exchange.job_id == job_id or job_id in exchange.job_ids

    @property
    def missing(self) -> str | None:
        """Say what did not come about."""
        when = f" from {self.at:g} s" if self.at else ""
        when += "" if self.until == math.inf else f" to {self.until:g} s"
        return _missing(self, f"fault {self.fault!r}{when}")


@dataclass(slots=True)
class Route:
    """An answer of the test's own, which requests get it, and how often."""

    answer: Answer
    method: str | None
    path: str | None
    times: int | None
    optional: bool
    hits: int = 0

    def fits(self, exchange: Exchange) -> bool:
        """Tell whether it answers a request, and count that."""
        if self.method not in {None, exchange.method}:
            return False
        if self.path not in {None, exchange.path}:
            return False
        if self.hits == self.times:
            return False
        self.hits += 1
        return True

    @property
    def missing(self) -> str | None:
        """Say what did not come about."""
        return _missing(
            self, f"route for {self.method or 'any'} {self.path or 'request'}"
        )


def _missing(plan: Planned | Route, name: str) -> str | None:
    if plan.optional or plan.hits >= (1 if plan.times is None else plan.times):
        return None
    if plan.times is None:
        return f"{name}: no request met it"
    return f"{name}: {plan.hits} of {plan.times} times"
