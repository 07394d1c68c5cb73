"""Are hosts fine? What a probe saw, and what of that is over a limit: of [health], and of [health HOSTS] above it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ircops.call import Result
from ircops.config import Health as Limits
from ircops.config import Settings
from ircops.errors import OpsError
from ircops.ops.vitals import Vitals, parse

Values = list[tuple[str, float]]  # measure and value

HERE = "here"  # stands for a host where a check is about none
SEVERE = 98.0  # percent of a disk: hours, not days
COUNTED = 10.0  # seconds that errors are counted for at least
UNITS = {
    "memory": "%",
    "swap": "%",
    "disk": "%",
    "inodes": "%",
    "clock": "s",
    "temperature": "°C",
    "errors": "/min",
}


def unit(measure: str) -> str:
    """What stands behind a number of this measure: "%", "s", "" …"""
    name, _, label = measure.partition(":")
    if name in UNITS:
        return UNITS[name]
    return {"time": "s", "days": "d"}.get(label, "")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. The key says which, so that it is known again when its text is another."""

    key: str  # load, disk:/var, unit:nginx, check:web …
    text: str
    is_severe: bool = False  # it may wake people
    measure: str = ""  # that is over its limit, where it is a measure
    limit: float = 0.0
    is_news: bool = False  # it happened, and is not over some time later: a reboot

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Condition:
    """How one host is: its vitals and what is wrong with them, or why there are none."""

    host: str
    vitals: Vitals | None = None
    offset: float = 0.0  # seconds its clock is ahead of ours
    faults: tuple[Fault, ...] = ()
    error: str = ""
    values: tuple[tuple[str, float], ...] = ()  # what was measured

    @property
    def is_fine(self) -> bool:
        return not self.faults and not self.error

    @property
    def wrong(self) -> tuple[Fault, ...]:
        """All that is wrong, and be it that nobody can tell."""
        return (
            (Fault("up", self.error, is_severe=True), *self.faults) if self.error else self.faults
        )

    def detail(self, sparks: Mapping[str, str] = {}) -> list[str]:
        """Three lines at most, for the one who asked about this host alone."""
        first = "ok" if self.is_fine else "not fine: " + ", ".join(map(str, self.wrong))
        if self.vitals is None:
            return [f"{self.host}: {', '.join(map(str, self.wrong)) or 'ok'}"]
        lines = [f"{self.host}: {first}"]
        lines.append(" · ".join(filter(None, self._numbers(self.vitals, sparks))))
        lines.append(" · ".join(filter(None, self._rest(self.vitals))))
        return [line for line in lines if line]

    def _numbers(self, vitals: Vitals, sparks: Mapping[str, str]) -> Iterator[str]:
        def spark(measure: str) -> str:
            return f"{sparks[measure]} " if measure in sparks else ""

        load = " ".join(f"{value:.2f}" for value in vitals.load)
        yield f"load {spark('load')}{load} on {count(vitals.cores, 'core')}" if load else ""
        if vitals.memory is not None:
            yield f"memory {spark('memory')}{vitals.memory:.0f} %"
        if vitals.swap is not None:
            yield f"swap {spark('swap')}{vitals.swap:.0f} %"
        yield f"up {duration(vitals.uptime)}" if vitals.uptime is not None else ""
        yield f"clock {round(self.offset, 1) + 0.0:+.1f} s" if vitals.clock is not None else ""
        yield "no failed units" if vitals.failed_units == () else ""
        yield f"{vitals.temperature:.0f} °C" if vitals.temperature is not None else ""

    def _rest(self, vitals: Vitals) -> Iterator[str]:
        fullest = sorted(vitals.disks, key=lambda disk: -disk.used)
        yield "disk " + ", ".join(map(str, fullest[:6])) if fullest else ""
        yield f"cpu {', '.join(vitals.busy)}" if vitals.busy else ""
        yield f"most memory {vitals.hungry[0]}" if vitals.hungry else ""
        yield f"a reboot is due ({vitals.reboot})" if vitals.reboot else ""
        if vitals.updates:
            closing = f", {vitals.security} for security" if vitals.security else ""
            yield f"{count(vitals.updates, 'update')}{closing}"


@dataclass
class Rates:
    """Counters of hosts to errors a minute; one for each who looks."""

    _before: dict[str, tuple[float, str, int]] = field(default_factory=dict)

    def errors(self, host: str, vitals: Vitals, now: float) -> float | None:
        """Since the look before; None at the first, and after a reboot."""
        if vitals.errors is None:
            return None
        at, boot, number = self._before.get(host, (math.inf, "", 0))
        if now - at >= COUNTED or now < at:
            self._before[host] = (now, vitals.boot, vitals.errors)
        if now - at < COUNTED or boot != vitals.boot or now < at or vitals.errors < number:
            return None
        return 60 * (vitals.errors - number) / (now - at)


