"""!echo for ircops: says what it is told."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("words", nargs=-1)
def echo(words):
    """Say WORDS."""
    click.echo(" ".join(words))
