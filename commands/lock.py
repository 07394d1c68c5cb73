"""!lock: what is locked, and to hold a lock by hand."""

import re
from datetime import UTC, datetime

import click

from ircops import clock_time, requires

LONGEST = 100  # characters of a name


class Name(click.Group):
    """A group whose words, where they name none of its commands, are a lock to `take`."""

    takes_text = True  # a lone quote in a reason is an apostrophe

    def resolve_command(self, ctx, args):
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "take", self.commands["take"], args


@requires("viewer")
@click.group(
    cls=Name,
    invoke_without_command=True,
    subcommand_metavar="[NAME [REASON]]",
    context_settings={"ignore_unknown_options": True},
)
@click.pass_context
def lock(ctx):
    """What is locked; or hold the lock NAME until unlock, --steal another's."""
    if not ctx.invoked_subcommand:
        lines = ctx.obj.on_loop(told, ctx.obj)
        click.echo("\n".join(lines) or "nothing is locked")


@requires("operator")
@lock.command(hidden=True)
@click.option("--steal", is_flag=True, help="also if somebody else holds it")
@click.option("--reason", "why", default="", help="why, in another place")
@click.argument("name")
@click.argument("reason", nargs=-1)
@click.pass_obj
def take(ops, name, reason, why, steal):
    """Hold the lock NAME, with a REASON: jobs of others that want it wait until you unlock it."""
    if not re.fullmatch(rf"[^\s,]{{1,{LONGEST}}}", name):
        raise click.BadParameter("a lock's name has no spaces: deploy:prod", param_hint="NAME")
    call, said = ops.call, ops.record.redact(" ".join([*reason, why]).strip())
    place = f"{call.sender.network}/{call.where}" if call.where else ""
    before = ops.on_loop(ops.locks.hold, name, ops.user.name, place, said, steal)
    is_own = before and before.holder == ops.user.name
    taken = f", which {before.told()} had" if before and not is_own else ""
    click.echo(
        f"{name} is {'still ' if is_own else ''}locked by you{taken} · unlock {name} ends it"
    )
    if job := ops.on_loop(running, ops, name):
        click.echo(f"job {job.number} ({job.user}: {job.clean(job.line)}) has it until it ends")
    known = wanted(ops)
    if not any(re.fullmatch(lock_pattern(each), name) for each in known):
        click.echo(f"but no command takes a lock of that name; known: {', '.join(known) or 'none'}")


def told(ops):
    """A line for each lock that is held, by hand or by a job. On the loop."""
    lines = []
    for held in ops.locks.held:
        waiting = ops.turns.queued(held.name)
        more = f" · {len(waiting)} waiting" if waiting else ""
        lines.append(f"{held.name}: {held.told()}{more}")
    for name, job in ops.turns.locked.items():
        waiting = len(ops.turns.queued(name))
        more = f" · {waiting} waiting" if waiting else ""
        since = clock_time(job.started, datetime.now(UTC))
        lines.append(
            f"{name}: job {job.number} since {since} ({job.user}: {job.clean(job.line)}){more}"
        )
    return lines


def running(ops, name):
    """A job of somebody else's that has the lock, or one in it, at this moment. On the loop."""
    for taken, job in ops.turns.locked.items():
        is_in = taken == name or taken.startswith(f"{name}:")
        if is_in and job.user.name != ops.user.name:
            return job
    return None


def wanted(ops):
    """The locks that commands take, as they are written: `deploy:{env}`."""
    found = set()
    ops.catalog.overview(lambda name, policy: found.add(policy.lock))  # asks about each command
    return sorted(filter(None, found))


def lock_pattern(written):
    """A pattern for the names that `deploy:{env}` may come to, and for what they are in: `deploy`."""
    pattern = ""
    for part in reversed(written.split(":")):
        one = re.sub(r"\\{\w+\\}", r"[^\\s,]+", re.escape(part))
        pattern = f"{one}(:{pattern})?" if pattern else one
    return pattern
