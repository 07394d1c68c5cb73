"""!totp: a one-time code, for commands that ask for one."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("code", nargs=-1, required=True)
@click.pass_obj
def totp(ops, code):
    """Give the one-time CODE of your authenticator; in private only."""
    name, digits = ops.user.name, "".join(code)
    if ops.call.where:
        ops.totp.burn(name, digits)
        raise click.ClickException(
            "a code said in a channel is void: take the next one, and say it in private"
        )
    ops.totp.give(name, digits)
    minutes = ops.settings.bot.totp_time / 60
    click.echo(f"thank you, {name}: good for {minutes:g} min")
