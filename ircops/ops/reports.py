"""What is said of many hosts: a summary, only what is wrong, what has changed since the last time, what will be wrong soon.

Each report has a number, under which a page can show it, and a subject (who asked for which hosts, where): with the last
one of its subject it is compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ircops.ops.health import HERE, Condition, Fault, count, folded
from ircops.ops.vitals import Disk, Vitals
from ircops.store.database import Database
from ircops.store.times import moment, stamp

KEPT = 60  # reports
NEVER = datetime.min.replace(tzinfo=UTC)
NAMED = 4  # of what has become better, by name

_NEWEST = "SELECT number, at, subject, body FROM reports WHERE {} ORDER BY number DESC LIMIT 1"
_ADD = """INSERT INTO reports (number, at, subject, body)
    SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM reports"""
_DROP = "DELETE FROM reports WHERE number <= (SELECT max(number) FROM reports) - ?"

Told = tuple[tuple[str, str], ...]  # host, and what of it


@dataclass(frozen=True)
class Report:
    """How all hosts that were asked are."""

    conditions: tuple[Condition, ...]
    at: datetime = NEVER
    subject: str = ""
    number: int = 0  # 0: it is not kept
    silenced: Told = ()  # hosts in maintenance, and why: they count neither as fine nor as not
    soon: Told = ()
    sparks: Mapping[str, str] = field(default_factory=dict)  # measure -> bars, of the one host
    since: datetime | None = None  # when the one before was made
    new: frozenset[tuple[str, str]] = frozenset()  # host and key of what was not wrong then
    over: Told = ()  # what was wrong then, and is not any more

    @property
    def is_fine(self) -> bool:
        return not any(self.faulty)

    @property
    def has_changed(self) -> bool:
        """Something is new, or over, or there was none before."""
        return self.since is None or bool(self.new or self.over)

    @property
    def faulty(self) -> list[Condition]:
        """Those that are not fine, and not in maintenance."""
        quiet = dict(self.silenced)
        return [one for one in self.conditions if not one.is_fine and one.host not in quiet]

    @property
    def lines(self) -> list[str]:
        """A summary, then only the exceptions, equal ones folded, unreachable hosts last; one host has its detail."""
        if len(self.conditions) == 1:
            return [*self.conditions[0].detail(self.sparks), *self._soon(), *self._silenced()]
        exceptions = [one for one in self.faulty if one.faults]
        return [
            " · ".join([self.summary, *self._notes()]),
            *folded((one.host, ", ".join(self._texts(one))) for one in exceptions),
            *folded((one.host, self._text(one, one.wrong[0])) for one in self.faulty if one.error),
            *self._over(),
            *self._soon(),
            *self._silenced(),
        ]

    @property
    def summary(self) -> str:
        """`health: 2 of 41 hosts not fine, 1 check fails, 1 new`."""
        hosts = [one.host for one in self.conditions if one.host != HERE]
        faulty = [one.host for one in self.faulty if one.host != HERE]
        known = count(len(hosts) - len(self.silenced), "host")
        parts = [f"{len(faulty)} of {known} not fine" if faulty else f"{known} ok"]
        if failing := sum(len(one.faults) for one in self.faulty if one.host == HERE):
            parts.append("1 check fails" if failing == 1 else f"{failing} checks fail")
        new = sum((one.host, fault.key) in self.new for one in self.faulty for fault in one.wrong)
        return f"health: {', '.join([*parts, *[f'{new} new'] * bool(new)])}"

    def _notes(self) -> Iterator[str]:
        known = [one.vitals for one in self.conditions if one.vitals]
        if reboots := sum(bool(vitals.reboot) for vitals in known):
            yield f"{reboots} due for a reboot"
        if security := sum(bool(vitals.security) for vitals in known):
            yield f"{security} without security updates"

    def _texts(self, one: Condition) -> Iterator[str]:
        return (self._text(one, fault) for fault in one.faults)

    def _text(self, one: Condition, fault: Fault) -> str:
        return f"{fault} (new)" if (one.host, fault.key) in self.new else str(fault)

    def _over(self) -> Iterator[str]:
        if not self.over or self.since is None:
            return
        told = [f"{host} {text}" for host, text in self.over]
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        yield f"over since {self.since:%a %H:%M %Z}: {', '.join(told[:NAMED])}{more}"

    def _soon(self) -> Iterator[str]:
        return (f"soon: {line}" for line in folded(self.soon))

    def _silenced(self) -> Iterator[str]:
        return (f"in maintenance: {line}" for line in folded(self.silenced))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Reports:
    """The last reports, each with its number. Blocking; OpsError if the database fails."""

    def __init__(
        self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database, self._now = database, now

    def make(
        self,
        subject: str,
        conditions: Sequence[Condition],
        silenced: Told = (),
        soon: Told = (),
        sparks: Mapping[str, str] | None = None,
    ) -> Report:
        """Compare with the last one of its subject, keep it, and give it with its number."""
        report = Report(tuple(conditions), self._now(), subject, 0, silenced, soon, sparks or {})
        report = compared(report, self.last(subject))
        body = json.dumps(asdict(replace(report, new=frozenset(), at=None)), default=str)  # type: ignore[arg-type]
        with self._database.append() as connection:
            connection.execute(_ADD, (stamp(report.at), subject, body))
            [(number,)] = connection.execute("SELECT max(number) FROM reports").fetchall()
            connection.execute(_DROP, (KEPT,))
        return replace(report, number=int(number))

    def last(self, subject: str) -> Report | None:
        """The newest of this subject."""
        return self._newest("subject = ?", subject)

    def find(self, number: int) -> Report | None:
        """The report of this number, if it is still kept."""
        return self._newest("number = ?", number)

    def table(self, report: Report) -> list[str]:
        """Its lines for a terminal."""
        from ircops.ops.table import table

        return table(report)

    def _newest(self, which: str, value: str | int) -> Report | None:
        with self._database.append() as connection:
            rows = connection.execute(_NEWEST.format(which), (value,)).fetchall()
        return _read(*rows[0]) if rows else None


def compared(report: Report, before: Report | None) -> Report:
    """The report with what has changed since the one before. Only hosts that are in both have changed."""
    if before is None:
        return report
    then = {one.host: {fault.key: fault for fault in one.wrong} for one in before.conditions}
    now = {one.host: {fault.key for fault in one.wrong} for one in report.conditions}
    blind = {
        one.host for one in report.conditions if one.error
    }  # there nothing is known to be over
    return replace(
        report,
        since=before.at,
        new=frozenset(
            (host, key)
            for host, keys in now.items()
            if host in then
            for key in keys - then[host].keys()
        ),
        over=tuple(
            (host, "reachable again" if key == "up" else str(fault))
            for host, faults in then.items()
            if host in now and host not in blind
            for key, fault in faults.items()
            if key not in now[host] and not fault.is_news
        ),
    )


def _read(number: int, at: str, subject: str, body: str) -> Report:
    known: dict[str, Any] = json.loads(body)
    return Report(
        conditions=tuple(_condition(one) for one in known["conditions"]),
        at=moment(at),
        subject=subject,
        number=number,
        silenced=_told(known["silenced"]),
        soon=_told(known["soon"]),
        sparks=known["sparks"],
    )


def _told(pairs: list[list[str]]) -> Told:
    return tuple((host, text) for host, text in pairs)


def _condition(known: dict[str, Any]) -> Condition:
    vitals = known["vitals"]
    if vitals is not None:
        disks = tuple(Disk(**disk) for disk in vitals.pop("disks"))
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in vitals.items()
        }
        vitals = Vitals(disks=disks, **kept)
    return Condition(
        host=known["host"],
        vitals=vitals,
        offset=known["offset"],
        faults=tuple(Fault(**fault) for fault in known["faults"]),
        error=known["error"],
        values=tuple((measure, value) for measure, value in known["values"]),
    )
