"""Whether a schedule may run its own line, found out before its hour comes: nobody is there at three at night."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import click
from click.exceptions import Exit

from ircops.access import Access
from ircops.call import Call, Reply, Sender
from ircops.catalog import Catalog, Found
from ircops.config import Settings
from ircops.errors import sentence
from ircops.schedule import place

if TYPE_CHECKING:
    from ircops.ssh.inventory import Inventory


def faults(
    settings: Settings, catalog: Catalog, access: Access, inventory: Inventory
) -> Iterator[str]:
    """A sentence, with file and line, for each schedule that would be refused, or asked what nobody answers."""
    for name, schedule in settings.schedules.items():
        network, channel = place(schedule.into[0]) if schedule.into else ("", "")
        sender = Sender("schedule", name, name, network=network)
        nobody = cast(Reply, None)  # judging says nothing
        call = Call(sender, schedule.run, nobody, channel)
        try:
            fault = _fault(call, catalog, access, settings, inventory)
        except Exit:  # --help, for whatever reason
            continue
        except click.ClickException as error:
            fault = sentence(error)
        if fault:
            where = settings.place(f"schedule {name}", "run")
            yield f"{where}: [schedule {name}] {schedule.run}: {fault}"


def _fault(
    call: Call, catalog: Catalog, access: Access, settings: Settings, inventory: Inventory
) -> str:
    """Why the call would come to nothing; "" if it would not. Raises what click raises."""
    found = catalog.find(call.line)
    name, policy = found.name, found.policy
    user = access.identify(call.sender)
    refusal = access.judge(user, name, policy, call).refusal
    if not refusal and (context := _parsed(found, catalog, settings, inventory)):
        read = catalog.read(context)
        name, policy = read.name, read.policy
        verdict = access.judge(user, name, policy, call, read.arguments, read.hosts)
        refusal = verdict.refusal
    if refusal:
        is_low = user.role < policy.role and refusal.startswith(f"{name} needs role")
        return refusal + (f"; write role = {policy.role} here" if is_low else "")
    if not (policy.approvals or policy.confirm):
        return ""
    drop = " and ".join(
        key
        for key, value in (("approvals = 0", policy.approvals), ("confirm = no", policy.confirm))
        if value
    )
    return f"it needs consent, which a schedule cannot ask for; write {drop} in [command {name}]"


def _parsed(
    found: Found, catalog: Catalog, settings: Settings, inventory: Inventory
) -> click.Context | None:
    """The call with its arguments; None if they cannot be known before it runs."""
    ops: Any = SimpleNamespace(
        settings=settings, inventory=inventory, catalog=catalog, may=lambda name, policy: True
    )
    if any(getattr(param, "prompt", None) for param in found.command.params):
        return None  # to parse it might be to ask
    try:
        return catalog.parse(found, ops)
    except AttributeError:  # a type of the team's own wants a part of a bot that runs
        return None
