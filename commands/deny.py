"""!deny: no to what waits for consent."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("hash")
@click.argument("reason", nargs=-1)
@click.pass_obj
def deny(ops, hash, reason):
    """Say no to what waits under HASH, with a REASON if you like."""
    click.echo(ops.on_loop(ops.approvals.deny, hash, ops.user, " ".join(reason)))


deny.takes_text = True  # a lone quote in a reason is an apostrophe
