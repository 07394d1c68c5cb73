"""!help: what one may run, and how."""

import click

from ircops import requires


@requires("viewer")
@click.command("help")
@click.argument("command", nargs=-1)
@click.pass_obj
def help_(ops, command):
    """List the commands you may run, or explain COMMAND."""
    lines = ops.catalog.explain(command, ops.may) if command else ops.catalog.overview(ops.may)
    for line in lines:
        click.echo(line)
