"""!why: what allows or forbids a call, and where that is written."""

import dataclasses
import shlex

import click

from ircops import requires


@requires("viewer")
@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("call", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def why(ops, call):
    """Whether you, or @ACCOUNT, may run CALL here, and what says so."""
    asked = ops.call
    if call[0].startswith("@"):
        account, *call = call
        if account != "@me":
            if str(ops.user.role) == "viewer":
                raise click.ClickException("only operators ask about others; leave the account out")
            stand_in = ops.access.stand_in(account[1:], asked.sender)
            asked = dataclasses.replace(asked, sender=stand_in)
    if not call:
        raise click.UsageError("name a call, too: why @alice deploy shop prod")
    user = ops.access.identify(asked.sender)
    name, how, policy, verdict = _judged(ops, user, asked, shlex.join(call))
    click.echo(f"no: {verdict.refusal}" if verdict.refusal else f"yes: {user} may run {name}{how}")
    listed = user.why or "in no list of [roles]"
    place = f" ({ops.settings.place('roles', str(user.role))})" if "[roles] " in user.why else ""
    click.echo(f"{user} is {user.role}: {listed}{place}")
    decided = ", then ".join(by or _own(ops, name, policy) for by in verdict.by)
    asks = [f"{policy.approvals} approvals".removesuffix("s" * (policy.approvals == 1))]
    asks = asks * bool(policy.approvals) + ["a confirmation"] * policy.confirm
    click.echo(f"decided by {decided}" + (f"; it asks for {', '.join(asks)}" if asks else ""))


def _judged(ops, user, asked, line):
    """Name, how, policy and verdict of a call; of the command in general, if its arguments are left out."""
    found = ops.catalog.find(line, ops.may)
    try:
        context = ops.catalog.parse(found, ops)
    except click.UsageError:
        if len(found.words) > len(found.name.split()):
            raise
        verdict = ops.access.judge(user, found.name, found.policy, asked)
        return found.name, " with some arguments", found.policy, verdict
    read = ops.catalog.read(context)
    verdict = ops.access.judge(user, read.name, read.policy, asked, read.arguments, read.hosts)
    return read.name, "", read.policy, verdict


def _own(ops, name, policy):
    """What the command asks where no [access …] decides, and who says so."""
    words = name.split()
    for path in (" ".join(words[:depth]) for depth in range(len(words), 0, -1)):
        section = ops.settings.commands.get(path)
        if section and section.role == policy.role:
            place = ops.settings.place(f"command {path}", "role")
            return f"[command {path}] role = {policy.role} ({place})"
    return f"{name} itself: role {policy.role}"
