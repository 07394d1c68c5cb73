"""The page of a health report: what is not fine, what will not be soon, and all hosts with what was seen of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ircops.errors import OpsError
from ircops.ops.graphs import page as graph
from ircops.ops.health import duration
from ircops.web.templates import page
from ircops.web.visit import Content, Visit

if TYPE_CHECKING:
    from ircops.ops.health import Condition
    from ircops.ops.vitals import Vitals

HOURS = 24.0  # of the graphs it leads to
COLUMNS = {"load": "Load", "memory": "Memory", "disk": "Fullest disk", "up": "Up"}


def page_of(visit: Visit) -> Content:
    """The page. Raises OpsError if the report is forgotten."""
    number = visit.path["number"]
    report = visit.parts.reports.find(number)
    if report is None:
        raise OpsError(f"report {number} is not kept any more; ask for a new one: health")
    quiet = dict(report.silenced)
    hosts = [_host(visit, one, quiet.get(one.host, "")) for one in report.conditions]
    hosts.sort(key=lambda host: host["rank"])  # which keeps their order otherwise
    notes = [("Soon", report.soon), (_since(report.since), report.over)]
    values = {
        "number": number,
        "summary": report.summary.removeprefix("health: "),
        "subject": report.subject,
        "at": report.at,
        "hosts": hosts,
        "columns": COLUMNS,
        "notes": [(title, told) for title, told in notes if told],
        "until": visit.until,
    }
    return Content("text/html; charset=utf-8", page("health.html", **values))


def _since(at: Any) -> str:
    return f"Over since {at.astimezone():%a %H:%M}" if at else "Over"


def _host(visit: Visit, one: Condition, silenced: str) -> dict[str, Any]:
    wrong = {fault.key.partition(":")[0] for fault in one.wrong}
    columns = {}
    for column, text, percent, measure in _numbers(one.vitals) if one.vitals else ():
        link = visit.link(graph(one.host, measure, HOURS)) if measure else ""
        columns[column] = (text, percent, column in wrong, link)
    return {
        "name": one.host,
        "is_fine": one.is_fine,
        "faults": ", ".join(map(str, one.wrong)),
        "silenced": silenced,
        "rank": 1 if silenced else 2 if one.is_fine else 0,
        "numbers": columns,
    }


def _numbers(vitals: Vitals) -> Iterator[tuple[str, str, float | None, str]]:
    """Column, what it says, that in percent, and the measure of its graph."""
    if vitals.load:
        yield "load", f"{vitals.load[1]:.2f}", 100 * vitals.load[1] / vitals.cores, "load"
    if vitals.memory is not None:
        yield "memory", f"{vitals.memory:.0f} %", vitals.memory, "memory"
    if vitals.disks:
        fullest = max(vitals.disks, key=lambda disk: disk.used)
        yield "disk", str(fullest), fullest.used, f"disk:{fullest.mount}"
    if vitals.uptime is not None:
        yield "up", duration(vitals.uptime), None, ""
