"""!maintenance: hosts that are worked on, and of which nothing is said meanwhile."""

import re

import click
from ircops.commands.record import SECONDS

from ircops import HOSTS, requires


class Spoken(click.Group):
    """A group whose words, where they name none of its commands, are the hosts, the time and the reason of `begin`."""

    takes_text = True  # a lone quote in a reason is an apostrophe

    def resolve_command(self, ctx, args):
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "begin", self.commands["begin"], args


def seconds(ctx, param, value):
    """The length of a time span."""
    if not (span := re.fullmatch(r"(\d{1,4})([smhd])", value)):
        raise click.BadParameter("how long is written 30m, 2h or 1d: maintenance web7 2h new disk")
    return int(span[1]) * SECONDS[span[2]]


@requires("viewer")
@click.group(
    cls=Spoken,
    invoke_without_command=True,
    subcommand_metavar="[HOSTS SPAN [REASON] | end HOSTS]",
)
@click.pass_context
def maintenance(ctx):
    """Silence HOSTS for a SPAN such as 2h; alone, say which are silent."""
    if ctx.invoked_subcommand:
        return
    windows = ctx.obj.maintenance.open()
    alike = {}
    for window in windows:
        alike.setdefault(str(window), []).append(window.host)
    for window, hosts in alike.items():
        click.echo(f"{ctx.obj.inventory.resolve(','.join(hosts))}: {window}")
    if not windows:
        click.echo("no host is in maintenance")


@requires("operator")
@maintenance.command(hidden=True)
@click.argument("hosts", type=HOSTS)
@click.argument("span", callback=seconds)
@click.argument("reason", nargs=-1)
@click.pass_obj
def begin(ops, hosts, span, reason):
    """Silence HOSTS for a SPAN such as 2h: watches and reports leave them out."""
    window = ops.maintenance.begin(list(hosts), span, str(ops.user), " ".join(reason))
    click.echo(f"{hosts}: silent {window}; maintenance end {hosts} ends it")


@requires("operator")
@maintenance.command()
@click.argument("hosts", type=HOSTS)
@click.pass_obj
def end(ops, hosts):
    """Let HOSTS be heard again."""
    silent = ops.maintenance.end(list(hosts))
    click.echo(f"{ops.inventory.resolve(','.join(silent))}: heard again")
