"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from .store import JobEvent, JobRecord

if TYPE_CHECKING:
    from .service import JobService

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Seconds: of a job, from a sentence to an evening; of telling, from a tick to a poll.
_JOB_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_TOLD_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 60, 300)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# Ends that nobody has been told of yet; an older one will hardly be asked for.
_MOST_UNTOLD = 20_000


class Metrics:
    """Counts and times, in a registry of their own: several servers may share a process."""

    def __init__(self, service: JobService) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Jobs(service))
        Gauge(
            "vtrio_held_requests",
            "Requests that are held until there is news.",
            registry=self._registry,
        ).set_function(lambda: service.board.held)
        self._queue_wait = Histogram(
            "vtrio_queue_wait_seconds",
            "From a job's submission to the start of its first attempt.",
            buckets=_JOB_BUCKETS,
            registry=self._registry,
        )
        self._run_time = Histogram(
            "vtrio_run_seconds",
            "From the start of a job's last attempt to its end.",
            buckets=_JOB_BUCKETS,
            registry=self._registry,
        )
        self._told_time = Histogram(
            "vtrio_told_seconds",
            "From a job's end to the first answer that tells of it.",
            buckets=_TOLD_BUCKETS,
            registry=self._registry,
        )
        self._polls = Counter(
            "vtrio_polls",
            "Questions about one job or several, by what was answered.",
            ("answer", "held"),
            registry=self._registry,
        )
        self._requests = Counter(
            "vtrio_requests",
            "Requests, by what was asked for and answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._untold: OrderedDict[str, float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Metrics untold={len(self._untold)}>"

    def text(self) -> bytes:
        """Return all of them, as Prometheus reads them."""
        return generate_latest(self._registry)

    def request(self, method: str, route: str, status: int) -> None:
        """Count a request that was answered."""
        # A client may call its method what it likes, and each name would be kept.
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()

    def poll(self, status: int, *, held: bool) -> None:
        """Count a question about jobs, and whether its answer waited for news."""
        self._polls.labels(str(status), "yes" if held else "no").inc()

    def job_started(self, record: JobRecord) -> None:
        """Take in that an attempt at a job has started."""
        # What comes after has waited, but has run in between too.
        if record.started is not None and record.attempt == 1:
            waited = record.started.clock - record.created.clock
            self._queue_wait.observe(max(waited, 0.0))

    def job_ended(self, record: JobRecord) -> None:
        """Take in that a job has ended."""
        if record.started is not None and record.finished is not None:
            ran = record.finished.clock - record.started.clock
            self._run_time.observe(max(ran, 0.0))

    def hear(self, events: Sequence[JobEvent]) -> None:
        """Take in what has happened, to know later how late it was told."""
        for event in events:
            if event.status.is_final:
                self._untold[event.job_id] = event.at.clock
                if len(self._untold) > _MOST_UNTOLD:
                    self._untold.popitem(last=False)

    def told(self, job_id: str) -> None:
        """Take in that somebody is told of a job's end."""
        if (ended := self._untold.pop(job_id, None)) is not None:
            self._told_time.observe(max(trio.current_time() - ended, 0.0))


class _Jobs(Collector):
    """How many jobs there are, as the store counts them."""

    def __init__(self, service: JobService) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Return the counts of this moment."""
        jobs = GaugeMetricFamily(
            "vtrio_jobs", "Jobs that are kept, by status.", labels=["status"]
        )
        for status, count in self._service.store.counts.items():
            jobs.add_metric([status.value], count)
        yield jobs
