"""What a probe saw of a host, read from what each system prints. Never raises, whatever a host says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Sections = dict[str, list[str]]

# A line of `df -P`: device, size, used, free, share, mount point; either of the names may hold spaces.
_DF_LINE = re.compile(r"(\S.*?)\s+(\d+)\s+(?:\d+|-)\s+(?:-?\d+|-)\s+(\d+)%\s+(/.*)")
# `df -i` of the BSDs has the inodes behind the space
_DF_INODES = re.compile(r"\S.*?\s+\d+\s+-?\d+\s+-?\d+\s+\d+%\s+\d+\s+\d+\s+(\d+)%\s+(/.*)")
# What is not storage, or is full by nature; `/` and `/tmp` count whatever they are made of.
_NOT_STORAGE = re.compile(
    r"(dev|dev?tmpfs|tmpfs|udev|run|shm|none|overlay|efivarfs|devfs|fdescfs|procfs|linprocfs"
    r"|linsysfs|map .*|/dev/(loop|sr|cd)\d+)"
)
_KERNELS_OWN = re.compile(r"/(dev|proc|sys|run|snap|compat/linux)/.*|/System/Volumes/(?!Data$).*")
_MDSTAT = re.compile(r"(md\S*) : (active|inactive)\b.*\n(?:\s+.*?\[(\d+)/(\d+)\] \[[U_]+\])?")


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
    """What a probe saw; None or empty where the host did not say, or was not asked."""

    # seconds since the epoch half-way through the probe, in the middle of what its precision leaves open
    clock: float | None = None
    precision: float = 0.0  # seconds; busybox has a clock of whole ones
    took: float = 0.0  # seconds from the first look at it to the last
    load: tuple[float, ...] = ()  # over 1, 5 and 15 minutes
    cores: int = 1
    uptime: float | None = None  # seconds
    boot: str = ""  # another after each boot
    memory: float | None = None  # percent that programs hold and would not give back
    swap: float | None = None  # percent; None without swap
    disks: tuple[Disk, ...] = ()
    failed_units: tuple[str, ...] | None = None  # None: no systemd, no OpenRC
    reboot: str | None = None  # what waits for one; "" = nothing that we know of
    updates: int | None = None  # packages that could be newer
    security: int | None = None  # of them, those that close a hole
    errors: int | None = None  # of its network cards, since the boot
    temperature: float | None = None  # °C, the hottest sensor
    raid: tuple[str, ...] = ()  # arrays and pools that are not whole: `md0 1 of 2 disks`
    busy: tuple[str, ...] = ()  # the programs with most CPU: `python 51 %`
    hungry: tuple[str, ...] = ()  # and with most memory

    @property
    def load_per_core(self) -> float | None:
        """Of the last minute."""
        return self.load[0] / self.cores if self.load else None


def parse(text: str) -> Vitals | None:
    """Read what a probe printed; None when this is not a whole answer of it."""
    sections: Sections = {}
    lines: list[str] = []  # before the first mark: a host's greeting, dropped
    for line in text.splitlines():
        if line.startswith("@"):
            lines = sections.setdefault(line[1:], [])
        else:
            lines.append(line)
    if "end" not in sections:
        return None
    clock, load, cores = (_numbers(sections, name) for name in ("clock", "load", "cores"))
    ended = _numbers(sections, "ended")
    took = min(max(ended[0] - clock[0], 0.0), 3600.0) if clock and ended else 0.0
    precision = 0.0 if re.match(r"\d+\.\d", _first(sections, "clock")) else 1.0
    memory, swap = _memory(sections)
    units = sections.get("units")
    updates, security = _updates(sections.get("updates"))
    if updates is None:
        updates, security = _notified("\n".join(sections.get("notified", [])))
    return Vitals(
        clock=clock[0] + (took + precision) / 2 if clock else None,
        precision=precision,
        took=took,
        load=tuple(load[:3]) if len(load) >= 3 else (),
        cores=int(min(max(cores[0], 1), 1e6)) if cores else 1,
        uptime=_uptime(sections, clock),
        boot=_first(sections, "boot")[:80],
        memory=memory,
        swap=swap,
        disks=tuple(_disks(sections.get("disks", []), sections.get("inodes", []))),
        failed_units=None if units is None else tuple(_units(units)),
        reboot=_reboot(sections),
        updates=updates,
        security=security,
        errors=_errors(sections.get("network", [])),
        temperature=_temperature(sections.get("temperatures", [])),
        raid=tuple(_raid(sections)),
        busy=tuple(_programs(sections.get("processes", []), 0)),
        hungry=tuple(_programs(sections.get("hungry", []), 1)),
    )


def _first(sections: Sections, name: str) -> str:
    return next(iter(sections.get(name, [])), "")


def _numbers(sections: Sections, name: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", _first(sections, name))]


def _uptime(sections: Sections, clock: list[float]) -> float | None:
    said = _first(sections, "uptime")
    if booted := re.search(r"sec = (\d+)", said):  # { sec = 1795380250, usec = 0 } Sun Nov 22 …
        return max(clock[0] - float(booted[1]), 0.0) if clock else None
    numbers = _numbers(sections, "uptime")
    return numbers[0] if numbers and re.match(r"\d", said) else None


def _memory(sections: Sections) -> tuple[float | None, float | None]:
    """Percent of memory and of swap in use."""
    text = "\n".join(sections.get("memory", []))
    known = {n: float(value) for n, value in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    if known:
        if "MemAvailable" not in known and "MemFree" in known:  # Linux before 3.14
            parts = ("MemFree", "Buffers", "Cached")
            known["MemAvailable"] = sum(known.get(part, 0) for part in parts)
        return _used(known, "MemTotal", "MemAvailable"), _used(known, "SwapTotal", "SwapFree")
    known = {
        name: float(value)
        for name, value in re.findall(r"^([\w. -]+?)[:=] *(\d+)\.?$", text, re.MULTILINE)
    }
    if "Pages free" in known:  # macOS, vm_stat
        page = re.search(r"page size of (\d+) bytes", text)
        free = sum(known.get(f"Pages {n}", 0) for n in ("free", "inactive", "speculative"))
        known["free"] = free * float(page[1] if page else 4096)
        known["total"] = known.get("hw.memsize", 0)
        units = dict(re.findall(r"(total|used) = (\d+(?:\.\d+)?)", text))
        swap = _share(float(units.get("used", 0)), float(units.get("total", 0)))
    else:
        names = ("free", "inactive", "cache", "laundry")
        free = sum(known.get(f"vm.stats.vm.v_{name}_count", 0) for name in names)
        known["free"] = free * known.get("vm.stats.vm.v_page_size", 4096)
        known["total"] = known.get("hw.physmem", 0)
        rows = re.findall(r"^/\S+\s+(\d+)\s+(\d+)", "\n".join(sections.get("swap", [])), re.M)
        swap = _share(sum(float(used) for _, used in rows), sum(float(size) for size, _ in rows))
    return _used(known, "total", "free"), swap


def _used(known: dict[str, float], total: str, free: str) -> float | None:
    if free not in known:
        return None
    return _share(known.get(total, 0) - known[free], known.get(total, 0))


def _share(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole > 0 else None


def _disks(space: list[str], inodes: list[str]) -> Iterator[Disk]:
    used_inodes = {}
    for line in inodes:
        if found := _DF_INODES.fullmatch(line):
            used_inodes[found[2]] = float(found[1])
        elif found := _DF_LINE.fullmatch(line):
            used_inodes[found[4]] = float(found[3])
    seen = set()
    for line in space:
        if not (found := _DF_LINE.fullmatch(line)):
            continue
        device, size, used, mount = found.groups()
        if _NOT_STORAGE.fullmatch(device) and mount not in ("/", "/tmp"):
            continue
        if _KERNELS_OWN.fullmatch(mount) or (device, size) in seen:
            continue  # or a disk mounted twice
        seen.add((device, size))
        yield Disk(mount, float(used), used_inodes.get(mount, 0.0))


def _units(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if words := line.replace("●", " ").split():
            yield words[0].removesuffix(".service")


def _reboot(sections: Sections) -> str | None:
    if "reboot" not in sections:
        return None
    said = list(dict.fromkeys(line.strip() for line in sections["reboot"] if line.strip()))
    if _first(sections, "restart") == "1":  # needs-restarting(1)
        said.append("newer libraries")
    if not said:
        return ""
    reasons = [line for line in said if line != "needed"]
    return ", ".join(reasons[:2])[:80] or "updates"


def _updates(lines: list[str] | None) -> tuple[int | None, int | None]:
    """How many, and how many of them for security; None where that is not known."""
    if not lines:
        return None, None
    if both := re.fullmatch(r"(\d+);(\d+)", lines[0]):  # apt-check
        return int(both[1]), int(both[2])
    told = [re.fullmatch(r"\s*(\d{1,9}) (security|other)", line) for line in lines]
    counts = [(int(found[1]), found[2]) for found in told if found]
    security = [number for number, what in counts if what == "security"]
    return sum(number for number, _ in counts), sum(security) if security else None


def _notified(text: str) -> tuple[int | None, int | None]:
    """What Ubuntu found out lately: `12 updates can be applied immediately.`"""
    every = re.search(r"^(\d{1,9}) \S*\s?updates? can be ", text, re.MULTILINE)
    closing = re.search(r"^(\d{1,9}) of these updates (?:is|are) (?:a )?\S*\s?security", text, re.M)
    if not every:
        return None, None
    return int(every[1]), int(closing[1]) if closing else 0


def _errors(lines: list[str]) -> int | None:
    """What was received and sent with an error, over all cards; lo has none."""
    total, seen = 0, False
    header: list[str] = []
    for line in lines:
        words = line.replace(":", " ").split() if ":" in line and "|" not in line else line.split()
        if "Ierrs" in words and "Oerrs" in words:  # netstat -ib; an address may be missing in a row
            header = words
        elif header and "<Link#" in line:
            places = [words[header.index(name) - len(header) :][:1] for name in ("Ierrs", "Oerrs")]
            total += sum(int(place[0]) for place in places if place and place[0].isdigit())
            seen = True
        elif not header and len(words) >= 17 and words[1].isdigit():  # /proc/net/dev
            total += sum(int(words[place]) for place in (3, 11) if words[place].isdigit())
            seen = True
    return total if seen else None


def _temperature(lines: list[str]) -> float | None:
    """Thousandths of a degree (Linux), or `dev.cpu.0.temperature: 45.0C` (FreeBSD); what is no temperature is left out."""
    found = []
    for line in lines:
        if match := re.fullmatch(r"-?\d{1,7}", line.strip()):
            found.append(int(match[0]) / 1000)
        elif match := re.search(r"(\d{1,3}(?:\.\d+)?)C$", line):
            found.append(float(match[1]))
    return max((value for value in found if 0 < value < 150), default=None)


def _raid(sections: Sections) -> Iterator[str]:
    for name, state, whole, there in _MDSTAT.findall("\n".join([*sections.get("raid", []), ""])):
        if state == "inactive":
            yield f"{name} inactive"
        elif whole != there:
            yield f"{name} {there} of {whole} disks"
    for line in sections.get("pools", []):
        name, _, state = line.partition("\t")
        if state and state.strip() != "ONLINE":
            yield f"{name} {state.strip().lower()}"


def _programs(lines: Iterable[str], column: int) -> Iterator[str]:
    for line in lines:
        words = line.split(None, 2)
        if (
            len(words) == 3
            and words[2] not in ("ps", "sort", "head")
            and words[column].replace(".", "", 1).isdigit()
        ):
            share = float(words[column])
            if share >= 1:
                yield f"{words[2].rsplit('/', 1)[-1][:20]} {share:.0f} %"
