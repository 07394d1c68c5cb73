"""!approve: yes to what somebody else asked for."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("hash")
@click.pass_obj
def approve(ops, hash):
    """Say yes to what somebody else asked for; HASH is in the question."""
    click.echo(ops.on_loop(ops.approvals.approve, hash, ops.user, ops.call.sender))
