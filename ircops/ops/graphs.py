"""What there is to draw of a host, and what `!graph` says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from urllib.parse import quote

from ircops.errors import OpsError
from ircops.ops.health import unit
from ircops.ops.plots import plot, small
from ircops.ops.series import Series, hours, number, span
from ircops.ssh.nodes import fold
from ircops.store.samples import Samples

SHOWN = 24  # hosts in one picture
LIMITED = frozenset("load memory swap disk inodes clock temperature errors".split())  # of [health]


def page(hosts: object, measure: str, hours: float, kind: str = "") -> str:
    """The page of a graph, for `Links.to`; `kind` is "", ".png" or ".svg"."""
    return (
        f"graph/{quote(str(hosts), safe='@:,')}/{quote(measure, safe='/:@')}{kind}?hours={hours:g}"
    )


class Graphs:
    """Finds what there is to draw. Blocking: for worker threads."""

    def __init__(
        self,
        samples: Samples,
        limits: Callable[[Iterable[str]], Mapping[str, object]] = lambda hosts: {},
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`limits` are those of [health] for each host, by the first word of a measure."""
        self._samples, self._limits, self._now = samples, limits, now

    def series(self, host: str, measure: str, hours: float, points: int = 200) -> Series:
        """What was measured in the last `hours`. Raises OpsError, with what there is instead."""
        until = self._now()
        since = until - timedelta(hours=hours)
        if found := self._samples.series(host, measure, since, until, points):
            word = measure.partition(":")[0]
            limits = self._limits([host]).get(host) if word in LIMITED else None
            limit = getattr(limits, word, None)
            return Series(host, measure, unit(measure), since, until, tuple(found), limit)
        known = self._samples.measures(host)
        if measure in known:
            raise OpsError(f"{measure} of {host} was not measured in the last {span(hours)}")
        if not known:
            raise OpsError(f"nothing was ever measured on {host}; health {host} does it")
        near = get_close_matches(measure, known, 1, 0.5)
        meant = f"did you mean {near[0]}? " if near else ""
        raise OpsError(f"no {measure} of {host}; {meant}there is {', '.join(known)}")

    def all(self, hosts: Iterable[str], measure: str, hours: float) -> list[Series]:
        """Of each host that has it. Raises OpsError if none has, about the first."""
        found, first = [], None
        for host in hosts:
            try:
                found.append(self.series(host, measure, hours))
            except OpsError as error:
                first = first or error
        if first is not None and not found:
            raise first
        return found

    def measures(self, host: str) -> list[str]:
        """Of what there are values."""
        return self._samples.measures(host)

    def answer(
        self, hosts: Iterable[str], measure: str, time: str, link: Callable[[str], str] | None
    ) -> list[str]:
        """What `!graph` says: numbers and a link or, where there is none, a picture made of text.

        Raises OpsError, and ValueError for what is no time span.
        """
        hosts = list(hosts)
        found = self.all(hosts[:SHOWN], measure, hours(time))
        names = fold([series.host for series in found])
        where = link(page(names, measure, hours(time))) if link else ""
        if len(found) == 1:
            (series,) = found
            said = [f"{names} {measure}, {time}: {series.numbers}"]
            said = [f"{said[0]} · {where}"] if where else [*said, *plot(series)]
        elif where:
            top = max(found, key=lambda series: series.high.high)
            most = number(top.high.high, top.unit)
            said = [f"{names} {measure}, {time}: highest {most} ({top.host}) · {where}"]
        else:
            said = small(found)
        if missing := [host for host in hosts[:SHOWN] if host not in {one.host for one in found}]:
            said.append(f"no {measure} of {fold(missing)} in the last {time}")
        if left := hosts[SHOWN:]:
            said.append(f"left out {fold(left)}: {SHOWN} hosts make a picture")
        return said
