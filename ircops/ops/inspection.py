"""One look at hosts, for who asked: the probe and the checks, judged, kept, and compared with the last time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ircops.config import Health as Limits
from ircops.ops.checks import Checks, Run
from ircops.ops.health import Condition, Fault, Health, Rates
from ircops.ops.maintenance import Maintenance
from ircops.ops.plugins import Outcome, State
from ircops.ops.probe import PROBE, WATCHED
from ircops.ops.reports import Report, Reports
from ircops.ops.trends import Trends
from ircops.store.samples import Samples

SPARKS = ("load", "memory", "swap")


class Inspection:
    """Makes reports. Blocking: for worker threads."""

    def __init__(
        self,
        health: Health,
        checks: Checks,
        samples: Samples,
        reports: Reports,
        maintenance: Maintenance,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._health, self._checks, self._samples = health, checks, samples
        self._reports, self._maintenance, self._now = reports, maintenance, now
        self._trends, self._rates = Trends(samples), Rates()

    def report(
        self, hosts: Any, run: Run, subject: str, *, soon: float, is_full: bool = False
    ) -> Report:
        """Look at `hosts` (a NodeSet) by `run`, which has the shape of `Ops.run`.

        It is compared with the last report of the same `subject`; `soon` is seconds; a full look also takes what costs a
        host some seconds: its updates, and what keeps it busy.
        """
        limits = self._health.limits(hosts)
        before = self._reports.last(subject)
        raised = {
            one.host: frozenset(fault.key for fault in one.faults)
            for one in (before.conditions if before else ())
        }
        found: dict[str, Condition] = {}
        for result in run(["sh", "-c", PROBE if is_full else WATCHED], hosts, fast=True):
            ended = self._now().timestamp()
            known = raised.get(result.host, frozenset())
            limit = limits[result.host]
            found[result.host] = self._health.look(result, ended, limit, known, self._rates)
        outcomes = self._checks.run(self._checks.about(hosts), hosts, run)
        conditions = joined((found[host] for host in hosts if host in found), outcomes)
        conditions = [self._lasting(one, limits.get(one.host)) for one in conditions]
        now = self._now()
        latest = {one.host: dict(one.values) for one in conditions}
        self._samples.add(
            now, [(h, m, v) for h, values in latest.items() for m, v in values.items()]
        )
        return self._reports.make(
            subject,
            conditions,
            silenced=tuple((h, why) for h in latest if (why := self._maintenance.silenced(h))),
            soon=tuple(self._trends.soon(latest, now, soon)),
            sparks=self._trends.sparks(next(iter(latest)), SPARKS, now) if len(latest) == 1 else {},
        )

    def _lasting(self, one: Condition, limits: Limits | None) -> Condition:
        """Without what was below its limit a short while ago, as far as that is known."""
        if limits is None or not limits.lasts:
            return one
        now = self._now()
        since = now - timedelta(seconds=limits.lasts)

        def is_new(fault: Fault) -> bool:
            if not fault.measure:
                return False
            points = self._samples.series(one.host, fault.measure, since, now)
            return any(point.low < fault.limit for point in points)

        return replace(one, faults=tuple(fault for fault in one.faults if not is_new(fault)))


def joined(conditions: Iterable[Condition], outcomes: Iterable[Outcome]) -> list[Condition]:
    """The conditions with what checks came to; those of no host are of `here`, at the end."""
    by_host: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_host.setdefault(outcome.host, []).append(outcome)
    whole = [_with(one, by_host.pop(one.host, [])) for one in conditions]
    return whole + [_with(Condition(host), those) for host, those in by_host.items()]


def _with(one: Condition, outcomes: list[Outcome]) -> Condition:
    if not outcomes:
        return one
    values = tuple(measure for outcome in outcomes for measure in outcome.measures)
    told = tuple(
        Fault(
            f"check:{outcome.check}",
            f"{outcome.check} {outcome.state.name.lower()}: {outcome.text}",
            is_severe=outcome.state is State.CRITICAL,
        )
        for outcome in outcomes
        # of a host that nobody reaches no check is needed to say so
        if outcome.state and not (one.error and outcome.state is State.UNKNOWN)
    )
    return replace(one, faults=one.faults + told, values=one.values + values)