class Health:
    """Judges hosts, each by the limits that hold for it. `look` may be called by several threads."""

    def __init__(self, settings: Settings, resolve: Callable[[str], Any] | None = None) -> None:
        """`resolve` is the inventory's, for the names of [health NAME]."""
        self._limits, self._own, self._resolve = settings.health, settings.limits, resolve

    def limits(self, hosts: Any) -> dict[str, Limits]:
        """What holds for each of `hosts`: groups first, then names, each in the order of the file."""
        found: dict[str, list[Any]] = {host: [] for host in hosts}
        for name in sorted(self._own, key=lambda name: "@" not in name):
            try:
                covered = self._resolve(name) if self._resolve else [name]
            except OpsError:  # an inventory has lost the group; `ircops check` says so
                continue
            for host in set(covered) & found.keys():
                found[host].append(self._own[name])
        return {
            host: self._limits.with_limits(*own) if own else self._limits
            for host, own in found.items()
        }

    def look(
        self,
        result: Result,
        ended: float,
        limits: Limits,
        raised: frozenset[str] = frozenset(),
        rates: Rates | None = None,
    ) -> Condition:
        """Judge what a probe came to that ended then (our clock, in seconds); `raised` are the keys of known faults."""
        if result.error:
            return Condition(result.host, error=result.error, values=(("up", 0.0),))
        vitals = parse(result.stdout)
        if vitals is None:
            output = (result.stdout + result.stderr).strip()
            said = (output.split("\n")[0] or "nothing")[:80]
            return Condition(result.host, error=f"no shell there to ask, it said: {said}")
        # The clock was read at the probe's beginning and end, and that was somewhere between ours: of which only
        # what leaves no doubt counts.
        offset = 0.0 if vitals.clock is None else vitals.clock - (ended - result.seconds / 2)
        doubt = (max(result.seconds - vitals.took, 0.0) + vitals.precision) / 2
        errors = rates.errors(result.host, vitals, ended) if rates else None
        judge = _Judge(vitals, offset, doubt, errors, limits, raised)
        return Condition(
            result.host, vitals, offset, tuple(judge.faults()), "", tuple(judge.values())
        )


@dataclass(frozen=True)
class _Judge:
    vitals: Vitals
    offset: float
    doubt: float
    errors: float | None  # a minute
    limits: Limits
    raised: frozenset[str]

    def values(self) -> Iterator[tuple[str, float]]:
        """What is worth keeping."""
        vitals = self.vitals
        known = {
            "load": vitals.load_per_core,
            "memory": vitals.memory,
            "swap": vitals.swap,
            "clock": self.offset if vitals.clock is not None else None,
            "temperature": vitals.temperature,
            "errors": self.errors,
            "up": 1.0,
        }
        yield from ((name, value) for name, value in known.items() if value is not None)
        for disk in vitals.disks:
            yield f"disk:{disk.mount}", disk.used
            if disk.inodes:
                yield f"inodes:{disk.mount}", disk.inodes

    def faults(self) -> Iterator[Fault]:
        vitals, over = self.vitals, self.limits
        if vitals.load and self._over("load", vitals.load[1] / vitals.cores, over.load):
            yield self._fault(
                "load", f"load {vitals.load[1]:.1f} on {count(vitals.cores, 'core')}", over.load
            )
        for name, value, limit in (
            ("memory", vitals.memory, over.memory),
            ("swap", vitals.swap, over.swap),
        ):
            if self._over(name, value, limit):
                yield self._fault(name, f"{name} {value:.0f} %", limit)
        for disk in vitals.disks:
            for name, used, limit in (
                ("disk", disk.used, over.disk),
                ("inodes", disk.inodes, over.inodes),
            ):
                if self._over(key := f"{name}:{disk.mount}", used, limit):
                    text = f"{name} {disk.mount} {used:.0f} %"
                    yield self._fault(key, text, limit, used >= SEVERE)
        yield from self._units()
        for array in vitals.raid:
            yield Fault(f"raid:{array.split()[0]}", f"raid {array}", is_severe=True)
        if self._over("temperature", vitals.temperature, over.temperature):
            yield self._fault("temperature", f"{vitals.temperature:.0f} °C", over.temperature)
        if self._over("errors", self.errors, over.errors):
            yield self._fault("errors", f"{self.errors:.0f} network errors a minute", over.errors)
        if vitals.uptime is not None and vitals.uptime < over.uptime:
            yield Fault("uptime", f"up only {duration(vitals.uptime)}", is_news=True)
        if abs(self.offset) - self.doubt > over.clock:
            way = "ahead" if self.offset > 0 else "behind"
            yield Fault("clock", f"clock {duration(abs(self.offset))} {way}")
        yield from self._unseen()

    def _over(self, key: str, value: float | None, limit: float) -> bool:
        if key in self.raised:
            limit *= 1 - self.limits.clear / 100
        return value is not None and value >= limit

    def _fault(self, key: str, text: str, limit: float, is_severe: bool = False) -> Fault:
        return Fault(key, text, is_severe, key, limit)

    def _units(self) -> Iterator[Fault]:
        units = self.vitals.failed_units or ()
        if len(units) > 3:
            yield Fault("units", f"failed {', '.join(units[:3])} and {len(units) - 3} more")
        else:
            yield from (Fault(f"unit:{unit}", f"failed {unit}") for unit in units)

    def _unseen(self) -> Iterator[Fault]:
        """What nobody saw is not fine."""
        vitals = self.vitals
        seen = {
            "load": vitals.load,
            "memory": vitals.memory is not None,
            "uptime": vitals.uptime is not None,
            "clock": vitals.clock is not None,
            "disks": vitals.disks,
        }
        if unseen := [name for name, value in seen.items() if not value]:
            yield Fault("unseen", f"could not read {', '.join(unseen)}")


def duration(seconds: float) -> str:
    """Seconds as people say them, coarse: `3 min`, `5 h`, `12 d`."""
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {name}"
    return f"{seconds:.0f} s"


def count(number: int, noun: str) -> str:
    """`1 host`, `3 hosts`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def folded(said: Iterable[tuple[str, str]]) -> Iterator[str]:
    """`web[1-2]: text` for pairs of host and text; what is said of several hosts once."""
    from ircops.ssh.nodes import fold

    alike: dict[str, list[str]] = {}
    for host, text in said:
        if text:
            alike.setdefault(text, []).append(host)
    for text, hosts in alike.items():
        yield f"{fold(hosts)}: {text}"
