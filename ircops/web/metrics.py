"""Numbers for Prometheus, made when they are asked for: counting costs a call nothing.

Calls are counted by reading on in the record from where the last look ended; everything else is as it is at that
moment. Counters begin with 0 when the bot starts.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ircops.web.sources import State

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ircops.irc.network import Figures
    from ircops.store.database import Database

BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # seconds
ROWS = 1000  # of the record that are read at once
JOBS = ("waiting", "queued", "running")


@dataclass
class _Calls:
    """How long the calls of one command took."""

    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))


class Metrics:
    """For worker threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()  # two may ask at once
        self._seq: int | None = None  # what was read of the record
        self._ended: dict[str, Counter[str]] = {}  # by command, by outcome
        self._took: dict[str, _Calls] = {}
        self._runs: Counter[str] = Counter()  # of schedules

    def text(self, state: State) -> tuple[str, bytes]:
        """Media type and text of all numbers. Raises OpsError."""
        from prometheus_client import CollectorRegistry, ProcessCollector, exposition

        with self._lock:
            self.read()
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            registry.register(_Now(self.families(state)))
            return exposition.CONTENT_TYPE_PLAIN_0_0_4, exposition.generate_latest(registry)

    def read(self) -> None:
        """Read on in the record, at first from where this bot has started."""
        from sqlalchemy import select

        from ircops.store.schema import record

        column = record.c
        with self._database.read() as connection:
            if self._seq is None:
                starts = (column.event == "started") & column.call.is_(None)
                newest = select(column.seq).where(starts).order_by(column.seq.desc()).limit(1)
                self._seq = connection.execute(newest).scalar() or 0
            wanted = (column.seq, column.event, column.command, column.door, column.mask)
            rows = (
                select(*wanted, column.outcome, column.exit_code, column.milliseconds)
                .where(column.seq > self._seq)
                .order_by(column.seq)
            )
            for row in connection.execution_options(yield_per=ROWS).execute(rows):
                self._take(row)

    def _take(self, row: Any) -> None:
        self._seq = row.seq
        if row.event not in ("ended", "refused"):
            return
        outcome = row.event if row.event == "refused" else "failed" if row.exit_code else "ok"
        self._ended.setdefault(row.command, Counter())[outcome] += 1
        if row.door == "schedule":
            self._runs[row.mask] += 1
        if row.milliseconds is not None:
            calls = self._took.setdefault(row.command, _Calls())
            seconds = row.milliseconds / 1000
            calls.count += 1
            calls.seconds += seconds
            calls.buckets[bisect_left(BUCKETS, seconds)] += 1

    def families(self, state: State) -> Iterator[Metric]:
        """Everything, as prometheus_client has it."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        def gauge(name: str, text: str, value: float) -> Metric:
            return GaugeMetricFamily(f"ircops_{name}", text, value=value)

        info = GaugeMetricFamily("ircops_info", "The version that runs", labels=["version"])
        info.add_metric([state.version], 1.0)
        yield info
        yield gauge("alive", "1 while the watchdog is content", float(state.is_alive))
        yield gauge("start_time_seconds", "When it was started, since 1970", state.started)
        yield gauge("record_seq", "Number of the newest entry of the record", self._seq or 0)
        yield gauge("ssh_connections", "Open connections to hosts", state.ssh)
        yield gauge("schedules", "Schedules there are", state.schedules)
        calls = CounterMetricFamily(
            "ircops_calls", "Calls that are over", labels=["command", "outcome"]
        )
        for command, outcomes in self._ended.items():
            for outcome, count in outcomes.items():
                calls.add_metric([command, outcome], count)
        yield calls
        took = HistogramMetricFamily(
            "ircops_call_seconds", "How long commands ran", labels=["command"]
        )
        for command, ended in self._took.items():
            took.add_metric([command], list(_cumulated(ended.buckets)), ended.seconds)
        yield took
        runs = CounterMetricFamily(
            "ircops_schedule_runs", "Runs that are over", labels=["schedule"]
        )
        for name, count in self._runs.items():
            runs.add_metric([name], count)
        yield runs
        jobs = GaugeMetricFamily("ircops_jobs", "Jobs that are not over", labels=["state"])
        for name in JOBS:
            jobs.add_metric([name], state.jobs.get(name, 0))
        yield jobs
        yield from self._networks(state.networks)

    def _networks(self, networks: Mapping[str, Figures]) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        by_network = ["network"]
        up = GaugeMetricFamily("ircops_network_up", "1 while it is connected", labels=by_network)
        lag = GaugeMetricFamily(
            "ircops_network_lag_seconds", "From PING to PONG", labels=by_network
        )
        queued = GaugeMetricFamily("ircops_lines_queued", "Lines that wait", labels=by_network)
        sent = CounterMetricFamily("ircops_lines_sent", "Lines that left", labels=by_network)
        lost = CounterMetricFamily("ircops_lines_lost", "Lines nobody got", labels=by_network)
        for name, line in networks.items():
            up.add_metric([name], float(line.is_connected))
            if line.lag is not None:
                lag.add_metric([name], line.lag)
            queued.add_metric([name], line.queued)
            sent.add_metric([name], line.sent)
            lost.add_metric([name], line.lost)
        yield from (up, lag, queued, sent, lost)


class _Now:
    """What was gathered, as a collector."""

    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _cumulated(buckets: list[int]) -> Iterator[tuple[str, float]]:
    """Prometheus counts in each bucket what is in those below, too."""
    total = 0
    for limit, count in zip([*map(str, BUCKETS), "+Inf"], buckets, strict=True):
        total += count
        yield limit, total
