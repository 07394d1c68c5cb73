"""Machines as we know them beside what their providers have: where they differ is drift."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from ircops.ops.creation import is_same
from ircops.ops.machines import Machine, is_ours
from ircops.ops.providers import Seen


@dataclass(frozen=True)
class Standing:
    """One of them, or one that nobody here knows."""

    provider: str
    machine: Machine | None  # None: it was made by an ircops, and has no row
    seen: Seen | None  # None: its provider has none
    doubt: str = ""  # why its provider cannot be asked

    @property
    def name(self) -> str:
        return self.machine.name if self.machine else self.seen.name if self.seen else ""

    @property
    def drift(self) -> str:
        """What is not as it should be, and what to do; "" = all is."""
        machine, seen = self.machine, self.seen
        if machine is not None and machine.state == "failed":
            return f"failed: {machine.why}; the bot goes on removing it"
        if self.doubt:
            return f"unknown, {self.doubt}"
        if machine is None:
            assert seen is not None
            return f"unknown here, though an ircops made it: server adopt {seen.name} --on {self.provider}"
        if not machine.is_whole:
            return ""
        if seen is None:
            return f"gone from {self.provider}: server destroy {machine.name} forgets it"
        if seen.state == "stopped" and machine.state == "ready":
            return f"stopped, not by server: server start {machine.name}"
        if seen.state == "running" and machine.state == "stopped":
            return f"running, not by server: server start {machine.name}"
        if seen.address and machine.address and seen.address != machine.address:
            return f"moved to {seen.address}: server start {machine.name} learns it"
        return ""

    @property
    def state(self) -> str:
        if self.machine and not self.machine.is_whole:
            return {"setup": "being set up"}.get(self.machine.state, self.machine.state)
        if self.doubt:
            return "unknown"
        return self.seen.state if self.seen else "gone"


def compared(
    provider: str, machines: Iterable[Machine], there: Iterable[Seen], known: Container[str] | None
) -> Iterator[Standing]:
    """Each machine beside what its provider has; then what is there of an ircops and has no label that is `known`."""
    there = list(there)
    for machine in machines:
        yield Standing(provider, machine, next((s for s in there if is_same(s, machine)), None))
    for seen in there:
        if known is not None and is_ours(seen.label) and seen.label not in known:
            yield Standing(provider, None, seen)
