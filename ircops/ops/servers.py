"""Machines made, looked at, stopped and destroyed on behalf of people: what `!server` asks for.

A machine is a row (`machines.py`), and something at its provider (`providers/`) that bears the row's label. What
has no row is not ours: nothing here touches it, until somebody adopts it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ircops.errors import OpsError, Stopped, sentence
from ircops.ops.machines import SSH, Machine, Machines, is_ours, needless, new_label
from ircops.ops.offers import Offers
from ircops.ops.providers import Provider, Run, Seen, connect
from ircops.ssh.nodes import fold

if TYPE_CHECKING:
    from ircops.ops import Ops
    from ircops.ops.creation import Creation, Made
    from ircops.ops.standing import Standing
    from ircops.ssh.inventory import Inventory

AT_ONCE = 8  # machines of one call that are made at a time
STOPPING = 120.0  # seconds a machine has to stop before we say that it has not
LOOK = 1.0  # seconds between looks whether it has


class Servers:
    """Used from worker threads; blocks. `run` reaches hosts, as `Ops.run` and `Fanout.run` do."""

    def __init__(
        self,
        offers: Offers,
        machines: Machines,
        inventory: Inventory,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.machines = machines
        self._offers, self._inventory, self._now = offers, inventory, now

    def create(
        self,
        ops: Ops,
        name: str,
        count: int = 1,
        on: str = "",
        size: str = "",
        image: str = "",
        seconds: float = 0.0,
    ) -> Iterator[Made]:
        """Make machines, several at a time, and give each as it is done or has failed. Raises OpsError."""
        offers = self._offers
        provider = offers.provider(on)
        settings = offers.settings(provider)
        seconds = seconds or settings.expire
        wanted = replace(
            self._asked(ops, offers.machine(provider, name)),
            image=offers.image(provider, image),
            size=offers.size(provider, size),
            address=offers.published(provider),
            expires_at=self._now() + timedelta(seconds=seconds) if seconds else None,
            warned=needless(timedelta(seconds=seconds)) if seconds else 0,
        )
        ports = offers.ports(provider)
        rows = self.machines.allocate(name, count, settings.quota, ports, wanted, self._is_taken)
        say = _Progress(ops.call.reply.progress, ops.job.number)
        context = click.get_current_context(silent=True)

        def make(machine: Machine) -> Made:
            with context.scope(cleanup=False) if context else nullcontext():
                creation, row = self._creation(ops, machine, say)
                return creation.make(row)

        with ThreadPoolExecutor(min(count, AT_ONCE), "create") as threads:
            for future in as_completed([threads.submit(make, machine) for machine in rows]):
                yield future.result()

    def standings(self, run: Run, names: Any = None) -> list[Standing]:
        """Every machine, or these, beside what the providers have; a call or two to each provider."""
        from ircops.ops.standing import Standing, compared

        machines = [m for m in self.machines.all if names is None or m.name in names]
        labels = {machine.label for machine in self.machines.all} if names is None else None
        asked = {machine.provider for machine in machines}
        asked |= set(self._offers.names) if names is None else set()
        found: list[Standing] = []
        for provider in sorted(asked):
            mine = [machine for machine in machines if machine.provider == provider]
            try:
                found += compared(provider, mine, self.provider(provider, run).list(), labels)
            except Stopped:
                raise
            except OpsError as error:
                said = sentence(error)
                found += [Standing(provider, machine, None, said) for machine in mine or (None,)]
        return sorted(found, key=lambda standing: (standing.machine is None, standing.name))

    def ours(self, names: Any) -> list[Machine]:
        """The machines of these names. Raises OpsError for what is not ours."""
        return [self.machines.find(name) for name in names]

    def doomed(self, ops: Ops, names: Any) -> list[Machine]:
        """Those that may be destroyed. Raises OpsError for what is not ours, and what somebody still makes."""
        machines, jobs = self.ours(names), {job.number for job in ops.jobs.running}
        for machine in machines:
            if machine.state in ("creating", "setup") and machine.job in jobs:
                raise OpsError(
                    f"{machine.name} is still being made; kill {machine.job} ends that, and removes it"
                )
        return machines

    def start(self, ops: Ops, name: str) -> str:
        """Start it, or learn where it is by now, and wait for its SSH."""
        began, machine = time.monotonic(), self._whole(name)
        provider = self.provider(machine.provider, ops.run)
        seen = _seen(provider, machine)
        if seen.state != "running":
            provider.start(seen.id)
        return self._back(ops, machine, provider, began, "started")

    def reboot(self, ops: Ops, name: str) -> str:
        """Have its provider restart it, which helps also where its SSH does not, and wait for its SSH."""
        began, machine = time.monotonic(), self._whole(name)
        provider = self.provider(machine.provider, ops.run)
        provider.reboot(_seen(provider, machine).id)
        told = f"{machine.provider} was told to reboot it"
        return self._back(ops, machine, provider, began, told)

    def stop(self, ops: Ops, name: str) -> str:
        """Stop it; it is in no group meanwhile."""
        machine = self._whole(name)
        provider = self.provider(machine.provider, ops.run)
        seen = _seen(provider, machine)
        if seen.state != "stopped":
            provider.stop(seen.id)
        deadline = time.monotonic() + STOPPING
        while _seen(provider, machine).state != "stopped":
            if time.monotonic() >= deadline:
                raise OpsError(f"{name}: still not stopped {STOPPING:.0f} s after it was told to")
            ops.call.stop.wait(LOOK)
            ops.call.stop.check()
        self.machines.change(machine, state="stopped")
        return f"{name}: stopped"

    def resize(self, ops: Ops, name: str, size: str) -> str:
        """Give it another size, where its provider can."""
        machine = self._whole(name)
        size = self._offers.size(machine.provider, size)
        what = self._offers.sizes(machine.provider)[size]
        provider = self.provider(machine.provider, ops.run)
        provider.resize(_seen(provider, machine).id, what)
        self.machines.change(machine, size=size)
        return f"{name}: now {size} ({what})"

    def destroy(self, run: Run, machine: Machine) -> str:
        """Remove it for good, there and here; for a thing that is ours."""
        from ircops.ops.creation import remove

        was_there = remove(self.provider(machine.provider, run), machine)
        self.machines.remove(machine)
        how = "destroyed" if was_there else f"was gone from {machine.provider} already; forgotten"
        return f"{machine.name}: {how}"

    def extend(self, name: str, seconds: float) -> Machine:
        """Let it live longer by so much; one that had no end has one then."""
        machine = self.machines.find(name)
        until = max(machine.expires_at or self._now(), self._now()) + timedelta(seconds=seconds)
        return self.machines.change(machine, expires_at=until, warned=needless(until - self._now()))

    def adopt(self, ops: Ops, name: str, on: str, id: str) -> str:
        """Take what there is at a provider for a machine of ours, which may be destroyed then."""
        from ircops.ops.providers.seed import pin

        if not re.fullmatch(r"\w[\w.-]*", name):
            raise OpsError(f"{name} cannot be the name of a host")
        place = self._offers.provider(on)
        provider = self.provider(place, ops.run)
        found = [seen for seen in provider.list() if (seen.id == id if id else seen.name == name)]
        if len(found) != 1:
            how_many = f"{len(found)} machines" if found else "no machine"
            raise OpsError(f"{place} has {how_many} {id or name}; name one by --id")
        seen = provider.show(found[0].id) or found[0]
        if any(m.id == seen.id or m.label == seen.label for m in self.machines.all):
            raise OpsError(f"{name} ({seen.id[:12]}) is a machine of server already")
        is_host = self._is_taken(name)
        if not is_host and not seen.address:
            raise OpsError(
                f"{place} does not tell the address of {name}; give it a line in [hosts] first"
            )
        public = "" if is_host else provider.host_key(seen.id)
        machine = replace(
            self._asked(ops, self._offers.machine(place, name, seen.id)),
            label=seen.label if is_ours(seen.label) else new_label(),
            state="stopped" if seen.state == "stopped" else "ready",
            address="" if is_host else seen.address,
            port=seen.port or SSH,
            host_key=pin(public) if public else seen.host_key,
            is_adopted=1,
        )
        self.machines.add(machine)
        known = "" if is_host or machine.host_key else "; its host key must be in known_hosts"
        return f"{name}: adopted from {place} (id {seen.id[:12]}){known}"

    def provider(self, name: str, run: Run) -> Provider:
        """The provider of this name. Raises OpsError."""
        return connect(self._offers.settings(name), run)

    def _asked(self, ops: Ops, machine: Machine) -> Machine:
        """The row, with who asked for it, where and when."""
        return replace(
            machine,
            by=ops.user.name,
            network=ops.call.sender.network,
            channel=ops.call.where,
            job=ops.job.number,
            made_at=self._now(),
        )

    def _creation(
        self,
        ops: Ops,
        machine: Machine,
        say: Callable[[str, str], object] = lambda name, what: None,
    ) -> tuple[Creation, Machine]:
        from ircops.ops.creation import Creation
        from ircops.ops.providers.seed import new_host_key

        settings = self._offers.settings(machine.provider)
        host_key = None
        if machine.state == "creating" and settings.makes_host_key:
            host_key = new_host_key()
            machine = self.machines.change(machine, host_key=host_key.pin)
        calm = partial(ops.parts.fanout.run, note=f"job {ops.job.number} by {ops.user}: clean-up")
        creation = Creation(
            order=self._offers.order(machine, host_key),
            settings=settings,
            machines=self.machines,
            provider=connect(settings, ops.run, ops.call.stop),
            calm=connect(settings, calm),
            run=ops.run,
            stop=ops.call.stop,
            check=partial(self._health, ops),
            say=say,
        )
        return creation, machine

    def _health(self, ops: Ops, name: str) -> str:
        """What is wrong with it; that it has just come up is not."""
        hosts, subject = (
            self._inventory.resolve(name),
            f"server create {name}, job {ops.job.number}",
        )
        report = ops.inspection.report(hosts, ops.run, subject, soon=ops.settings.health.soon)
        wrong = (fault for one in report.conditions for fault in one.wrong if one.host == name)
        return ", ".join(str(fault) for fault in wrong if not fault.is_news)

    def _back(self, ops: Ops, machine: Machine, provider: Provider, began: float, what: str) -> str:
        """It is up again, perhaps elsewhere: wait for its SSH."""
        is_fixed = self._offers.ports(machine.provider) is not None or not machine.address
        address = machine.address if is_fixed else _seen(provider, machine).address
        machine = self.machines.change(machine, state="ready", address=address)
        if machine.is_adopted or not machine.host_key:
            return f"{machine.name}: {what}"
        creation, _ = self._creation(ops, machine)
        machine = creation.reach(machine)
        seconds = time.monotonic() - began
        return f"{machine.name}: {what}, answers at {machine.where} after {seconds:.0f} s"

    def _whole(self, name: str) -> Machine:
        machine = self.machines.find(name)
        if not machine.is_whole:
            raise OpsError(f"{name}: {machine.absence or f'being set up by job {machine.job}'}")
        return machine

    def _is_taken(self, name: str) -> bool:
        try:
            self._inventory.host(name)
        except OpsError:
            return False
        return True


def _seen(provider: Provider, machine: Machine) -> Seen:
    if (seen := provider.show(machine.id)) is None:
        forget = f"server destroy {machine.name} forgets it"
        raise OpsError(f"{machine.name} is gone from {machine.provider}: {forget}")
    return seen


class _Progress:
    """What is done with each machine of a call now, in one line. Any thread."""

    def __init__(self, tell: Callable[[str], object], job: int) -> None:
        self._tell, self._job = tell, job
        self._steps: dict[str, str] = {}

    def __call__(self, name: str, step: str) -> None:
        self._steps[name] = step
        steps = dict(self._steps)
        alike: dict[str, list[str]] = {}
        for each, what in steps.items():
            alike.setdefault(what, []).append(each)
        said = "; ".join(f"{fold(names)} {what}" for what, names in alike.items())
        self._tell(f"job {self._job}: {said}")
