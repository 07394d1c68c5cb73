"""How a machine comes to be, step by step; and how what there is of it goes away again when a step fails.

Its row is there before the provider hears of it, and goes when the provider has no trace of it left. So whatever
dies on the way, somebody finds the row, and by its label the machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ircops.errors import OpsError, Stopped, sentence
from ircops.ops.machines import Machine, Machines
from ircops.ops.providers import Order, Provider, Run, Seen, Unsure
from ircops.ops.providers.seed import pin

if TYPE_CHECKING:
    from ircops.call import Stop
    from ircops.config import Provider as Settings

log = logging.getLogger(__name__)

PROBE = 10.0  # seconds that a machine has for one answer
SOON, LATE = 0.2, 3.0  # seconds between two looks, at first and later
# The script comes on stdin, is run by what its first line names, and leaves nothing behind.
SETUP = """\
umask 077
f=$(mktemp "${HOME:-/tmp}/.ircops-XXXXXX") || exit
trap 'rm -f -- "$f"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$f" && chmod 700 "$f" && "$f" "$@" </dev/null
"""


@dataclass(frozen=True)
class Made:
    """What came of one."""

    machine: Machine
    seconds: float = 0.0
    health: str = ""  # "" = it is fine
    error: str = ""  # why there is none, and what remains

    def __str__(self) -> str:
        machine = self.machine
        if self.error:
            return f"{machine.name}: {self.error}"
        what = " ".join(filter(None, [machine.provider, machine.size, machine.image]))
        if machine.expires_at is not None:
            what += f", until {machine.expires_at:%a %H:%M} UTC"
        state = f"not fine: {self.health}" if self.health else "healthy"
        return f"{machine.name}: {machine.where} ({what}) after {self.seconds:.0f} s, {state}"


@dataclass(frozen=True)
class Creation:
    """One machine on its way. `make` blocks, in a worker thread of the job's."""

    order: Order
    settings: Settings
    machines: Machines
    provider: Provider
    calm: Provider  # the same, which goes on after the job was told to stop
    run: Run
    stop: Stop
    check: Callable[[str], str]  # a host's health; "" = fine
    say: Callable[[str, str], object]  # a machine, and what is done with it now

    def make(self, machine: Machine) -> Made:
        """Create it, and say how it is; or what remains of it."""
        began = time.monotonic()
        try:
            machine = self._create(machine)
            machine = self.reach(machine)
            machine = self.machines.change(machine, state="setup")
            self._set_up(machine)
            self.say(machine.name, "looking at its health")
            health = self.check(machine.name)
            machine = self.machines.change(machine, state="ready")
        except OpsError as error:
            return Made(machine, error=f"{sentence(error)}; {self._undo(machine, error)}")
        except BaseException:
            self.machines.change(machine, state="failed", why="an internal error")
            raise
        return Made(machine, time.monotonic() - began, health)

    def reach(self, machine: Machine) -> Machine:
        """Wait until it answers by SSH with the key that we know it by; its address may become known meanwhile."""
        self.say(machine.name, "waiting for SSH")
        deadline = time.monotonic() + self.settings.deadline
        pause = SOON
        while True:
            machine, why = self._knock(machine)
            if not why:
                return machine
            self.stop.check()
            if time.monotonic() >= deadline:
                after = f"{self.settings.deadline:.0f} s"
                raise OpsError(f"no answer by SSH within {after}: {why}")
            self.stop.wait(pause)
            pause = min(1.5 * pause, LATE)
            self.stop.check()
            seen = self.provider.show(machine.id)
            if seen is None or seen.state == "stopped":
                raise OpsError("it was started, and has stopped by itself; look at its image")
            machine = self._learn(machine, seen)

    def _create(self, machine: Machine) -> Machine:
        self.say(machine.name, f"being created on {machine.provider}")
        return self._learn(machine, self.provider.create(self.order))

    def _knock(self, machine: Machine) -> tuple[Machine, str]:
        """Try its SSH; why there is no answer, "" = there is. Its key is never learned from there."""
        if not machine.host_key and (public := self.provider.host_key(machine.id)):
            machine = self.machines.change(machine, host_key=pin(public))
        if not machine.address or not machine.host_key:
            unknown = "host key" if machine.address else "address"
            return machine, f"{machine.provider} does not tell its {unknown}"
        (result,) = self.run(["true"], [machine.name], timeout=PROBE, fast=True)
        return machine, "" if result.ok else result.text

    def _learn(self, machine: Machine, seen: Seen) -> Machine:
        """Keep what its provider tells of it; what was laid down before it was made stays."""
        found: dict[str, Any] = {"id": seen.id}
        found |= {"address": seen.address} if seen.address and not machine.address else {}
        found |= {"port": seen.port} if seen.port else {}
        found |= {"host_key": seen.host_key} if seen.host_key and not machine.host_key else {}
        is_new = any(getattr(machine, name) != value for name, value in found.items())
        return self.machines.change(machine, **found) if is_new else machine

    def _set_up(self, machine: Machine) -> None:
        if self.settings.setup is None:
            return
        self.say(machine.name, f"running {self.settings.setup.name}")
        script = _read(self.settings.setup)
        command = ["sh", "-c", SETUP, "sh", machine.name]
        (result,) = self.run(command, [machine.name], stdin=script, timeout=0)
        self.stop.check()
        if not result.ok:
            last = (result.text.strip().splitlines() or ["failed"])[-1]
            raise OpsError(f"{self.settings.setup.name}: {last}")

    def _undo(self, machine: Machine, error: OpsError) -> str:
        """Take away what there is of it, and say what remains. What ends in doubt is looked after by `Lifetimes`."""
        self.machines.change(machine, state="failed", why=sentence(error))
        self.say(machine.name, "being removed again")
        try:
            was_there = remove(self.calm, machine)
        except OpsError as fault:
            why = f": {sentence(fault)}" if sentence(fault) != sentence(error) else ""
            return f"it may be left on {machine.provider}{why}; the bot looks again"
        if not was_there and isinstance(error, Unsure | Stopped):
            return f"nothing of it is on {machine.provider} so far; the bot looks again"
        self.machines.remove(machine)
        return "removed again" if was_there else "nothing is left of it"


def is_same(seen: Seen, machine: Machine) -> bool:
    """What the provider shows is this machine: by our label or, of one that we did not make, by its id."""
    return bool(seen.label == machine.label or (machine.id and seen.id == machine.id))


def remove(provider: Provider, machine: Machine) -> bool:
    """Destroy what there is of it, and look whether it is gone; whether there was anything. Raises OpsError."""
    found = [seen for seen in provider.list() if is_same(seen, machine)]
    for seen in found:
        provider.destroy(seen.id)
    if found and any(is_same(seen, machine) for seen in provider.list()):
        raise OpsError(f"{machine.provider} was told to destroy {machine.name}, and still has it")
    return bool(found)


def _read(script: Path) -> bytes:
    try:
        return script.read_bytes()
    except OSError as error:
        raise OpsError(f"cannot read {script}: {(error.strerror or '').lower()}") from None
