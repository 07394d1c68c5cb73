"""!confirm: yes, I mean what I asked for."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("hash")
@click.pass_obj
def confirm(ops, hash):
    """Say yes to what you asked for yourself; HASH is in the question."""
    click.echo(ops.on_loop(ops.approvals.confirm, hash, ops.user))
