"""Are hosts fine? One probe a host in one round trip, what it saw, and what of that is over a threshold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ircops.call import Result
from ircops.config import Health as Thresholds

# POSIX sh with what Debian and busybox both have. A network disk that hangs would hold df for ever,
# so df gets 5 s where there is a `timeout` that takes its seconds first (busybox since 1.30).
PROBE = """\
exec 2>/dev/null
export LC_ALL=C
limit=; timeout 5 true && limit='timeout 5'
echo @clock; date +%s.%N
echo @load; cat /proc/loadavg
echo @cores; nproc || grep -c ^processor /proc/cpuinfo
echo @uptime; cat /proc/uptime
echo @memory; cat /proc/meminfo
echo @disks; $limit df -kP
echo @inodes; $limit df -iP
if [ -d /run/systemd/system ]; then
    echo @units; systemctl list-units --failed --plain --no-legend --no-pager
fi
echo @end
"""

# A line of `df -P`: device, size, used, free, share, mount point; either of the names may hold spaces.
_DF_LINE = re.compile(r"(\S.*?)\s+(\d+)\s+(?:\d+|-)\s+(?:-?\d+|-)\s+(\d+)%\s+(/.*)")
# What is not storage, or is full by nature; `/` and `/tmp` count whatever they are made of.
_NOT_STORAGE = re.compile(
    r"(dev|dev?tmpfs|tmpfs|udev|run|shm|none|overlay|efivarfs|/dev/(loop|sr)\d+)"
)


@dataclass(frozen=True)
class Disk:
    """A filesystem with room of its own."""

    mount: str
    used: float  # percent of the space
    inodes: float = 0.0  # percent; 0 where they are not counted (btrfs, vfat)

    def __str__(self) -> str:
        return f"{self.mount} {self.used:.0f} %"


@dataclass(frozen=True)
class Vitals:
    """What a probe saw; None or empty where the host did not say."""

    clock: float | None = (
        None  # seconds since the epoch, in the middle of what its precision leaves open
    )
    precision: float = 0.0  # seconds; busybox has a clock of whole ones
    load: tuple[float, ...] = ()  # over 1, 5 and 15 minutes
    cores: int = 1
    uptime: float | None = None  # seconds
    memory: float | None = None  # percent that programs hold and would not give back
    swap: float | None = None  # percent; None without swap
    disks: tuple[Disk, ...] = ()
    failed_units: tuple[str, ...] | None = None  # None: no systemd


def parse(text: str) -> Vitals | None:
    """Read what PROBE printed; None when this is not a whole answer of it. Never raises."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []  # before the first mark: a host's greeting, dropped
    for line in text.splitlines():
        if line.startswith("@"):
            lines = sections.setdefault(line[1:], [])
        else:
            lines.append(line)
    if "end" not in sections:
        return None

    def numbers(section: str) -> list[float]:
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", _first(sections, section))]

    clock, load, cores, uptime = map(numbers, ("clock", "load", "cores", "uptime"))
    precision = 0.0 if re.match(r"\d+\.\d", _first(sections, "clock")) else 1.0
    memory = _kibibytes(sections.get("memory", []))
    units = sections.get("units")
    return Vitals(
        clock=clock[0] + precision / 2 if clock else None,
        precision=precision,
        load=tuple(load[:3]) if len(load) >= 3 else (),
        cores=int(min(max(cores[0], 1), 1e6)) if cores else 1,
        uptime=uptime[0] if uptime else None,
        memory=_share(memory, "MemTotal", "MemAvailable"),
        swap=_share(memory, "SwapTotal", "SwapFree"),
        disks=tuple(_disks(sections.get("disks", []), sections.get("inodes", []))),
        failed_units=None if units is None else tuple(_units(units)),
    )


def _first(sections: dict[str, list[str]], name: str) -> str:
    return next(iter(sections.get(name, [])), "")


def _kibibytes(lines: list[str]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in re.findall(r"^(\w+): +(\d+) kB", "\n".join(lines), re.M)
    }


def _share(memory: dict[str, float], total: str, free: str) -> float | None:
    if not memory.get(total) or free not in memory:
        return None
    return 100 * (1 - memory[free] / memory[total])


def _disks(space: list[str], inodes: list[str]) -> Iterator[Disk]:
    used_inodes = {
        found[4]: float(found[3]) for line in inodes if (found := _DF_LINE.fullmatch(line))
    }
    seen = set()
    for line in space:
        if not (found := _DF_LINE.fullmatch(line)):
            continue
        device, size, used, mount = found.groups()
        if _NOT_STORAGE.fullmatch(device) and mount not in ("/", "/tmp"):
            continue
        if mount.startswith(("/dev/", "/proc/", "/sys/", "/run/")) or (device, size) in seen:
            continue  # the kernel's own, or a disk mounted twice
        seen.add((device, size))
        yield Disk(mount, float(used), used_inodes.get(mount, 0.0))


