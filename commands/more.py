"""!more: the rest of a long answer."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.pass_obj
def more(ops):
    """The rest of your last long answer here."""
    lines = ops.on_loop(ops.call.reply.more)
    for line in lines or ["nothing was held back"]:
        click.echo(line)
