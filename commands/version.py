"""!version: what runs here."""

import platform

import click

import ircops
from ircops import requires


@requires("viewer")
@click.command()
def version():
    """Which ircops this is, on which Python."""
    click.echo(f"ircops {ircops.__version__} on Python {platform.python_version()}")
