"""!whoami: who one is to the bot, and why."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.pass_obj
def whoami(ops):
    """Who you are to me: your role, your account, and what says so."""
    user, sender = ops.user, ops.call.sender
    account = f"account {sender.account}" if sender.account else "no account"
    proof = f" by {sender.evidence}" if sender.account and sender.evidence else ""
    why = "; ".join(filter(None, [account + proof, user.why]))
    click.echo(f"you are {user.name}, {user.role} ({why})")
