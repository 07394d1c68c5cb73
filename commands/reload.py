"""!reload: read the settings and commands again."""

import click

from ircops import requires


@requires("admin")
@click.command()
@click.pass_obj
def reload(ops):
    """Read ircops.ini and the commands again; faulty ones change nothing."""
    click.echo(ops.on_loop(ops.reload))
