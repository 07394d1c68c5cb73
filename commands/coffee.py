"""!coffee: RFC 2324."""

import click

from ircops import requires


@requires("viewer")
@click.command()
def coffee():
    """Brew coffee (RFC 2324)."""
    click.echo("418 I'm a teapot: short and stout, and no HTCPCP/1.0 pot (RFC 2324 §2.3.2)")