def _units(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if words := line.replace("●", " ").split():
            yield words[0].removesuffix(".service")


@dataclass(frozen=True)
class Condition:
    """How one host is: its vitals and what is wrong with them, or why there are none."""

    host: str
    vitals: Vitals | None = None
    offset: float = 0.0  # seconds its clock is ahead of ours
    faults: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_fine(self) -> bool:
        return not self.faults and not self.error

    def detail(self) -> list[str]:
        """Three lines at most, for the one who asked about this host alone."""
        if self.vitals is None:
            return [f"{self.host}: {self.error}"]
        vitals = self.vitals
        load = " ".join(f"{value:.2f}" for value in vitals.load)
        numbers = [
            f"load {load} on {_count(vitals.cores, 'core')}" if load else "",
            f"memory {vitals.memory:.0f} %" if vitals.memory is not None else "",
            f"swap {vitals.swap:.0f} %" if vitals.swap is not None else "",
            f"up {duration(vitals.uptime)}" if vitals.uptime is not None else "",
            f"clock {round(self.offset, 1) + 0.0:+.1f} s" if vitals.clock is not None else "",
            "no failed units" if vitals.failed_units == () else "",
        ]
        lines = [
            f"{self.host}: " + ("ok" if self.is_fine else "not fine: " + ", ".join(self.faults)),
            " · ".join(filter(None, numbers)),
            "disk " + ", ".join(map(str, vitals.disks)) if vitals.disks else "",
        ]
        return [line for line in lines if line]


@dataclass(frozen=True)
class Report:
    """How all hosts that were asked are."""

    hosts: Any  # NodeSet
    conditions: tuple[Condition, ...]

    @property
    def is_fine(self) -> bool:
        return all(condition.is_fine for condition in self.conditions)

    @property
    def lines(self) -> list[str]:
        """A summary, then only the exceptions, equal ones folded, unreachable hosts last; one host has its detail."""
        if len(self.conditions) == 1:
            return self.conditions[0].detail()
        count = _count(len(self.conditions), "host")
        if self.is_fine:
            return [f"health: {count} ok"]
        faulty = sum(not condition.is_fine for condition in self.conditions)
        return [
            f"health: {faulty} of {count} not fine",
            *self._fold((one.host, ", ".join(one.faults)) for one in self.conditions),
            *self._fold((one.host, one.error) for one in self.conditions),
        ]

    def _fold(self, said: Iterable[tuple[str, str]]) -> Iterator[str]:
        alike: dict[str, list[str]] = {}
        for host, text in said:
            if text:
                alike.setdefault(text, []).append(host)
        for text, hosts in alike.items():
            # a part of a node set is a node set, which writes itself folded
            yield f"{self.hosts.intersection(','.join(hosts))}: {text}"

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Health:
    """Looks at hosts with the thresholds of [health]."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds

    def check(
        self, run: Callable[..., Iterable[Result]], hosts: Any, now: Callable[[], float]
    ) -> Report:
        """Probe `hosts` (a NodeSet) by `run`, which has the shape of `Ops.run`; `now` is our clock, in seconds.

        Blocks until every host has answered or failed: for a worker thread.
        """
        results = run(["sh", "-c", PROBE], hosts, fast=True)
        found = {result.host: self._judge(result, now()) for result in results}
        return Report(hosts, tuple(found[host] for host in hosts if host in found))

    def _judge(self, result: Result, ended: float) -> Condition:
        if result.error:
            return Condition(result.host, error=result.error)
        vitals = parse(result.stdout)
        if vitals is None:
            output = (result.stdout + result.stderr).strip()
            said = (output.split("\n")[0] or "nothing")[:80]
            return Condition(result.host, error=f"no shell there to ask, it said: {said}")
        # The clock was read somewhere between start and end; only what that leaves no doubt of counts.
        offset = 0.0 if vitals.clock is None else vitals.clock - (ended - result.seconds / 2)
        doubt = (result.seconds + vitals.precision) / 2
        return Condition(result.host, vitals, offset, tuple(self._faults(vitals, offset, doubt)))

    def _faults(self, vitals: Vitals, offset: float, doubt: float) -> Iterator[str]:
        over = self._thresholds
        if vitals.load and vitals.load[1] >= over.load * vitals.cores:
            yield f"load {vitals.load[1]:.1f} on {_count(vitals.cores, 'core')}"
        if vitals.memory is not None and vitals.memory >= over.memory:
            yield f"memory {vitals.memory:.0f} %"
        if vitals.swap is not None and vitals.swap >= over.swap:
            yield f"swap {vitals.swap:.0f} %"
        yield from (f"disk {disk}" for disk in vitals.disks if disk.used >= over.disk)
        for disk in vitals.disks:
            if disk.inodes >= over.inodes:
                yield f"inodes {disk.mount} {disk.inodes:.0f} %"
        if vitals.failed_units:
            more = len(vitals.failed_units) - 3
            yield (
                "failed "
                + ", ".join(vitals.failed_units[:3])
                + (f" and {more} more" if more > 0 else "")
            )
        if vitals.uptime is not None and vitals.uptime < over.uptime:
            yield f"up only {duration(vitals.uptime)}"
        if abs(offset) - doubt > over.clock:
            yield f"clock {duration(abs(offset))} {'ahead' if offset > 0 else 'behind'}"
        # what nobody saw is not fine
        seen = {
            "load": vitals.load,
            "memory": vitals.memory is not None,
            "uptime": vitals.uptime is not None,
            "clock": vitals.clock is not None,
            "disks": vitals.disks,
        }
        if unseen := [name for name, value in seen.items() if not value]:
            yield "could not read " + ", ".join(unseen)


def duration(seconds: float) -> str:
    """Seconds as people say them, coarse: `3 min`, `5 h`, `12 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
