"""!run: any command, on any hosts."""

import click

import ircops
from ircops import HOSTS, requires


# No limit on the whole: each host has its own.
@requires("admin", timeout=0)
@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-t", "--timeout", type=click.IntRange(min=1), help="seconds a host may take")
@click.argument("hosts", type=HOSTS)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(ctx, timeout, hosts, command):
    """Run COMMAND on HOSTS; one quoted word is a shell line: 'ps | wc -l'.

    Of several words nothing is special to the shell there: they arrive as they were typed here.
    """
    results = ircops.run(command[0] if len(command) == 1 else list(command), hosts, timeout=timeout)
    click.echo(results)
    if results.failed:
        ctx.exit(1)
